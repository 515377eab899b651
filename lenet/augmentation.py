"""Random distortions of training images: shifts by a pixel, and the affine distortions of LeCun et al. 1998.

Each function takes a whole batch, distorts every image by a draw of its own, and returns a batch of the same shape on
the same device. The draws are made on the CPU, so that a seed distorts alike on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

Augmentation = Callable[[Tensor, Tensor, Generator], Tensor]

SHIFT_PIXELS = 1.5  # the paper names its distortions and not how strong they are; these four are ours
SCALE = 0.1
SQUEEZE = 0.1
SHEAR = 0.2
DISTORTED = 0.9  # 540,000 distorted images were added to 60,000 originals


def shift1(images: Tensor, background: Tensor, generator: Generator) -> Tensor:
    """Each image moved by -1, 0 or 1 pixel in both directions, equally likely; the edge filled with background.

    **Arguments:**

    - `images`: float (N, C, H, W). `background`: (C,), the value of an empty pixel. `generator`: on the CPU.
    """
    n, channels, height, width = images.shape
    drawn = torch.randint(0, 3, (2, n, 1), generator=generator).to(images.device)
    framed = background[:, None, None].expand(n, channels, height + 2, width + 2).clone()
    framed[:, :, 1:-1, 1:-1] = images
    rows = torch.arange(height, device=images.device) + drawn[0]
    columns = torch.arange(width, device=images.device) + drawn[1]
    places = torch.arange(n, device=images.device)[:, None, None]
    moved = framed.permute(0, 2, 3, 1)[places, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).contiguous()


def affine1998(images: Tensor, background: Tensor, generator: Generator) -> Tensor:
    """Nine in ten images shifted, scaled, squeezed and sheared at random (LeCun et al. 1998, section III.A).

    Squeezing makes an image wider and flatter, or the reverse. Bilinear between pixels; beyond the edge is background.

    **Arguments:**

    - `images`: float (N, C, H, W). `background`: (C,), the value of an empty pixel. `generator`: on the CPU.
    """
    n, _, height, width = images.shape
    drawn = torch.rand(6, n, generator=generator)
    x, y, scale, squeeze, shear = (drawn[:5] * 2 - 1).unbind()
    chosen = (drawn[5] < DISTORTED).float()
    scale, squeeze = torch.exp(math.log1p(SCALE) * scale), torch.exp(math.log1p(SQUEEZE) * squeeze)
    zero = torch.zeros(n)
    # Rows of the map from places in the distorted image to places in the given one, in torch's units of [-1, 1].
    across = torch.stack([scale * squeeze, SHEAR * shear, SHIFT_PIXELS * x * 2 / width], 1)
    down = torch.stack([zero, scale / squeeze, SHIFT_PIXELS * y * 2 / height], 1)
    identity = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    maps = torch.lerp(identity.expand(n, 2, 3), torch.stack([across, down], 1), chosen[:, None, None])
    grid = F.affine_grid(maps.to(images.device), list(images.shape), align_corners=False)
    empty = background[:, None, None]
    return F.grid_sample(images - empty, grid, align_corners=False) + empty


AUGMENTATIONS: dict[str, Augmentation] = {"shift1": shift1, "affine1998": affine1998}
