"""LeNet and how it learns. `LeNet` is imported on first use, so that `lenet.variant` stays free of torch."""

from typing import TYPE_CHECKING, Any

from lenet.variant import ChoiceError as ChoiceError
from lenet.variant import Recipe as Recipe
from lenet.variant import Variant as Variant

if TYPE_CHECKING:
    from lenet.networks import LeNet as LeNet

__all__ = ["ChoiceError", "LeNet", "Recipe", "Variant"]


def __getattr__(name: str) -> Any:
    if name == "LeNet":
        from lenet.networks import LeNet

        return LeNet
    raise AttributeError(f"module 'lenet' has no attribute {name!r}")
