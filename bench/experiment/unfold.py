"""Unfolds an experiment file into trials: base x axes, zips, includes, excludes, and a short name for each."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.experiment.experiment import Experiment, ExperimentFile, Knobs, NamedTrial
from bench.experiment.trial import KNOBS, Trial
from lenet.variant import ChoiceError, nearest

DEFAULTS = Trial().knobs()

Group = Mapping[str, list[Any]]
"""Knobs that move together, and their values: lists of one length. An axis is a group of one knob."""


def unfold(file: ExperimentFile, path: Path | None) -> Experiment:
    """The experiment that a file's content means.

    **Arguments:**

    - `path`: where the file is: it gives the experiment its name, and extensions are looked for beside it; or None.

    Raises `ChoiceError` for unknown knobs and values, contradictions, and if no trial is left.
    """
    file, labels = _take_names(file)
    groups: list[Group] = [*({knob: values} for knob, values in file.axes.items()), *file.zip]
    _check_groups(groups, file.base)
    for section, tables in (("base", [file.base]), ("include", file.include), ("exclude", file.exclude)):
        for knob in itertools.chain.from_iterable(tables):
            _check_knob(section, knob)
    axes = _find_axes(file, groups)
    trials: dict[str, NamedTrial] = {}
    taken: set[str] = set()
    for knobs in _combine(file, groups):
        trial = Trial.from_knobs(knobs)
        if trial.key not in trials:
            name = labels.get(_label_key(knobs)) or _name(trial, axes, file)
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


def _combine(file: ExperimentFile, groups: Sequence[Group]) -> list[Knobs]:
    """The knobs of every trial: the product of the groups without what is excluded, then what is included.

    A file of includes alone means just those trials, not the bare base as well.
    """
    rows = [] if file.include and not groups else itertools.product(*(_rows(group) for group in groups))
    product = [{**file.base, **{knob: value for part in parts for knob, value in part.items()}} for parts in rows]
    kept = [knobs for knobs in product if not any(_matches(rule, knobs) for rule in file.exclude)]
    return kept + [{**file.base, **knobs} for knobs in file.include]


def _find_axes(file: ExperimentFile, groups: Sequence[Group]) -> dict[str, list[Any]]:
    """Every knob that takes more than one value, with its values in the file's order."""
    axes = {knob: list(values) for group in groups for knob, values in group.items()}
    for knobs in file.include:
        for knob, value in knobs.items():
            default = file.base.get(knob, DEFAULTS[knob])
            if value not in axes.setdefault(knob, [default]):
                axes[knob].append(value)
    return {knob: values for knob, values in axes.items() if len(values) > 1}


def _take_names(file: ExperimentFile) -> tuple[ExperimentFile, dict[str, str]]:
    """The file without the names of its included trials, and those names by the trial's knobs."""
    bare, labels = [], {}
    for row in file.include:
        knobs = {knob: value for knob, value in row.items() if knob != "name"}
        if "name" in row:
            if not isinstance(row["name"], str) or not row["name"].strip():
                raise ChoiceError(f"[include]: name: {row['name']!r} is not a name; write some text")
            labels[_label_key({**file.base, **knobs})] = row["name"]
        bare.append(knobs)
    return file.model_copy(update={"include": bare}), labels


def _label_key(knobs: Knobs) -> str:
    return json.dumps(knobs, sort_keys=True, default=str)


def _check_groups(groups: Sequence[Group], base: Knobs) -> None:
    """Refuses unknown knobs, knobs that stand twice, and lists that are empty or do not fit. Raises `ChoiceError`."""
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


def _rows(group: Group) -> list[Knobs]:
    """A group's values as rows, each a value for every knob of the group."""
    return [dict(zip(group, values, strict=True)) for values in zip(*group.values(), strict=True)]


def _matches(rule: Knobs, knobs: Knobs) -> bool:
    """Whether a trial's knobs have the values that a rule names; a list in a rule means any of its values."""

    def holds(knob: str, wanted: Any) -> bool:
        value = knobs.get(knob, DEFAULTS[knob])
        return value in wanted if isinstance(wanted, list) else value == wanted

    return all(holds(knob, wanted) for knob, wanted in rule.items())


def _find_baseline(file: ExperimentFile, trials: Mapping[str, NamedTrial]) -> Trial:
    """The first trial that the file's `[baseline]` describes; without one, the first of all."""
    if not file.baseline:
        return next(iter(trials.values())).trial
    for knob in file.baseline:
        _check_knob("baseline", knob)
    for named in trials.values():
        if file.baseline.items() <= named.trial.knobs().items():
            return named.trial
    raise ChoiceError(f"[baseline]: no trial has {file.baseline!r}")


def _resolve_extension(name: str, path: Path | None) -> str:
    """A file of extensions by its whole path; a module's name stays as it is."""
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


def _name(trial: Trial, axes: Mapping[str, list[Any]], file: ExperimentFile) -> str:
    """What varies, joined by dashes; knobs that only [[include]] varies appear where they differ from the base."""
    swept = {*file.axes, *itertools.chain.from_iterable(file.zip)}
    knobs, parts = trial.knobs(), []
    for knob in axes:
        value = knobs[knob]
        included_only = knob not in swept and value == file.base.get(knob, DEFAULTS[knob])
        if included_only or value in LEFT_OUT or (knob == "updates" and value == 0):
            continue
        parts.append(SHORTER.get(str(value), f"{SHORT.get(knob, '')}{value}"))
    return "-".join(parts) or "base"
