"""A user's own module, made in a fresh process by a factory that is imported by its name, ready to be timed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lenet.extensions import import_file

from .blocks import Subject


def import_factory(name: str) -> Any:
    """What `package.module:function` or `path/to/file.py:function` names. Raises what importing it raises."""
    place, _, function = name.rpartition(":")
    module = import_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    return getattr(module, function)


def build_from_factory(name: str, batch: Sequence[int], device: str, threads: int) -> Subject:
    """The factory's module with a batch of random inputs, cross-entropy and SGD with momentum.

    **Arguments:**

    - `name`: of the factory, as in `import_factory`; it is called without arguments.
    - `batch`: the shape of the inputs, of which the first number counts images.

    Raises `TypeError` where the factory makes no module, `ValueError` where its output is not (images, classes), and
    whatever the module itself raises.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    module = import_factory(name)()
    if not isinstance(module, nn.Module):
        raise TypeError(f"{name} makes a {type(module).__name__}, not a torch.nn.Module")
    module = module.to(device)
    images = torch.randn(tuple(batch), generator=torch.Generator().manual_seed(0)).to(device)
    with torch.no_grad():
        outputs = module(images)
    if outputs.ndim != 2 or len(outputs) != len(images):
        raise ValueError(f"{name}: its output is of shape {tuple(outputs.shape)}, not (images, classes)")
    labels = torch.randint(outputs.shape[1], (len(images),), generator=torch.Generator().manual_seed(0)).to(device)
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    # One that nothing depends on, where there is none: a forward pass can be timed all the same.
    optimizer = torch.optim.SGD(learned or [torch.zeros(1, requires_grad=True)], lr=0.0, momentum=0.9)
    return Subject.of_module(module, F.cross_entropy, optimizer, (images, labels))
