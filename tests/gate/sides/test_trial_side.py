"""The side that runs phases of trials, as a real process. What it trains is held in tests/measure/test_learn.py."""

import os
import re

from fakes.judged_side import ROOT, TRIAL, Side

METHOD = {**TRIAL, "variant": {**TRIAL["variant"], "architecture": "nothing"}}


def task(tree, *benchmarks):
    entries = [{"name": name, "phase": phase, "trial": trial} for name, phase, trial in benchmarks]
    return {
        "kind": "time",
        "tree": str(tree),
        "threads": 1,
        "core": min(os.sched_getaffinity(0)),
        "benchmarks": entries,
    }


def test_it_builds_what_it_can_and_obeys_until_its_input_closes():
    benchmarks = [("step", "step", TRIAL), ("forward", "forward", TRIAL), ("bad", "step", METHOD)]
    with Side("trial_side", task(ROOT, *benchmarks)) as side:
        assert [side.hear() for _ in benchmarks] == [{"kind": "building", "benchmark": name} for name, *_ in benchmarks]
        ready = side.hear()
        assert ready["kind"] == "ready"
        assert list(ready["failed"]) == ["bad"]
        assert ready["failed"]["bad"].startswith("architecture: unknown value 'nothing'")
        assert os.sched_getaffinity(side.process.pid) == {min(os.sched_getaffinity(0))}
        for name in ("control", "forward", "step"):
            assert side.ask("warm_up", name)["seconds"] > 0
            block = side.ask("block", name, iterations=3)
            assert block["kind"] == "block"
            assert block["seconds"] > 0
            assert side.ask("end", name) == {"kind": "ended"}
        assert side.ask("block", "unknown", iterations=1) == {"kind": "failed", "reason": "KeyError: 'unknown'"}
        assert side.end()[:2] == (0, "")


def test_networks_from_elsewhere_are_not_judged(tmp_path):
    with Side("trial_side", task(tmp_path, ("step", "step", TRIAL))) as side:
        broken = side.hear()
        assert broken["kind"] == "broken"
        assert re.match(rf"RuntimeError: lenet[.\w]* was imported from {ROOT}/lenet/", broken["reason"])
        assert broken["reason"].endswith(f"not from {tmp_path.resolve()}")
