"""The rules of other tools, on the blocks that the gate recorded.

Each is given as much as it takes by itself, from the screening pairs, which all benchmarks have: one process a side
where it uses one. Where a tool runs one side after the other, the head's process is of the next pair, some 20 seconds
later. The rules come from the packages where they can be imported (`pip install -e ".[peers]"`), and are written out
here where not; `SOURCES` says which it was.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

SOURCES: dict[str, str] = {}
Pairs = list[dict[str, Any]]


def seconds(pair: dict[str, Any], name: str, side: int, blocks: int | None = None) -> list[float]:
    """Seconds of one iteration in each block of one process; side 0 is base, 1 head."""
    return [row[side] / 1e9 / pair["iterations"][name] for row in pair["blocks"].get(name, [])[:blocks]]


def pytest_benchmark(field: str) -> Callable[[Pairs, str], bool]:
    """`--benchmark-compare-fail=FIELD:5%`: one process a side, one after the other."""
    summary = {"mean": statistics.fmean, "median": statistics.median}[field]

    def is_slower(screen: Pairs, name: str) -> bool:
        base, head = summary(seconds(screen[0], name, 0)), summary(seconds(screen[1], name, 1))
        return bool(check(field, head, base))

    try:
        from pytest_benchmark import __version__
        from pytest_benchmark.utils import PercentageRegressionCheck

        SOURCES[f"pytest-benchmark {field}:5%"] = f"pytest-benchmark {__version__}"

        def check(field: str, head: float, base: float) -> object:
            return PercentageRegressionCheck(field, 5).fails({field: head}, {field: base})
    except ImportError:
        SOURCES[f"pytest-benchmark {field}:5%"] = "reimplemented"

        def check(field: str, head: float, base: float) -> object:
            return head / base * 100 - 100 > 5

    return is_slower


def pyperf(screen: Pairs, name: str) -> bool:
    """`compare_to`: Student's t at 95 % over all values pooled, three a process; here 8 processes instead of 20."""
    base, head = ([value for pair in screen for value in seconds(pair, name, side, 3)] for side in (0, 1))
    try:
        import pyperf as package
        from pyperf._utils import is_significant

        SOURCES["pyperf compare_to"] = f"pyperf {package.__version__}"
        significant = is_significant(base, head)[0]
    except ImportError:
        from scipy.stats import ttest_ind

        SOURCES["pyperf compare_to"] = "reimplemented"
        significant = ttest_ind(base, head).pvalue <= 0.05
    return bool(significant) and statistics.fmean(head) > statistics.fmean(base)


def asv(screen: Pairs, name: str) -> bool:
    """`continuous`: two rounds interleaved, five samples each; medians' ratio above 1.1, Mann-Whitney p below 0.002."""
    base, head = ([value for pair in screen[:2] for value in seconds(pair, name, side, 5)] for side in (0, 1))
    try:
        import asv as package
        from asv._stats import is_different
        from asv_runner.statistics import compute_stats

        SOURCES["asv continuous"] = f"asv {package.__version__}"
        different = is_different(base, head, compute_stats(base, 1)[1], compute_stats(head, 1)[1])
    except ImportError:
        from scipy.stats import mannwhitneyu

        SOURCES["asv continuous"] = "reimplemented"
        different = mannwhitneyu(base, head).pvalue < 0.002
    return bool(different) and statistics.median(head) > 1.1 * statistics.median(base)


def torchbench(screen: Pairs, name: str) -> bool:
    """The nightly regression detector: medians of 15 iterations differ by more than 7 %."""
    SOURCES["TorchBench 7%"] = "reimplemented"
    base, head = (statistics.median(seconds(screen[side], name, side, 15)) for side in (0, 1))
    return head / base - 1 > 0.07


RULES: dict[str, Callable[[Pairs, str], bool]] = {
    "pytest-benchmark mean:5%": pytest_benchmark("mean"),
    "pytest-benchmark median:5%": pytest_benchmark("median"),
    "pyperf compare_to": pyperf,
    "asv continuous": asv,
    "TorchBench 7%": torchbench,
}


def flagged(pairs: Pairs, rule: str) -> list[str]:
    """The benchmarks that a rule calls slower."""
    screen = [pair for pair in pairs if pair["stage"] == "screen" and not pair["died"]]
    names = sorted(set.intersection(*(set(pair["blocks"]) for pair in screen)) - {"control"})
    return [name for name in names if RULES[rule](screen, name)]
