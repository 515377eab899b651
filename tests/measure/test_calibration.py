"""How often a block runs what it times, and the warm-up before it."""

import time

import pytest

from bench.measure.calibration import WARM_UP_S, count_iterations, time_calls, warm_up_block


@pytest.mark.parametrize(
    ("block_s", "each_s", "iterations"),
    [(0.01, 0.001, 10), (0.01, 0.0034, 3), (0.01, 1.0, 1), (0.01, 0.0, 10_000_000), (0.01, -1.0, 10_000_000)],
)
def test_a_block_lasts_as_long_as_it_should_and_has_one_iteration_at_least(block_s, each_s, iterations):
    assert count_iterations(block_s, each_s) == iterations


def test_a_warm_up_doubles_up_to_a_thousand_and_tells_the_last_speed():
    asked = []

    def block(iterations):
        asked.append(iterations)
        time.sleep(WARM_UP_S / 20)
        return iterations * len(asked) * 1e-3, 0.0

    each_s = warm_up_block(block)
    assert asked[:3] == [1, 2, 4]
    assert max(asked) <= 1_000
    assert each_s == pytest.approx(len(asked) * 1e-3)


def test_a_slow_block_is_warmed_up_once():
    def block(iterations):
        time.sleep(WARM_UP_S)
        return 7.0, 7.0

    assert warm_up_block(block) == 7.0


def test_calls_are_timed_as_a_whole():
    calls = []
    block = time_calls(lambda: calls.append(time.sleep(0.002)))
    seconds, cpu_s = block(5)
    assert len(calls) == 5
    assert seconds >= 0.01
    assert 0 <= cpu_s < seconds
