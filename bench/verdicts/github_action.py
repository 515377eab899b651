"""github-action-benchmark, `tool: customSmallerIsBetter`: a list of `name`, `unit`, `value`, `range`, `extra`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.text.json_text import strict_json
from bench.verdicts.verdict import Verdict


def write_github_action_benchmark(header: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """The head's times in milliseconds; benchmarks without a time at the head are left out, as the tool has no word
    for them. `range` is the standard deviation over repeats.
    """
    entries = []
    for one in verdicts:
        if not one.head_s:
            continue
        entry: dict[str, Any] = {"name": one.name, "unit": "ms", "value": one.head_middle_s * 1e3}
        if len(one.head_s) > 1:
            entry["range"] = f"{statistics.stdev(one.head_s) * 1e3:.3g}"
        entry["extra"] = "\n".join(part for part in (f"base: {header.get('base', '')}", one.sentence) if part)
        entries.append(entry)
    return strict_json(entries)
