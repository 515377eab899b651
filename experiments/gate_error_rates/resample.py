"""Many more gates than there is time to run, drawn from the pairs that were recorded. A lead, not a result.

    .venv/bin/python experiments/gate_error_rates/resample.py --gates 400

The screening pairs of all runs on equal code are the pool: each is drawn whole, with replacement, so that what the
benchmarks and the control of a pair have in common stays. A slowdown multiplies the times of one benchmark's head. The
decision is the gate's own. It writes `resampled.json`; `summarise.py` puts it beside what was counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import math
import random
from pathlib import Path
from typing import Any

from measure import RESULTS

from bench.gate.decision import NO_VERDICT, REGRESSION, decide, differences, run_gate
from bench.gate.pairs import Benchmark, Pair
from bench.gate.settings import Settings
from bench.gate.sides.channel import CONTROL
from bench.verdicts.verdict import SLOWER

SIZES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1)
Draws = list[dict[str, float]]


def read_pool(folder: Path) -> Draws:
    """By pair and benchmark the gate's own datum, from the screens of runs on equal code."""
    pool: Draws = []
    for run in map(json.loads, (folder / "runs.jsonl").read_text().splitlines()):
        if run["slowdown"] or "raw" not in run:
            continue
        for pair in json.loads(gzip.decompress((folder / run["raw"]).read_bytes())):
            if pair["stage"] == "screen" and not pair["died"]:
                names = list(pair["blocks"])
                (row,) = differences([Pair("screen", 0, "base", "base", 0, pair["iterations"], pair["blocks"])], names)
                pool.append(dict(zip(names, row.tolist(), strict=True)))
    return pool


def list_names(pool: Draws) -> list[str]:
    """The benchmarks that all pairs have, without the control."""
    return sorted(set.intersection(*map(set, pool)) - {CONTROL})


def gate(pool: Draws, settings: Settings, victim: str, slowdown: float, draw: random.Random) -> tuple[str, set[str]]:
    """One resampled gate: its outcome and what it calls slower."""
    names = list_names(pool)

    def measure(stage: str, count: int, benchmarks: Any) -> list[Pair]:
        pairs = []
        for number, drawn in enumerate(draw.choices(pool, k=count)):
            blocks = {}
            for name in [CONTROL, *(one.name for one in benchmarks)]:
                extra = 1 + slowdown if name == victim else 1.0
                blocks[name] = [[1.0, extra * math.exp(drawn[name]), 0.0, 0.0, 1]]
            pairs.append(Pair(stage, number, "base", "base", 0, dict.fromkeys(blocks, 1), blocks))
        return pairs

    pairs = run_gate(settings, [Benchmark(name) for name in names], measure)
    decision = decide(settings, pairs, names, names, {})
    slower = {one.name for one in decision.verdicts if one.verdict == SLOWER}
    return decision.outcome, slower if decision.outcome == REGRESSION else set()


def count(pool: Draws, size: float, gates: int) -> dict[str, Any]:
    """What so many resampled gates found of a slowdown; below 3 % with floor and routing threshold at half of it."""
    settings = Settings()
    if 0 < size < 0.03:
        settings = dataclasses.replace(settings, floor=size / 2, routing=size / 2)
    draw = random.Random(round(1e6 * size))
    names = list_names(pool)
    found = others = no_verdict = 0
    for _ in range(gates):
        victim = draw.choice(names) if size else ""
        outcome, slower = gate(pool, settings, victim, size, draw)
        found += victim in slower
        others += bool(slower - {victim})
        no_verdict += outcome == NO_VERDICT
    return {"slowdown": size, "floor": settings.floor, "gates": gates, "found": found, "others": others,
            "no_verdict": no_verdict}  # fmt: skip


def main() -> None:
    """Reads, draws, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=400)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    pool = read_pool(arguments.results)
    if not pool:
        raise SystemExit(f"{arguments.results}: no run on equal code to draw from yet; measure.py makes some")
    counts = [count(pool, size, arguments.gates) for size in SIZES]
    text = json.dumps({"pool": len(pool), "counts": counts}, indent=1)
    (arguments.results / "resampled.json").write_text(text + "\n", encoding="utf-8")
    print(f"{len(pool)} pairs: {arguments.results}/resampled.json")


if __name__ == "__main__":
    main()
