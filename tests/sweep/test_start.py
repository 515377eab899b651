"""The folders that runs begin in."""

import os
import subprocess
import sys

from bench.sweep import start as runs
from bench.sweep.start import start_run

BARE = 'seeds = 1\n[base]\ndata = "synthetic"\n[timing]\nenabled = false\n'


def test_runs_of_one_second_are_numbered_and_named_for_the_time_in_utc(tmp_path, monkeypatch):
    file = tmp_path / "bare.toml"
    file.write_text(BARE)
    monkeypatch.setattr(runs.time, "time", lambda: 1_767_312_000.0)
    for _ in range(3):
        with start_run(file, [], tmp_path / "results", [], ask=lambda *_: False):
            pass
    names = ["20260102-000000", "20260102-000000-2", "20260102-000000-3"]
    assert sorted(path.name for path in (tmp_path / "results" / "bare").iterdir()) == names


def test_the_time_zone_does_not_decide_which_run_is_the_newest(tmp_path):
    (tmp_path / "bare.toml").write_text(BARE)
    for zone, size in (("Asia/Tokyo", 16), ("America/Los_Angeles", 32)):
        command = [sys.executable, "-m", "bench", "run", "bare.toml", "--no-track", "--set", f"batch_size={size}"]
        subprocess.run(command, cwd=tmp_path, env=os.environ | {"TZ": zone}, check=True, capture_output=True)
    command = [sys.executable, "-m", "bench", "table", "latest", "--csv"]
    table = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert ",32," in table
    assert ",16," not in table
