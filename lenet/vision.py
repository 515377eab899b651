"""Imports torchvision beside any build of torch, and downloads its data sets.

The torchvision wheel on PyPI is compiled for CUDA. Beside a CPU-only torch its compiled part does not load, and
`import torchvision` ends in `operator torchvision::nms does not exist`, though its data sets and transforms need no
compiled part. `import_torchvision` imports it all the same. Run as `python -m lenet.vision NAME ROOT`, this module
downloads a data set.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch

CLASS_NAMES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "usps": "USPS"}
"""The classes of `torchvision.datasets` by our names of the data sets."""

OPERATORS = ("nms", "qnms")
"""The operators to which `import torchvision` attaches shape functions, so that it ends if one is missing.

torchvision 0.28 brought `qnms`; the compiled part of an older one has `nms` alone, and asks for no other.
"""

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
"""What both operators take and return."""

declared: list[torch.library.Library] = []
"""Keeps the declarations alive; torch takes them back when their library object dies. Empty if none were needed."""


def import_torchvision() -> ModuleType:
    """Imports torchvision, after declaring each of `OPERATORS` that its compiled part does not bring.

    Only their schemas are declared: they can be named, not called. Raises `ImportError` without torchvision.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision is not installed; try: pip install torchvision")
    if "torchvision" not in sys.modules:
        load_compiled_part(Path(spec.origin).parent)
        declare([name for name in OPERATORS if not hasattr(torch.ops.torchvision, name)])
    return importlib.import_module("torchvision")


def load_compiled_part(package: Path) -> None:
    """Loads `_C` from torchvision's folder as torchvision itself does. One that does not load is passed over."""
    for path in package.glob("_C.*"):
        with contextlib.suppress(ImportError, OSError):  # built for another torch, or a CUDA library is missing
            torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]  # untyped in torch


def declare(operators: list[str]) -> None:
    """Declares the schemas of the named operators of torchvision, none of which may be there already."""
    if not operators:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # untyped in torch
    for name in operators:
        library.define(name + SCHEMA)  # type: ignore[no-untyped-call]  # untyped in torch
    declared.append(library)


def download(name: str, root: Path) -> None:
    """Downloads the training and the test half of a data set into `root`. Raises what torchvision raises."""
    import_torchvision()
    data_set = getattr(importlib.import_module("torchvision.datasets"), CLASS_NAMES[name])
    for train in (True, False):
        data_set(root, train=train, download=True)


if __name__ == "__main__":
    try:
        download(sys.argv[1], Path(sys.argv[2]))
    except Exception as error:  # one line for the process that started this one, whatever went wrong
        sys.exit(f"{type(error).__name__}: {error}".splitlines()[0])
