"""Names and numbers: what is accepted, what is refused, and how the refusal reads."""

import subprocess
import sys

import pytest

from lenet.variant import DATA_SETS, SYNTHETIC_IMAGES, ChoiceError, Recipe, Variant


def test_the_defaults_are_the_network_of_the_note() -> None:
    variant = Variant()
    assert (variant.activation, variant.pooling, variant.init) == ("relu", "max", "seed")
    assert (variant.channels, variant.input_size, variant.classes) == (3, 32, 10)


@pytest.mark.parametrize(
    ("knob", "value", "hint"),
    [
        ("activation", "rellu", "did you mean 'relu'?"),
        ("pooling", "maxx", "did you mean 'max'?"),
        ("init", "kaiming_norml", "did you mean 'kaiming_normal'?"),
        ("normalization", "group", "one of: batch, none"),
        ("channels", 0, "not a whole number of at least 1"),
        ("channels", True, "not a whole number"),
        ("classes", 1, "at least 2"),
        ("input_size", 15, "at least 16"),
        ("input_size", 32.0, "not a whole number"),
    ],
)
def test_a_wrong_variant_is_refused_in_one_line(knob: str, value: object, hint: str) -> None:
    with pytest.raises(ChoiceError) as refusal:
        Variant(**{knob: value})  # type: ignore[arg-type]  # that is the point
    message = str(refusal.value)
    assert message.startswith(f"{knob}: ")
    assert hint in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("knob", "value", "hint"),
    [
        ("data", "mnits", "did you mean 'mnist'?"),
        ("optimizer", "adm", "did you mean 'adam'?"),
        ("schedule", "onecycle", "did you mean 'one_cycle'?"),
        ("batch_size", 0, "at least 1"),
        ("batch_size", 1258, "larger than the 1257 training images of 'digits'"),
        ("epochs", 0, "at least 1"),
        ("updates", -1, "at least 0"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", float("nan"), "not a number"),
        ("learning_rate", float("inf"), "not a number"),
        ("momentum", 1.0, "not below 1"),
        ("label_smoothing", 1, "not below 1"),
        ("weight_decay", -0.1, "at least 0"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(knob: str, value: object, hint: str) -> None:
    with pytest.raises(ChoiceError) as refusal:
        Recipe(**{knob: value})  # type: ignore[arg-type]  # that is the point
    message = str(refusal.value)
    assert message.startswith(f"{knob}: ")
    assert hint in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("recipe", "per_epoch", "total"),
    [
        (Recipe(batch_size=64, epochs=3), 1257 // 64, 3 * (1257 // 64)),
        (Recipe(batch_size=1257, epochs=2), 1, 2),
        (Recipe(batch_size=64, epochs=3, updates=7), 19, 7),
        (Recipe(data="mnist", batch_size=128, epochs=1), 429, 429),
        (Recipe(data="synthetic", batch_size=64, epochs=1), SYNTHETIC_IMAGES // 64, SYNTHETIC_IMAGES // 64),
    ],
)
def test_updates(recipe: Recipe, per_epoch: int, total: int) -> None:
    assert (recipe.updates_per_epoch, recipe.total_updates) == (per_epoch, total)


@pytest.mark.parametrize(
    ("name", "images"),
    [("digits", 1797), ("mnist", 70_000), ("fashion_mnist", 70_000), ("cifar10", 60_000), ("usps", 9_298)],
)
def test_the_splits_use_every_image_once(name: str, images: int) -> None:
    shape = DATA_SETS[name]
    assert shape.train + shape.validation + shape.test == images


def test_choices_are_checked_without_torch_or_numpy() -> None:
    code = "import sys, lenet, lenet.variant; sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
