"""Data sets as normalised tensors on a device, in fixed splits.

A name goes in; training, validation and test images of the network's input size come out, resident on the device: no
loader runs while a network learns. The rules, the same for every data set:

- Validation images are carved from the training half by a fixed draw; the test half is left alone.
- Size: up to four pixels a side are added as a frame of zeros, the background (MNIST 28 to 32). Any other difference is
  resized bilinearly, with antialiasing when shrinking (digits 8 to 32, USPS 16 to 32), as torch's `interpolate`.
- Values: (x - mean) / deviation, a channel, both of the training split's pixels before resizing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lenet.files import Array, DataError, Raw, data_root, read
from lenet.variant import DATA_SETS, SYNTHETIC_IMAGES

__all__ = ["Data", "DataError", "Raw", "Split", "data_root", "load", "prepare", "read", "synthesize"]

VALIDATION_SEED = 0  # which training images are validation images; changing it makes results incomparable
WIDEST_FRAME = 4


@dataclass(frozen=True)
class Split:
    """Images float32 (N, channels, height, width), normalised, and labels int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Data:
    """The three splits of a data set: to learn from, to choose by, to report on."""

    train: Split
    validation: Split
    test: Split


def load(
    name: str, root: Path | None = None, *, input_size: int, device: str | torch.device = "cpu", download: bool = False
) -> Data:
    """A real data set, resident on `device`.

    On the CPU the tensors share their memory with every other call of the same arguments: treat them as read-only.

    **Arguments:**

    - `name`, `root`, `download`: as in `read`.
    - `input_size`: pixels a side of the network's input.
    - `device`: where the tensors go.

    Raises `DataError` as `read` does.
    """
    halves = prepare(name, root, input_size=input_size, download=download)
    return Data(*(Split(torch.from_numpy(i).to(device), torch.from_numpy(n).to(device)) for i, n in halves))


def prepare(
    name: str, root: Path | None = None, *, input_size: int, download: bool = False
) -> tuple[tuple[Array, Array], ...]:
    """The arrays behind `load`: images and labels of train, validation and test. A second call returns the same arrays.

    No torch operation and no thread: a process may call this before it forks, and its children share the memory.
    """
    return _prepare(name, data_root(root), input_size, download)


@functools.cache
def _prepare(name: str, root: Path, input_size: int, download: bool) -> tuple[tuple[Array, Array], ...]:
    raw = read(name, root, download=download)
    order = np.random.RandomState(VALIDATION_SEED).permutation(len(raw.train_images))
    kept = DATA_SETS[name].validation
    validation, train = np.sort(order[:kept]), np.sort(order[kept:])
    learned = channels_first(raw.train_images[train])
    mean, deviation = statistics(learned)
    return tuple(
        (normalize(fit_size(images, input_size), mean, deviation), labels)
        for images, labels in (
            (learned, raw.train_labels[train]),
            (channels_first(raw.train_images[validation]), raw.train_labels[validation]),
            (channels_first(raw.test_images), raw.test_labels),
        )
    )


def channels_first(images: Array) -> Array:
    """(N, H, W) or (N, H, W, C) to (N, C, H, W)."""
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def statistics(images: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of uint8 images (N, C, H, W), a channel, float64 (C,).

    From counts of the 256 values: exact, and the same on every machine.
    """
    values = np.arange(256)
    counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])])
    mean = counts @ values / counts.sum(axis=1)
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1)
    return mean, np.sqrt(variance)


def normalize(images: Array, mean: Array, deviation: Array) -> Array:
    """Changes float32 images (N, C, H, W) in place to (x - mean) / deviation, a channel, and returns them."""
    images -= mean[:, None, None].astype(np.float32)
    images /= np.maximum(deviation, 1e-6)[:, None, None].astype(np.float32)  # a constant channel becomes zeros
    return images


def fit_size(images: Array, size: int) -> Array:
    """Images (N, C, H, H) of any dtype to fresh float32 (N, C, size, size), by the rule at the head of this file."""
    missing = size - images.shape[-1]
    if 0 <= missing <= WIDEST_FRAME:
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
