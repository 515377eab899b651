"""torchvision, imported so that it works beside any build of torch.

Nothing goes in; the imported package comes out. The wheel on PyPI is compiled for CUDA. Beside a CPU-only torch its
compiled part does not load, and `import torchvision` dies with `operator torchvision::nms does not exist`, though its
data sets and transforms need no compiled part. Run as `python -m lenet.vision NAME ROOT`, this module downloads a data
set.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch

CLASS_NAMES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "usps": "USPS"}
"""The classes of `torchvision.datasets` by our names of the data sets."""

MISSING_OPERATORS = ("nms", "qnms")
"""What `import torchvision` asks of its compiled part: two operators that it attaches shape functions to."""

declared: list[torch.library.Library] = []
"""Keeps the declarations alive; torch takes them back when their library object dies. Empty if none were needed."""


def import_torchvision() -> ModuleType:
    """torchvision, with the operators declared that its compiled part would have brought, if that does not load.

    Only their schemas are declared: they can be named, not called. Raises `ImportError` without torchvision.
    """
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        raise ImportError("torchvision is not installed; try: pip install torchvision")
    if "torchvision" not in sys.modules and not compiled_part_loads(Path(found.origin).parent):
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # untyped in torch
        for name in MISSING_OPERATORS:
            schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(schema)  # type: ignore[no-untyped-call]  # untyped in torch
        declared.append(library)
    return importlib.import_module("torchvision")


def compiled_part_loads(package: Path) -> bool:
    """Whether the operators are there after trying to load `_C` of torchvision's folder, as torchvision itself does."""
    for path in package.glob("_C.*"):
        try:
            torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]  # untyped in torch
        except (ImportError, OSError):  # built for another torch, or a CUDA library is missing
            continue
    return all(hasattr(torch.ops.torchvision, name) for name in MISSING_OPERATORS)


def download(name: str, root: Path) -> None:
    """Has torchvision download both halves of a data set to `root`. Raises what torchvision raises."""
    import_torchvision()
    data_set = getattr(importlib.import_module("torchvision.datasets"), CLASS_NAMES[name])
    for train in (True, False):
        data_set(root, train=train, download=True)


if __name__ == "__main__":
    try:
        download(sys.argv[1], Path(sys.argv[2]))
    except Exception as error:  # one line for the process that started this one, whatever went wrong
        sys.exit(f"{type(error).__name__}: {error}".splitlines()[0])
