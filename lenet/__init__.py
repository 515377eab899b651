"""LeNet and its relatives: the networks by name, their data sets, and how they learn.

Everything is imported when it is first used: `LeNet` needs torch, and the command line's help should need nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lenet.networks import LeNet as LeNet
    from lenet.variant import ChoiceError as ChoiceError
    from lenet.variant import Recipe as Recipe
    from lenet.variant import Variant as Variant

__all__ = ["ChoiceError", "LeNet", "Recipe", "Variant"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("lenet.networks" if name == "LeNet" else "lenet.variant"), name)
    raise AttributeError(f"module 'lenet' has no attribute {name!r}")
