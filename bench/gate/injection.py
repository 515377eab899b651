"""Puts real extra work into one benchmark of one tree, so that it can be tried whether the gate finds it.

The tree's `lenet/networks.py` gets longer; the share of time that the work really takes is measured apart from any
gate. Nothing is judged here.
"""

from __future__ import annotations

import compileall
from pathlib import Path

from bench.errors import GateError
from bench.gate.pairs import Benchmark, explain, side_command, side_environment
from bench.gate.settings import Settings
from bench.gate.trees import Trees
from bench.machine.processes import WorkerProcess

SIDE = "injection_side"
FILE = Path("lenet") / "networks.py"
LIMIT_S = 600.0
PHASES = ("forward", "step")  # whose timed part has a forward pass in it
KINDS = {
    "repeat": "self.fc2(_features[:amount])",  # a share of the arithmetic once more
    "copy": "_floats[: 256 * amount].clone()",
    "allocate": "[torch.empty(16) for _ in range(amount)]",
}
"""Work by the kind of mistake that it stands for. It grows with `amount` in steps of a microsecond or less."""

INJECTED = """

# Extra work, put here to see whether it is found.
_features, _floats, _extra = torch.ones(1 << 13, 120), torch.ones(1 << 22), {{"amount": {amount}}}
_init, _forward = LeNet.__init__, LeNet.forward


def _init_and_mark(self, *args, **kwargs):
    _init(self, *args, **kwargs)
    self.is_slowed = self.variant == Variant(**{variant!r})


def _forward_and_more(self, images):
    amount = _extra["amount"]
    if amount and self.is_slowed and len(images) == {batch_size} and self.training is {training}:
        {work}
    return _forward(self, images)


LeNet.__init__, LeNet.forward = _init_and_mark, _forward_and_more
"""


def add_comment(tree: Path) -> None:
    """A change that changes nothing."""
    _append(tree, "\n# A comment.\n")


def inject(tree: Path, benchmark: Benchmark, kind: str, amount: int) -> None:
    """Slows one benchmark of a tree by an amount of work of a kind of `KINDS`; no other runs it."""
    trial = benchmark.trial
    text = INJECTED.format(
        amount=amount,
        variant=trial["variant"],
        batch_size=trial["recipe"]["batch_size"],
        training=benchmark.phase == "step",
        work=KINDS[kind],
    )
    _append(tree, text)


def _append(tree: Path, text: str) -> None:
    file = tree / FILE
    if not file.is_file():
        raise GateError(f"{FILE}: not in this checkout; extra work can only be put into this project's own networks")
    with file.open("a", encoding="utf-8") as networks:
        networks.write(text)
    compileall.compile_dir(tree / FILE.parent, quiet=2, workers=1)


def slow_down(trees: Trees, benchmark: Benchmark, kind: str, share: float, logs: Path) -> tuple[int, float]:
    """Slows one benchmark of head by about a share of its time, and returns the amount and the share that was reached.

    The amount is found, and the share measured, in a process of its own that runs blocks with and without the extra
    work in random order. Raises `GateError`.
    """
    file = trees.path("head") / FILE
    before = file.read_text(encoding="utf-8")
    inject(trees.path("head"), benchmark, kind, 0)
    task = {"trial": benchmark.trial, "phase": benchmark.phase, "share": share, "block_s": Settings.block_ms / 1e3}
    environment = side_environment(trees.link("head", "base"), 0)
    log = logs / f"injection-{kind}.log"
    with WorkerProcess(task, environment, log, side_command(trees, "head", SIDE)) as process:
        message = process.receive(LIMIT_S)
        if message is None or message["kind"] == "broken":
            reason = explain(process)[1] if message is None else message["reason"]
            raise GateError(f"extra work could not be measured: {reason}")
    file.write_text(before, encoding="utf-8")
    inject(trees.path("head"), benchmark, kind, message["amount"])
    return message["amount"], message["share"]
