"""From the recorded gates to README.md and power.png, ours beside the rules of other tools on the same blocks.

    .venv/bin/python experiments/gate_error_rates/summarise.py

Every line of runs.jsonl counts. Runs that went wrong are listed; none is left out for what it found.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import peers
from measure import BUSY, GATE, LOAD_S, QUIET, RESULTS
from mistakes import is_right
from scipy.stats import binomtest

from bench.gate.settings import fits
from bench.text.markdown import Markdown, escape, write_table

OURS = "lenet-bench gate"
TARGETS = {0.02: 17 / 20, 0.03: 19 / 20, 0.05: 1.0, 0.1: 1.0}
Run = dict[str, Any]


def read_runs(folder: Path) -> tuple[list[Run], list[Run]]:
    """Runs that measured, each with what every rule flags (`flagged`), and runs that went wrong."""
    runs = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    good = [run for run in runs if "raw" in run]
    for run in good:
        pairs = json.loads(gzip.decompress((folder / run["raw"]).read_bytes()))
        ours = [name for name, verdict in run["verdicts"].items() if verdict[0] == "slower"]
        if run["outcome"] == "no verdict":
            ours = []
        run["flagged"] = {OURS: ours, **{rule: peers.flagged(pairs, rule) for rule in peers.RULES}}
    return good, [run for run in runs if "raw" not in run]


def share(found: int, of: int) -> Markdown:
    """`3 of 40, 7.5% [1.6, 20.4]`, the bounds of Clopper and Pearson at 95 %."""
    if not of:
        return Markdown("none yet")
    low, high = binomtest(found, of).proportion_ci(0.95, "exact")
    return Markdown(f"{found} of {of}, {100 * found / of:.3g}% [{100 * low:.1f}, {100 * high:.1f}]")


def count_found(runs: list[Run], rule: str) -> int:
    """Runs in which the slowed benchmark is flagged."""
    return sum(run["victim"] in run["flagged"][rule] for run in runs)


def count_wrong(runs: list[Run], rule: str) -> int:
    """Runs in which something is flagged that was not slowed."""
    return sum(bool(set(run["flagged"][rule]) - {run["victim"]}) for run in runs)


def write_readme(folder: Path, runs: list[Run], broken: list[Run]) -> None:
    """The report."""
    same = [run for run in runs if not run["slowdown"]]
    slowed = {size: [run for run in runs if run["slowdown"] == size] for size in TARGETS}
    minutes = [run["seconds"] / 60 for run in runs]
    machines = collections.Counter(
        "{cpu}, torch {torch}, Python {python}, Linux {kernel}; cores that a gate could use: {cores}".format(
            **run["machine"]
        )
        for run in runs
    )
    lines = [
        "# Error rates of the gate, counted", "",
        "Made by `experiments/gate_error_rates/summarise.py` from `runs.jsonl`; raw blocks in `raw/`. Shares with "
        "their 95 % bounds (Clopper and Pearson), in percent.", "",
        *(f"- machine: {name} ({count} runs)" for name, count in machines.items()),
        f"- beside {sum(run['load'] == BUSY for run in runs)} of {len(runs)} runs a process kept one core busy for "
        f"{LOAD_S:.0f} s, then idle for as long, and so on; beside {sum(run['load'] == GATE for run in runs)} another "
        "gate of this campaign ran all the time, each on a core of its own",
        f"- load average when runs began: median {statistics.median(run['load_average'][0] for run in runs):.1f}, "
        f"highest {max(run['load_average'][0] for run in runs):.1f}",
        f"- time a run: median {statistics.median(minutes):.1f} min, longest {max(minutes):.1f} min; on equal code "
        + (f"{statistics.median(run['seconds'] / 60 for run in same):.1f} min" if same else "none yet"),
        f"- runs that went wrong, and count in no table: {len(broken)}"
        + "".join(f"\n  - run {run['number']}: {run['error']}" for run in broken), "",
        "## Ours", "",
    ]  # fmt: skip
    unjudged = sum(run["outcome"] == "no verdict" for run in same)
    worse = sum("worse" in run["accuracy"].values() for run in same)
    ours = [
        ["equal code fails", len(same), share(count_wrong(same, OURS), len(same)), "0 in at least 40"],
        ["equal code gets no verdict", len(same), share(unjudged, len(same)), "at most 5 %"],
        ["equal code fails in accuracy", len(same), share(worse, len(same)), "0"],
    ]
    for size, some in slowed.items():
        note = " (floor and routing 1 %)" if size == 0.02 else ""
        found = share(count_found(some, OURS), len(some))
        ours.append([f"{size:.0%} slower is found{note}", len(some), found, f"{TARGETS[size]:.0%}"])
    every = [run for some in slowed.values() for run in some]
    judged = [(run, run["verdicts"].get(run["victim"], [None, None])[1]) for run in every]
    errors = [(run["kind"], 100 * (ratio - 1 - run["share"])) for run, ratio in judged if ratio]
    points = [error for _, error in errors]
    ours.append(["another benchmark is called slower", len(every), share(count_wrong(every, OURS), len(every)), "none"])
    lines += [
        *write_table(["", "runs", "share", "target"], ours),
        "", "Estimate less true share of the extra work, in points: "
        + (f"median {statistics.median(points):+.2f}, median size "
           f"{statistics.median(map(abs, points)):.2f} (target: within 1)" if points else "none yet"), "",
        "## By what ran beside it", "",
    ]  # fmt: skip
    beside = []
    for title, some, count in [("equal code fails", same, count_wrong)] + [
        (f"{size:.0%} found", some, count_found) for size, some in slowed.items()
    ]:
        parts = [[run for run in some if run["load"] == load] for load in (QUIET, BUSY, GATE)]
        beside.append([title, *(share(count(part, OURS), len(part)) for part in parts)])
    parts = [[run["seconds"] / 60 for run in same if run["load"] == load] for load in (QUIET, BUSY, GATE)]
    cells = [f"median {statistics.median(part):.1f}, longest {max(part):.1f}" if part else "none yet" for part in parts]
    beside.append(["minutes on equal code", *cells])
    lines += [
        *write_table(["", "nothing", "one core busy half of the time", "another gate"], beside),
        "", "## The rules of other tools on the same blocks", "",
        "From the eight screening pairs, interleaved and in fresh processes, which is kinder to most of them than "
        "their own sampling; see `experiments/gate_error_rates/peers.py` for what each is given. A false alarm is any "
        "of the suite's benchmarks called slower on equal code.", "",
    ]  # fmt: skip
    headers = ["rule", "from", "false alarm on equal code", *(f"{size:.0%} found" for size in slowed)]
    by_rule = [
        [
            rule,
            peers.SOURCES.get(rule, "this repository"),
            share(count_wrong(same, rule), len(same)),
            *(share(count_found(some, rule), len(some)) for some in slowed.values()),
            share(count_wrong(every, rule), len(every)),
        ]
        for rule in (OURS, *peers.RULES)
    ]
    lines += write_table([*headers, "another called slower"], by_rule)
    lines += describe_resampled(folder / "resampled.json")
    lines += describe_mistakes(folder / "mistakes.jsonl")
    settings = runs[0]["settings"]
    kinds = {kind: [error for one, error in errors if one == kind] for kind in sorted({kind for kind, _ in errors})}
    lines += ["", "![power](power.png)", "", "## Settings", ""]
    lines += [", ".join(f"{key} {value}" for key, value in settings.items()), ""]
    lines += [
        "Estimate less true share by the kind of extra work (`bench/injection.py`), in points, in the median: "
        + ", ".join(f"{kind} {statistics.median(some):+.2f} ({len(some)} runs)" for kind, some in kinds.items())
    ]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def describe_resampled(file: Path) -> list[str]:
    """What `resample.py` found."""
    if not file.exists():
        return []
    content = json.loads(file.read_text())
    lines = [
        "", "## Resampled, not run", "",
        f"Gates drawn by `experiments/gate_error_rates/resample.py` from the {content['pool']} screening pairs of the "
        "runs on equal code, with the slowdown multiplied in. The pairs repeat, so the bounds are of the drawing only.",
        "",
    ]  # fmt: skip
    rows = []
    for one in content["counts"]:
        found, others, none = (share(one[key], one["gates"]) for key in ("found", "others", "no_verdict"))
        size = f"{one['slowdown']:.0%}" if one["slowdown"] else "none"
        rows.append([size, f"{one['floor']:.1%}", found if one["slowdown"] else "", others, none])
    headers = ["slowdown of one benchmark", "floor", "found", "another called slower", "no verdict"]
    return lines + write_table(headers, rows)


def describe_mistakes(file: Path) -> list[str]:
    """What `mistakes.py` found."""
    if not file.exists():
        return []
    lines = [
        "", "## Mistakes that people make", "",
        "Each a real commit, made by `experiments/gate_error_rates/mistakes.py`. What is slower by less than the floor "
        "passes, whoever makes it.", "",
    ]  # fmt: skip
    rows = []
    for one in map(json.loads, file.read_text().splitlines()):
        verdicts = one.get("verdicts", {})
        slower = [name for name, verdict in verdicts.items() if verdict[0] == "slower"]
        ratios = [verdict[1] for name, verdict in verdicts.items() if fits(name, one["slowed"] or "*") and verdict[1]]
        slowed = Markdown(f"`{one['slowed']}`" if one["slowed"] else "nothing")
        cells = [
            Markdown(f"{escape(one['name'])} in `{one['file']}`"), slowed,
            one.get("outcome", one.get("error")), ", ".join(slower) or "none",
            f"{max(ratios) - 1:+.1%}" if ratios else "", "yes" if is_right(one) else "no",
            f"{one['seconds'] / 60:.1f}",
        ]  # fmt: skip
        rows.append(cells)
    headers = [
        "the change", "may slow", "outcome", "named", "largest estimate of these", "as it should be", "min",
    ]  # fmt: skip
    return lines + write_table(headers, rows)


def draw(folder: Path, runs: list[Run]) -> None:
    """Power against slowdown, and the suite's false alarms at 0."""
    sizes = [size for size in (0.0, *TARGETS) if any(run["slowdown"] == size for run in runs)]
    figure, axes = plt.subplots(figsize=(9.2, 4.4), layout="constrained")
    for place, rule in enumerate((OURS, *peers.RULES)):
        points, low, high = [], [], []
        for size in sizes:
            some = [run for run in runs if run["slowdown"] == size]
            found = (count_found if size else count_wrong)(some, rule)
            bounds = binomtest(found, len(some)).proportion_ci(0.95, "exact")
            points.append(found / len(some))
            low.append(points[-1] - bounds.low)
            high.append(bounds.high - points[-1])
        shifted = [100 * size + 0.06 * (place - 2.5) for size in sizes]
        style = {"linewidth": 2.4, "color": "black", "zorder": 9} if rule == OURS else {"linewidth": 1.1, "alpha": 0.8}
        axes.errorbar(shifted, points, yerr=[low, high], marker="o", markersize=4, capsize=2, label=rule, **style)
    axes.set_xlabel("slowdown of one benchmark, % (0: none; share of suites with a false alarm)")
    axes.set(ylabel="share flagged", ylim=(-0.03, 1.03), title="What is found, and what is only noise")
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside right upper")
    figure.savefig(folder / "power.png", dpi=130)


def main() -> None:
    """Reads, writes, says where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    folder = parser.parse_args().results
    runs, broken = read_runs(folder)
    if not runs:
        raise SystemExit(f"{folder}/runs.jsonl: no run to summarise yet; measure.py makes some")
    write_readme(folder, runs, broken)
    draw(folder, runs)
    print(f"{len(runs)} runs: {folder}/README.md, {folder}/power.png")


if __name__ == "__main__":
    main()
