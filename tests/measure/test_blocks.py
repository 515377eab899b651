"""What is timed and how: subjects of trials and of any module, their warm-up, their blocks and their memory."""

import dataclasses

import pytest
import torch
from torch import nn

from bench.experiment.trial import PHASES, Placement
from bench.measure.blocks import (
    MAX_ITERATIONS,
    WARMUP_MAX_S,
    Subject,
    build_subject,
    measure_peak_memory,
    place_step,
    run_block,
    warm_up,
)
from lenet.networks import build
from lenet.variant import Recipe, Variant

VARIANT = Variant(channels=1, classes=10, input_size=28)
RECIPE = Recipe(data="synthetic", batch_size=4, momentum=0.9)


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def of_a_trial(**placement):
    return build_subject(VARIANT, RECIPE, dataclasses.asdict(Placement(**placement)))


def of_a_module(**options):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Dropout(0.5))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, **options)
    batch = torch.randn(3, 3, 4), torch.tensor([0, 1, 4])
    return Subject.of_module(module, nn.functional.cross_entropy, optimizer, batch)


def weights(subject):
    return [parameter.detach().clone() for parameter in subject.step.model.parameters()]


@pytest.mark.parametrize("make", [of_a_trial, of_a_module])
def test_weights_stay_put_in_every_phase(make):
    subject = make()
    before = weights(subject)
    for phase in PHASES:
        seconds, cpu_s = run_block(subject, phase, 3)
        assert seconds > 0
        assert cpu_s >= 0
    assert all(map(torch.equal, before, weights(subject)))


def test_each_phase_runs_what_it_is_named_for_as_often_as_it_is_told():
    subject, calls = of_a_module(), []

    class Watched:
        model, optimizer = subject.step.model, subject.step.optimizer

        def __getattr__(self, name):
            calls.append(name)
            return getattr(subject.step, name)

    watched = dataclasses.replace(subject, step=Watched())
    for phase, called in (("forward", "infer"), ("backward", "loss"), ("step", "step")):
        calls.clear()
        run_block(watched, phase, 4)
        assert calls == [called] * 4


def test_a_module_is_evaluated_in_forward_and_trained_in_the_others():
    subject = of_a_module()
    module = subject.step.model
    with torch.no_grad():
        module.eval()
        expected = module(subject.images)
    assert torch.equal(subject.step.infer(subject.images), expected)
    assert not subject.step.infer(subject.images).requires_grad
    assert subject.step.loss(subject.images, subject.labels).requires_grad
    assert module.training
    assert not subject.step.step(subject.images, subject.labels).requires_grad
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_a_rate_that_lives_in_a_tensor_is_zeroed_as_well():
    module = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(module.parameters(), lr=torch.tensor(0.1))
    subject = Subject.of_module(module, nn.functional.mse_loss, optimizer, (torch.ones(1, 2), torch.ones(1, 2)))
    before = weights(subject)
    run_block(subject, "step", 2)
    assert all(map(torch.equal, before, weights(subject)))


def test_a_subject_is_built_as_its_placement_says():
    subject = of_a_trial(threads=2, dtype="bfloat16", memory_format="channels_last")
    assert torch.get_num_threads() == subject.threads == 2
    assert subject.images.is_contiguous(memory_format=torch.channels_last)
    assert subject.images.shape == (4, 1, 28, 28)
    assert subject.step.bfloat16
    assert subject.prepare_s == 0.0  # eager: nothing is compiled
    assert subject.network["parameters"] == sum(parameter.numel() for parameter in subject.step.model.parameters())
    plain = place_step(build(VARIANT, seed=0), RECIPE, dataclasses.asdict(Placement()))
    assert (plain.bfloat16, plain.memory_format, plain.backend) == (False, torch.contiguous_format, "eager")


@pytest.mark.parametrize("make", [of_a_trial, of_a_module])
def test_a_warm_up_counts_the_iterations_of_a_block(make):
    subject = make()
    warm_up(subject, ["forward", "step"], 0.002)
    assert list(subject.iterations) == ["forward", "step"]
    assert all(1 <= iterations <= MAX_ITERATIONS for iterations in subject.iterations.values())
    assert subject.warmup_s > 0


def test_a_warm_up_gives_up_on_a_speed_that_never_settles(monkeypatch):
    """A clock of its own: each block takes twice as long an iteration as the one before."""
    now, each = [0.0], [1e-4]

    def noisy(subject, phase, iterations):
        each[0] *= 2
        now[0] += iterations * each[0]
        return iterations * each[0], 0.0

    monkeypatch.setattr("bench.measure.blocks.run_block", noisy)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    subject = of_a_module()
    warm_up(subject, ["step"], 0.01)
    assert subject.warmup_s >= WARMUP_MAX_S
    assert subject.iterations["step"] == max(1, round(0.01 / each[0]))


def test_the_peak_holds_weights_gradients_state_batch_and_what_forward_keeps():
    subject = of_a_module(momentum=0.9)
    held = sum(parameter.nbytes for parameter in subject.step.model.parameters())
    batch = subject.images.nbytes + subject.labels.nbytes
    run_block(subject, "step", 1)  # momentum is there from the first step on
    peak = measure_peak_memory(subject)
    assert peak >= 3 * held + batch
    assert peak < 3 * held + batch + 4_096
    assert measure_peak_memory(subject) == peak
