"""Data sets that are read anew in each test, and small ones to read."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.made_data_sets import TEST, TRAIN, VALIDATION, write_cifar10, write_mnist, write_usps

from lenet import data, files
from lenet.variant import DATA_SETS, DataShape


@pytest.fixture
def empty_caches() -> Iterator[None]:
    """Forgets what was read before the test, and what the test read."""
    for cached in (files._read, data._load_arrays):
        cached.cache_clear()
    yield
    for cached in (files._read, data._load_arrays):
        cached.cache_clear()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets of 40 + 10 training images and 20 test images."""
    for name in ("mnist", "fashion_mnist", "cifar10", "usps"):
        shape = DATA_SETS[name]
        monkeypatch.setitem(
            DATA_SETS, name, DataShape(shape.channels, shape.classes, shape.size, TRAIN, VALIDATION, TEST)
        )


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], Any]:
    """Writes a small data set of that name below a folder; returns what it wrote."""
    return lambda name, root: {
        "mnist": lambda: write_mnist(root),
        "fashion_mnist": lambda: write_mnist(root, "FashionMNIST"),
        "usps": lambda: write_usps(root),
        "cifar10": lambda: write_cifar10(root, monkeypatch),
    }[name]()
