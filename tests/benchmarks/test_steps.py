"""What one call of forward, backward and step costs, for a few variants, on the CPU with one thread.

An ordinary pytest-benchmark suite: `make bench-micro` times it, the normal test run goes through it once, untimed, and
`lenet-bench gate --pytest tests/benchmarks` compares two revisions with it.
"""

import pytest
import torch

from lenet.data import synthesize
from lenet.networks import build, count
from lenet.step import TrainingStep
from lenet.variant import Recipe, Variant

VARIANTS = {
    "relu-max": Variant(channels=1),
    "scaled_tanh-subsampling": Variant(channels=1, activation="scaled_tanh", pooling="subsampling"),
    "relu-max-batch": Variant(channels=1, normalization="batch"),
}
ROUNDS = {"rounds": 60, "warmup_rounds": 5}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[16, 64], ids="batch{}".format)
def batch_size(request):
    return request.param


@pytest.fixture(params=VARIANTS)
def subject(request, batch_size, benchmark):
    """A training step and its batch. The rate is 0, so that the weights stay put however often it is stepped."""
    variant = VARIANTS[request.param]
    step = TrainingStep(build(variant, seed=0), Recipe(data="synthetic", batch_size=batch_size))
    step.set_learning_rate(0.0)
    batch = synthesize(variant.channels, variant.classes, variant.input_size, images=batch_size).train
    network = count(step.model, (variant.channels, variant.input_size, variant.input_size))
    benchmark.extra_info |= {
        "variant": request.param,
        "batch_size": batch_size,
        "parameters": network["parameters"],
        "macs": network["macs"],
        "torch": torch.__version__,
    }
    return step, batch.images, batch.labels


@pytest.mark.benchmark(group="forward")
def test_forward(benchmark, subject):
    step, images, _ = subject
    assert benchmark.pedantic(step.infer, (images,), **ROUNDS).shape == (len(images), 10)


@pytest.mark.benchmark(group="backward")
def test_backward(benchmark, subject):
    step, images, labels = subject

    def forward():
        step.optimizer.zero_grad(set_to_none=True)
        return (step.loss(images, labels),), {}

    benchmark.pedantic(torch.Tensor.backward, setup=forward, **ROUNDS)
    assert all(parameter.grad is not None for parameter in step.model.parameters())


@pytest.mark.benchmark(group="step")
def test_step(benchmark, subject):
    step, images, labels = subject
    assert benchmark.pedantic(step.step, (images, labels), **ROUNDS).isfinite()
