"""Data sets as tensors: split for good, sized, scaled and normalised by the written rules."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes.made_data_sets import TEST, TRAIN, VALIDATION, draw, idx, write_mnist
from torch.nn import functional as F

from lenet import data, files
from lenet.data import (
    AUGMENTATIONS,
    DISTORTED,
    affine1998,
    fit_digit,
    fit_size,
    load,
    load_arrays,
    normalize,
    scale_of,
    shift1,
    synthesize,
)
from lenet.files import read
from lenet.variant import CHOICES, DATA_SETS, Form, Recipe

pytestmark = pytest.mark.usefixtures("empty_caches")


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


def test_synthetic_data() -> None:
    first, same, other = (synthesize(3, 7, 20, images=50, seed=seed) for seed in (0, 0, 1))
    assert first.train.images.shape == (50, 3, 20, 20)
    assert set(first.train.labels.tolist()) <= set(range(7))
    assert torch.equal(first.test.images, same.train.images)
    assert not torch.equal(first.train.images, other.train.images)


@pytest.mark.parametrize(("scaling", "low", "high"), [("signed", -1.0, 1.0), ("lecun1998", -0.1, 1.175)])
def test_a_scaling_maps_background_and_ink_to_its_range(scaling, low, high):
    images = np.array([0.0, 255.0], dtype=np.float32).reshape(1, 1, 1, 2)
    mean, deviation = scale_of(images.astype(np.uint8), scaling)
    np.testing.assert_allclose(normalize(images, mean, deviation).ravel(), [low, high], atol=1e-6)


def test_digit16_makes_the_box_of_mnist_16_pixels_wide_in_a_frame():
    images = np.zeros((1, 1, 28, 28), dtype=np.uint8)
    images[0, 0, 4:24, 4:24] = 255  # the box of 20 pixels that MNIST's digits fill
    fitted = fit_digit(images, 28)[0, 0]
    assert fitted.shape == (28, 28)
    inked = np.flatnonzero((fitted > 127).any(axis=0))
    assert (inked.min(), inked.max()) == (6, 21)
    assert (fitted[:3] == 0).all()
    assert fit_size(np.ones((1, 1, 16, 16), dtype=np.uint8), 28, widest_frame=16)[0, 0, 6:22, 6:22].sum() == 256


def test_without_validation_every_image_is_learned_from_and_stays_in_order():
    whole = load("digits", form=Form(16, validation=False))
    carved = load("digits", form=Form(16))
    assert (len(whole.train), len(whole.validation)) == (1_437, 0)
    assert len(carved.train) + len(carved.validation) == 1_437
    assert Form.of(Recipe(selection="last"), 16) == Form(16, validation=False)


# Distortions ----------------------------------------------------------------------------------------------------------


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_names_are_the_recipe_s():
    assert {*AUGMENTATIONS, "none"} == CHOICES["augmentation"]


def test_shift1_is_one_of_nine_moves_each_as_often():
    image = torch.arange(1.0, 26.0).reshape(1, 1, 5, 5)
    moves = {}
    framed = torch.full((7, 7), -2.0)
    framed[1:6, 1:6] = image[0, 0]
    for down in range(3):
        for right in range(3):
            moves[tuple(framed[down : down + 5, right : right + 5].flatten().tolist())] = (down, right)
    shifted = shift1(image.expand(1_800, 1, 5, 5), torch.tensor([-2.0]), generator())
    counts = torch.zeros(3, 3)
    for one in shifted:
        counts[moves[tuple(one.flatten().tolist())]] += 1  # KeyError: it is none of the nine
    assert counts.sum() == 1_800
    assert ((counts - 200).abs() < 60).all()  # 4 standard deviations of a binomial


def test_shift1_moves_all_channels_alike_with_their_own_background():
    images = torch.stack([torch.arange(16.0).reshape(4, 4), torch.arange(16.0).reshape(4, 4) + 100])[None]
    background = torch.tensor([-1.0, 99.0])
    shifted = shift1(images.expand(50, 2, 4, 4), background, generator())
    torch.testing.assert_close(shifted[:, 1] - shifted[:, 0], torch.full((50, 4, 4), 100.0))


def test_affine_leaves_one_in_ten_alone_and_keeps_the_background():
    images = torch.full((2_000, 1, 12, 12), -0.1)
    images[:, :, 4:8, 3:9] = 1.175
    distorted = affine1998(images, torch.tensor([-0.1]), generator())
    assert distorted.shape == images.shape
    alone = (distorted - images).abs().amax((1, 2, 3)) < 1e-4
    assert abs(float(alone.float().mean()) - (1 - DISTORTED)) < 0.03
    torch.testing.assert_close(distorted[:, 0, 0, 0], torch.full((2_000,), -0.1))
    assert distorted.min() > -0.1 - 1e-5
    assert distorted.max() < 1.175 + 1e-5


def test_affine_moves_the_centre_of_mass_within_its_bounds():
    images = torch.zeros(1_000, 1, 15, 15)
    images[:, :, 5:10, 5:10] = 1.0
    distorted = affine1998(images, torch.zeros(1), generator())[:, 0]
    places = torch.arange(15.0) - 7
    for axis in (1, 2):
        profile = distorted.sum(3 - axis)
        centre = (profile * places).sum(1) / profile.sum(1)
        assert 1.0 < centre.abs().max() < 2.0
        assert centre.mean().abs() < 0.1


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_seed_fixes_the_draw_and_the_input_stays(name):
    images = torch.randn(8, 3, 16, 16, generator=generator(5))
    before, background = images.clone(), images.amin((0, 2, 3))
    first, again, other = (AUGMENTATIONS[name](images, background, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(images, before)
    assert first.is_contiguous()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_device_distorts_alike(name):
    images = torch.randn(8, 1, 16, 16)
    background = torch.zeros(1)
    here = AUGMENTATIONS[name](images, background, generator())
    there = AUGMENTATIONS[name](images.cuda(), background.cuda(), generator())
    torch.testing.assert_close(there.cpu(), here, atol=1e-4, rtol=1e-4)
