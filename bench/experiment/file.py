"""An experiment file: TOML in, a checked `Experiment` and its list of trials out.

`base` x `axes`, with `[[zip]]` (axes that move together), `[[include]]` (trials of their own, which may have a `name`)
and `[[exclude]]`.
Unknown keys and values are refused with the nearest right name. This module runs nothing and imports no torch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import ExperimentError
from bench.experiment.experiment import Experiment, Limits, TimingSettings, _File
from bench.experiment.trial import KNOBS
from bench.experiment.unfold import _unfold
from lenet.variant import ChoiceError, nearest


def read_file(path: Path) -> dict[str, Any]:
    """The file's content as plain values. Raises `ExperimentError` if it is missing or not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        hint = nearest(path.name, sorted(p.name for p in path.parent.glob("*.toml"))) if path.parent.is_dir() else ""
        raise ExperimentError(
            f"{path}: no such file" + (f"; {hint}" if hint not in ("", "one of: ") else "")
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(f"{path}: not TOML: {error}") from error


def override(content: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Applies `--set KEY=VALUE[,VALUE...]` to a file's content.

    One value of a knob goes to the base, several make an axis; keys of the file itself (`seeds`, `timing.rounds`) are
    set. Values are read as TOML, and as a string where they are none. Raises `ExperimentError`.
    """
    content = {key: dict(value) if isinstance(value, dict) else value for key, value in content.items()}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not text.strip():
            raise ExperimentError(f"--set {setting}: write KEY=VALUE or KEY=VALUE,VALUE")
        values = [_parse_value(part.strip()) for part in text.split(",")]
        section, dot, name = key.partition(".")
        if dot:
            if section not in ("timing", "limits"):
                raise ExperimentError(f"--set {setting}: unknown section '{section}'; one of: limits, timing")
            value = values if name == "phases" else values[0]
            content[section] = {**content.get(section, {}), name: value}
        elif key == "seeds":
            content[key] = values[0]
        elif key in KNOBS:
            if any(key in group for group in content.get("zip", [])):
                raise ExperimentError(
                    f"--set {setting}: '{key}' moves together with others in [[zip]]; change the file"
                )
            content["axes"] = {k: v for k, v in content.get("axes", {}).items() if k != key or len(values) > 1}
            if len(values) > 1:
                content["axes"][key] = values
                content["base"] = {k: v for k, v in content.get("base", {}).items() if k != key}
            else:
                content["base"] = {**content.get("base", {}), key: values[0]}
        else:
            raise ExperimentError(f"--set {setting}: unknown key '{key}'; {nearest(key, {*KNOBS, 'seeds'})}")
    return content


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def read_experiment(path: Path, settings: Iterable[str] = ()) -> Experiment:
    """Reads, overrides, validates and unfolds. Raises `ExperimentError` with the file's name in front."""
    content = override(read_file(path), settings)
    return check(content, path)


def check(content: Mapping[str, Any], path: Path | None = None) -> Experiment:
    """Validates plain values and unfolds them into trials. Raises `ExperimentError`."""
    where = f"{path}: " if path else ""
    for key in content:
        if key not in _File.model_fields:
            raise ExperimentError(f"{where}unknown key '{key}'; {_place(key)}")
    for section, model in (("timing", TimingSettings), ("limits", Limits)):
        inner = content.get(section)
        for key in inner if isinstance(inner, dict) else ():
            if key not in model.model_fields:
                raise ExperimentError(f"{where}[{section}]: unknown key '{key}'; {nearest(key, model.model_fields)}")
    try:
        file = _File.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ExperimentError(f"{where}{place}: {first['input']!r}: {first['msg'].lower()}") from error
    try:
        if file.name is not None:
            check_name(file.name)
        return _unfold(file, path)
    except ChoiceError as error:
        raise ExperimentError(f"{where}{error}") from error


RESERVED = ("baselines", "gate", "latest", "mlartifacts", "mlflow.db", "reference")
LONGEST_NAME_BYTES = 200  # a folder's name has at most 255


def check_name(name: str) -> None:
    """Whether an experiment's name can be a folder's under results/. Raises `ChoiceError`."""
    shown = repr(name if len(name) <= 40 else name[:40] + "...")
    if not name.strip() or name != name.strip() or name in (".", "..") or "/" in name or not name.isprintable():
        raise ChoiceError(f"name: {shown} is not a folder's name; write one without '/', such as 'batch-sizes'")
    if len(name.encode()) > LONGEST_NAME_BYTES:
        raise ChoiceError(f"name: {shown} has {len(name.encode())} bytes; write at most {LONGEST_NAME_BYTES}")
    if name.casefold() in RESERVED:
        raise ChoiceError(f"name: {shown} has a meaning of its own under results/; write another")


def _place(key: str) -> str:
    """Where a misplaced key belongs."""
    return f"'{key}' is a knob: put it under [base] or [axes]" if key in KNOBS else nearest(key, _File.model_fields)
