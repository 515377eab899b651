"""The table of runs, as a sweep's results have it, for tests that want nothing else."""

from bench.analysis.table import tabulate
from bench.records.reading import Reading


def build_table(runs):
    """One row a trial of these runs."""
    return tabulate(map(Reading, runs))[0]
