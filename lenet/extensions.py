"""A user's own modules, imported so that what they register can be asked for by name.

An experiment file lists them under `extensions`. Importing one runs its decorators (`lenet.layers.activation`,
`lenet.layers.pooling`, `lenet.initialize.init`), and `lenet.variant.CHOICES` then holds the new names.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


def load_extensions(extensions: Iterable[str]) -> None:
    """Imports a user's modules, once each.

    **Arguments:**

    - `extensions`: names of modules that Python finds or that lie in the current folder, or paths of files that end
      in `.py`.

    Raises `ChoiceError` if one registers a name that is taken, `ImportError` or `FileNotFoundError` if one is missing,
    and whatever else its own code raises.
    """
    import lenet.initialize
    import lenet.layers  # noqa: F401  # the built-in names first, so that a user's duplicate is the one refused

    for extension in extensions:
        if extension.endswith(".py"):
            import_file(Path(extension))
        else:
            _import_module(extension)


def _import_module(name: str) -> None:
    """Imports a module by its name. The current folder is looked at last, so that nothing in it can hide a library."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    importlib.import_module(name)


def import_file(path: Path) -> ModuleType:
    """The module that a file holds, imported once, under a name of its own: two files may be called alike and lie in
    different folders. Raises `FileNotFoundError`, and whatever its own code raises.
    """
    path = path.resolve()
    name = f"extension_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "every path that ends in .py has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before the code runs: dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # half a module must not pass for an imported one
        raise
    return module
