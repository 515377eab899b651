"""The protocol of Bosch's framework benchmarks (Bahrampour et al. 2015, arXiv:1511.06435) on their LeNet.

`python tests/benchmarks/bosch_protocol.py [--device cpu|cuda] [--threads N]` prints forward and gradient (forward and
backward, no optimiser) in milliseconds for 64 random 1x28x28 images in float32, the mean of 200 runs after 200 dry
ones, beside the figures published for an M40 with cuDNN 4. On the CPU theirs ran 12 threads.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch.nn import functional as F

from lenet.networks import build
from lenet.variant import Variant

BATCH, DRY_RUNS, RUNS = 64, 200, 200
PUBLISHED_M40_MS = {  # gradient, forward
    "Caffe": (2.4, 0.8), "Neon": (2.7, 1.3), "TensorFlow": (2.7, 0.8), "Theano": (1.6, 0.6), "Torch": (1.8, 0.5),
}  # fmt: skip


def main() -> None:
    """Measures and prints one Markdown table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    model = build(Variant.make("bosch", channels=1), 0).to(given.device)
    images = torch.randn(BATCH, 1, 28, 28, device=given.device)
    labels = torch.randint(10, (BATCH,), device=given.device)

    @torch.inference_mode()
    def forward() -> None:
        model(images)

    def gradient() -> None:
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()

    def mean_ms(call: object) -> float:
        assert callable(call)
        for _ in range(DRY_RUNS):
            call()
        if given.device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(RUNS):
            call()
        if given.device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / RUNS * 1e3

    rows = [
        (
            f"here: torch {torch.__version__}, {given.device}, {given.threads} threads",
            mean_ms(gradient),
            mean_ms(forward),
        )
    ]
    rows += [(f"M40, {name}", *figures) for name, figures in PUBLISHED_M40_MS.items()]
    print("| who | gradient ms | forward ms |\n|---|---|---|")
    for who, both, one in rows:
        print(f"| {who} | {both:.2f} | {one:.2f} |")


if __name__ == "__main__":
    main()
