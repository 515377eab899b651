"""Bencher's format: benchmark, measure, value and bounds."""

import json

import pytest
from fakes.verdict_list import BASE, HEADER, VERDICT_LIST

from bench.verdicts.bencher import write_bencher
from bench.verdicts.verdict import Verdict


def test_bencher_metric_format():
    metrics = json.loads(write_bencher(HEADER, [*VERDICT_LIST, Verdict("x" * 2000, "same", BASE, BASE)]))
    assert "gone/step" not in metrics
    assert max(map(len, metrics)) == 1024
    for measures in metrics.values():
        assert set(measures) == {"latency"}
        assert set(measures["latency"]) <= {"value", "lower_value", "upper_value"}
    latency = metrics["relu/step"]["latency"]
    assert latency["lower_value"] < latency["value"] < latency["upper_value"]
    assert latency["value"] == pytest.approx(1.1e6, rel=1e-3)
    assert set(metrics["single/step"]["latency"]) == {"value"}
