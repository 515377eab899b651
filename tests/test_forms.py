"""The forms that a recipe can ask images in: scalings, fittings, nothing held back, and the 480 drawn digits."""

import numpy as np
import pytest

from lenet.data import fit_digit, fit_size, load, normalize, scale_of
from lenet.files import USPS480_SHIFT, Raw, draw_480
from lenet.variant import Form, Recipe


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
