"""The files of the data sets: read whole, or refused in a line that names the file."""

import bz2
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.made_data_sets import TRAIN, VALIDATION, idx, write_mnist, write_usps

from lenet import files
from lenet.data import DataError
from lenet.files import USPS480_SHIFT, Raw, data_root, draw_480, read
from lenet.variant import ChoiceError

pytestmark = pytest.mark.usefixtures("empty_caches")


REAL = os.environ.get(files.ENVIRONMENT)


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


def test_a_draw_of_480_is_fixed_by_its_number_and_moves_digits_sideways():
    images = np.zeros((1_000, 16, 16), dtype=np.uint8)
    images[:, :, 7] = 255
    images[:, 0, 0] = np.arange(1_000) % 251
    usps = Raw(images[:800], np.arange(800) % 10, images[800:], np.arange(800, 1_000) % 10)
    first, again, other = draw_480(usps, 0), draw_480(usps, 0), draw_480(usps, 1)
    assert first.train_images.shape == (320, 16, 16)
    assert first.test_images.shape == (160, 16, 16)
    assert np.array_equal(first.train_images, again.train_images)
    assert not np.array_equal(first.train_labels, other.train_labels)
    bars = first.train_images[:, 5].argmax(axis=1)
    assert set(bars) == set(range(7 - USPS480_SHIFT, 8 + USPS480_SHIFT))
