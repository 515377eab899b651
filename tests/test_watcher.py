"""Who is told how a sweep goes."""

from typing import get_type_hints

from bench.watcher import Silent, Watcher


def test_the_silent_watcher_is_told_everything_and_prints_nothing(capsys):
    watcher: Watcher = Silent()
    told = [name for name in vars(Watcher) if not name.startswith("_")]
    assert told
    for name in told:
        takes = get_type_hints(getattr(Watcher, name))
        takes.pop("return")
        getattr(watcher, name)(**dict.fromkeys(takes))
    assert capsys.readouterr() == ("", "")
