"""The workflows and the action that people copy: they parse, fit together, and call commands that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def gate_options():
    done = subprocess.run([sys.executable, "-m", "bench", "gate", "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"--[a-z][a-z-]+", done.stdout))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_asks_the_action_for_inputs_that_it_has(path):
    workflow = yaml.safe_load(path.read_text())
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if step.get("uses") == "./":
                inputs = step["with"]
                assert set(inputs) <= set(ACTION["inputs"])
                assert set(re.findall(r"--[a-z][a-z-]+", inputs.get("arguments", ""))) <= gate_options()
                checkout = next(one for one in job["steps"] if str(one.get("uses")).startswith("actions/checkout"))
                assert checkout["with"]["fetch-depth"] == 0  # or there is no merge base


def test_the_gate_runs_on_pull_requests_and_in_ci():
    assert {"ci.yml", "regression.yml"} <= {path.name for path in WORKFLOWS}
    for name in ("ci.yml", "regression.yml"):
        workflow = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
        assert "pull_request" in workflow[True]  # YAML takes the key `on` for a truth value
        assert any(step.get("uses") == "./" for job in workflow["jobs"].values() for step in job["steps"])


SCRIPT = next(step for step in ACTION["runs"]["steps"] if step.get("id") == "gate")["run"]


@pytest.mark.parametrize(
    ("code", "no_verdict", "ends", "outcome"),
    [(0, "pass", 0, "pass"), (1, "pass", 1, "regression"), (3, "pass", 0, "no verdict"), (3, "fail", 3, "no verdict"),
     (2, "pass", 2, "error"), (137, "pass", 137, "error")],
)  # fmt: skip
def test_the_actions_script_passes_everything_on_and_ends_as_the_gate_does(tmp_path, code, no_verdict, ends, outcome):
    fake = tmp_path / "lenet-bench"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@"\nexit {code}\n')
    fake.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "BASE": "origin/a b", "SUITE": "", "NO_VERDICT": no_verdict,
        "ARGUMENTS": "--only 'x y*' --floor 0.03", "FILES": str(tmp_path / "files"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }  # fmt: skip
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (ends, "")
    given = done.stdout.splitlines()
    assert given[given.index("--base") + 1] == "origin/a b"
    assert given[given.index("--only") + 1] == "x y*"
    assert given[given.index("--floor") + 1] == "0.03"
    assert "--pytest" not in given
    assert {one for one in given if one.startswith("--")} <= gate_options()
    assert ("became slower" in done.stdout) == (outcome == "regression")
    assert ("the gate itself failed" in done.stdout) == (outcome == "error")
    if outcome:
        assert (tmp_path / "output").read_text() == f"outcome={outcome}\n"
