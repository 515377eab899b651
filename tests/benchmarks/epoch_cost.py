"""What one training epoch of the seed network on MNIST costs: ours, a bare loop, and a DataLoader, side by side.

    python tests/benchmarks/epoch_cost.py --data-root DIR [--repeats N] [--images N] [--batch-size N] [--threads N]

The three do the same arithmetic on the same number of threads: the same network, images, batch size, fused Nesterov SGD
and rates. They take turns in one process, in a new random order each round. `ours` is the `train_s` of
`lenet.training.fit`. `loop` is written out below over tensors that are in memory. `loader` feeds that loop from
`torchvision.datasets.MNIST` through the usual Pad, ToTensor and Normalize and a DataLoader, with 0 and with 2 workers;
the faster of the two counts. Targets: ours / loop <= 1.10, ours / loader <= 0.45.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

from lenet.data import Data, DataError, Split, load
from lenet.networks import build
from lenet.schedule import learning_rate
from lenet.step import TrainingStep
from lenet.training import fit
from lenet.variant import Recipe, Variant
from lenet.vision import import_torchvision

SEED = 0
VARIANT = Variant(channels=1)


class Plain(nn.Module):
    """The network of the reading note for one channel, with the weights that ours starts from."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
        self.load_state_dict(build(VARIANT, SEED).state_dict())

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.view(x.size(0), -1)))
        return self.fc3(F.relu(self.fc2(x)))


def plain_epoch(batches: Iterable[tuple[Tensor, Tensor]], rates: list[float], recipe: Recipe) -> float:
    """Seconds of one epoch written out. `batches` does its work as it is drawn from."""
    model = Plain()
    optimizer = torch.optim.SGD(model.parameters(), lr=rates[0], momentum=recipe.momentum, nesterov=True, fused=True)
    total = 0.0
    started = time.perf_counter()
    for rate, (images, labels) in zip(rates, batches, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.detach()
    float(total)
    return time.perf_counter() - started


def resident_batches(train: Split, batch_size: int) -> Iterable[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(train))
    for start in range(0, len(train) - batch_size + 1, batch_size):
        batch = order[start : start + batch_size]
        yield train.images[batch], train.labels[batch]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=55_000, help="training images an epoch")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1, help="threads of the training process, for all alike")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        data = load("mnist", arguments.data_root, input_size=32)
    except DataError as error:
        sys.exit(str(error))
    train = Split(data.train.images[: arguments.images], data.train.labels[: arguments.images])
    few = Split(data.validation.images[:64], data.validation.labels[:64])
    recipe = Recipe(data="mnist", batch_size=arguments.batch_size, epochs=1, learning_rate=0.02)
    updates = len(train) // recipe.batch_size
    rates = [learning_rate(update, updates, recipe) for update in range(updates)]

    torchvision = import_torchvision()
    from torchvision import datasets, transforms

    steps = [transforms.Pad(2), transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    on_disk = datasets.MNIST(arguments.data_root, train=True, transform=transforms.Compose(steps))
    subset = Subset(on_disk, range(len(train)))

    def ours() -> float:
        return fit(TrainingStep(build(VARIANT, SEED), recipe), Data(train, few, few), recipe, SEED).train_s

    def loop() -> float:
        return plain_epoch(resident_batches(train, recipe.batch_size), rates, recipe)

    def loader(workers: int) -> float:
        batches = DataLoader(subset, recipe.batch_size, shuffle=True, drop_last=True, num_workers=workers)
        return plain_epoch(batches, rates, recipe)

    contestants: dict[str, Callable[[], float]] = {
        "ours": ours,
        "loop": loop,
        "loader, 0 workers": lambda: loader(0),
        "loader, 2 workers": lambda: loader(2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(arguments.repeats):
        for name in random.sample(list(contestants), len(contestants)):
            seconds[name].append(contestants[name]())
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, {torch.get_num_threads()} thread(s)")
    print(f"{len(train)} images, batch {recipe.batch_size}, {arguments.repeats} repeats; medians:")
    for name, values in seconds.items():
        print(f"{name:18} {median[name]:8.3f} s   ({min(values):.3f} to {max(values):.3f})")
    fastest = min(median["loader, 0 workers"], median["loader, 2 workers"])
    for name, base, target in (("loop", median["loop"], 1.10), ("loader", fastest, 0.45)):
        ratio = median["ours"] / base
        print(f"ours / {name:7} {ratio:6.3f}   target <= {target:.2f}   {'reached' if ratio <= target else 'MISSED'}")


if __name__ == "__main__":
    main()
