"""A gate as it is kept in its folder, so that the same decision can be made of it again.

`gate.json` holds a whole gate: settings, raw blocks and all. Until it is there, an interrupted gate can be judged from
what was written before: `begun.json` (settings and names), `pairs.jsonl` (one line a pair) and `trainings.jsonl` (one
line a round of trainings). What is read is checked: a damaged file is refused in one line.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from bench.errors import GateError
from bench.gate.decision import Decision, decide
from bench.gate.pairs import Benchmark, Pair
from bench.gate.settings import Settings, check_value
from bench.records.files import write_json
from bench.records.journal import Journal

SCHEMA = 1
BEGUN, PAIRS, TRAININGS, WHOLE = "begun.json", "pairs.jsonl", "trainings.jsonl", "gate.json"
ABOUT = {"base", "head", "dirty", "machine", "started_s", "seconds", "notes", "seed", "benchmarks"}


@dataclass(frozen=True)
class Gate:
    """A gate that ran, or was read from its folder.

    **Arguments:**

    - `settings`, `pairs`, `trained`: what `bench.gate.decision.decide` needs, and `base_names`, `head_names`.
    - `about`: what was compared: `base`, `head` (commits), `dirty`, `machine`, `started_s`, `seconds`, `notes`,
      `seed`, `benchmarks`, `pytest`, `instructions`, and `interrupted` where it did not run to its end.
    """

    settings: Settings
    base_names: list[str]
    head_names: list[str]
    pairs: list[Pair]
    trained: dict[str, list[dict[str, Any]]]
    about: dict[str, Any]

    def decide(self) -> Decision:
        """The same pairs give the same decision."""
        interrupted = self.about.get("interrupted", False)
        return decide(self.settings, self.pairs, self.base_names, self.head_names, self.trained, interrupted)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}


@dataclass
class Store:
    """Writes a gate down while it runs: each pair is on the disk before the next begins. Raises `RecordError`."""

    folder: Path

    def begin(self, gate: Gate) -> None:
        """Everything but what will be measured."""
        write_json(self.folder / BEGUN, gate.to_dict())

    def append_pair(self, pair: Pair) -> None:
        """One pair more."""
        Journal(self.folder / PAIRS).append(dataclasses.asdict(pair))

    def append_trained(self, trained: Mapping[str, list[dict[str, Any]]]) -> None:
        """A round of trainings, both sides of it."""
        Journal(self.folder / TRAININGS).append(dict(trained))

    def end(self, gate: Gate) -> None:
        """The whole gate; `gate.json` is what counts from now on."""
        write_json(self.folder / WHOLE, gate.to_dict())
        (self.folder / BEGUN).unlink()


def read_gate(path: Path) -> Gate:
    """A gate from its folder, its `gate.json`, or what `--json` wrote; from the folder of an interrupted one, what was
    measured until then. Raises `GateError` or `RecordError`.
    """
    if path.is_dir() and not (path / WHOLE).exists() and (path / BEGUN).exists():
        return _parse(path / BEGUN, _read_interrupted)
    return _parse(path / WHOLE if path.is_dir() else path, lambda file: json.loads(file.read_text(encoding="utf-8")))


def _read_interrupted(file: Path) -> dict[str, Any]:
    """What `gate.json` would hold if the gate had been over after the last pair or round that was written down."""
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    pairs, trainings = Journal(file.with_name(PAIRS)), Journal(file.with_name(TRAININGS))
    values["pairs"] = list(pairs.read())
    for trained in trainings.read():
        for side, messages in trained.items():
            values["trained"].setdefault(side, []).extend(messages)
    last_ns = max(journal.state()[1] for journal in (pairs, trainings))
    seconds = max(0.0, last_ns / 1e9 - values["about"]["started_s"])
    values["about"] |= {"interrupted": True, "seconds": seconds}
    return values


def _parse(file: Path, read: Callable[[Path], dict[str, Any]]) -> Gate:
    try:
        values = read(file)
        if values.pop("schema") != SCHEMA:
            raise GateError(f"{file}: of another version of the gate; this one reads schema {SCHEMA}")
        settings, pairs = Settings(**values.pop("settings")), [Pair(**pair) for pair in values.pop("pairs")]
        values.pop("decision", None)  # made anew
        if missing := ABOUT - values["about"].keys():
            raise GateError(f"{file}: not a gate's file (about: without {', '.join(sorted(missing))})")
        gate = Gate(settings=settings, pairs=pairs, **values)
        check_gate(gate)
        return gate
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise GateError(f"{file}: not a gate's file ({where}: {first['msg']})") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise GateError(f"{file}: not a gate's file ({' '.join(str(error).split())})") from error


@dataclass(frozen=True)
class StoredTraining:
    """One seed of one trial on one side, as it must be in a file."""

    name: str
    seed: int
    accuracy: Annotated[float, Field(ge=0, le=1)] | None
    reason: str = ""


@dataclass(frozen=True)
class About:
    """What was compared, as it must be in a file."""

    base: str
    head: str
    dirty: bool
    machine: dict[str, Any]
    started_s: Annotated[float, Field(ge=0, lt=1e11)]
    seconds: Annotated[float, Field(ge=0, lt=1e11)]
    notes: list[str]
    benchmarks: list[Benchmark]
    pytest: str = ""
    instructions: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False


def check_gate(gate: Gate) -> None:
    """Raises a `ValueError` for a gate whose values could not have been measured: a damaged file fails here, in one
    line, instead of somewhere in the decision.
    """
    plain = dataclasses.asdict(gate)
    for name, value in plain["settings"].items():
        if name != "accepted":
            check_value(name, value)
    for kind, values in (
        (Settings, plain["settings"]), (list[Pair], plain["pairs"]), (list[str], gate.base_names),
        (list[str], gate.head_names), (dict[str, list[StoredTraining]], gate.trained), (About, gate.about),
    ):  # fmt: skip
        TypeAdapter(kind).validate_python(values)
    for pair in gate.pairs:
        if pair.failed.keys() != {"base", "head"}:
            raise ValueError("a pair's failures are of base and head")
        for name, blocks in pair.blocks.items():
            if not (1 <= pair.iterations[name] < 1e15) or any(
                len(block) < 2 or not all(1e-15 < seconds < 1e9 for seconds in block[:2]) for block in blocks
            ):
                raise ValueError(f"pair {pair.number}: {name}: not times of both sides, in seconds")
