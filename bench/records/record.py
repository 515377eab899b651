"""What is known of a trial after it ended: a record, with a result for each seed and the raw samples of its timing.

Nothing derived is stored: medians, intervals and rankings are made anew from the raw samples by `bench.analysis`.

A run's folder holds `experiment.json` (what was asked), `machine.json` (where), `records.jsonl` (one line a trial that
ended: the truth) and `parts.jsonl` (one line a seed trained or a round timed: what an interrupted run need not do
again).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from bench.errors import RecordError

SCHEMA = 1


@dataclass(frozen=True)
class SeedResult:
    """One repeat of a trial's training.

    **Arguments:**

    - `seed`: what the weights and the order of the images were drawn from.
    - `status`, `cause`, `reason`: as in `Record`.
    - `history`: a mapping an epoch: `epoch` (from 1), `updates`, `learning_rate`, `train_loss`, `validation_loss`,
      `validation_accuracy`. Accuracies are shares in [0, 1]. Non-finite numbers are stored as None.
    - `best_epoch`: the epoch of the highest validation accuracy, the later of two equals; 0 if none was finished.
    - `test_accuracy`, `test_loss`: with the weights of that epoch.
    - `train_accuracy`: on the images learned from; only where none were held back.
    - `rejection`: for each measure of sureness (`margin`, `confidence`) the places, least sure first, of the wrongly
      answered among the test images: the whole curve of error against rejected share.
    - `train_s`, `evaluate_s`: seconds in optimiser steps and in evaluation, kept apart.
    - `wall_s`: seconds of the whole task, process start included; the rest is overhead.
    - `peak_memory_bytes`: the largest resident set of the training process.
    - `data_digest`: of the images and labels that it learned from, as `lenet.files.digest` gives it; "" if unknown.
    """

    seed: int
    status: str = "ok"
    cause: str = ""
    reason: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    test_accuracy: float | None = None
    test_loss: float | None = None
    train_s: float = 0.0
    evaluate_s: float = 0.0
    wall_s: float = 0.0
    peak_memory_bytes: int = 0
    train_accuracy: float | None = None
    rejection: dict[str, list[int]] = field(default_factory=dict)
    data_digest: str = ""

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> SeedResult:
        """The result in a training worker's message, which has its fields by name, and some that are not its own."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in message.items() if name in names})


@dataclass(frozen=True)
class Timing:
    """The raw samples of one trial's timing stage.

    **Arguments:**

    - `samples`: for each phase a list of blocks `[process, round, iterations, seconds, cpu_seconds]`; `seconds` is of
      the whole block, `process` and `round` count from 0 within the run.
    - `prepare_s`: seconds of compiling or capturing, one a process; never part of a phase. Empty for eager.
    - `warmup_s`: seconds of warming up, one a process.
    - `peak_memory_bytes`: of the tensors alive at the worst moment of one step, after warming up: the peak of the
      allocator on CUDA, on the CPU what torch's profiler traced (`bench.measure.blocks.measure_peak_memory`). The
      largest of the processes.
    - `stopped`: `narrow` (every interval reached the target) or `budget` (time was up first); "" if timing never ended.
    """

    samples: dict[str, list[list[float]]] = field(default_factory=dict)
    prepare_s: list[float] = field(default_factory=list)
    warmup_s: list[float] = field(default_factory=list)
    peak_memory_bytes: int = 0
    stopped: str = ""


@dataclass(frozen=True)
class Record:
    """One trial after it ended.

    **Arguments:**

    - `key`, `name`, `trial`: which; `trial` is `Trial.to_dict()`, `name` is short and unique within the run.
    - `status`: `ok`, `failed` or `skipped`.
    - `cause`: why not ok, one word: `diverged`, `crashed`, `killed`, `out_of_memory`, `timeout`, `error`, `no_device`;
      or "".
    - `reason`: the same in one line for people.
    - `seeds`: one result a seed. Empty for synthetic data.
    - `timing`: None if the trial was not timed.
    - `network`: `parameters`, `macs` (multiply-accumulates an image, forward) and `layers` (a mapping a layer: `name`,
      `parameters`, `macs`). Empty if the network was never built.
    - `attempt`: 1, and one more each time a resumed run tried it again.
    - `started_s`, `ended_s`: seconds since the epoch.
    """

    key: str
    name: str
    trial: dict[str, dict[str, Any]]
    status: str
    cause: str = ""
    reason: str = ""
    seeds: list[SeedResult] = field(default_factory=list)
    timing: Timing | None = None
    network: dict[str, Any] = field(default_factory=dict)
    attempt: int = 1
    started_s: float = 0.0
    ended_s: float = 0.0
    schema: int = SCHEMA

    def knobs(self) -> dict[str, Any]:
        """Every knob of the trial and its value in one flat mapping."""
        return {knob: value for section in self.trial.values() for knob, value in section.items()}

    def accuracies(self) -> dict[int, float]:
        """Test accuracy, a share, of each seed that ended well, by seed. Empty for synthetic data."""
        return {
            seed.seed: seed.test_accuracy
            for seed in self.seeds
            if seed.status == "ok" and seed.test_accuracy is not None
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for one line of JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Record:
        """The inverse of `to_dict`. Raises `RecordError` for a schema that this version does not know."""
        if values.get("schema") != SCHEMA:
            raise RecordError(f"record of schema {values.get('schema')!r}; this version reads schema {SCHEMA}")
        timing = values.get("timing")
        return cls(
            **{
                **values,
                "seeds": [SeedResult(**seed) for seed in values["seeds"]],
                "timing": Timing(**timing) if timing is not None else None,
            }
        )
