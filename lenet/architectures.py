"""The list of architectures: for each name the knobs that it takes and their defaults, its input and its source.

This module holds names and numbers only, so it imports no torch. `lenet.variant` refuses what is not listed here.
`lenet.networks` and `lenet.classic` build the networks, `lenet.baselines` the methods that are no networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Value = str | int | float


@dataclass(frozen=True)
class Architecture:
    """What may be asked of one architecture.

    **Arguments:**

    - `source`: the paper that it is from, and what the paper leaves open.
    - `input_size`: pixels a side that it needs, or None if it takes any.
    - `limits`: knob -> the values it takes, the default first. Other knobs take all that the suite knows.
    - `defaults`: knob -> its default, where that is not the reading note's network's.
    - `is_network`: False for methods fitted by scikit-learn, which have no training step to time.
    """

    source: str
    input_size: int | None = None
    limits: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    defaults: Mapping[str, Value] = field(default_factory=dict)
    is_network: bool = True

    def default(self, knob: str, otherwise: Value) -> Value:
        """The value of a knob that was not given."""
        limit = self.limits.get(knob)
        return self.defaults.get(knob, limit[0] if limit else otherwise)


NO_LAYER = ("none",)
SQUASHED_OR_NOT = ("scaled_tanh", "logits")
BY_FAN_IN = ("lecun_uniform", "lecun_sqrt_uniform")
"""Init schemes that the historic convolutional networks take: the ones that know all of their kinds of layers."""

PLAIN: dict[str, tuple[Value, ...]] = {
    "normalization": ("none",), "pool_position": ("after_activation",), "dropout": (0.0,),
}  # fmt: skip
HISTORIC: dict[str, tuple[Value, ...]] = {**PLAIN, "init": BY_FAN_IN, "output": SQUASHED_OR_NOT}
STRIDED: dict[str, tuple[Value, ...]] = {**HISTORIC, "pooling": NO_LAYER}
PERCEPTRON: dict[str, tuple[Value, ...]] = {**PLAIN, "pooling": NO_LAYER, "output": SQUASHED_OR_NOT}
BASELINE: dict[str, tuple[Value, ...]] = {
    **PLAIN, "activation": NO_LAYER, "pooling": NO_LAYER, "init": NO_LAYER, "output": ("logits",),
}  # fmt: skip
SQUASH: dict[str, Value] = {"activation": "scaled_tanh", "pooling": "subsampling"}
LECUN_1989 = "LeCun 1989, Generalization and network design strategies, CRG-TR-89-4"
LECUN_1998 = "LeCun et al. 1998, Proc. IEEE 86(11)"


def _perceptron(source: str) -> Architecture:
    defaults: dict[str, Value] = {"activation": "scaled_tanh", "init": "lecun_uniform", "input_size": 28}
    return Architecture(source, limits=PERCEPTRON, defaults=defaults)


def _baseline(source: str) -> Architecture:
    return Architecture(source, limits=BASELINE, defaults={"input_size": 28}, is_network=False)


ARCHITECTURES: dict[str, Architecture] = {
    "lenet": Architecture("the reading note's modern LeNet-5", limits={"output": ("logits",)}),
    "net1": Architecture(f"{LECUN_1989}: one layer", 16, {**STRIDED, "activation": NO_LAYER}),
    "net2": Architecture(f"{LECUN_1989}: 12 hidden units", 16, STRIDED, SQUASH | {"pooling": "none"}),
    "net3": Architecture(f"{LECUN_1989}: local connections", 16, STRIDED, SQUASH | {"pooling": "none"}),
    "net4": Architecture(f"{LECUN_1989}: one layer of shared weights", 16, STRIDED, SQUASH | {"pooling": "none"}),
    "net5": Architecture(f"{LECUN_1989}: two layers of shared weights", 16, STRIDED, SQUASH | {"pooling": "none"}),
    "zipcode1989": Architecture(
        "LeCun et al. 1989, Neural Computation 1(4); which 8 of the 12 H1 maps an H2 map sees is our choice",
        16,
        {knob: values for knob, values in STRIDED.items() if knob != "dropout"},
        SQUASH | {"pooling": "none"},
    ),
    "lenet1": Architecture("LeCun et al. 1990, NIPS 2", 28, HISTORIC, SQUASH),
    "lenet4": Architecture(
        f"{LECUN_1998}, section III.C; the table of its third layer is our choice: 48 of 64 links give the published "
        "260,000 connections, while the published 17,000 parameters fit no reading of the text",
        32,
        HISTORIC,
        SQUASH,
    ),
    "lenet5": Architecture(
        f"{LECUN_1998}, section II.B",
        32,
        {**HISTORIC, "activation": ("scaled_tanh", "tanh"), "output": ("rbf",), "classes": (10,)},
        {"pooling": "subsampling"},
    ),
    "linear": Architecture(
        f"{LECUN_1998}, section III.C.1",
        limits={**PERCEPTRON, "activation": NO_LAYER},
        defaults={"init": "lecun_uniform", "input_size": 28},
    ),
    "mlp300": _perceptron(f"{LECUN_1998}, section III.C.5: 300 hidden units"),
    "mlp300_100": _perceptron(f"{LECUN_1998}, section III.C.6: 300 and 100 hidden units"),
    "mlp1000": _perceptron(f"{LECUN_1998}, section III.C.5: 1,000 hidden units"),
    "bosch": Architecture(
        "Bahrampour et al. 2015, arXiv:1511.06435: the LeNet of their framework benchmarks",
        28,
        {**PLAIN, "activation": ("tanh",), "pooling": ("max",), "output": ("logits",)},
        {"init": "xavier_uniform"},
    ),
    "least_squares": _baseline(f"{LECUN_1998}, section III.C.1: linear, by least squares"),
    "knn3": _baseline(f"{LECUN_1998}, section III.C.2: 3 nearest neighbours, Euclidean"),
    "pca40_quadratic": _baseline(f"{LECUN_1998}, section III.C.3: 40 principal components, quadratic"),
    "rbf1000": _baseline(f"{LECUN_1998}, section III.C.4: 1,000 radial basis functions, linear"),
    "svm_poly4": _baseline(f"{LECUN_1998}, section III.C.11: support vectors, polynomial of degree 4"),
    "svm_gaussian": _baseline("the table that the authors kept on the web: support vectors, Gaussian kernel"),
}
"""Every architecture. The networks of the reading note and of the papers, then the methods without a network."""
