"""The gate tried on the machine at hand: one gate on identical code, and one on code with real extra work in it.

A request goes in; lines for people come out, and whether both gates were right. Two gates are an example, not an error
rate: `experiments/gate_error_rates/` counts those.
"""

from __future__ import annotations

import dataclasses
import random
import tempfile
from pathlib import Path

from bench.errors import GateError
from bench.gate.decision import PASS, REGRESSION, differences
from bench.gate.gate import compare_trees, open_gate
from bench.gate.injection import KINDS, PHASES, add_comment, slow_down
from bench.gate.pairs import Benchmark
from bench.gate.plan import Request
from bench.gate.stored import Gate
from bench.statistics.paired import spread
from bench.verdicts.verdict import SLOWER
from bench.watcher import Watcher

SHARE = 0.05


def run_self_test(request: Request, watcher: Watcher) -> tuple[list[str], bool]:
    """Runs both gates on the head of the checkout and says what they found. Raises as `gate.execute` does."""
    request = dataclasses.replace(request, base=request.head if request.head != "." else "HEAD", head="HEAD")
    if request.pytest:
        raise GateError("--self-test puts extra work into this project's networks; it does not go with --pytest")
    with open_gate(request, watcher) as opened:
        trees = dataclasses.replace(opened, dirty=True)
        add_comment(trees.path("head"))
        watcher.say("first gate: nothing but a comment differs")
        folder, same = compare_trees(trees, request, watcher)
        lines = [f"identical code: {same.decide().outcome} ({folder}/)", *describe_noise(same)]
        candidates = [Benchmark(**one) for one in same.about["benchmarks"] if one["phase"] in PHASES]
        if not candidates:
            raise GateError(f"extra work goes into a forward pass; no benchmark times one of {', '.join(PHASES)}")
        victim, kind = random.choice(candidates), random.choice(list(KINDS))
        with tempfile.TemporaryDirectory(dir=trees.folder) as logs:
            amount, share = slow_down(trees, victim, kind, SHARE, Path(logs))
        watcher.say(f"second gate: {victim.name} does extra work ({kind} {amount}), {share:.1%} of its time")
        folder, slowed = compare_trees(trees, request, watcher)
    decision = slowed.decide()
    found = {one.name: one for one in decision.verdicts if one.verdict == SLOWER}
    seen = next((one.change for one in decision.verdicts if one.name == victim.name), "nothing")
    others = sorted(found.keys() - {victim.name})
    lines += [
        f"{victim.name} slowed by {share:.1%}: {decision.outcome}, estimated {seen} ({folder}/)",
        f"others called slower: {', '.join(others) or 'none'}",
    ]
    right = same.decide().outcome == PASS and decision.outcome == REGRESSION and list(found) == [victim.name]
    return [*lines, "both gates were right" if right else "NOT both gates were right on this machine"], right


def describe_noise(gate: Gate) -> list[str]:
    """How much d scatters from pair to pair, and what that lets the gate see."""
    d = differences(gate.pairs, gate.head_names)
    spreads = [spread(d[:, column]) for column in range(d.shape[1])]
    typical, worst = gate.decide().detectable
    return [
        f"noise from pair to pair: {min(spreads):.1%} to {max(spreads):.1%}",
        f"a slowdown of {typical:.1%} (the noisiest benchmark: {worst:.1%}) is found in 9 runs of 10",
    ]
