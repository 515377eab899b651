"""A user's own modules, imported so that what they register can be asked for by name.

An experiment file lists them under `extensions`. Importing one runs its decorators (`lenet.layers.activation`,
`lenet.layers.pooling`, `lenet.initialize.init`), and `lenet.variant.CHOICES` then holds the new names.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path


def load_extensions(extensions: Iterable[str]) -> None:
    """Imports a user's modules, by name or by path, once each; their decorators register what they bring."""
    import lenet.initialize
    import lenet.layers  # noqa: F401  # the built-in names first, so that a user's duplicate is the one refused

    for extension in extensions:
        path = Path(extension)
        if path.suffix != ".py":
            importlib.import_module(extension)
        elif f"extension_{path.stem}" not in sys.modules:
            spec = importlib.util.spec_from_file_location(f"extension_{path.stem}", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            sys.modules[spec.name] = module
