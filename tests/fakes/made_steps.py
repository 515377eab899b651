"""Training steps of small networks for tests, batches to step them by, and where they can run."""

import shutil

import pytest
import torch
from torch import Tensor

from lenet.networks import build
from lenet.step import TrainingStep
from lenet.variant import Recipe, Variant

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


DEVICES = ["cpu", pytest.param("cuda", marks=CUDA)]


COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on the CPU")


BACKENDS = [
    ("cpu", "eager"),
    pytest.param("cpu", "compiled", marks=[COMPILER, pytest.mark.slow]),
    pytest.param("cuda", "eager", marks=CUDA),
    pytest.param("cuda", "compiled", marks=CUDA),
    pytest.param("cuda", "cuda_graph", marks=CUDA),
]


QUICK = Recipe(epochs=4, optimizer="adam", learning_rate=2e-3)


def batch(size: int = 16, device: str = "cpu", channels: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(size, channels, 32, 32, generator=generator)
    return images.to(device), torch.randint(10, (size,), generator=generator).to(device)


def make(recipe: Recipe = QUICK, seed: int = 0, variant: Variant | None = None, **placement: str) -> TrainingStep:
    return TrainingStep(build(variant or Variant(channels=1), seed), recipe, **placement)


def weights(step: TrainingStep) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in step.model.state_dict().items()}
