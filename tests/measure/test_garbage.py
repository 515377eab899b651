"""The garbage collector rests while something is timed, and works again afterwards."""

import gc

import pytest

from bench.measure.garbage import quiet_collector


def test_nothing_is_collected_inside():
    collected = []

    def note(phase, info):
        collected.append(phase)

    with quiet_collector():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
        gc.callbacks.append(note)
        kept = [[number] for number in range(100_000)]
        gc.callbacks.remove(note)
    assert collected == []
    assert len(kept) == 100_000
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_it_works_again_after_an_error():
    with pytest.raises(KeyError), quiet_collector():
        raise KeyError
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
