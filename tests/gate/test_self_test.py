"""The gate tried on the machine at hand; both gates run in tests/integration/test_gate_command.py."""

import pytest
from fakes.scripted_pairs import BENCHMARKS, NAMES, Scripted, normal

from bench.errors import GateError
from bench.gate.decision import run_gate
from bench.gate.plan import Request
from bench.gate.self_test import describe_noise, run_self_test
from bench.gate.settings import Settings
from bench.gate.stored import Gate


def test_tests_of_pytest_get_no_extra_work(tmp_path):
    request = Request(tmp_path, None, ".", tmp_path, tmp_path, pytest="tests")
    with pytest.raises(GateError, match="--self-test puts extra work into this project's networks"):
        run_self_test(request, None)


def test_the_noise_is_said_with_what_it_lets_the_gate_see():
    pairs = run_gate(Settings(), BENCHMARKS, Scripted(normal(0.01)))
    noise, detectable = describe_noise(Gate(Settings(), NAMES, NAMES, pairs, {}, {}))
    assert noise.startswith("noise from pair to pair: ")
    low, high = (float(share.rstrip("%")) for share in noise.removeprefix("noise from pair to pair: ").split(" to "))
    assert 0 < low < 1 < high < 3
    assert detectable.startswith("a slowdown of ")
    assert detectable.endswith("is found in 9 runs of 10")
