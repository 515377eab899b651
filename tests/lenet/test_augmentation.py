"""Distortions: what they do to images, that a seed fixes them, and that they help."""

import pytest
import torch

from lenet.augmentation import AUGMENTATIONS, DISTORTED, affine1998, shift1
from lenet.variant import CHOICES


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
