"""Pairs made from given log ratios, and noises to draw them from: the gate's decision is tested without timing."""

import math

import numpy as np

from bench.gate.decision import decide, run_gate
from bench.gate.pairs import Benchmark, Pair
from bench.gate.settings import Settings
from bench.gate.sides.channel import CONTROL

TRIALS = ("relu_16", "relu_64", "tanh_16", "tanh_64")
NAMES = [f"{trial}/{phase}" for trial in TRIALS for phase in ("forward", "backward", "step")]
BENCHMARKS = [Benchmark(name, name.partition("/")[2], {}) for name in NAMES]


def make_pair(stage, number, d, failed=None):
    """One pair: `d` is log(head / base) by benchmark, `failed` the reasons by side."""
    blocks = {name: [[1e-3, 1e-3 * math.exp(value), 1e-3, 1e-3, 1.0]] for name, value in d.items()}
    sides = {side: dict((failed or {}).get(side, {})) for side in ("base", "head")}
    return Pair(stage, number, "base", "head", 0, dict.fromkeys(d, 1), blocks, sides)


class Scripted:
    """A `Measure` that answers with drawn log ratios.

    **Arguments:**

    - `draw`: given a generator, the log ratios of one pair for all names and the control, as an array.
    - `shifts`: log slowdowns by name, added to what is drawn. `failed`: reasons by side, then by benchmark.
    """

    def __init__(self, draw, seed=0, shifts=None, failed=None):
        self.draw, self.random = draw, np.random.default_rng(seed)
        self.shifts, self.failed = shifts or {}, failed or {}
        self.calls = []

    def __call__(self, stage, count, benchmarks):
        names = [one.name for one in benchmarks]
        self.calls.append((stage, count, names))
        broken = {name for side in self.failed.values() for name in side}
        pairs = []
        for number in range(count):
            drawn = dict(zip([*NAMES, CONTROL], self.draw(self.random), strict=True))
            d = {n: drawn[n] + self.shifts.get(n, 0.0) for n in [*names, CONTROL] if n not in broken}
            pairs.append(make_pair(stage, number, d, self.failed))
        return pairs


def normal(spread):
    return lambda random: random.normal(0, spread, len(NAMES) + 1)


def heavy_tailed(spread):
    return lambda random: spread * random.standard_t(3, len(NAMES) + 1)


def bimodal(spread):
    """Each process falls into a fast or a slow layout, for all its benchmarks alike."""

    def draw(random):
        mode = random.integers(0, 2) - random.integers(0, 2)
        return 3 * spread * mode + random.normal(0, spread, len(NAMES) + 1)

    return draw


def drifting(spread, flip=True):
    """The machine slows down all the time, so that whoever runs second is slower; who does is a coin flip."""

    def draw(random):
        favour = random.choice((-1.0, 1.0)) if flip else 1.0
        return favour * abs(random.normal(2 * spread, spread)) + random.normal(0, spread, len(NAMES) + 1)

    return draw


NOISES = {"normal": normal, "heavy_tailed": heavy_tailed, "bimodal": bimodal, "drifting": drifting}


def decide_scripted(measure, settings=None, base=NAMES, head=NAMES, trained=None):
    """A whole gate of scripted pairs, and its decision."""
    settings = settings or Settings()
    pairs = run_gate(settings, [one for one in BENCHMARKS if one.name in base and one.name in head], measure)
    return decide(settings, pairs, base, head, trained or {})


def made_training(name, seed, accuracy, reason=""):
    """What a side says of one seed."""
    return {"name": name, "seed": seed, "accuracy": accuracy, "reason": reason}


def made_trainings(drops, seeds=12, name="one", random=None):
    """Both sides' trainings: head's accuracy is lower by each of `drops`."""
    random = random or np.random.default_rng(0)
    base = [0.97 + 0.005 * random.standard_normal() for _ in range(seeds)]
    head = [score - drop for score, drop in zip(base, drops, strict=True)]
    return {side: [made_training(name, seed, score) for seed, score in enumerate(scores)]
            for side, scores in (("base", base), ("head", head))}  # fmt: skip
