"""Reads the files of the data sets: where they lie, whether they are whole, and the images and labels in them.

`read` returns the numpy arrays of a data set by name, or raises a `DataError` of one line that names the file. Nothing
here computes with torch or starts a thread, so that a process that is going to fork can read first. `lenet.data` splits
and normalises what is read.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lenet.errors import UserError
from lenet.variant import DATA_SETS, check_choice

Array = npt.NDArray[Any]

ENVIRONMENT = "LENET_BENCH_DATA"
USPS480_STREAM = 480  # keeps this draw apart from others of the same seed
USPS480_SHIFT = 2
DIGITS_TEST_SEED = 0  # which of the digits are the test set; changing it makes results incomparable

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FILES = {
    "mnist": tuple(f"MNIST/raw/{name}" for name in IDX_FILES),
    "fashion_mnist": tuple(f"FashionMNIST/raw/{name}" for name in IDX_FILES),
    "cifar10": tuple(
        f"cifar-10-batches-py/{name}"
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
    ),
    "usps": ("USPS/usps.bz2", "USPS/usps.t.bz2"),
}
"""What each data set needs below the data root, in torchvision's layout. USPS may also lie in the root itself;
`usps480` is read from it."""


class DataError(UserError):
    """Data that is missing or damaged. The message is one line: where it was looked for and what to do."""


@dataclass(frozen=True)
class Raw:
    """A data set as it lies in its files: images uint8 (N, H, W) or (N, H, W, C), labels int64 (N,)."""

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


def data_root(given: Path | None = None) -> Path:
    """The data sets' folder: the given one, else `$LENET_BENCH_DATA`, else `lenet-bench/data` in the user's cache."""
    if given is not None:
        return given.expanduser().resolve()
    if named := os.environ.get(ENVIRONMENT):
        return Path(named).expanduser().resolve()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "lenet-bench" / "data"


def read(name: str, root: Path | None = None, *, download: bool = False, draw: int = 0) -> Raw:
    """The images and labels of a real data set; a second call returns the same arrays.

    **Arguments:**

    - `name`: a key of `lenet.variant.DATA_SETS`.
    - `root`: where the data sets are, resolved by `data_root`. `digits` needs none: it comes with scikit-learn.
    - `download`: fetch what is missing.
    - `draw`: which images `usps480` holds.

    Raises `DataError` for files that are missing, truncated or corrupted, and for a download that failed.
    """
    check_choice("data", name, DATA_SETS)
    if name == "usps480":
        return draw_480(_read("usps", data_root(root), download), draw)
    return _read(name, data_root(root), download)


def draw_480(usps: Raw, draw: int) -> Raw:
    """480 of the zip code digits, 320 to learn from and 160 to test: as many as in 1989, by the given draw.

    As there, the digits stand at different horizontal positions: each is moved by up to `USPS480_SHIFT` pixels.
    """
    images = np.concatenate([usps.train_images, usps.test_images])
    labels = np.concatenate([usps.train_labels, usps.test_labels])
    random = np.random.RandomState([USPS480_STREAM, draw])
    chosen = random.permutation(len(images))[:480]
    shifts = random.randint(-USPS480_SHIFT, USPS480_SHIFT + 1, size=480)
    framed = np.pad(images[chosen], ((0, 0), (0, 0), (USPS480_SHIFT, USPS480_SHIFT)))
    columns = np.arange(images.shape[2]) + USPS480_SHIFT - shifts[:, None]
    moved, labels = np.take_along_axis(framed, columns[:, None, :], axis=2), labels[chosen]
    return Raw(moved[:320], labels[:320], moved[320:], labels[320:])


@functools.cache
def _read(name: str, root: Path, download: bool) -> Raw:
    raw = read_digits() if name == "digits" else read_files(name, locate(name, root, download))
    shape = DATA_SETS[name]
    for half, images, labels, expected in (
        ("training", raw.train_images, raw.train_labels, shape.train + shape.validation),
        ("test", raw.test_images, raw.test_labels, shape.test),
    ):
        pixels = (shape.size, shape.size) if shape.channels == 1 else (shape.size, shape.size, shape.channels)
        right = images.shape == (expected, *pixels) and labels.shape == (expected,)
        if not (right and set(np.unique(labels)) <= set(range(shape.classes))):
            raise DataError(
                f"{name} in {root}: the {half} files are damaged: {images.shape} images and {labels.shape} labels, not "
                f"{expected} of {pixels} in {shape.classes} classes; delete them and run again with --download"
            )
    return raw


@functools.cache
def digest(name: str, root: Path | None = None) -> str:
    """16 hexadecimal digits that tell one copy of a data set from another: a hash of its images and labels.

    Raises `DataError` as `read` does.
    """
    raw, content = read(name, root), hashlib.sha256()
    for array in (raw.train_images, raw.train_labels, raw.test_images, raw.test_labels):
        content.update(f"{array.dtype}{array.shape}".encode())
        content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()[:16]


def locate(name: str, root: Path, download: bool) -> list[Path]:
    """The data set's files, downloaded if allowed. Raises `DataError` if one is missing."""
    paths = [root / file for file in FILES[name]]
    if name == "usps" and not paths[0].exists() and (root / paths[0].name).exists():
        paths = [root / path.name for path in paths]
    missing = next((path for path in paths if not path.exists()), None)
    if missing is None:
        return paths
    if not download:
        raise DataError(
            f"{name} is not in {root} ({missing.relative_to(root)} is missing); "
            f"fetch it with --download, or say where it is with --data-root or {ENVIRONMENT}"
        )
    fetch(name, paths[0].parent if name == "usps" else root)
    return locate(name, root, download=False)


def fetch(name: str, folder: Path) -> None:
    """Downloads a data set with torchvision. Raises `DataError` if that fails.

    It runs in a process of its own, because torchvision's data sets run torch operations and the caller may be about to
    fork.
    """
    command = [sys.executable, "-m", "lenet.vision", name, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        reason = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataError(f"{name}: no download to {folder} ({reason}); fetch it elsewhere and name it with --data-root")


def read_files(name: str, paths: list[Path]) -> Raw:
    """Reads one of torchvision's data sets. Raises `DataError`, naming the file, if one is damaged."""
    if name == "usps":
        return Raw(*read_usps(paths[0], train=True), *read_usps(paths[1], train=False))
    if name == "cifar10":
        return read_cifar10(paths)
    images, labels, test_images, test_labels = (read_idx(path) for path in paths)
    return Raw(images, labels.astype(np.int64), test_images, test_labels.astype(np.int64))


def read_idx(path: Path) -> Array:
    """One file of MNIST's format. Raises `DataError` if it is damaged."""
    mnist = _torchvision_module("torchvision.datasets.mnist")
    try:
        # Not `MNIST` itself: it widens the labels with a torch operation, and that would start OpenMP's threads.
        array: Array = mnist.read_sn3_pascalvincent_tensor(str(path)).numpy()
    except Exception as error:  # a torn file fails in many ways: bad magic, short header, short body
        raise _damaged(path, error) from error
    return array


def read_usps(path: Path, *, train: bool) -> tuple[Array, Array]:
    """Images (N, 16, 16) and labels of one half of USPS. Raises `DataError` if its file is damaged."""
    datasets = _torchvision_module("torchvision.datasets")
    try:
        half = datasets.USPS(path.parent, train=train)
    except Exception as error:  # bz2 and text fail in many ways
        raise _damaged(path, error) from error
    return half.data, np.asarray(half.targets, dtype=np.int64)


def read_cifar10(paths: list[Path]) -> Raw:
    """CIFAR-10. Raises `DataError` if a file's checksum is not the published one."""
    datasets = _torchvision_module("torchvision.datasets")
    root = paths[0].parent.parent
    try:
        halves = [datasets.CIFAR10(root, train=train) for train in (True, False)]
    except Exception as error:  # torchvision says that something is corrupted, not what
        integrity = _torchvision_module("torchvision.datasets.utils").check_integrity
        sums = dict(datasets.CIFAR10.train_list + datasets.CIFAR10.test_list)
        sums[datasets.CIFAR10.meta["filename"]] = datasets.CIFAR10.meta["md5"]
        torn = next((path for path in paths if not integrity(path, sums[path.name])), paths[0].parent)
        raise _damaged(torn, error) from error
    images, labels = zip(*((half.data, np.asarray(half.targets, dtype=np.int64)) for half in halves), strict=True)
    return Raw(images[0], labels[0], images[1], labels[1])


def read_digits() -> Raw:
    """The 1,797 digits that come with scikit-learn, 8x8, values 0 to 16; a fifth, by a fixed draw, is the test half.

    scikit-learn is not imported: that takes about a second. Raises `DataError` if it is not installed.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("digits: scikit-learn, which brings them, is not installed; try: pip install scikit-learn")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path, "rt") as lines:
            table = np.loadtxt(lines, delimiter=",")
        images, labels = table[:, :64].reshape(-1, 8, 8).astype(np.uint8), table[:, 64].astype(np.int64)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise DataError(f"{path}: cannot be read ({error}); try: pip install --force-reinstall scikit-learn") from error
    # RandomState rather than default_rng: numpy promises that its stream never changes.
    order = np.random.RandomState(DIGITS_TEST_SEED).permutation(len(images))
    test, train = np.sort(order[: DATA_SETS["digits"].test]), np.sort(order[DATA_SETS["digits"].test :])
    return Raw(images[train], labels[train], images[test], labels[test])


def _torchvision_module(name: str) -> Any:
    from lenet.vision import import_torchvision  # here, because it takes a second and digits need none of it

    try:
        import_torchvision()
    except ImportError as error:
        raise DataError(str(error)) from error
    return importlib.import_module(name)


def _damaged(path: Path, error: Exception) -> DataError:
    reason = f"{type(error).__name__}: {error}".splitlines()[0].strip(": ")
    return DataError(f"{path}: truncated or corrupted ({reason}); delete it and run again with --download")
