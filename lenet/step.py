"""One training step of a network, on every device and backend that a trial can ask for.

A `TrainingStep` is made of a network and a recipe and is then given one batch after another. `lenet.training` trains
with it, and the same object is timed, so that what is timed is what trained. Epochs, schedules and data are decided
elsewhere.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from lenet.losses import make_loss
from lenet.sdlm import SDLM, curvature
from lenet.variant import Recipe

MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
GRAPH_WARM_UPS = 3  # runs before a capture, so that lazy initialisation of CUDA libraries is not captured


class TrainingStep:
    """A network with its optimiser, placed on a device and ready to be stepped.

    No method reads a result back from the device, so on CUDA all of them return before the work is done.

    **Arguments:**

    - `model`: maps float32 images (N, C, H, W) to scores (N, classes). It is moved to the device and trained in place.
    - `recipe`: names the loss, the optimiser and its numbers. The rate starts at `learning_rate`.
    - `device`: `cpu` or `cuda`.
    - `dtype`: `float32` (on CUDA as torch sets it: convolutions may use TF32), or `bfloat16`: the forward pass under
      autocast, weights, loss and optimiser in float32.
    - `memory_format`: `contiguous` or `channels_last`, of weights and images.
    - `backend`: `eager`; `compiled` (torch.compile of the network, forward and backward; loss and optimiser stay
      eager); or `cuda_graph` (whole steps, forward passes, and forward-backward pairs are captured once and replayed).
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        memory_format: str = "contiguous",
        backend: str = "eager",
    ) -> None:
        self.device = torch.device(device)
        self.backend = backend
        self.recipe = recipe
        self.compute_loss = make_loss(recipe.loss, recipe.label_smoothing)
        self.memory_format = MEMORY_FORMATS[memory_format]
        self.bfloat16 = dtype == "bfloat16"
        self.model = model.to(self.device).to(memory_format=self.memory_format)  # type: ignore[call-overload]  # torch's stub lacks it
        self.network: Callable[[Tensor], Tensor] = compiled(self.model) if backend == "compiled" else self.model
        self.optimizer = make_optimizer(self.model, recipe, self.device, captured=backend == "cuda_graph")
        self.replays: dict[str, Callable[..., Tensor]] = {}
        self.prepared_shape: torch.Size | None = None
        if self.device.type == "cuda":
            # The same seed must give the same numbers. Without this, cuDNN may pick a convolution that sums in any
            # order. Nothing else here does: 2x2 windows do not overlap, and the loss's backward adds nothing twice.
            torch.backends.cudnn.deterministic = True

    def prepare(self, images: Tensor, labels: Tensor) -> float:
        """Compiles or captures for batches of this shape; returns the seconds it took, 0.0 for `eager`.

        Weights, buffers, the optimiser's state and the random generators are as before when it returns.
        """
        if self.backend == "eager":
            return 0.0
        started = time.perf_counter()
        with self._unchanged():
            if self.backend == "compiled":
                self.loss(images, labels).backward()  # type: ignore[no-untyped-call]  # untyped in torch
                self._infer(self.network, images)
            else:
                self._train()
                self.replays["step"] = Replay(self._step, images, labels)
                self.replays["loss"] = graphed_loss(self, images, labels)
                self.model.eval()
                self.replays["infer"] = Replay(lambda batch: self._infer(self.model, batch), images)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.prepared_shape = images.shape
        return time.perf_counter() - started

    def infer(self, images: Tensor) -> Tensor:
        """Logits (N, classes) in inference mode; batches of another shape than the prepared one run eagerly.

        With `cuda_graph` the next call overwrites what this one returned.
        """
        if self.model.training:
            self.model.eval()
        prepared = images.shape == self.prepared_shape
        if prepared and "infer" in self.replays:
            return self.replays["infer"](images)
        return self._infer(self.network if prepared else self.model, images)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The recipe's loss, a scalar to call `backward` on. With `cuda_graph` that replays too."""
        self._train()
        return self.replays.get("loss", self._loss)(images, labels)

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """One update: clears gradients, runs forward, loss and backward, and the optimiser. Returns the loss, detached.

        With `cuda_graph` the next call overwrites what this one returned.
        """
        self._train()
        return self.replays.get("step", self._step)(images, labels)

    def set_learning_rate(self, rate: float) -> None:
        """The rate of the next steps."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # a captured step reads its rate from the device
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def estimate_curvature(self, images: Tensor, labels: Tensor) -> None:
        """Gives `sdlm` the second derivatives on these images. Raises `ChoiceError` for layers it does not know."""
        if isinstance(self.optimizer, SDLM):
            self.optimizer.set_curvature(curvature(self.model, self.recipe.loss, images, labels))

    def clock(self) -> float:
        """Seconds of a monotonic clock, read when the device has done all it was asked to."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _train(self) -> None:
        if not self.model.training:  # walking over all modules costs as much as a small layer
            self.model.train()

    def _logits(self, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=self.memory_format)
        if not self.bfloat16:
            return network(images)
        # Each weight is used once a pass, so a cache of casts would gain nothing; a capture forbids it.
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):
            return network(images)

    @torch.inference_mode()
    def _infer(self, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        return self._logits(network, images)

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self._logits(self.network, images)
        return self.compute_loss(logits.float(), labels)

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        loss = self._loss(images, labels)
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        self.optimizer.step()
        return loss.detach()

    @contextlib.contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Puts weights, optimiser state and random generators back, in place: captured steps hold their addresses."""
        training = self.model.training
        weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        states = {id(value): value.clone() for value in self._optimizer_state()}
        devices = [torch.cuda.current_device()] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            yield
        self.model.load_state_dict(weights)
        for value in self._optimizer_state():
            if id(value) in states:
                value.copy_(states[id(value)])
            else:
                value.zero_()  # made by the first step; each of our optimisers starts from zeros
        self.optimizer.zero_grad()
        self.model.train(training)

    def _optimizer_state(self) -> list[Tensor]:
        return [v for state in self.optimizer.state.values() for v in state.values() if isinstance(v, Tensor)]


def make_optimizer(model: nn.Module, recipe: Recipe, device: torch.device, *, captured: bool) -> torch.optim.Optimizer:
    """The recipe's optimiser, fused: one kernel for all weights. `captured`: its rate lives on the device."""
    rate: Any = torch.tensor(recipe.learning_rate, device=device) if captured else recipe.learning_rate
    if recipe.optimizer == "sdlm":
        return SDLM(model.parameters(), rate, recipe.batch_size)
    common: dict[str, Any] = {"lr": rate, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer == "sgd":
        momentum = recipe.momentum
        return torch.optim.SGD(model.parameters(), momentum=momentum, nesterov=momentum > 0, **common)
    adaptive = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return adaptive(model.parameters(), capturable=captured, **common)


def compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """torch.compile of a network for fixed shapes; an error rather than a silent return to eager."""
    import torch._dynamo.config  # torch.compile loads it anyway; it takes a second, so not before it is needed

    # The limit is counted over all networks that share LeNet.forward, and a process may time dozens of them.
    torch._dynamo.config.recompile_limit = 1_024
    torch._dynamo.config.accumulated_recompile_limit = 4_096
    network: Callable[[Tensor], Tensor] = torch.compile(model, fullgraph=True, dynamic=False)
    return network


class Replay:
    """A function of tensors, captured as a CUDA graph: a call copies its inputs in and replays into the same output.

    **Arguments:**

    - `function`: runs the same kernels on the same addresses whenever it is called with the same tensors.
    - `inputs`: CUDA tensors of the shapes that all later calls must have.
    """

    def __init__(self, function: Callable[..., Tensor], *inputs: Tensor) -> None:
        self.inputs = tuple(torch.clone(tensor) for tensor in inputs)
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # untyped in torch
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(GRAPH_WARM_UPS):
                function(*self.inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = function(*self.inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        for static, given in zip(self.inputs, inputs, strict=True):
            static.copy_(given)
        self.graph.replay()
        return self.output


def graphed_loss(step: TrainingStep, images: Tensor, labels: Tensor) -> Callable[..., Tensor]:
    """The step's loss with forward and backward captured apart, so that `backward` can be called on what it returns."""

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = step.model  # its parameters are what the captured backward differentiates by

        def forward(self, images: Tensor, labels: Tensor) -> Tensor:
            return step._loss(images, labels)

    graphed = torch.cuda.make_graphed_callables(Loss(), (images.clone(), labels.clone()))
    return cast(Callable[..., Tensor], graphed)
