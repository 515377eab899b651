"""The gate judges bases that know nothing of it: no `bench` at all, and this project before its files were moved."""

import re
import shutil
import subprocess

import pytest
from fakes.gate_checkout import EXPERIMENT, FOLDER, FORWARD, ROOT, Checkout, read_pairs

from bench.gate.stored import read_gate

pytestmark = [pytest.mark.integration, pytest.mark.slow]
BEFORE_THE_MOVES = "348d9c8"
BFLOAT16 = EXPERIMENT.replace('activation = ["relu"]', 'dtype = ["float32", "bfloat16"]').replace(
    "seeds = 4", "seeds = 6"
)


def archived(revision, folder):
    """`lenet` of a revision of this project, in a folder; skips where the clone does not have it."""
    known = subprocess.run(["git", "cat-file", "-e", f"{revision}^{{commit}}"], cwd=ROOT, capture_output=True)
    if known.returncode:
        pytest.skip(f"{revision} is not in this clone")
    archive = subprocess.run(["git", "archive", revision, "lenet"], cwd=ROOT, capture_output=True, check=True)
    shutil.rmtree(folder / "lenet")
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)


def check(checkout):
    """Gates the working tree, and looks at what was measured of both sides."""
    code, out, err = checkout.gate("--base", "HEAD")
    assert code == 0, out + err
    assert re.search("PASS: 4 compared, none slower", out), out
    pairs = read_pairs(out)
    assert all(pair["failed"] == {"base": {}, "head": {}} and not pair["died"] for pair in pairs)
    assert all(len(pair["blocks"]) == 5 for pair in pairs if pair["stage"] == "screen")
    return read_gate(ROOT / FOLDER.search(out).group(1))


def test_a_base_without_bench(tmp_path):
    checkout = Checkout(tmp_path, packages=["lenet"])
    checkout.write("experiments/gate.toml", BFLOAT16)
    checkout.commit("two placements")
    checkout.edit("lenet/networks.py", FORWARD, FORWARD + "  # nothing but a comment")
    checkout.write("bench/__init__.py", "raise ImportError('a judged bench was imported')\n")
    trained = check(checkout).trained
    scores = {side: {(one["name"], one["seed"]): one["accuracy"] for one in rows} for side, rows in trained.items()}
    assert scores["base"] == scores["head"]
    assert None not in scores["base"].values()


def test_a_base_from_before_the_moves(tmp_path):
    checkout = Checkout(tmp_path, packages=["lenet"])
    head = tmp_path / "head"
    (checkout.path / "lenet").rename(head)
    (checkout.path / "lenet").mkdir()
    archived(BEFORE_THE_MOVES, checkout.path)
    checkout.write("experiments/gate.toml", BFLOAT16)
    checkout.commit("before the moves")
    shutil.rmtree(checkout.path / "lenet")
    head.rename(checkout.path / "lenet")
    trained = check(checkout).trained
    assert all(one["accuracy"] is not None for rows in trained.values() for one in rows)
