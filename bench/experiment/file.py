"""Reads an experiment file (TOML), applies `--set`, checks the content, and unfolds it into trials.

Unknown keys and values are refused with the nearest right name. Nothing is run here, and no torch is imported.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import ExperimentError
from bench.experiment.experiment import Experiment, ExperimentFile, Limits, TimingSettings
from bench.experiment.trial import KNOBS
from bench.experiment.unfold import unfold
from lenet.variant import ChoiceError, nearest


def read_file(path: Path) -> dict[str, Any]:
    """The file's content as plain values. Raises `ExperimentError` if it is missing or not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
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
    """A file's content with `--set KEY=VALUE[,VALUE...]` applied; what was given stays as it is.

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
        elif key not in KNOBS:
            raise ExperimentError(f"--set {setting}: unknown key '{key}'; {nearest(key, {*KNOBS, 'seeds'})}")
        elif any(key in group for group in content.get("zip", [])):
            raise ExperimentError(f"--set {setting}: '{key}' moves together with others in [[zip]]; change the file")
        else:
            _set_knob(content, key, values)
    return content


def _set_knob(content: dict[str, Any], knob: str, values: list[Any]) -> None:
    """One value goes to the base and ends an axis; several make the axis, or replace its values where it stands."""
    axes, base = content.get("axes", {}), content.get("base", {})
    if len(values) > 1:
        content["axes"] = {**axes, knob: values}
        content["base"] = {other: value for other, value in base.items() if other != knob}
    else:
        content["axes"] = {other: levels for other, levels in axes.items() if other != knob}
        content["base"] = {**base, knob: values[0]}


def _parse_value(text: str) -> Any:
    """A value as TOML has it, or the text itself: `relu` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def read_experiment(path: Path, settings: Iterable[str] = ()) -> Experiment:
    """Reads, overrides, checks and unfolds. Raises `ExperimentError` with the file's name in front."""
    content = override(read_file(path), settings)
    return check(content, path)


def check(content: Mapping[str, Any], path: Path | None = None) -> Experiment:
    """The experiment that plain values mean, as a file's content or a dictionary of Python has them.

    **Arguments:**

    - `content`: the keys of `ExperimentFile`.
    - `path`: the file that they come from; errors begin with it.

    Raises `ExperimentError`.
    """
    where = f"{path}: " if path else ""
    try:
        _check_keys(content)
        file = ExperimentFile.model_validate(dict(content))
        if file.name is not None:
            check_name(file.name)
        return unfold(file, path)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ExperimentError(f"{where}{place}: {first['input']!r}: {first['msg'].lower()}") from error
    except ChoiceError as error:
        raise ExperimentError(f"{where}{error}") from error


def _check_keys(content: Mapping[str, Any]) -> None:
    """Refuses unknown keys with the nearest right one, which pydantic would not name. Raises `ChoiceError`."""
    for key in content:
        if key in KNOBS:
            raise ChoiceError(f"unknown key '{key}'; '{key}' is a knob: put it under [base] or [axes]")
        if key not in ExperimentFile.model_fields:
            raise ChoiceError(f"unknown key '{key}'; {nearest(key, ExperimentFile.model_fields)}")
    for section, model in (("timing", TimingSettings), ("limits", Limits)):
        inner = content.get(section)
        for key in inner if isinstance(inner, dict) else ():
            if key not in model.model_fields:
                raise ChoiceError(f"[{section}]: unknown key '{key}'; {nearest(key, model.model_fields)}")


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
