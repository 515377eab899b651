"""Does the gate find mistakes that people make? One real pair of commits each, one JSON line a gate.

    .venv/bin/python experiments/gate_error_rates/mistakes.py

Each edits a copy of this repository as a change might, commits it and runs `lenet-bench gate` on the two commits. What
may be named is known: the benchmarks whose code the edit is in. A comment may fail nothing. Stop it and start it again
as you like; `summarise.py` puts what was found beside the error rates.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from measure import RESULTS, clone, commit, compare, describe, run_interruptibly

from bench.gate.settings import fits
from bench.records.journal import Journal


class Mistake(NamedTuple):
    """An edit: `old` becomes `new` in `file`; `slowed` is a pattern of what it may slow, "" if nothing."""

    name: str
    file: str
    old: str
    new: str
    slowed: str


POOLING = "        sums = F.avg_pool2d(x, 2, divisor_override=1)\n"
MISTAKES = [
    Mistake(
        "a comment", "lenet/layers.py",
        POOLING, "        # The sum over each window.\n" + POOLING, "",
    ),
    Mistake(
        "a needless clone", "lenet/layers.py",
        POOLING, "        sums = F.avg_pool2d(x.clone(), 2, divisor_override=1)\n", "*subsampling*",
    ),
    Mistake(
        "a needless clone in each activation", "lenet/layers.py",
        "        return 1.7159 * torch.tanh(x * (2 / 3))\n",
        "        return 1.7159 * torch.tanh(x.clone() * (2 / 3))\n", "*scaled_tanh*",
    ),
    Mistake(
        "a Python loop over channels", "lenet/layers.py",
        POOLING,
        "        maps = [F.avg_pool2d(x[:, c : c + 1], 2, divisor_override=1) for c in range(x.shape[1])]\n"
        "        sums = torch.cat(maps, 1)\n",
        "*subsampling*",
    ),
    Mistake(
        ".item() in the training loop", "lenet/step.py",
        "        self.optimizer.step()\n        return loss.detach()\n",
        "        for group in self.optimizer.param_groups:\n"
        "            for weight in group['params']:\n"
        "                if not torch.isfinite(weight.grad).all().item():\n"
        "                    raise ValueError('a gradient is not finite')\n"
        "        self.optimizer.step()\n        return loss.detach()\n",
        "*/step",
    ),
]  # fmt: skip


def run_once(mistake: Mistake) -> dict[str, Any]:
    """One gate, from the edit to its line."""
    with tempfile.TemporaryDirectory(prefix="gate-mistakes-") as name:
        checkout = Path(name) / "checkout"
        base = clone(checkout)
        file = checkout / mistake.file
        text = file.read_text(encoding="utf-8")
        if mistake.old not in text:
            raise SystemExit(f"{mistake.file}: the lines that {mistake.name!r} edits are no longer there")
        file.write_text(text.replace(mistake.old, mistake.new), encoding="utf-8")
        head, started = commit(checkout), time.time()
        done, gate = compare(checkout, base, head, [])
        line = {"name": mistake.name, "file": mistake.file, "slowed": mistake.slowed, "base": base, "head": head}
        line |= {"exit_code": done.returncode, "seconds": time.time() - started}
        return line | (describe(gate) if gate else {"error": done.stderr.strip().splitlines()[-1:]})


def is_right(line: dict[str, Any]) -> bool:
    """Fails naming only what the edit may slow; a change that slows nothing passes."""
    named = [name for name, verdict in line.get("verdicts", {}).items() if verdict[0] == "slower"]
    if not line["slowed"]:
        return line["exit_code"] == 0
    return line["exit_code"] == 1 and bool(named) and all(fits(name, line["slowed"]) for name in named)


def main() -> None:
    """Runs what has no line yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    folder = parser.parse_args().results
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / "mistakes.jsonl")
    done = {line["name"] for line in journal.read()}
    for mistake in MISTAKES:
        if mistake.name not in done:
            line = run_once(mistake)
            journal.append(line)
            print(f"{mistake.name}: {line.get('outcome', line.get('error'))} ({line.get('why', '')})", flush=True)


if __name__ == "__main__":
    run_interruptibly(main)
