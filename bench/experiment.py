"""An experiment file: TOML in, a checked `Experiment` and its list of trials out.

`base` x `axes`, with `[[zip]]` (axes that move together), `[[include]]` (trials of their own, which may have a `name`)
and `[[exclude]]`.
Unknown keys and values are refused with the nearest right name. This module runs nothing and imports no torch.
"""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import ExperimentError as ExperimentError
from bench.trial import KNOBS, Trial
from lenet.variant import ChoiceError, nearest

Phase = Literal["forward", "backward", "step"]
Knobs = dict[str, Any]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TimingSettings(_Checked):
    """How the timing stage samples.

    **Arguments:**

    - `enabled`: False leaves the stage out.
    - `phases`: which of forward, backward and step.
    - `processes`: fresh processes at least; the unit of inference, so fewer than 3 give no interval.
    - `rounds`: blocks of each phase of each trial in one process.
    - `block_ms`: length that a block is calibrated to.
    - `target_ci`: half width of the 95 % interval, relative to the median, at which a phase is known well enough.
    - `budget_s`: seconds after which no further process is started, whether the target is reached or not.
    """

    enabled: bool = True
    phases: list[Phase] = Field(default=["forward", "backward", "step"], min_length=1)
    processes: int = Field(default=5, ge=1)
    rounds: int = Field(default=6, ge=1)
    block_ms: float = Field(default=20.0, gt=0, strict=False)
    target_ci: float = Field(default=0.02, gt=0, lt=1)
    budget_s: float = Field(default=120.0, gt=0, strict=False)


class Limits(_Checked):
    """Seconds after which a worker counts as hung: `seed_s` for one seed's training, `round_s` for one round of one
    trial.
    """

    seed_s: float = Field(default=1_800.0, gt=0, strict=False)
    round_s: float = Field(default=120.0, gt=0, strict=False)


class _File(_Checked):
    name: str | None = None
    question: str = ""
    expect: str = ""
    seeds: int = Field(default=3, ge=1)
    extensions: list[str] = Field(default_factory=list)
    baseline: Knobs = Field(default_factory=dict)
    base: Knobs = Field(default_factory=dict)
    axes: dict[str, list[Any]] = Field(default_factory=dict)
    zip: list[dict[str, list[Any]]] = Field(default_factory=list)
    include: list[Knobs] = Field(default_factory=list)
    exclude: list[Knobs] = Field(default_factory=list)
    timing: TimingSettings = Field(default_factory=TimingSettings)
    limits: Limits = Field(default_factory=Limits)


@dataclass(frozen=True)
class NamedTrial:
    """A trial with its short name, unique within the experiment."""

    name: str
    trial: Trial


@dataclass(frozen=True)
class Experiment:
    """A checked experiment, unfolded.

    **Arguments:**

    - `name`, `question`, `expect`: of the file's head.
    - `path`: the file, or None.
    - `axes`: each knob that varies and its values, in the file's order.
    - `trials`: unique by key, in the order of the unfolding.
    - `seeds`: the seeds of each trial's repeats, 0, 1, ...
    - `baseline`: the trial that others are compared with; the first, unless the file names one.
    - `extensions`: absolute paths or module names that register a user's own layers and init schemes.
    """

    name: str
    question: str
    expect: str
    path: Path | None
    axes: dict[str, list[Any]]
    trials: list[NamedTrial]
    seeds: list[int]
    baseline: Trial
    timing: TimingSettings
    limits: Limits
    extensions: list[str]


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


def _unfold(file: _File, path: Path | None) -> Experiment:
    file, labels = _take_names(file)
    groups = [{knob: values} for knob, values in file.axes.items()] + file.zip
    _check_groups(groups, file.base)
    for section, tables in (("base", [file.base]), ("include", file.include), ("exclude", file.exclude)):
        for knob in itertools.chain.from_iterable(tables):
            _check_knob(section, knob)
    combinations = [
        {**file.base, **{knob: value for part in parts for knob, value in part.items()}}
        for parts in itertools.product(*(_rows(group) for group in groups))
    ]
    # A file of includes alone means just those trials, not the bare base as well.
    if file.include and not groups:
        combinations = []
    combinations = [knobs for knobs in combinations if not any(_matches(rule, knobs) for rule in file.exclude)]
    combinations += [{**file.base, **knobs} for knobs in file.include]
    axes = {knob: list(values) for group in groups for knob, values in group.items()}
    for knobs in file.include:
        for knob, value in knobs.items():
            default = file.base.get(knob, _default(knob))
            if value not in axes.setdefault(knob, [default]):
                axes[knob].append(value)
    axes = {knob: values for knob, values in axes.items() if len(values) > 1}
    trials: dict[str, NamedTrial] = {}
    taken: set[str] = set()
    for knobs in combinations:
        trial = Trial.from_knobs(knobs)
        if trial.key not in trials:
            name = labels.get(json.dumps(knobs, sort_keys=True, default=str)) or _name(trial, axes, file)
            trials[trial.key] = NamedTrial(name if name not in taken else f"{name}-{trial.key[:4]}", trial)
            taken.add(name)
    if not trials:
        raise ChoiceError("no trial is left: the axes are empty or [[exclude]] removes every combination")
    return Experiment(
        name=file.name if file.name is not None else path.stem if path else "experiment",
        question=file.question,
        expect=file.expect,
        path=path,
        axes=axes,
        trials=list(trials.values()),
        seeds=list(range(file.seeds)),
        baseline=_find_baseline(file, trials),
        timing=file.timing,
        limits=file.limits,
        extensions=[_resolve_extension(name, path) for name in file.extensions],
    )


def _take_names(file: _File) -> tuple[_File, dict[str, str]]:
    """The file without the names of its included trials, and those names by the trial's knobs."""
    bare, labels = [], {}
    for row in file.include:
        knobs = {knob: value for knob, value in row.items() if knob != "name"}
        if "name" in row:
            if not isinstance(row["name"], str) or not row["name"].strip():
                raise ChoiceError(f"[include]: name: {row['name']!r} is not a name; write some text")
            labels[json.dumps({**file.base, **knobs}, sort_keys=True, default=str)] = row["name"]
        bare.append(knobs)
    return file.model_copy(update={"include": bare}), labels


def _check_groups(groups: Sequence[Mapping[str, list[Any]]], base: Knobs) -> None:
    seen: set[str] = set()
    for group in groups:
        lengths = {knob: len(values) for knob, values in group.items()}
        for knob, values in group.items():
            _check_knob("axes", knob)
            if not values:
                raise ChoiceError(f"axes.{knob}: the list is empty; give at least one value")
            if len(group) == 1 and len({repr(value) for value in values}) != len(values):
                raise ChoiceError(f"axes.{knob}: a value stands twice in {values!r}")
            if knob in seen:
                raise ChoiceError(f"axes.{knob}: stands twice, in [axes] and [[zip]]; keep one")
            if knob in base:
                raise ChoiceError(f"axes.{knob}: stands in [base] too; keep one")
            seen.add(knob)
        if len(set(lengths.values())) > 1:
            raise ChoiceError(f"[[zip]]: lists of different lengths: {lengths}; they move together, so make them equal")


def _check_knob(section: str, knob: str) -> None:
    if knob not in KNOBS:
        raise ChoiceError(f"[{section}]: unknown knob '{knob}'; {nearest(knob, KNOBS)}")


def _rows(group: Mapping[str, list[Any]]) -> list[Knobs]:
    """A group's values as rows: a one-knob group is an axis, a larger one moves together."""
    return [dict(zip(group, values, strict=True)) for values in zip(*group.values(), strict=True)]


def _matches(rule: Knobs, knobs: Knobs) -> bool:
    def holds(knob: str, wanted: Any) -> bool:
        value = knobs.get(knob, _default(knob))
        return value in wanted if isinstance(wanted, list) else value == wanted

    return all(holds(knob, wanted) for knob, wanted in rule.items())


def _default(knob: str) -> Any:
    return Trial().knobs()[knob]


def _find_baseline(file: _File, trials: Mapping[str, NamedTrial]) -> Trial:
    if not file.baseline:
        return next(iter(trials.values())).trial
    for knob in file.baseline:
        _check_knob("baseline", knob)
    for named in trials.values():
        if file.baseline.items() <= named.trial.knobs().items():
            return named.trial
    raise ChoiceError(f"[baseline]: no trial has {file.baseline!r}")


def _resolve_extension(name: str, path: Path | None) -> str:
    if not name.endswith(".py"):
        return name
    file = ((path.parent if path else Path()) / name).resolve()
    if not file.is_file():
        raise ChoiceError(f"extensions: {file}: no such file")
    return str(file)


SHORT = {
    "batch_size": "b", "threads": "t", "epochs": "e", "updates": "u", "learning_rate": "lr", "input_size": "s",
    "momentum": "m", "weight_decay": "wd", "label_smoothing": "ls", "channels": "c", "classes": "k",
}  # fmt: skip
LEFT_OUT = {"none", "float32", "contiguous", "eager", "after_activation"}  # defaults that say nothing in a name
SHORTER = {"before_activation": "pool-first", "channels_last": "nhwc", "bfloat16": "bf16", "batch": "bn"}


def _name(trial: Trial, axes: Mapping[str, list[Any]], file: _File) -> str:
    """What varies, joined by dashes; knobs that only [[include]] varies appear where they differ from the base."""
    swept = {*file.axes, *itertools.chain.from_iterable(file.zip)}
    knobs, parts = trial.knobs(), []
    for knob in axes:
        value = knobs[knob]
        included_only = knob not in swept and value == file.base.get(knob, _default(knob))
        if included_only or value in LEFT_OUT or (knob == "updates" and value == 0):
            continue
        parts.append(SHORTER.get(str(value), f"{SHORT.get(knob, '')}{value}"))
    return "-".join(parts) or "base"


SECONDS_AN_UPDATE = 1.0e-3  # of one core; replaced by what this machine measured, where a run has left it
SECONDS_AN_IMAGE = 3.5e-5
SECONDS_A_PROCESS = 3.0  # start of an interpreter with torch


def estimate_s(experiment: Experiment, jobs: int) -> tuple[float, float]:
    """Rough seconds of the training and the timing stage, before anything ran.

    Training counts optimiser steps and images of the LeNet of the reading note on one core; timing counts blocks, and
    at most its budget. Good to a factor of two; what it is for is telling minutes from hours.
    """
    training = 0.0
    for named in experiment.trials:
        recipe = named.trial.recipe
        if recipe.data != "synthetic":
            training += recipe.total_updates * (SECONDS_AN_UPDATE + recipe.batch_size * SECONDS_AN_IMAGE)
    training = training * len(experiment.seeds) / max(1, jobs)
    settings = experiment.timing
    if not settings.enabled:
        return training, 0.0
    blocks = len(experiment.trials) * len(settings.phases) * settings.rounds
    process = SECONDS_A_PROCESS + len(experiment.trials) * 0.5 + blocks * settings.block_ms / 1e3 * 1.3
    return training, min(process * settings.processes, max(settings.budget_s, process))
