"""Made-up noise whose truth is known, for tests that count how often a statement is wrong."""

import functools

import numpy as np

PROCESS_NOISE = ("normal", "heavy", "bimodal", "drifting", "bursty")


def processes(kind, runs, count, rounds, random):
    """Log seconds (runs, processes, rounds) whose expected median over rounds, averaged over processes, is 0.

    normal: 1.5 % from process to process, 3 % from round to round. heavy: the same, Student's t with 3 degrees of
    freedom. bimodal: one process in five is 15 % slower. drifting: the machine wanders as an AR(1) process, 2 %.
    bursty: one round in ten takes half as long again.
    """
    shape = (runs, count, 1)
    between = 0.015 * random.standard_normal(shape)
    within = 0.03 * random.standard_normal((runs, count, rounds))
    if kind == "heavy":
        between = 0.015 * random.standard_t(3, shape)
        within = 0.03 * random.standard_t(3, (runs, count, rounds))
    elif kind == "bimodal":
        slow = np.log(1.15)
        between = between + slow * (random.random(shape) < 0.2) - 0.2 * slow
    elif kind == "drifting":
        within = within + wander(runs, count * rounds, 0.02, 0.98, random).reshape(runs, count, rounds)
    elif kind == "bursty":
        within = within + np.log(1.5) * (random.random(within.shape) < 0.1)
        within -= bursty_median(rounds)
    return between + within


@functools.cache
def bursty_median(rounds, draws=200_000):
    """The expected median of so many bursty rounds, found by drawing many."""
    random = np.random.default_rng(7)
    sample = 0.03 * random.standard_normal((draws, rounds)) + np.log(1.5) * (random.random((draws, rounds)) < 0.1)
    return float(np.median(sample, axis=1).mean())


def wander(runs, steps, spread, memory, random):
    """(runs, steps) of an AR(1) process with this standard deviation."""
    values = np.empty((runs, steps))
    values[:, 0] = spread * random.standard_normal(runs)
    for step in range(1, steps):
        pushed = spread * np.sqrt(1 - memory**2) * random.standard_normal(runs)
        values[:, step] = memory * values[:, step - 1] + pushed
    return values


def blocks(kind, pairs, benchmarks, random, alternations=8, coin=True):
    """Log seconds (pairs, benchmarks, alternations, side) of pairs of processes that time identical code.

    What a process draws (1.5 %) and each block adds (3 %), as `kind` says, is different on the two sides; drift and
    bursts belong to the moment and hit all benchmarks. Which side goes first is a coin flip; without `coin` the base
    always does, and the head's blocks come after all of the base's.
    """
    heavy = kind == "heavy"
    draw = (lambda shape: random.standard_t(3, shape)) if heavy else random.standard_normal
    process = 0.015 * draw((pairs, 1, 1, 2)) + 0.01 * draw((pairs, benchmarks, 1, 2))
    if kind == "bimodal":
        process = process + np.log(1.15) * (random.random((pairs, 1, 1, 2)) < 0.2)
    times = process + 0.03 * draw((pairs, benchmarks, alternations, 2))
    steps = 2 * alternations
    moment = np.zeros((pairs, steps))
    if kind == "drifting":
        moment = moment + np.linspace(0, 0.05, steps)  # the processor warms up during each pair
        moment = moment + wander(1, pairs * steps, 0.03, 0.95, random).reshape(pairs, steps)
    if kind == "bursty":
        starts = random.random((pairs, steps)) < 0.05
        moment = moment + np.log(1.5) * (starts | np.roll(starts, 1, axis=1))
    place = np.arange(alternations)
    if coin:
        first = random.integers(0, 2, (pairs, alternations))
        places = 2 * place[None, :, None] + np.stack([first, 1 - first], axis=-1)
    else:
        places = np.broadcast_to(np.stack([place, alternations + place], axis=-1), (pairs, alternations, 2))
    when = np.take_along_axis(moment[:, None, :], places.reshape(pairs, 1, -1), axis=2)
    return times + when.reshape(pairs, 1, alternations, 2)


def pair_differences(times):
    """(pairs, benchmarks): the median over alternations of log(head / base)."""
    return np.median(times[..., 1] - times[..., 0], axis=2)
