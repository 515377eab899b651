"""Error against rejected share: the places of a network's errors in, curves and the share to reject out.

A network that may refuse answers the images it is surest of; LeCun et al. 1990 report how many it must refuse for 1 %
of error on the rest. Records hold the places of the errors, least sure first (`lenet.training.rank_errors`), and those
are the whole curve.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bench.records.record import Record, SeedResult
from bench.statistics.intervals import UNKNOWN, Estimate, mean_interval
from lenet.variant import DATA_SETS, SURENESS

Array = npt.NDArray[np.float64]

TARGETS = {"1pct": 0.01, "05pct": 0.005}
"""The errors on the answered images that the tables report the rejected share for: 1990 and 1998 used these two."""


def error_curve(places: Sequence[int], images: int) -> Array:
    """The share of errors among the images kept after the r least sure were refused, for r = 0 ... images - 1.

    **Arguments:**

    - `places`: of the errors, from 0, the least sure image first. `images`: how many there were.
    """
    wrong = np.zeros(images)
    wrong[np.asarray(places, dtype=int)] = 1
    errors_kept = wrong[::-1].cumsum()[::-1]
    curve: Array = errors_kept / np.arange(images, 0, -1)
    return curve


def share_to_reject(places: Sequence[int], images: int, error: float) -> float:
    """The smallest share of the images to refuse so that at most `error` of the others are wrong; 1 if none does."""
    reached = np.flatnonzero(error_curve(places, images) <= error)
    return float(reached[0]) / images if len(reached) else 1.0


def resampled_shares(places: Sequence[int], images: int, error: float, draws: int, random_seed: int = 0) -> Array:
    """`share_to_reject` on test sets drawn anew, with replacement, from these images (Efron 1979), (draws,).

    Drawing images keeps their order of sureness, so a place is drawn as often as its image, and the curve of a draw
    follows from how often.
    """
    generator = np.random.default_rng(random_seed)
    wrong = np.zeros(images)
    wrong[np.asarray(places, dtype=int)] = 1
    shares = np.empty(draws)
    for draw in range(draws):
        times = np.bincount(generator.integers(images, size=images), minlength=images)
        errors_kept = (wrong * times)[::-1].cumsum()[::-1]
        kept = times[::-1].cumsum()[::-1]
        reached = np.flatnonzero(errors_kept <= error * kept)
        shares[draw] = 1 - kept[reached[0]] / images if len(reached) else 1.0
    return shares


def test_images(record: Record) -> int:
    """How many test images the record's data set has; 0 for synthetic data."""
    data = record.trial["recipe"]["data"]
    return DATA_SETS[data].test if data in DATA_SETS else 0


def ranked_seeds(record: Record) -> list[SeedResult]:
    """The seeds that ended well and know the places of their errors."""
    return [seed for seed in record.seeds if seed.status == "ok" and seed.rejection]


def share_interval(record: Record, measure: str, error: float) -> Estimate:
    """The share to refuse for an error on the rest, mean over seeds with Student's interval; unknown in old records."""
    seeds, images = ranked_seeds(record), test_images(record)
    if not seeds:
        return UNKNOWN
    estimate = mean_interval([share_to_reject(seed.rejection[measure], images, error) for seed in seeds])
    return Estimate(estimate.value, max(0.0, estimate.low), min(1.0, estimate.high), estimate.n)


def rejection_columns(record: Record) -> dict[str, float]:
    """`reject_margin_1pct` and its like, for each measure and target, with `_low` and `_high`: shares in [0, 1]."""
    columns: dict[str, float] = {}
    for measure in SURENESS:
        for name, error in TARGETS.items():
            estimate = share_interval(record, measure, error)
            column = f"reject_{measure}_{name}"
            columns |= {column: estimate.value, f"{column}_low": estimate.low, f"{column}_high": estimate.high}
    return columns
