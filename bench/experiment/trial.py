"""A trial: variant, recipe and placement, which together are one row of the result table; and its key.

A trial is frozen and made of plain values. Its key is the same in every process, on every machine and for every file
that it comes from. No torch is imported and no file is read here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from lenet.variant import (
    DATA_SETS,
    LOSSES,
    ChoiceError,
    Recipe,
    Variant,
    check_choice,
    check_loss,
    check_number,
    nearest,
)

DTYPES = {"float32", "bfloat16"}
MEMORY_FORMATS = {"contiguous", "channels_last"}
BACKENDS = {"eager", "compiled", "cuda_graph"}

Phase = Literal["forward", "backward", "step"]
PHASES: tuple[Phase, ...] = get_args(Phase)
"""What of a trial is timed: a forward pass, a backward pass alone, a whole step of the optimiser."""


@dataclass(frozen=True)
class Placement:
    """Where and how a trial runs.

    **Arguments:**

    - `device`: `cpu` or `cuda`.
    - `threads`: intra-op threads of torch, at least 1.
    - `dtype`: `float32`, or `bfloat16` (autocast; weights stay float32).
    - `memory_format`: `contiguous` or `channels_last`.
    - `backend`: `eager`, `compiled` (torch.compile) or `cuda_graph` (a captured training step, replayed; CUDA only).

    Raises `ChoiceError` for an unknown name or a combination that cannot run.
    """

    device: str = "cpu"
    threads: int = 1
    dtype: str = "float32"
    memory_format: str = "contiguous"
    backend: str = "eager"

    def __post_init__(self) -> None:
        check_choice("device", self.device, {"cpu", "cuda"})
        check_number("threads", self.threads, minimum=1, whole=True)
        check_choice("dtype", self.dtype, DTYPES)
        check_choice("memory_format", self.memory_format, MEMORY_FORMATS)
        check_choice("backend", self.backend, BACKENDS)
        if self.backend == "cuda_graph" and self.device != "cuda":
            raise ChoiceError("backend: 'cuda_graph' needs device = 'cuda'; on the CPU take 'eager' or 'compiled'")


SECTIONS: dict[str, type] = {"variant": Variant, "recipe": Recipe, "placement": Placement}
KNOBS: dict[str, str] = {f.name: section for section, cls in SECTIONS.items() for f in dataclasses.fields(cls)}
"""Every knob by name, with the section of the trial that it belongs to. Names are unique across sections."""

ADDED = {"output", "dropout", "loss", "scaling", "fitting", "selection", "augmentation"}
"""Knobs that came after the first records: at their defaults they are left out of the key, so that it stays."""


@dataclass(frozen=True)
class Trial:
    """One row of the result table. Equal trials have equal keys, whatever file or machine they came from."""

    variant: Variant = field(default_factory=Variant)
    recipe: Recipe = field(default_factory=Recipe)
    placement: Placement = field(default_factory=Placement)

    def __post_init__(self) -> None:
        check_loss(self.variant, self.recipe)
        if not self.variant.is_network and (self.placement.device != "cpu" or self.recipe.data == "synthetic"):
            raise ChoiceError(f"architecture: '{self.variant.architecture}' needs device = 'cpu' and real data")

    @property
    def key(self) -> str:
        """16 hexadecimal digits: a hash of the trial's canonical JSON."""
        sections = {
            name: {
                f.name: value
                for f in dataclasses.fields(cls)
                if (value := getattr(getattr(self, name), f.name)) != f.default or f.name not in ADDED
            }
            for name, cls in SECTIONS.items()
        }
        canonical = json.dumps(sections, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Sections of plain values, for JSON."""
        return dataclasses.asdict(self)

    def knobs(self) -> dict[str, Any]:
        """Every knob and its value in one flat mapping."""
        return {knob: value for section in self.to_dict().values() for knob, value in section.items()}

    @classmethod
    def from_dict(cls, sections: Mapping[str, Mapping[str, Any]]) -> Trial:
        """The inverse of `to_dict`. Raises `ChoiceError` for values that are no longer allowed."""
        return cls(
            variant=Variant(**sections["variant"]),
            recipe=Recipe(**sections["recipe"]),
            placement=Placement(**sections["placement"]),
        )

    @classmethod
    def from_knobs(cls, knobs: Mapping[str, Any]) -> Trial:
        """A trial from a flat mapping; what is not named takes its default, or the architecture's own.

        Channels and classes follow the data set unless they are given or the data is synthetic; the loss follows the
        network's output. Raises `ChoiceError` for an unknown knob (with the nearest right name) or value.
        """
        values = dict(knobs)
        for knob in values:
            if knob not in KNOBS:
                raise ChoiceError(f"unknown knob '{knob}'; {nearest(knob, KNOBS)}")
        data = values.get("data", Recipe.data)
        if isinstance(data, str) and data in DATA_SETS:
            shape = DATA_SETS[data]
            for knob, value in (("channels", shape.channels), ("classes", shape.classes)):
                if values.setdefault(knob, value) != value:
                    raise ChoiceError(f"{knob}: {values[knob]!r}, but '{data}' has {value}; leave {knob} out")
        variant = Variant.make(**{k: v for k, v in values.items() if KNOBS[k] == "variant"})
        values.setdefault("loss", LOSSES[variant.output][0])
        return cls(
            variant=variant,
            recipe=Recipe(**{k: v for k, v in values.items() if KNOBS[k] == "recipe"}),
            placement=Placement(**{k: v for k, v in values.items() if KNOBS[k] == "placement"}),
        )
