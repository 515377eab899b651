"""`lenet-bench gate` on a small real checkout: what passes, what fails, and what every kind of trouble leaves behind.

The checkout is that of `fakes.gate_checkout`.
"""

import json
import os
import random
import re
import resource
import signal
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from fakes.gate_checkout import EXPERIMENT, FOLDER, FORWARD, INFER, Checkout, read_pairs

pytestmark = pytest.mark.integration


def one_line(err, start="lenet-bench: "):
    lines = [line for line in err.splitlines() if not re.match(r"screen|confirm|extend|accuracy", line)]
    assert len(lines) == 1, err
    assert lines[0].startswith(start)
    return lines[0]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


# ---- verdicts ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_comment_passes_and_every_format_says_so(checkout, tmp_path):
    checkout.git("checkout", "-q", "-b", "feature")
    checkout.edit("lenet/networks.py", FORWARD, FORWARD + "  # nothing but a comment")
    head = checkout.commit("a comment")
    checkout.environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary.md")
    formats = ["json", "markdown", "junit", "github-action-benchmark", "bencher", "pytest-benchmark"]
    code, out, err = checkout.gate(*(part for one in formats for part in (f"--{one}", str(tmp_path / f"{one}.out"))))
    assert code == 0, out + err
    assert "PASS: 2 compared, none slower" in out
    assert head[:12] in out
    assert checkout.left() == []

    files = {one: (tmp_path / f"{one}.out").read_text() for one in formats}
    assert json.loads(files["json"])["decision"]["outcome"] == "pass"
    assert len(json.loads(files["json"])["pairs"]) == 6
    suite = ElementTree.fromstring(files["junit"])[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "0", "0")  # and the accuracy
    names = {entry["name"] for entry in json.loads(files["github-action-benchmark"])}
    assert names == set(json.loads(files["bencher"]))
    assert names == {entry["name"] for entry in json.loads(files["pytest-benchmark"])["benchmarks"]}
    assert {name.rpartition("/")[2] for name in names} == {"forward", "step"}
    assert "PASS" in files["markdown"]
    assert (tmp_path / "summary.md").read_text() == files["markdown"]

    folder = Path(FOLDER.search(out).group(1))
    assert (folder / "gate.md").read_text() == files["markdown"]
    assert len((folder / "pairs.jsonl").read_text().splitlines()) == 6
    for stored in (folder, folder / "gate.json", tmp_path / "json.out"):
        code, again, err = checkout.gate("analyse", str(stored))
        assert (code, err) == (0, "")
        assert again == FOLDER.sub("", out)
    code, out, _ = checkout.gate("analyse", str(folder), "--json", "-")
    assert json.loads(out) == json.loads(files["json"])


@pytest.mark.slow
def test_a_python_loop_fails_and_only_the_benchmark_that_it_slows_is_named(checkout):
    checkout.edit(
        "lenet/step.py", INFER, "return torch.cat([self._infer(self.model, image[None]) for image in images])"
    )
    code, out, err = checkout.gate("--base", "main", "--confirm-pairs", "4")
    assert code == 1, out + err
    summary = out.splitlines()[-2]
    assert re.fullmatch(r"FAIL: \S+/forward slower", summary), out
    assert "and the changes in the working tree" in out
    assert re.search(
        r"to measure only this one again: lenet-bench gate --base \w{12} --head \. --only \S+/forward", out
    )
    assert checkout.left() == []
    code, again, _ = checkout.gate("analyse", FOLDER.search(out).group(1))
    assert (code, again) == (1, FOLDER.sub("", out))


@pytest.mark.slow
def test_a_self_test_runs_both_gates_and_says_that_these_settings_are_blind_to_its_slowdown(checkout):
    code, out, err = checkout.gate("--self-test", "--only", "*/forward")  # 5 %, under a floor of 30 %
    assert code == 3, out + err
    name = r"\S+/forward"
    assert re.search(rf"second gate: {name} does extra work \((repeat|copy|allocate) \d+\), \d+\.\d% of its time", err)
    same, noise, detectable, slowed, others, sentence = out.splitlines()
    assert re.fullmatch(r"identical code: pass \(.*/\)", same)
    assert noise.startswith("noise from pair to pair: ")
    assert detectable.endswith("is found in 9 runs of 10")
    assert re.fullmatch(rf"{name} slowed by \d+\.\d%: pass, estimated [+-]\d+\.\d % \[.*\] \(.*/\)", slowed)
    assert others == "others called slower: none"
    assert sentence == "NOT both gates were right on this machine"
    folders = [Path(line.rpartition(" (")[2].rstrip(")")) for line in (same, slowed)]
    assert [len((folder / "pairs.jsonl").read_text().splitlines()) for folder in folders] == [6, 6]
    assert checkout.left() == []


# ---- a head that does not work -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("[][0]", "IndexError: list index out of range"),
        pytest.param("__import__('os').abort()", "the worker crashed (SIGABRT)", marks=pytest.mark.slow),
        pytest.param(
            "__import__('time').sleep(3600)", "the worker was silent for 20 s and was killed", marks=pytest.mark.slow
        ),
    ],
)
def test_a_head_that_raises_crashes_or_hangs_fails_by_name(checkout, fault, reason):
    checkout.edit("lenet/step.py", INFER, f"{fault}\n        {INFER}")
    if "sleep" in fault:
        checkout.edit("pyproject.toml", "block_ms = 4", "block_ms = 4\nlimit_s = 20")
    code, out, err = checkout.gate("--only", "*/forward")
    assert code == 1, out + err
    assert re.search(r"FAIL: \S+/forward failed", out)
    assert f"runs on base, fails on head: {reason}" in out
    assert checkout.left() == []


@pytest.mark.slow
def test_what_crashes_on_both_sides_is_no_regression(checkout):
    checkout.edit("lenet/step.py", INFER, f"__import__('os').abort()\n        {INFER}")
    checkout.commit("broken")
    code, out, err = checkout.gate("--only", "*/forward", "--base", "HEAD")
    assert code == 3, out + err
    assert "fails on both sides: the worker crashed (SIGABRT)" in out


def test_a_head_that_cannot_be_imported_ends_in_one_line(checkout):
    checkout.write("lenet/networks.py", "import nowhere_to_be_found\n")
    code, out, err = checkout.gate()
    assert (code, out) == (2, "")
    assert one_line(err).startswith("lenet-bench: the head side cannot be run: ModuleNotFoundError")
    assert checkout.left() == []


@pytest.mark.slow
def test_a_base_without_the_experiment_is_judged_by_heads_and_a_side_that_is_killed_is_measured_again(checkout):
    checkout.git("rm", "-q", "experiments/gate.toml")
    checkout.commit("no gate yet")
    checkout.write("experiments/gate.toml", EXPERIMENT)
    process = checkout.start("--only", "*/forward", "--base", "HEAD", "--confirm-pairs", "4")
    while len(sides := checkout.processes()) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(random.choice(sides), signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert "was killed (SIGKILL)" in err
    stages = [pair["stage"] for pair in read_pairs(out)]
    assert stages == ["screen"] * 2 + ["confirm"] * 4
    assert "base has no experiments/gate.toml: head's benchmarks are taken for both" in out
    assert "inconclusive" in out  # four pairs cannot rule anything out
    assert checkout.left() == []


# ---- interrupted gates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_what_an_interrupted_gate_had_measured_can_be_judged(checkout, tmp_path, sent):
    process = checkout.start("--only", "*/forward", "--confirm-pairs", "500")
    results = tmp_path / "results" / "gate"
    while len(lines := [line for file in results.glob("*/pairs.jsonl") for line in file.read_text().splitlines()]) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    (folder,) = results.iterdir()
    if sent == signal.SIGINT:
        said = f"what was measured until here: lenet-bench gate analyse {folder} lenet-bench: interrupted"
        assert "".join(err.split()).endswith("".join(said.split()))  # lines are wrapped where the path is long
        assert checkout.left() == []
    assert not (folder / "gate.json").exists()
    measured = len((folder / "pairs.jsonl").read_text().splitlines())
    assert measured >= len(lines)
    code, out, err = checkout.gate("analyse", str(folder), "--json", str(tmp_path / "whole.json"))
    assert (code, err) == (3, "")
    assert f"NO VERDICT: the gate was interrupted after {measured} pairs" in out
    assert "control, the same on both sides" in out
    pairs = json.loads((tmp_path / "whole.json").read_text())["pairs"]
    assert [pair["stage"] for pair in pairs] == ["screen"] + ["confirm"] * (measured - 1)
    code, again, _ = checkout.gate("analyse", str(tmp_path / "whole.json"))
    assert (code, again) == (3, out)


# ---- interrupts, locks, disks ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", range(3))
def test_an_interrupt_at_any_moment_leaves_no_process_and_no_folder(checkout, sent, moment):
    process = checkout.start("--only", "*/forward")
    if moment:  # the first: while it is still starting
        while not list(checkout.scratch.glob("lenet-bench-gate-*")):
            time.sleep(0.01)
    time.sleep(random.uniform(0.05, (0.5, 1.0, 5.0)[moment]))
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    if process.returncode == -sent:
        assert moment == 0  # before Python was there to hear it
    elif process.returncode:
        assert process.returncode == 130, err
        assert err.splitlines()[-1] == "lenet-bench: interrupted"
        assert "Traceback" not in err
    assert checkout.left() == []


@pytest.mark.slow
def test_a_second_gate_waits_or_is_refused(checkout):
    first = checkout.start("--only", "*/forward")
    while not checkout.processes():
        assert first.poll() is None
        time.sleep(0.02)
    code, out, err = checkout.gate("--no-wait")
    assert (code, out) == (2, "")
    assert one_line(err) == (
        "lenet-bench: another measurement is running on this machine; without --no-wait this one waits"
    )
    second = checkout.start("--only", "*/forward")
    assert "waiting for it to finish" in second.stderr.readline()
    assert second.poll() is None
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert second.stderr.readline() == "screen: 1 steps\n"  # its turn has come
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=60)
    assert checkout.left() == []


def limit_files(limit):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@pytest.mark.parametrize(("limit", "what"), [(4_000, "cannot be written"), (65_000, "pairs.jsonl: cannot record")])
def test_a_full_disk_ends_in_one_line(checkout, limit, what):
    """While the trees are laid out, and while a pair is written down."""
    code, _, err = checkout.gate("--alternations", "600", "--block-ms", "0.1", preexec_fn=limit_files(limit))
    assert code == 2
    assert what in one_line(err)
    assert checkout.left() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base", "nowhere"], "nowhere: no such revision in"),
        (["--experiment", "experiments/none.toml"], "experiments/none.toml: not in the head"),
        (["--only", "*/forwards"], "fits no benchmark; did you mean"),
        (["--confirm-pairs", "2"], "this gate could never fail; ask for more pairs"),
        (["analyse", "nowhere.json"], "nowhere.json: not a gate's file"),
    ],
)
def test_bad_input_ends_in_one_line(checkout, arguments, message):
    code, out, err = checkout.gate(*arguments)
    assert (code, out) == (2, "")
    assert message in one_line(err)
    assert checkout.left() == []


def test_a_bad_setting_and_no_checkout_end_in_one_line(checkout, tmp_path):
    checkout.edit("pyproject.toml", "floor = 0.3", "flor = 0.3")
    code, _, err = checkout.gate()
    assert code == 2
    assert one_line(err) == "lenet-bench: [tool.lenet-bench.gate]: unknown key 'flor'; did you mean 'floor'?"
    checkout.path = tmp_path
    code, _, err = checkout.gate()
    assert code == 2
    assert "not in a git checkout" in one_line(err)
