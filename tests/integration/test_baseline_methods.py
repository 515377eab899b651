"""A sweep over methods that are no networks: they are recorded like networks, and they are not timed."""

import os
import subprocess
import sys

import pytest

from bench.records.run import Run


@pytest.mark.slow
def test_a_sweep_records_it_beside_a_network_and_times_the_network_alone(tmp_path):
    (tmp_path / "both.toml").write_text(
        'seeds = 2\n[base]\ninput_size = 16\nselection = "last"\nepochs = 1\n'
        '[axes]\narchitecture = ["mlp300", "knn3"]\n'
        "[timing]\nprocesses = 1\nrounds = 1\nbudget_s = 1\n"
    )
    command = [sys.executable, "-m", "bench", "run", str(tmp_path / "both.toml"), "--no-track", "--results"]
    apart = os.environ | {"TMPDIR": str(tmp_path)}  # its own lock: no waiting for other sweeps of this machine
    ended = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False, env=apart)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    run = Run.open(next((tmp_path / "both").iterdir()))
    network, method = run.records()
    assert network.timing is not None
    assert method.timing is None
    assert method.network == {}
    assert [seed.test_accuracy for seed in method.seeds] == [method.seeds[0].test_accuracy] * 2
    assert network.seeds[0].train_accuracy > 0.5
    assert all(seed.rejection["margin"] for record in (network, method) for seed in record.seeds)
