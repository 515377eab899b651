"""The scripts that count the gate's errors: the plan, the other tools' rules, and the report, from made runs."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "experiments" / "gate_error_rates"
NAMES = ["a/forward", "a/step", "b/forward"]


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import measure
    import peers

    return measure, peers


def make_pairs(slowdowns, seed=0, count=8, noise=0.002):
    random = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        blocks = {
            name: [
                [round(2e7 * random.normal(1, noise) * (1 + slowdown * side)) for side in (0, 1)] + [0, 0, 1]
                for _ in range(30)
            ]
            for name, slowdown in {**slowdowns, "control": 0.0}.items()
        }  # fmt: skip
        pairs.append({"stage": "screen", "iterations": dict.fromkeys(blocks, 10), "blocks": blocks, "died": []})
    return pairs


def test_ten_cycles_hold_what_the_targets_ask_for(scripts):
    measure, _ = scripts
    runs = [measure.condition(number) for number in range(10 * len(measure.CYCLE))]
    sizes = [run["slowdown"] for run in runs]
    assert {size: sizes.count(size) for size in set(sizes)} == {0.0: 40, 0.02: 20, 0.03: 20, 0.05: 20, 0.1: 10}
    for size in set(sizes):
        loads = [run["load"] for run in runs if run["slowdown"] == size]
        assert sum(loads) == len(loads) / 2
    assert runs == [measure.condition(number) for number in range(len(runs))]  # it can be gone on with


def test_other_tools_rules_flag_what_is_much_slower_and_nothing_else(scripts):
    _, peers = scripts
    pairs = make_pairs({"a/forward": 0.0, "a/step": 0.2, "b/forward": -0.2})
    for rule in peers.RULES:
        assert peers.flagged(pairs, rule) == ["a/step"], rule
    assert set(peers.SOURCES) == set(peers.RULES)


def test_thresholds_of_other_tools_are_theirs(scripts):
    _, peers = scripts
    found = {
        size: {rule for rule in peers.RULES if peers.flagged(make_pairs({"a/step": size}), rule)}
        for size in (0.03, 0.06, 0.08)
    }
    assert found[0.03] == {"pyperf compare_to"}
    assert found[0.06] == {"pyperf compare_to", "pytest-benchmark mean:5%", "pytest-benchmark median:5%"}
    assert found[0.08] == found[0.06] | {"TorchBench 7%"}


def made_run(folder, number, slowdown, **changes):
    (folder / "raw").mkdir(exist_ok=True)
    raw = f"raw/{number:04d}.json.gz"
    pairs = make_pairs({name: slowdown if name == "a/step" else 0.0 for name in NAMES}, seed=number)
    (folder / raw).write_bytes(gzip.compress(json.dumps(pairs).encode()))
    verdict = ["slower" if slowdown else "same", 1 + slowdown, 1.0, 1.1, 0.001]
    return {
        "number": number, "slowdown": slowdown, "victim": "a/step" if slowdown else "", "share": slowdown, "raw": raw,
        "kind": "copy" if slowdown else "", "load": ["nothing", "a busy process", "another gate"][number % 3],
        "seconds": 120.0, "load_average": [0.5, 1.0],
        "outcome": "regression" if slowdown else "pass", "accuracy": {"a": "same"}, "settings": {"alpha": 0.01},
        "verdicts": {name: verdict if name == "a/step" else ["same", 1.0, 0.99, 1.01, None] for name in NAMES},
        "machine": {"cpu": "made up", "cores": 2, "torch": "1", "python": "3", "kernel": "6"}, **changes,
    }  # fmt: skip


def test_the_report_counts_every_run(tmp_path):
    runs = [made_run(tmp_path, number, size) for number, size in enumerate([0.0, 0.0, 0.03, 0.1])]
    runs.append({"number": 4, "slowdown": 0.0, "error": ["lenet-bench: the disk is full"]})
    runs.append(made_run(tmp_path, 5, 0.0, outcome="no verdict"))
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(run) + "\n" for run in runs))
    command = [sys.executable, str(FOLDER / "summarise.py"), "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("5 runs: ")
    assert (tmp_path / "power.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "README.md").read_text()
    assert "| equal code fails | 3 | 0 of 3, 0% [0.0, 70.8] | 0 in at least 40 |" in text
    assert "| equal code gets no verdict | 3 | 1 of 3, 33.3% [0.8, 90.6] | at most 5 % |" in text
    assert "| 3% slower is found | 1 | 1 of 1, 100% [2.5, 100.0] | 95% |" in text
    assert "| 5% slower is found | 0 | none yet | 100% |" in text
    assert "run 4: ['lenet-bench: the disk is full']" in text
    assert "TorchBench 7%" in text
    assert "Mistakes" not in text

    slowed = {"name": "a clone", "file": "lenet/a.py", "slowed": "a/*", "exit_code": 1, "outcome": "regression"}
    slowed |= {"seconds": 90.0, "verdicts": {"a/step": ["slower", 1.03], "b/forward": ["same", 1.0]}}
    (tmp_path / "mistakes.jsonl").write_text(json.dumps(slowed) + "\n")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    row = "| a clone in `lenet/a.py` | `a/*` | regression | a/step | +3.0% | yes | 1.5 |"
    assert row in (tmp_path / "README.md").read_text().splitlines()


def test_a_mistake_is_found_when_it_fails_by_the_right_name_only(scripts):
    from mistakes import is_right

    line = {"slowed": "a/*", "exit_code": 1, "verdicts": {"a/step": ["slower"], "b/step": ["same"]}}
    assert is_right(line)
    assert not is_right(line | {"exit_code": 0})
    assert not is_right(line | {"verdicts": {"a/step": ["slower"], "b/step": ["slower"]}})
    assert not is_right(line | {"verdicts": {"a/step": ["same"], "b/step": ["same"]}})
    assert not is_right({"slowed": "a/*", "exit_code": 2, "error": "broken"})
    assert is_right({"slowed": "", "exit_code": 0, "verdicts": {"a/step": ["same"]}})
    assert not is_right({"slowed": "", "exit_code": 3, "verdicts": {}})


@pytest.mark.slow
def test_the_mistakes_fit_the_code_and_change_no_result(scripts, tmp_path):
    """Each is applied to a copy of `lenet`, which has to train to the very same weights."""
    from mistakes import MISTAKES

    train = (
        "import torch\nfrom lenet.networks import build\nfrom lenet.step import TrainingStep\n"
        "from lenet.variant import Recipe, Variant\n"
        "torch.set_num_threads(1)\n"
        "step = TrainingStep(build(Variant(pooling='subsampling', activation='scaled_tanh'), seed=0), Recipe())\n"
        "draw = torch.Generator().manual_seed(0)\n"
        "images, labels = torch.randn(8, 3, 32, 32, generator=draw), torch.arange(8)\n"
        "losses = [step.step(images, labels).item() for _ in range(3)]\n"
        "print(losses, [weight.double().sum().item() for weight in step.model.parameters()])\n"
    )
    found = set()
    for mistake in [None, *MISTAKES]:
        copy = tmp_path / (mistake.name if mistake else "unchanged")
        shutil.copytree(ROOT / "lenet", copy / "lenet")
        if mistake:
            text = (copy / mistake.file).read_text()
            assert text.count(mistake.old) == 1, mistake.name
            (copy / mistake.file).write_text(text.replace(mistake.old, mistake.new))
        command = [sys.executable, "-P", "-c", train]
        environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        found.add(subprocess.run(command, env=environment, cwd=copy, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1, found


def test_resampled_gates_find_what_was_multiplied_in_and_nothing_else(tmp_path):
    runs = [made_run(tmp_path, number, 0.0) for number in range(2)]
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(run) + "\n" for run in runs))
    for name in ("resample.py", "summarise.py"):
        command = [sys.executable, str(FOLDER / name), "--results", str(tmp_path)]
        subprocess.run([*command, *(["--gates", "4"] if name == "resample.py" else [])], check=True)
    content = json.loads((tmp_path / "resampled.json").read_text())
    assert content["pool"] == 16
    found = {one["slowdown"]: (one["found"], one["others"], one["no_verdict"]) for one in content["counts"]}
    assert found == {0.0: (0, 0, 0), **dict.fromkeys((0.01, 0.02, 0.03, 0.05, 0.1), (4, 0, 0))}
    assert "| 3% | 2.0% | 4 of 4, 100% [39.8, 100.0] | 0 of 4, 0% [0.0, 60.2] |" in (tmp_path / "README.md").read_text()


def test_without_runs_there_is_nothing_to_report(tmp_path):
    (tmp_path / "runs.jsonl").write_text("")
    command = [sys.executable, str(FOLDER / "summarise.py"), "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no run to summarise yet" in done.stderr
