"""An experiment as it is asked: its content as the file has it, and unfolded into trials. Nothing is run here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bench.experiment.trial import PHASES, Phase, Trial

Knobs = dict[str, Any]


class Checked(BaseModel):
    """Values of the right types under known names; anything else is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TimingSettings(Checked):
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
    phases: list[Phase] = Field(default=list(PHASES), min_length=1)
    processes: int = Field(default=5, ge=1)
    rounds: int = Field(default=6, ge=1)
    block_ms: float = Field(default=20.0, gt=0, strict=False)
    target_ci: float = Field(default=0.02, gt=0, lt=1)
    budget_s: float = Field(default=120.0, gt=0, strict=False)


class Limits(Checked):
    """Seconds after which a worker counts as hung: `seed_s` for one seed's training, `round_s` for one round of one
    trial.
    """

    seed_s: float = Field(default=1_800.0, gt=0, strict=False)
    round_s: float = Field(default=120.0, gt=0, strict=False)


class ExperimentFile(Checked):
    """The content of an experiment file, before it is unfolded.

    **Arguments:**

    - `name`: of the experiment; None for the file's own.
    - `question`, `expect`: what is asked, and what is expected, in words.
    - `seeds`: repeats of each trial's training.
    - `extensions`: files (relative to this one) or modules that register a user's own layers and init schemes.
    - `baseline`: knobs of the trial that others are compared with.
    - `base`: knobs of every trial. `axes`: knobs that vary, each with every other. `zip`: knobs that move together.
    - `include`: trials of their own, which may have a `name`. `exclude`: knobs of the trials that are left out.
    - `timing`, `limits`: how trials are timed, and after how long a worker counts as hung.
    """

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
