"""Stochastic diagonal Levenberg-Marquardt, LeNet-5's optimiser (LeCun et al. 1998, section II.C and appendix C).

`curvature` estimates for each weight the mean second derivative of the loss on some images. `SDLM` is gradient descent
that divides each weight's learning rate by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp
from torch.nn import functional as F

from lenet.layers import LocalConv2d, PartialConv2d, ScaledTanh, SquaredDistance, Subsampling, UnitBias
from lenet.losses import FAR
from lenet.variant import ChoiceError

MU = 0.02  # keeps a rate bounded where the loss is flat
PATTERNS = 500  # images that the second derivatives are estimated on, before each pass

Bilinear = (nn.Conv2d, nn.Linear, PartialConv2d, LocalConv2d, UnitBias)
"""Layers whose output is linear in their weights and, but for biases, in their input."""

Elementwise = (
    ScaledTanh, nn.Tanh, nn.Sigmoid, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
)  # fmt: skip
Routing = (nn.Flatten, nn.Identity, nn.Dropout, nn.ConstantPad2d, nn.MaxPool2d)
"""Layers that pass inputs on, or not: the second derivative takes the same way back as the first."""


class SDLM(torch.optim.Optimizer):
    """Gradient descent with a rate for each weight: rate / (MU + its second derivative).

    The rate is of one pattern, as in the paper: with batches a step is the sum over the batch of the steps that its
    patterns would take alone, so that the published rates hold for any batch that is small enough. Before
    `set_curvature` is called, all second derivatives are 1.

    **Arguments:**

    - `parameters`: tensors to train. `lr`: the global rate, a number or (for CUDA graphs) a tensor on the device.
    - `batch_size`: patterns in each gradient, which is their mean.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float | Tensor, batch_size: int) -> None:
        super().__init__(parameters, {"lr": lr})
        self.batch_size = batch_size
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["inverse"] = torch.full_like(parameter, 1 / (MU + 1))

    def set_curvature(self, curvature: Iterable[Tensor]) -> None:
        """Takes the second derivatives, one tensor a parameter in order; negative ones count as 0."""
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        for parameter, second in zip(parameters, curvature, strict=True):
            self.state[parameter]["inverse"].copy_(1 / (MU + second.clamp(min=0)))

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update from the gradients."""
        for group in self.param_groups:
            learned = [parameter for parameter in group["params"] if parameter.grad is not None]
            gradients = [parameter.grad for parameter in learned]
            moves = torch._foreach_mul(gradients, [self.state[parameter]["inverse"] for parameter in learned])
            torch._foreach_mul_(moves, group["lr"] * -self.batch_size)
            torch._foreach_add_(learned, moves)


def chain_of(model: nn.Module) -> list[nn.Module]:
    """The model's layers in the order they are applied. Raises `ChoiceError` for a model that is no chain, or has a
    layer whose second derivatives are not known here.
    """
    chain: Any = getattr(model, "chain", model.children)  # LeNet is no Sequential, and says its order itself
    layers: list[nn.Module] = list(chain())
    known = (*Bilinear, *Elementwise, *Routing, nn.AvgPool2d, Subsampling, SquaredDistance)
    for layer in layers:
        if not isinstance(layer, known):
            raise ChoiceError(f"optimizer: 'sdlm' has no second derivative for {type(layer).__name__}")
    return layers


def curvature(model: nn.Module, loss: str, images: Tensor, labels: Tensor) -> list[Tensor]:
    """The mean over images of each weight's second derivative of the loss of one image, in the parameters' order.

    Gauss-Newton and diagonal, as in the paper (eq. 24-27 and appendix C): layer by layer, from the loss down,

        a layer linear in its input:  h(input) = sum of weight^2 h(output),  h(weight) = sum of input^2 h(output)
        an activation:                h(input) = f'(input)^2 h(output)

    where terms in f'' and between different units, or different uses of a shared weight, are dropped.

    **Arguments:**

    - `model`: as in `chain_of`. It is run in evaluation mode and left as it was.
    - `loss`: a name in `lenet.losses.LOSSES`. `images`: (N, C, H, W). `labels`: int64 (N,).

    Raises `ChoiceError` as `chain_of`.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            layers, inputs = chain_of(model), [images]
            for layer in layers:
                inputs.append(layer(inputs[-1]))
            by_parameter: dict[Tensor, Tensor] = {}
            if isinstance(layers[-1], SquaredDistance):
                second = distance_curvature(loss, layers[-1].centres, inputs[-2], inputs[-1])
                layers = layers[:-1]
            else:
                second = score_curvature(loss, inputs[-1])
            for layer, entered in zip(reversed(layers), reversed(inputs[: len(layers)]), strict=True):
                second = carry_back(layer, entered, second, by_parameter)
    finally:
        model.train(training)
    return [by_parameter[parameter] / len(images) for parameter in model.parameters()]


def score_curvature(loss: str, scores: Tensor) -> Tensor:
    """The diagonal second derivative of one image's loss by its scores."""
    if loss == "mse":
        return torch.full_like(scores, 2 / scores.shape[1])
    share = torch.softmax(scores, 1)
    return share * (1 - share)


def distance_curvature(loss: str, centres: Tensor, features: Tensor, scores: Tensor) -> Tensor:
    """The diagonal second derivative by the features that the distances are taken from; exact."""
    if loss == "penalty":
        return torch.full_like(features, 2.0)
    # Of log(exp(-j) + sum exp(-d_i)): -2 sum p_i + the variance of the distances' slopes under p, a slope 0 for j.
    p = torch.softmax(torch.cat([scores, scores.new_full((len(scores), 1), -FAR)], 1), 1)[:, :-1]
    slopes = 2 * (features[:, None, :] - centres)
    mean = (p[:, :, None] * slopes).sum(1)
    return 2 - 2 * p.sum(1, keepdim=True) + (p[:, :, None] * slopes.square()).sum(1) - mean.square()


def carry_back(layer: nn.Module, entered: Tensor, second: Tensor, by_parameter: dict[Tensor, Tensor]) -> Tensor:
    """One layer of the recursion: adds the sums for its weights to `by_parameter`, returns h of its input.

    **Arguments:**

    - `entered`: the layer's input. `second`: h of its output.
    """
    if isinstance(layer, Subsampling):
        # Two layers in one: a sum with weights 1, then a coefficient a map.
        sums = F.avg_pool2d(entered, 2, divisor_override=1)
        by_parameter[layer.weight] = (sums.square() * second).sum((0, 2, 3))
        by_parameter[layer.bias] = second.sum((0, 2, 3))
        weighted = second * layer.weight.square()[:, None, None]
        return reverse(lambda x: F.avg_pool2d(x, 2, divisor_override=1), entered, weighted)
    if isinstance(layer, Bilinear):
        # A layer bilinear in weight and input, run on their squares, has the two sums as its first derivatives.
        parameters = dict(layer.named_parameters())
        squares = {name: value.square() for name, value in parameters.items()}

        def run(weights: dict[str, Tensor], x: Tensor) -> Any:
            return functional_call(layer, weights, (x,))

        back: Any = vjp(run, squares, entered.square())[1]
        by_weight, by_input = back(second)
        by_parameter |= {parameters[name]: value for name, value in by_weight.items()}
        carried: Tensor = by_input
        return carried
    if isinstance(layer, Elementwise):
        slope = reverse(layer, entered, torch.ones_like(second))
        return slope.square() * second
    if isinstance(layer, nn.AvgPool2d):
        return reverse(layer, entered, second) / 4  # weights 1/4, squared
    return reverse(layer, entered, second)


def reverse(function: Any, entered: Tensor, outgoing: Tensor) -> Tensor:
    """The vector-Jacobian product of a function of one tensor."""
    back: Any = vjp(function, entered)[1]
    carried: Tensor = back(outgoing)[0]
    return carried
