"""The options that commands share."""

from pathlib import Path

from bench.cli.options import verdict_files
from bench.verdicts.files import write_files


def test_every_file_option_names_a_format_that_can_be_written(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    names = list(verdict_files(None, None, None))
    files = verdict_files(*(tmp_path / name for name in names))
    assert files == {name: tmp_path / name for name in names}
    write_files({"title": "x", "base": "a", "head": "b", "outcome": "pass", "summary": "pass", "notes": []}, [], files)
    assert all(Path(file).is_file() for file in files.values())


def test_files_that_were_not_asked_for_are_none():
    assert set(verdict_files(None, None, None).values()) == {None}
