"""A gate in words: the header that the formats print around its verdicts, with what to do next.

A gate and its decision go in, plain values come out. It judges nothing and writes no file but the job summary.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.formats.markdown import write_markdown
from bench.gate import PASS, REGRESSION, Decision
from bench.gate_run import Gate
from bench.verdict import SLOWER

TITLES = {PASS: "PASS", REGRESSION: "FAIL"}


def make_header(gate: Gate, decision: Decision) -> dict[str, Any]:
    """The header of `bench.verdict`: outcome, what was compared, how well it could be, and what to do next."""
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
            "time": f"{seconds / 60:.1f} min",
        },
        "accuracy": decision.accuracies,
        "notes": [*about["notes"], *_resolution(decision), *_next(gate, decision)],
    }


def _resolution(decision: Decision) -> list[str]:
    typical, worst = decision.detectable
    ratio, low, high = decision.control
    lines = []
    if not math.isnan(typical):
        lines.append(
            f"with this noise a slowdown of {typical:.1%} (the noisiest benchmark: {worst:.1%}) fails in 9 runs of 10"
        )
    if not math.isnan(ratio):
        lines.append(f"control, the same on both sides: {ratio - 1:+.1%} [{low - 1:+.1%}, {high - 1:+.1%}]")
    return lines


def _next(gate: Gate, decision: Decision) -> list[str]:
    if decision.outcome == PASS:
        return []
    if decision.outcome != REGRESSION:
        return ["no verdict is no pass: run it again, on a machine that does nothing else"]
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


def append_job_summary(header: Mapping[str, Any], decision: Decision) -> None:
    """Adds the Markdown to the file that `GITHUB_STEP_SUMMARY` names, if it names one."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as summary:
            summary.write(write_markdown(header, decision.verdicts))
