"""Small data sets for tests, written to files as the real ones lie: MNIST, Fashion-MNIST, CIFAR-10 and USPS."""

import bz2
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet import files

TRAIN, VALIDATION, TEST = 40, 10, 20


def draw(count: int, *shape: int, seed: int = 0) -> tuple[Any, Any]:
    random = np.random.RandomState(seed)
    return random.randint(0, 256, (count, *shape)).astype(np.uint8), random.randint(0, 10, count)


def idx(array: Any) -> bytes:
    """MNIST's format: two zeros, 8 for bytes, the rank, the sizes in big-endian order, the values."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes() + array.tobytes()


def write_mnist(root: Path, folder: str = "MNIST") -> Any:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    halves = draw(TRAIN + VALIDATION, 28, 28), draw(TEST, 28, 28, seed=1)
    for prefix, (images, labels) in zip(("train", "t10k"), halves, strict=True):
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels.astype(np.uint8)))
    return halves


def write_usps(root: Path, folder: str = "USPS") -> Any:
    (root / folder).mkdir(parents=True, exist_ok=True)
    halves = draw(TRAIN + VALIDATION, 16, 16), draw(TEST, 16, 16, seed=1)
    for name, (images, labels) in zip(("usps.bz2", "usps.t.bz2"), halves, strict=True):
        values = images.reshape(len(images), -1) / 255 * 2 - 1 + 1e-4  # so that truncation gives the byte back
        lines = (
            " ".join([str(label + 1), *(f"{i}:{value:.6f}" for i, value in enumerate(row, start=1))])
            for row, label in zip(values, labels, strict=True)
        )
        (root / folder / name).write_bytes(bz2.compress(("\n".join(lines) + "\n").encode()))
    return halves


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Five training batches and one of test images; torchvision is told their checksums."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    halves = draw(TRAIN + VALIDATION, 32, 32, 3), draw(TEST, 32, 32, 3, seed=1)
    sums = {}

    def write(name: str, content: Any) -> None:
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()

    def batch(images: Any, labels: Any) -> dict[str, Any]:
        return {"data": images.transpose(0, 3, 1, 2).reshape(len(images), -1), "labels": labels.tolist()}

    (images, labels), test = halves
    for number, part in enumerate(np.split(np.arange(TRAIN + VALIDATION), 5), start=1):
        write(f"data_batch_{number}", batch(images[part], labels[part]))
    write("test_batch", batch(*test))
    write("batches.meta", {"label_names": [str(n) for n in range(10)]})
    CIFAR10 = files._torchvision_module("torchvision.datasets").CIFAR10
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{n}", sums[f"data_batch_{n}"]] for n in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    return halves
