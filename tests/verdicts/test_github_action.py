"""What github-action-benchmark reads."""

import json

import pytest
from fakes.verdict_list import HEADER, VERDICT_LIST

from bench.verdicts.github_action import write_github_action_benchmark


def test_github_action_benchmark():
    entries = json.loads(write_github_action_benchmark(HEADER, VERDICT_LIST))
    assert [entry["name"] for entry in entries] == [one.name for one in VERDICT_LIST if one.head_s]
    for entry in entries:
        assert set(entry) <= {"name", "unit", "value", "range", "extra"}
        assert all(isinstance(entry[key], str) for key in entry if key != "value")
    relu = entries[1]
    assert relu["unit"] == "ms"
    assert relu["value"] == pytest.approx(1.1, rel=1e-3)
    assert float(relu["range"]) == pytest.approx(0.02, rel=1e-3)
    assert "base: main 0123abc" in relu["extra"]
    assert "+10.0 % [+8.0, +12.0]" in relu["extra"]
