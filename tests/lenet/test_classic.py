"""The historic networks: published counts, LeNet-5 against a literal reading of the paper, layers, refusals."""

import itertools
import json
import math
import platform
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.experiment.trial import Trial
from lenet.architectures import ARCHITECTURES
from lenet.classic import C3_OF_1998, H2_OF_1989, H3_OF_1990, NETWORKS, read_bitmaps
from lenet.losses import LOSSES
from lenet.networks import build, count
from lenet.variant import LOSSES as LOSSES_OF
from lenet.variant import ChoiceError, Recipe, Variant

HERE = Path(__file__).parent

# Parameters and connections as published: LeCun 1989 (table in Hastie et al., section 11.7); LeCun et al. 1989; LeCun
# et al. 1990, section 3; LeCun et al. 1998, section II.B; Bosch's prototxt.
PUBLISHED = {
    "net1": (2_570, 2_570), "net2": (3_214, 3_214), "net3": (1_226, 1_226), "net4": (1_132, 2_266),
    "net5": (1_060, 5_194), "zipcode1989": (9_760, 64_660), "lenet1": (2_578, 98_442), "lenet5": (60_000, 340_908),
}  # fmt: skip


def measure(name):
    variant = Variant.make(name, channels=1)
    return count(build(variant, 0), (1, variant.input_size, variant.input_size))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_connections_are_the_published_ones(name):
    counted = measure(name)
    assert (counted["parameters"], counted["connections"]) == PUBLISHED[name]
    for total in ("parameters", "macs", "connections"):
        assert counted[total] == sum(layer[total] for layer in counted["layers"])


def test_units_are_the_published_ones():
    assert measure("zipcode1989")["units"] == 1_256
    assert measure("lenet1")["units"] + 1 == 4_635  # the paper counts the constant 1 behind the biases as a unit


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("zipcode1989", {"h1": (300, 19_200), "bias1": (768, 768), "h2": (2_400, 38_400), "bias2": (192, 192),
                         "h3": (5_790, 5_790), "output": (310, 310)}),
        ("lenet1", {"h1": (104, 59_904), "h2": (8, 2_880), "h3": (512, 32_768), "h4": (24, 960),
                    "output": (1_930, 1_930)}),
        ("lenet5", {"c1": (156, 122_304), "s2": (12, 5_880), "c3": (1_516, 151_600), "s4": (32, 2_000),
                    "c5": (48_120, 48_120), "f6": (10_164, 10_164), "output": (0, 840)}),
    ],
)  # fmt: skip
def test_each_layer_has_its_published_share(name, layers):
    assert {c["name"]: (c["parameters"], c["connections"]) for c in measure(name)["layers"]} == layers


def test_the_other_networks_count_as_arithmetic_says():
    assert measure("bosch")["parameters"] == 520 + 25_050 + 400_500 + 5_010
    assert [measure(name)["parameters"] for name in ("linear", "mlp300", "mlp300_100", "mlp1000")] == [
        785 * 10, 785 * 300 + 301 * 10, 785 * 300 + 301 * 100 + 101 * 10, 785 * 1_000 + 1_001 * 10,
    ]  # fmt: skip
    lenet4 = measure("lenet4")
    assert round(lenet4["connections"], -4) == 260_000
    assert lenet4["parameters"] == 104 + 8 + 48 * 25 + 16 + 32 + 48_120 + 1_210
    assert [measure(f"net{number}")["macs"] for number in (1, 2)] == [2_560, 3_192]


def test_tables_have_the_published_numbers_of_links():
    assert sum(map(len, C3_OF_1998)) == 60
    assert sum(map(len, H3_OF_1990)) == 20
    assert all(len(row) == 8 for row in H2_OF_1989)
    assert {sum(seen in row for row in H2_OF_1989) for seen in range(12)} == {8}


def literal_lenet5(weights, image):
    """LeNet-5 by the formulas of section II.B, unit by unit: double sums over windows, in plain Python."""

    def squash(a):
        return 1.7159 * math.tanh(2 / 3 * a)

    def convolve(maps, kernels, bias, links):
        size = len(maps[0]) - 4
        result = []
        for number, row in enumerate(links):

            def unit(i, j, row=row, number=number):
                window = itertools.product(enumerate(row), range(5), range(5))
                total = sum(kernels[number][k][u][v] * maps[m][i + u][j + v] for (k, m), u, v in window)
                return squash(total + bias[number])

            result.append([[unit(i, j) for j in range(size)] for i in range(size)])
        return result

    def subsample(maps, coefficient, bias):
        size = len(maps[0]) // 2
        return [
            [[squash(coefficient[n] * sum(m[2 * i + u][2 * j + v] for u in (0, 1) for v in (0, 1)) + bias[n])
              for j in range(size)] for i in range(size)]
            for n, m in enumerate(maps)
        ]  # fmt: skip

    w = {name: value.tolist() for name, value in weights.items()}
    c3, place = [], 0
    for row in C3_OF_1998:
        c3.append(w["c3.weight"][place : place + len(row)])
        place += len(row)
    maps = convolve([image], w["c1.weight"], w["c1.bias"], [[0]] * 6)
    maps = subsample(maps, w["s2.weight"], w["s2.bias"])
    maps = convolve(maps, c3, w["c3.bias"], C3_OF_1998)
    maps = subsample(maps, w["s4.weight"], w["s4.bias"])
    c5 = [m[0][0] for m in convolve(maps, w["c5.weight"], w["c5.bias"], [list(range(16))] * 120)]
    f6 = [squash(sum(a * x for a, x in zip(row, c5, strict=True)) + b)
          for row, b in zip(w["f6.weight"], w["f6.bias"], strict=True)]  # fmt: skip
    return [sum((x - code) ** 2 for x, code in zip(f6, bitmap, strict=True)) for bitmap in read_bitmaps()]


def test_lenet5_computes_what_the_paper_writes():
    model = build(Variant.make("lenet5", channels=1), 3).double()
    image = torch.rand(32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 1.275 - 0.1
    expected = torch.tensor(literal_lenet5(model.state_dict(), image.tolist()), dtype=torch.float64)
    torch.testing.assert_close(-model(image[None, None])[0], expected)


def test_bitmaps_are_ten_different_codes_of_one_size():
    codes = read_bitmaps()
    assert {len(code) for code in codes} == {12 * 7}
    assert {value for code in codes for value in code} == {1.0, -1.0}
    distances = [sum(a != b for a, b in zip(x, y, strict=True)) for x, y in itertools.combinations(codes, 2)]
    assert min(distances) >= 10


def test_windows_beyond_the_edge_see_background():
    model = build(Variant.make("zipcode1989", channels=1), 0)
    seen = model.pad1(torch.zeros(1, 1, 16, 16))
    assert seen.shape == (1, 1, 19, 19)
    assert (seen[0, 0, :2] == -1).all()
    assert (seen[0, 0, -1] == -1).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_maps_images_to_scores_and_draws_from_its_seed_alone(name):
    variant = Variant.make(name, channels=1)
    models = [build(variant, seed) for seed in (0, 0, 1)]
    images = torch.randn(3, 1, variant.input_size, variant.input_size, generator=torch.Generator().manual_seed(0))
    scores = [model(images) for model in models]
    assert scores[0].shape == (3, 10)
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])
    labels = torch.tensor([0, 1, 2])
    for loss in LOSSES_OF[variant.output]:
        value = LOSSES[loss](scores[0], labels)
        gradients = torch.autograd.grad(value, list(models[0].parameters()), retain_graph=True)
        assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)


@pytest.mark.parametrize("init", ["lecun_uniform", "lecun_sqrt_uniform"])
def test_weights_start_within_the_bound_of_their_fan_in(init):
    model = build(Variant.make("lenet5", channels=1, init=init), 0)
    bound = {"lecun_uniform": lambda f: 2.4 / f, "lecun_sqrt_uniform": lambda f: 2.4 / f**0.5}[init]
    for weights, fan_in in ((model.c1.weight, 25), (model.c3.weight[:3], 75), (model.c3.weight[-6:], 150),
                            (model.c5.weight, 400), (model.f6.weight, 120)):  # fmt: skip
        assert 0.85 * bound(fan_in) < weights.abs().max() <= bound(fan_in)
    assert (model.s2.weight == 0.25).all()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other CPUs may round a draw differently")
def test_a_seed_gives_the_weights_that_it_gave_before_the_init_schemes_were_one_registry():
    all_digests = runpy.run_path(str(HERE / "build_digests.py"))["all_digests"]
    assert all_digests() == json.loads((HERE / "build_digests.json").read_text())


@pytest.mark.parametrize("name", sorted(name for name, made in ARCHITECTURES.items() if "init" in made.limits))
def test_kaiming_uniform_is_refused_where_it_once_meant_another_distribution(name):
    allowed = ARCHITECTURES[name].limits["init"]
    with pytest.raises(ChoiceError) as error:
        Variant.make(name, init="kaiming_uniform")
    assert str(error.value) == f"init: '{name}' takes {', '.join(map(repr, allowed))}, not 'kaiming_uniform'"


def test_dropout_goes_before_the_layer_with_most_weights():
    model = build(Variant.make("zipcode1989", channels=1, dropout=0.25), 0)
    names = [name for name, _ in model.named_children()]
    assert names[names.index("dropout") + 1] == "h3"
    assert isinstance(build(Variant(dropout=0.5), 0).dropout, nn.Dropout)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"architecture": "lenet7"}, "architecture: unknown value 'lenet7'; did you mean 'lenet"),
        ({"architecture": "lenet5", "input_size": 28}, "input_size: 'lenet5' needs 32, not 28"),
        ({"architecture": "mlp300", "pooling": "max"}, "pooling: 'mlp300' takes 'none', not 'max'"),
        ({"architecture": "zipcode1989", "init": "orthogonal"}, "init: 'zipcode1989' takes 'lecun_uniform', "),
        ({"architecture": "linear", "activation": "relu"}, "activation: 'linear' takes 'none', not 'relu'"),
        ({"architecture": "lenet5", "loss": "cross_entropy"},
         "loss: 'lenet5' with output 'rbf' takes discriminative, penalty, not 'cross_entropy'"),
        ({"architecture": "lenet1", "loss": "cross_entropy"}, "with output 'scaled_tanh' takes mse"),
        ({"loss": "penalty"}, "loss: 'lenet' with output 'logits' takes cross_entropy, mse, not 'penalty'"),
        ({"architecture": "lenet4", "dropout": 0.5}, "dropout: 'lenet4' takes 0.0, not 0.5"),
        ({"architecture": "lenet5", "data": "synthetic", "classes": 7}, "classes: 'lenet5' takes 10, not 7"),
        ({"architecture": "knn3", "data": "synthetic"}, "architecture: 'knn3' needs device = 'cpu' and real data"),
        ({"data": "usps480"}, "selection: 'usps480' has no validation images; take selection = 'last'"),
        ({"optimizer": "sdlm", "weight_decay": 0.1}, "weight_decay: 'sdlm' takes none"),
        ({"fitting": "digit16"}, "fitting: 'digit16' is for mnist and usps, not for 'digits'"),
        ({"data": ["mnist"]}, "data: unknown value ['mnist']"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(knobs, message):
    with pytest.raises(ChoiceError) as error:
        Trial.from_knobs({"channels": 1, **knobs} if knobs.get("data") == "synthetic" else knobs)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_knobs_that_came_later_keep_the_keys_of_earlier_records():
    assert Trial().key == "a037d708cf1a71bc"
    assert Trial.from_knobs({"data": "usps"}).key == "8a397f19cdf4dbcf"


def test_every_architecture_has_a_trial_and_a_source():
    for name, architecture in ARCHITECTURES.items():
        trial = Trial.from_knobs({"architecture": name, "data": "usps"})
        assert trial.recipe.loss in LOSSES_OF[trial.variant.output]
        assert architecture.source
    assert Recipe(data="usps", selection="last").train_images == 7_291
