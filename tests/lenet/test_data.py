"""Data sets: read whole or refused, split for good, sized and normalised by the written rules."""

import bz2
import hashlib
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lenet import data, files
from lenet.data import DataError, data_root, load, load_arrays, read, synthesize
from lenet.variant import DATA_SETS, ChoiceError, DataShape

REAL = os.environ.get(files.ENVIRONMENT)
TRAIN, VALIDATION, TEST = 40, 10, 20


@pytest.fixture(autouse=True)
def empty_caches() -> Iterator[None]:
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


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], Any]:
    return lambda name, root: {
        "mnist": lambda: write_mnist(root),
        "fashion_mnist": lambda: write_mnist(root, "FashionMNIST"),
        "usps": lambda: write_usps(root),
        "cifar10": lambda: write_cifar10(root, monkeypatch),
    }[name]()


def assert_halves(raw: files.Raw, halves: Any) -> None:
    for got, expected in zip(
        (raw.train_images, raw.train_labels, raw.test_images, raw.test_labels), (*halves[0], *halves[1]), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    assert raw.train_images.dtype == raw.test_images.dtype == np.uint8
    assert raw.train_labels.dtype == raw.test_labels.dtype == np.int64


@pytest.mark.parametrize("name", sorted(files.FILES))
def test_files_are_read(name: str, tmp_path: Path, small: None, write: Callable[[str, Path], Any]) -> None:
    halves = write(name, tmp_path)
    assert_halves(read(name, tmp_path), halves)
    assert read(name, tmp_path) is read(name, tmp_path)


def test_usps_may_lie_in_the_root_itself(tmp_path: Path, small: None) -> None:
    halves = write_usps(tmp_path, ".")
    assert_halves(read("usps", tmp_path), halves)


@pytest.mark.parametrize("name", sorted(files.FILES))
def test_what_is_missing_is_named(name: str, tmp_path: Path, small: None, write: Callable[[str, Path], Any]) -> None:
    write(name, tmp_path)
    for file in files.FILES[name]:
        (tmp_path / file).rename(tmp_path / "aside")
        with pytest.raises(DataError) as refusal:
            read(name, tmp_path)
        message = str(refusal.value)
        assert all(word in message for word in (name, str(tmp_path), file, "--download", "--data-root"))
        assert "\n" not in message
        (tmp_path / "aside").rename(tmp_path / file)


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def lose_header(content: bytes) -> bytes:
    return content[:3]


def overwrite(content: bytes) -> bytes:
    return b"\xff" * len(content)


@pytest.mark.parametrize("damage", [truncate, lose_header, overwrite, lambda content: b""])
@pytest.mark.parametrize(("name", "file"), [(name, file) for name in sorted(files.FILES) for file in files.FILES[name]])
def test_a_damaged_file_is_named(
    name: str, file: str, damage: Callable[[bytes], bytes], tmp_path: Path, small: None, write: Callable[..., Any]
) -> None:
    write(name, tmp_path)
    (tmp_path / file).write_bytes(damage((tmp_path / file).read_bytes()))
    with pytest.raises(DataError) as refusal:
        read(name, tmp_path)
    message = str(refusal.value)
    assert message.startswith(f"{tmp_path / file}: truncated or corrupted")
    assert "--download" in message
    assert "\n" not in message


def test_a_file_with_too_few_images_is_refused(tmp_path: Path, small: None) -> None:
    (images, _), _ = write_mnist(tmp_path)
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").write_bytes(idx(images[:7]))
    with pytest.raises(DataError, match=r"training files are damaged: \(7, 28, 28\) images and \(50,\) labels"):
        read("mnist", tmp_path)


def test_a_label_out_of_range_is_refused(tmp_path: Path, small: None) -> None:
    _, (_, labels) = write_mnist(tmp_path)
    labels[3] = 10
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").write_bytes(idx(labels.astype(np.uint8)))
    with pytest.raises(DataError, match="test files are damaged"):
        read("mnist", tmp_path)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ChoiceError, match="did you mean 'mnist'"):
        read("mnits")


def test_the_download_is_tried_only_when_allowed(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(name: str, folder: Path) -> None:
        asked.append((name, folder))
        write_usps(tmp_path)

    monkeypatch.setattr(files, "fetch", fetch)
    with pytest.raises(DataError):
        read("usps", tmp_path)
    assert asked == []
    assert len(read("usps", tmp_path, download=True).train_labels) == TRAIN + VALIDATION
    assert asked == [("usps", tmp_path / "USPS")]


def test_a_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(DataError) as refusal:
        read("usps", tmp_path, download=True)
    message = str(refusal.value)
    assert message.startswith(f"usps: no download to {tmp_path / 'USPS'} (")
    assert "\n" not in message


def test_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(files.ENVIRONMENT, str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_root(tmp_path / "given") == tmp_path / "given"
    assert data_root() == tmp_path / "named"
    monkeypatch.delenv(files.ENVIRONMENT)
    assert data_root() == tmp_path / "cache" / "lenet-bench" / "data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert data_root() == tmp_path / "home" / ".cache" / "lenet-bench" / "data"


def test_digits_are_scikit_learns() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    raw, bunch = read("digits"), datasets.load_digits()
    order = np.random.RandomState(0).permutation(1797)
    test = np.zeros(1797, dtype=bool)
    test[order[:360]] = True
    for ours, theirs in ((raw.test_images, bunch.images[test]), (raw.train_images, bunch.images[~test])):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in ((raw.test_labels, bunch.target[test]), (raw.train_labels, bunch.target[~test])):
        np.testing.assert_array_equal(ours, theirs)


def test_digits_need_neither_scikit_learns_import_nor_torchvisions() -> None:
    code = (
        "import sys, lenet.data; lenet.data.load_arrays('digits', input_size=32);"
        "sys.exit(str({'sklearn', 'torchvision'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == "set()"


def test_splits_do_not_overlap_and_do_not_move() -> None:
    arrays = load_arrays("digits", input_size=16)
    shape = DATA_SETS["digits"]
    assert tuple(len(labels) for _, labels in arrays) == (shape.train, shape.validation, shape.test)
    images = np.concatenate([images.reshape(len(images), -1) for images, _ in arrays])
    raw = read("digits")
    everything = np.concatenate([raw.train_images, raw.test_images]).reshape(1797, -1)
    assert len(np.unique(images, axis=0)) == len(np.unique(everything, axis=0))
    # Written down once: where these sums change, the splits have changed and old results cannot be compared.
    assert [int(labels.sum()) for _, labels in arrays] == [5493, 845, 1732]


@pytest.mark.parametrize("name", sorted(files.FILES))
def test_load(name: str, tmp_path: Path, small: None, write: Callable[[str, Path], Any]) -> None:
    write(name, tmp_path)
    loaded = load(name, tmp_path, input_size=32)
    channels = DATA_SETS[name].channels
    for split, count in ((loaded.train, TRAIN), (loaded.validation, VALIDATION), (loaded.test, TEST)):
        assert split.images.shape == (count, channels, 32, 32)
        assert split.images.dtype == torch.float32
        assert split.images.is_contiguous()
        assert (split.labels.shape, split.labels.dtype, len(split)) == ((count,), torch.int64, count)


def test_values_are_normalised_by_the_training_split(tmp_path: Path, small: None) -> None:
    (images, labels), (test_images, test_labels) = write_mnist(tmp_path)
    loaded = load("mnist", tmp_path, input_size=28)
    held = np.zeros(TRAIN + VALIDATION, dtype=bool)
    held[np.random.RandomState(0).permutation(TRAIN + VALIDATION)[:VALIDATION]] = True
    mean, deviation = images[~held].mean(), images[~held].std()
    for split, pixels, numbers in (
        (loaded.train, images[~held], labels[~held]),
        (loaded.validation, images[held], labels[held]),
        (loaded.test, test_images, test_labels),
    ):
        np.testing.assert_allclose(split.images[:, 0].numpy(), (pixels - mean) / deviation, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(split.labels.numpy(), numbers)


def test_each_channel_is_normalised_apart(tmp_path: Path, small: None, write: Callable[[str, Path], Any]) -> None:
    write("cifar10", tmp_path)
    images = load("cifar10", tmp_path, input_size=32).train.images.double()
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-6, rtol=0)


def test_mnist_is_framed_with_the_background(tmp_path: Path, small: None) -> None:
    write_mnist(tmp_path)
    inner, framed = (load("mnist", tmp_path, input_size=size).train.images for size in (28, 32))
    torch.testing.assert_close(framed[:, :, 2:-2, 2:-2], inner, rtol=0, atol=0)
    background = (0 - read("mnist", tmp_path).train_images.mean()) / 74  # about: the mean of a split, not of all
    frame = framed.clone()
    frame[:, :, 2:-2, 2:-2] = framed[0, 0, 0, 0]
    assert frame.unique().numel() == 1
    assert frame.unique().item() == pytest.approx(background, rel=0.05)


@pytest.mark.parametrize(("old", "new"), [(8, 32), (16, 32), (28, 40), (16, 21), (32, 16), (28, 20), (8, 16)])
def test_resizing_is_torchs_bilinear(old: int, new: int) -> None:
    images = draw(3, 2, old, old)[0]
    expected = F.interpolate(torch.from_numpy(images).float(), (new, new), mode="bilinear", antialias=new < old)
    resized = data.fit_size(images, new)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected.numpy(), atol=2e-3)  # of 255


def test_reading_leaves_a_process_that_can_fork(tmp_path: Path) -> None:
    """A child of a process in which torch's threads had started would hang in its first parallel operation."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    count = 40_000  # above the 32,768 elements from which torch splits its work
    for prefix, images in (("train", count), ("t10k", 10_000)):
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(np.ones((images, 28, 28), dtype=np.uint8)))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.arange(images, dtype=np.uint8) % 10))
    code = f"""
        import os, sys, dataclasses
        from pathlib import Path
        import torch, lenet.training
        from lenet.data import load, load_arrays
        from lenet.variant import DATA_SETS
        DATA_SETS["mnist"] = dataclasses.replace(DATA_SETS["mnist"], train={count - 5_000})
        arguments = ("mnist", Path({str(tmp_path)!r}))
        load_arrays(*arguments, input_size=32)
        load_arrays("digits", input_size=32)
        child = os.fork()
        if child == 0:
            torch.set_num_threads(2)
            total = load(*arguments, input_size=32).train.images.sigmoid().sum().item()
            os._exit(0 if total > 0 else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, timeout=60, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()


def real_root(name: str) -> Path:
    """The folder of the real files; skips the test where there is none."""
    if REAL is None:
        pytest.skip(f"{files.ENVIRONMENT} does not name a folder with the real files")
    if not (Path(REAL) / files.FILES[name][0]).exists():
        pytest.skip(f"{name} is not in {REAL}")
    return Path(REAL)


def test_the_real_mnist() -> None:
    raw = read("mnist", real_root("mnist"))
    assert raw.train_images.mean() / 255 == pytest.approx(0.1307, abs=1e-4)  # the constants that everyone uses
    assert raw.train_images.std() / 255 == pytest.approx(0.3081, abs=1e-4)
    assert raw.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_the_real_usps() -> None:
    root = real_root("usps")
    raw = read("usps", root)
    assert (len(raw.train_labels), len(raw.test_labels)) == (7_291, 2_007)
    with bz2.open(root / "USPS" / "usps.t.bz2", "rt") as lines:
        label, *pixels = next(iter(lines)).split()
    assert raw.test_labels[0] == int(label) - 1
    values = np.array([float(pixel.partition(":")[2]) for pixel in pixels]).reshape(16, 16)
    np.testing.assert_allclose(raw.test_images[0], (values + 1) / 2 * 255, atol=1)


def test_synthetic_data() -> None:
    first, same, other = (synthesize(3, 7, 20, images=50, seed=seed) for seed in (0, 0, 1))
    assert first.train.images.shape == (50, 3, 20, 20)
    assert set(first.train.labels.tolist()) <= set(range(7))
    assert torch.equal(first.test.images, same.train.images)
    assert not torch.equal(first.train.images, other.train.images)
