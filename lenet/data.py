"""Data sets as normalised tensors on a device, in fixed splits, and the random distortions of training images.

`load` gives the training, validation and test images of a data set in the size that the network takes. All of them are
on the device at once, so that no loader runs while a network learns. The rules are the same for every data set:

- Validation images are carved from the training half by a fixed draw; the test half is left alone. Without
  validation, the images stay in the files' order.
- Size: up to four pixels a side are added as a frame of zeros, the background (MNIST 28 to 32). Any other difference is
  resized bilinearly, with antialiasing when shrinking (digits 8 to 32, USPS 16 to 32), as torch's `interpolate`.
  `digit16` first shrinks MNIST to 22 pixels, so that its digits' box of 20 becomes 16 as in USPS, and then adds
  whatever frame is missing.
- Values, `standard`: (x - mean) / deviation of each channel, both taken over the training split's pixels before
  resizing. `signed`: from -1 (background) to 1. `lecun1998`: from -0.1 to 1.175 (LeCun et al. 1998, section III.A).

A distortion (`AUGMENTATIONS`) takes a whole batch, distorts every image by a draw of its own, and returns a batch of
the same shape on the same device. The draws are made on the CPU, so that a seed distorts alike on every device.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from lenet.files import Array, DataError, Raw, data_root, read
from lenet.variant import DATA_SETS, SYNTHETIC_IMAGES, Form

__all__ = ["Data", "DataError", "Raw", "Split", "data_root", "load", "load_arrays", "read", "synthesize"]

VALIDATION_SEED = 0  # which training images are validation images; changing it makes results incomparable
WIDEST_FRAME = 4
RANGES = {"signed": (-1.0, 1.0), "lecun1998": (-0.1, 1.175)}
"""Values of background and ink, 0 and 255 in the files, of the scalings that do not look at the data."""
MNIST_AT_DIGIT16 = 22

Augmentation = Callable[[Tensor, Tensor, Generator], Tensor]

SHIFT_PIXELS = 1.5  # the paper names its distortions and not how strong they are; these four are ours
SCALE = 0.1
SQUEEZE = 0.1
SHEAR = 0.2
DISTORTED = 0.9  # 540,000 distorted images were added to 60,000 originals


@dataclass(frozen=True)
class Split:
    """Images float32 (N, channels, height, width), normalised, and labels int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Data:
    """The three splits of a data set: `train` to learn from, `validation` to choose the best epoch by (empty if nothing
    is held back), `test` to report on.
    """

    train: Split
    validation: Split
    test: Split


def load(
    name: str,
    root: Path | None = None,
    *,
    form: Form | None = None,
    input_size: int = 32,
    device: str | torch.device = "cpu",
    download: bool = False,
) -> Data:
    """A real data set, resident on `device`.

    On the CPU the tensors share their memory with every other call of the same arguments: treat them as read-only.

    **Arguments:**

    - `name`, `root`, `download`: as in `read`.
    - `form`: how the images are to be; by default as a `Recipe` has it, with `input_size` pixels a side.
    - `device`: where the tensors go.

    Raises `DataError` as `read` does.
    """
    arrays = load_arrays(name, root, form=form, input_size=input_size, download=download)
    return Data(*(Split(torch.from_numpy(i).to(device), torch.from_numpy(n).to(device)) for i, n in arrays))


def load_arrays(
    name: str, root: Path | None = None, *, form: Form | None = None, input_size: int = 32, download: bool = False
) -> tuple[tuple[Array, Array], ...]:
    """The numpy arrays behind `load`: images and labels of train, validation and test, for the same arguments.

    It runs no torch operation and starts no thread, so that a process may call it before it forks; the children then
    share the memory. A second call returns the same arrays.
    """
    return _load_arrays(name, data_root(root), form or Form(input_size), download)


@functools.cache
def _load_arrays(name: str, root: Path, form: Form, download: bool) -> tuple[tuple[Array, Array], ...]:
    raw = read(name, root, download=download, draw=form.draw)
    order = np.random.RandomState(VALIDATION_SEED).permutation(len(raw.train_images))
    held_back = DATA_SETS[name].validation if form.validation else 0
    validation, train = np.sort(order[:held_back]), np.sort(order[held_back:])
    train_images = channels_first(raw.train_images[train])
    mean, deviation = scale_of(train_images, form.scaling)
    if form.fitting == "digit16" and raw.train_images.shape[1] == 28:
        resize = functools.partial(fit_digit, size=form.input_size)
    else:
        resize = functools.partial(
            fit_size, size=form.input_size, widest_frame=16 if form.fitting == "digit16" else None
        )
    return tuple(
        (normalize(resize(images), mean, deviation), labels)
        for images, labels in (
            (train_images, raw.train_labels[train]),
            (channels_first(raw.train_images[validation]), raw.train_labels[validation]),
            (channels_first(raw.test_images), raw.test_labels),
        )
    )


def channels_first(images: Array) -> Array:
    """(N, H, W) or (N, H, W, C) to (N, C, H, W)."""
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def statistics(images: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each channel of uint8 images (N, C, H, W): two float64 arrays (C,).

    They are computed from counts of the 256 values: exact, and the same on every machine.
    """
    values = np.arange(256)
    counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])])
    mean = counts @ values / counts.sum(axis=1)
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1)
    return mean, np.sqrt(variance)


def scale_of(images: Array, scaling: str) -> tuple[Array, Array]:
    """The mean and deviation, (C,) each, that `normalize` takes for a scaling by name; images uint8 (N, C, H, W)."""
    if scaling == "standard":
        return statistics(images)
    background, ink = RANGES[scaling]
    deviation = 255 / (ink - background)
    return np.full(images.shape[1], -background * deviation), np.full(images.shape[1], deviation)


def normalize(images: Array, mean: Array, deviation: Array) -> Array:
    """Changes float32 images (N, C, H, W) in place to (x - mean) / deviation, channel by channel, and returns them."""
    images -= mean[:, None, None].astype(np.float32)
    images /= np.maximum(deviation, 1e-6)[:, None, None].astype(np.float32)  # a constant channel becomes zeros
    return images


def fit_digit(images: Array, size: int) -> Array:
    """MNIST's images (N, C, 28, 28) to float32 (N, C, size, size) with digits of 16 pixels in a frame of background."""
    return fit_size(fit_size(images, MNIST_AT_DIGIT16), size, widest_frame=size)


def fit_size(images: Array, size: int, widest_frame: int | None = None) -> Array:
    """Images (N, C, H, H) of any dtype to fresh float32 (N, C, size, size), by the rule at the head of this file."""
    missing = size - images.shape[-1]
    if 0 <= missing <= (WIDEST_FRAME if widest_frame is None else widest_frame):
        before, after = missing // 2, missing - missing // 2
        frame = ((0, 0), (0, 0), (before, after), (before, after))
        return np.pad(images, frame).astype(np.float32, order="C")
    weights = interpolation(images.shape[-1], size)
    return np.ascontiguousarray(weights @ images.astype(np.float32) @ weights.T)


def interpolation(old: int, new: int) -> Array:
    """The matrix (new, old) that resizes one axis bilinearly, float32; rows sum to 1.

    Pixel centres are at half-integers and the triangle widens when shrinking: torch's `interpolate(mode="bilinear",
    align_corners=False, antialias=True)`.
    """
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale
    distance = np.abs(np.arange(old) + 0.5 - centres[:, None])
    weights = np.maximum(0.0, 1 - distance / max(scale, 1.0))
    matrix: Array = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def synthesize(
    channels: int,
    classes: int,
    input_size: int,
    *,
    images: int = SYNTHETIC_IMAGES,
    device: str | torch.device = "cpu",
    seed: int = 0,
) -> Data:
    """Random images N(0, 1) and labels that mean nothing, for timing; all three splits are the same."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(images, channels, input_size, input_size, generator=generator)
    labels = torch.randint(classes, (images,), generator=generator)
    split = Split(pixels.to(device), labels.to(device))
    return Data(split, split, split)


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
