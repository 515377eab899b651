"""Unfolds an experiment file into trials: base x axes, zips, includes, excludes, and a short name for each."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.experiment.experiment import Experiment, Knobs, NamedTrial, _File
from bench.experiment.trial import KNOBS, Trial
from lenet.variant import ChoiceError, nearest


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
