"""LeNet and its relatives: the networks by name, their data sets, and how they learn.

`LeNet` is imported when it is first used, because it needs torch; importing `lenet` and `lenet.variant` does not.
"""

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
