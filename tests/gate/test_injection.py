"""Extra work put into one benchmark of a tree: it runs there and nowhere else, and changes no result."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import GateError
from bench.experiment.file import read_experiment
from bench.gate.injection import FILE, KINDS, add_comment, inject
from bench.gate.plan import list_benchmarks

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = list_benchmarks(read_experiment(ROOT / "experiments" / "gate.toml"))


@pytest.fixture
def tree(tmp_path):
    for name in ("lenet", "bench"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


COUNT = """
import json, sys
from bench.gate.sides.trial_side import build
from bench.measure.blocks import run_block
from lenet import networks
class Floats:
    done = 0
    def __getitem__(self, rows):
        Floats.done += 1
        return networks.torch.ones(3)
networks._floats = Floats()
for benchmark in json.loads(sys.argv[1]):
    subject = build(benchmark["trial"])
    Floats.done = 0
    run_block(subject, benchmark["phase"], 3)
    print(benchmark["name"], Floats.done)
"""


@pytest.mark.parametrize("phase", ["forward", "step"])
def test_only_the_slowed_benchmark_does_extra_work_and_as_often_as_it_runs(tree, phase):
    victim = [one for one in BENCHMARKS if one.phase == phase][1]
    inject(tree, victim, "copy", 5)
    names = json.dumps([dataclasses.asdict(one) for one in BENCHMARKS if one.phase in ("forward", "step")])
    done = subprocess.run(
        [sys.executable, "-c", COUNT, names], capture_output=True, text=True, check=True, cwd=tree
    )  # fmt: skip
    counted = dict(line.split() for line in done.stdout.splitlines())
    assert counted.pop(victim.name) == "3"
    assert set(counted.values()) == {"0"}


@pytest.mark.slow
def test_a_comment_and_every_kind_of_extra_work_run_and_change_no_result(tree):
    victim = BENCHMARKS[0]
    script = """
import torch
from lenet.networks import build
from lenet.variant import Variant
model = build(Variant(**VARIANT), seed=0).eval()
print(model(torch.ones(16, 1, 32, 32)).sum().item())
""".replace("VARIANT", repr(victim.trial["variant"]))

    def run():
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tree)
        return done.stdout

    before = run()
    add_comment(tree)
    text = (tree / FILE).read_text()
    for kind in KINDS:
        (tree / FILE).write_text(text)
        inject(tree, victim, kind, 7)
        assert run() == before


def test_extra_work_needs_this_projects_networks(tmp_path):
    with pytest.raises(GateError, match="not in this checkout"):
        inject(tmp_path, BENCHMARKS[0], "copy", 1)
