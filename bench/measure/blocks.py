"""Times a training step: builds what is timed, warms it up, and runs blocks of one phase.

A block runs a phase a fixed number of times and is timed as a whole, so that the clock's own cost vanishes in it. What
the seconds mean - medians, intervals, when to stop - is not decided here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lenet.data import synthesize
from lenet.networks import build, count
from lenet.step import TrainingStep
from lenet.variant import Recipe, Variant

from .calibration import SHORTEST_S, count_iterations

WARMUP_MIN_STEPS = 5
WARMUP_MIN_S = 0.1
WARMUP_MAX_S = 0.3  # on a noisy machine the speed never settles; longer waiting would only cost processes
STABLE_SHARE = 0.05  # two successive warm-up blocks closer than this count as stable
MAX_ITERATIONS = 100_000


class Step(Protocol):
    """What a subject's step can do. `lenet.step.TrainingStep` is one, `ModuleStep` another."""

    model: nn.Module
    optimizer: torch.optim.Optimizer

    def infer(self, images: Tensor) -> Tensor:
        """The network's outputs, in inference mode: the phase `forward`."""

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar; its `backward()` is the phase `backward`."""

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Zeroes gradients, runs forward, loss, backward and the optimiser: the phase `step`. Returns the loss."""


class ModuleStep:
    """A training step made of any module, loss and optimiser, run eagerly."""

    def __init__(
        self, model: nn.Module, compute_loss: Callable[[Tensor, Tensor], Tensor], optimizer: torch.optim.Optimizer
    ) -> None:
        self.model, self.optimizer, self._compute_loss = model, optimizer, compute_loss

    @torch.inference_mode()
    def infer(self, images: Tensor) -> Tensor:
        """As in `Step`; the module is in evaluation mode."""
        if self.model.training:  # walking over all modules costs as much as a small layer
            self.model.eval()
        outputs: Tensor = self.model(images)
        return outputs

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """As in `Step`; the module is in training mode."""
        if not self.model.training:
            self.model.train()
        return self._compute_loss(self.model(images), labels)

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """As in `Step`."""
        self.optimizer.zero_grad()
        loss = self.loss(images, labels)
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        self.optimizer.step()
        return loss.detach()


@dataclass
class Subject:
    """What is timed, built and ready: a training step and one batch.

    **Arguments:**

    - `step`: the training step, its learning rate set to 0: the optimiser does its full work and the weights stay put,
      so that block 1,000 computes with the same numbers as block 1.
    - `images`, `labels`: one batch, resident on the step's device.
    - `network`: what `lenet.networks.count` finds; {} for a module that is not lenet's.
    - `threads`: intra-op threads of torch.
    - `prepare_s`: seconds of compiling or capturing. `warmup_s`: seconds until the speed settled.
    - `iterations`: how often a block runs each phase.
    - `peak_memory_bytes`: tensors alive at the worst moment of a step, weights and optimiser state included.
    """

    step: Step
    images: Tensor
    labels: Tensor
    network: dict[str, object]
    threads: int
    prepare_s: float = 0.0
    warmup_s: float = 0.0
    peak_memory_bytes: int = 0
    iterations: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of_module(
        cls,
        module: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        batch: tuple[Tensor, Tensor],
    ) -> Subject:
        """Any module as a subject, timed as a trial's network is. Its weights stay put: the rates are set to 0.

        **Arguments:**

        - `loss`: given the module's outputs and the labels, a scalar.
        - `optimizer`: of the module's parameters.
        - `batch`: inputs and labels, on the module's device.
        """
        for group in optimizer.param_groups:
            group["lr"] = torch.zeros_like(group["lr"]) if isinstance(group["lr"], Tensor) else 0.0
        return cls(ModuleStep(module, loss, optimizer), *batch, network={}, threads=torch.get_num_threads())


def place_step(model: nn.Module, recipe: Recipe, placement: Mapping[str, Any]) -> TrainingStep:
    """The training step of a network where and as its placement says (as in `build_subject`)."""
    return TrainingStep(
        model,
        recipe,
        device=placement["device"],
        dtype=placement["dtype"],
        memory_format=placement["memory_format"],
        backend=placement["backend"],
    )


def build_subject(variant: Variant, recipe: Recipe, placement: Mapping[str, Any]) -> Subject:
    """Builds a trial's network, optimiser and batch on its device, and compiles or captures where the backend asks
    for it.

    **Arguments:**

    - `placement`: `device`, `threads`, `dtype`, `memory_format` and `backend`, as plain values.
    """
    torch.set_num_threads(placement["threads"])
    model = build(variant, seed=0)
    shape = (variant.channels, variant.input_size, variant.input_size)
    network = count(model, shape)
    step = place_step(model, recipe, placement)
    split = synthesize(
        variant.channels, variant.classes, variant.input_size, images=recipe.batch_size, device=placement["device"]
    ).train
    images = split.images
    if placement["memory_format"] == "channels_last":
        images = images.contiguous(memory_format=torch.channels_last)
    subject = Subject(step, images, split.labels, network, placement["threads"])
    step.set_learning_rate(0.0)
    subject.prepare_s = step.prepare(images, split.labels)
    return subject


def warm_up(subject: Subject, phases: list[str], block_s: float) -> None:
    """Runs each phase until its speed settles, and sets how often a block of `block_s` seconds runs it.

        for each phase:
            block = WARMUP_MIN_STEPS iterations
            repeat: time a block; double it until it is long enough to time
            until the last two blocks agree within STABLE_SHARE and WARMUP_MIN_S has passed, or WARMUP_MAX_S has

    The iterations come from the last block, so they are counted at the speed that will be timed.
    """
    started = time.perf_counter()
    for phase in phases:
        phase_started = time.perf_counter()
        iterations, previous = WARMUP_MIN_STEPS, 0.0
        while True:
            seconds, _ = run_block(subject, phase, iterations)
            each = max(seconds / iterations, SHORTEST_S)
            elapsed = time.perf_counter() - phase_started
            settled = previous > 0 and abs(each - previous) <= STABLE_SHARE * previous
            if elapsed >= WARMUP_MAX_S or (settled and elapsed >= WARMUP_MIN_S):
                break
            previous = each
            if seconds < block_s / 2:
                iterations = min(iterations * 2, MAX_ITERATIONS)
        subject.iterations[phase] = min(count_iterations(block_s, each), MAX_ITERATIONS)
    subject.warmup_s = time.perf_counter() - started


def run_block(subject: Subject, phase: str, iterations: int) -> tuple[float, float]:
    """Runs a phase `iterations` times. Returns the seconds of the block and the CPU seconds of this process.

    `backward` sums the seconds of loss.backward() alone; its forward passes run in between, untimed. On CUDA the
    seconds are the device's own, between two events, read after one synchronisation at the block's end.
    """
    if subject.images.is_cuda:
        return _run_cuda_block(subject, phase, iterations)
    step, images, labels = subject.step, subject.images, subject.labels
    cpu_started = time.process_time()
    clock = time.perf_counter
    if phase == "backward":
        seconds = 0.0
        for _ in range(iterations):
            loss = step.loss(images, labels)
            started = clock()
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            seconds += clock() - started
            step.optimizer.zero_grad(set_to_none=True)
    else:
        call = _call(subject, phase)
        started = clock()
        for _ in range(iterations):
            call()
        seconds = clock() - started
    return seconds, time.process_time() - cpu_started


def _call(subject: Subject, phase: str) -> Callable[[], object]:
    step, images, labels = subject.step, subject.images, subject.labels
    if phase == "forward":
        return lambda: step.infer(images)
    return lambda: step.step(images, labels)


def _run_cuda_block(subject: Subject, phase: str, iterations: int) -> tuple[float, float]:
    step, images, labels = subject.step, subject.images, subject.labels
    cpu_started = time.process_time()
    torch.cuda.synchronize()
    pairs = []
    if phase == "backward":
        for _ in range(iterations):
            loss = step.loss(images, labels)
            begin, end = make_event(), make_event()
            # Drained first, so that the events span the backward pass and not a queue of forward work still to be
            # launched.
            torch.cuda.synchronize()
            begin.record()
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            end.record()
            step.optimizer.zero_grad(set_to_none=True)
            pairs.append((begin, end))
    else:
        call = _call(subject, phase)
        begin, end = make_event(), make_event()
        begin.record()
        for _ in range(iterations):
            call()
        end.record()
        pairs.append((begin, end))
    torch.cuda.synchronize()
    seconds = sum(begin.elapsed_time(end) for begin, end in pairs) / 1e3
    return seconds, time.process_time() - cpu_started


def make_event() -> torch.cuda.Event:
    """A CUDA event that can be timed."""
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # untyped in torch


def measure_peak_memory(subject: Subject) -> int:
    """Bytes of tensors alive at the worst moment of one training step: weights, gradients, optimiser state, the batch
    and everything that forward keeps for backward.

    On CUDA it is the caching allocator's own peak. On the CPU the allocations of one step are traced with torch's
    profiler and summed; the scratch memory of oneDNN is not torch's and is not in it.
    """
    step, images, labels = subject.step, subject.images, subject.labels
    if images.is_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        step.step(images, labels)
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated())
    # Gradients are dropped first, so that the step allocates them anew and the trace sees them.
    step.optimizer.zero_grad(set_to_none=True)
    state = [value for values in step.optimizer.state.values() for value in values.values() if torch.is_tensor(value)]
    weights = [*step.model.parameters(), *step.model.buffers()]
    resident = sum(tensor.nbytes for tensor in [*weights, *state, images, labels])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step.step(images, labels)
    events = profile.profiler.kineto_results.events()
    alive = peak = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        alive += event.nbytes()
        peak = max(peak, alive)
    return int(resident + peak)
