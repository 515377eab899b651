"""A gate in words: the header that the formats print around its verdicts, with what to do next.

A gate and its decision go in; plain values and the files that were asked for come out. It judges nothing.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.gate.decision import PASS, REGRESSION, Decision
from bench.gate.instructions import describe_instructions
from bench.gate.stored import Gate
from bench.text.json_text import strict_json
from bench.text.numbers import format_change, format_minutes
from bench.verdicts.files import write_file, write_files
from bench.verdicts.verdict import SLOWER

RAW = ("base_s", "head_s")  # of a verdict: they come from the pairs
TITLES = {PASS: "PASS", REGRESSION: "FAIL"}


def make_header(gate: Gate, decision: Decision) -> dict[str, Any]:
    """The header of `bench.verdicts.verdict`: outcome, what was compared, how well it could be, and what to do next."""
    about, settings = gate.about, gate.settings
    pairs = {stage: sum(pair.stage == stage for pair in gate.pairs) for stage in ("screen", "confirm", "extend")}
    seconds = about["seconds"]
    return {
        "title": f"lenet-bench gate: {TITLES.get(decision.outcome, 'NO VERDICT')}",
        "outcome": decision.outcome,
        "summary": f"{TITLES.get(decision.outcome, 'NO VERDICT')}: {decision.why}",
        "base": about["base"][:12],
        "head": about["head"][:12] + (" and the changes in the working tree" if about["dirty"] else ""),
        "commit": about["head"],
        "machine": about["machine"],
        "started_s": about["started_s"],
        "settings": {
            "alpha": f"{settings.alpha:g}",
            "floor": f"{settings.floor:.1%}",
            "tolerance": f"{settings.tolerance:.1%}",
            "pairs": ", ".join(f"{count} {stage}" for stage, count in pairs.items() if count),
            "time": format_minutes(seconds),
        },
        "accuracy": decision.accuracies,
        "notes": [
            *about["notes"],
            *_resolution(decision),
            *describe_instructions(about.get("instructions", []), decision.verdicts),
            *_next(gate, decision),
        ],
    }


def _resolution(decision: Decision) -> list[str]:
    typical, worst = decision.detectable
    lines = []
    if not math.isnan(typical):
        lines.append(
            f"with this noise a slowdown of {typical:.1%} (the noisiest benchmark: {worst:.1%}) fails in 9 runs of 10"
        )
    if control := format_change(*decision.control):
        lines.append(f"control, the same on both sides: {control}")
    return lines


def _next(gate: Gate, decision: Decision) -> list[str]:
    if decision.outcome == PASS:
        return []
    if decision.outcome != REGRESSION:
        again = "no verdict is no pass: run it again"
        if gate.about.get("interrupted"):
            return [again]
        return [f"{again}, on a machine that does nothing else"] if gate.pairs else []
    slower = [one.name for one in decision.verdicts if one.verdict == SLOWER]
    if not slower:
        return []
    head = "." if gate.about["dirty"] else gate.about["head"][:12]
    suite = ["--pytest", gate.about["pytest"]] if gate.about.get("pytest") else []
    command = ["lenet-bench", "gate", "--base", gate.about["base"][:12], "--head", head, *suite, "--only", slower[0]]
    return [
        f"to measure only this one again: {shlex.join(command)}",
        'to accept it, in pyproject.toml under [tool.lenet-bench.gate]: accepted = [{ benchmark = "'
        + slower[0]
        + '", reason = "...", until = 2027-01-31 }]',
    ]


def write_gate_json(gate: Gate, decision: Decision) -> str:
    """Every raw block with what was decided of it: `lenet-bench gate analyse` decides the same from this file again."""
    verdicts = [{k: v for k, v in dataclasses.asdict(one).items() if k not in RAW} for one in decision.verdicts]
    return strict_json({**gate.to_dict(), "decision": {**dataclasses.asdict(decision), "verdicts": verdicts}})


def write_gate_files(
    gate: Gate, decision: Decision, header: Mapping[str, Any], files: Mapping[str, Path | None]
) -> None:
    """The formats that were asked for, as `bench.verdicts.files.write_files` does, and the gate's own JSON. Raises
    `RecordError`.
    """
    if path := files.get("json"):
        write_file(path, write_gate_json(gate, decision))
    write_files(header, decision.verdicts, {**files, "json": None})
