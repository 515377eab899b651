"""Experiment files: reading, overrides, names, and everything that is refused."""

from pathlib import Path

import pytest

from bench.errors import ExperimentError
from bench.experiment.file import check, override, read_experiment
from bench.sweep.start import estimate_s

FILES = sorted((Path(__file__).parents[2] / "experiments").glob("*.toml"))


@pytest.mark.parametrize(
    "name",
    ["a/b", "../x", "/tmp/x", ".", "..", "", " ", "x ", "a\0b", "a\nb", "x" * 300, "é" * 150,
     "gate", "Reference", "baselines", "latest", "mlflow.db", "mlartifacts"],
)  # fmt: skip
def test_a_name_that_cannot_be_a_folder_under_results_is_refused(name):
    with pytest.raises(ExperimentError, match=r"^a\.toml: name: ") as error:
        check({"name": name}, Path("a.toml"))
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 200


def test_a_name_may_be_anything_else_and_is_the_files_by_default():
    for name in ("batch-sizes", "LeNet 5, ünïcode", "[b] & <i>", "gates", "x" * 200):
        assert check({"name": name}, Path("a.toml")).name == name
    assert check({}, Path("a.toml")).name == "a"
    assert check({}, Path("gate.toml")).name == "gate"  # the gate's own file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"ax": {}}, "unknown key 'ax'; did you mean 'axes'?"),
        ({"activation": "relu"}, "'activation' is a knob: put it under [base] or [axes]"),
        ({"base": {"activatoin": "relu"}}, "did you mean 'activation'?"),
        ({"base": {"activation": "rellu"}}, "activation: unknown value 'rellu'; did you mean 'relu'?"),
        ({"base": {"data": "mnits"}}, "did you mean 'mnist'?"),
        ({"base": {"device": "tpu"}}, "device: unknown value 'tpu'"),
        ({"base": {"batch_size": 0}}, "batch_size: 0 is not a whole number of at least 1"),
        ({"base": {"batch_size": 5000}}, "batch_size: 5000 is larger than the 1257 training images of 'digits'"),
        ({"base": {"learning_rate": -0.1}}, "learning_rate: -0.1 is not a number above 0"),
        ({"base": {"learning_rate": float("nan")}}, "learning_rate: nan"),
        ({"base": {"epochs": 2.5}}, "epochs: 2.5 is not a whole number"),
        ({"base": {"epochs": True}}, "epochs: True"),
        ({"base": {"label_smoothing": 1.0}}, "label_smoothing: 1.0 is not below 1"),
        ({"axes": {"activation": []}}, "axes.activation: the list is empty"),
        ({"axes": {"activation": "relu"}}, "axes.activation: 'relu'"),
        ({"axes": {"activation": ["relu", "relu"]}}, "a value stands twice"),
        ({"axes": {"epochs": [1]}, "base": {"epochs": 2}}, "axes.epochs: stands in [base] too"),
        ({"axes": {"epochs": [1]}, "zip": [{"epochs": [2]}]}, "axes.epochs: stands twice"),
        ({"zip": [{"epochs": [1, 2], "batch_size": [8]}]}, "lists of different lengths"),
        ({"exclude": [{"activation": "relu"}]}, "no trial is left"),
        ({"exclude": [{"activaton": "relu"}]}, "did you mean 'activation'?"),
        ({"seeds": 0}, "seeds: 0"),
        ({"timing": {"rouns": 1}}, "[timing]: unknown key 'rouns'; did you mean 'rounds'?"),
        ({"timing": {"rounds": -1}}, "timing.rounds: -1"),
        ({"timing": {"phases": ["fwd"]}}, "timing.phases.0: 'fwd'"),
        ({"extensions": ["missing.py"]}, "missing.py: no such file"),
    ],
)
def test_bad_content_is_refused_in_one_line(content, message):
    with pytest.raises(ExperimentError) as error:
        check(content, Path("x.toml"))
    assert message in str(error.value)
    assert str(error.value).startswith("x.toml: ")
    assert "\n" not in str(error.value)


def test_files_that_are_missing_or_not_toml(tmp_path):
    (tmp_path / "quick.toml").write_text("")
    with pytest.raises(ExperimentError, match=r"no such file; did you mean 'quick.toml'\?"):
        read_experiment(tmp_path / "quik.toml")
    (tmp_path / "torn.toml").write_text("[axes\n")
    with pytest.raises(ExperimentError, match=r"torn.toml: not TOML: .*line 1"):
        read_experiment(tmp_path / "torn.toml")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(ExperimentError, match="cannot be read"):
        read_experiment(tmp_path / "latin.toml")


def test_a_mark_of_the_byte_order_in_front_is_no_content(tmp_path):
    """Some editors write it, and none shows it."""
    file = tmp_path / "marked.toml"
    file.write_bytes(b"\xef\xbb\xbfseeds = 2\r\n[base]\r\nepochs = 1\r\n")
    assert read_experiment(file).seeds == [0, 1]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_one_line(tmp_path, encoding):
    (tmp_path / "odd.toml").write_bytes('question = "größer?"'.encode(encoding))
    with pytest.raises(ExperimentError, match=r"odd\.toml: cannot be read \('utf-8' codec") as error:
        read_experiment(tmp_path / "odd.toml")
    assert len(str(error.value).splitlines()) == 1


def test_a_path_beside_which_nothing_lies(tmp_path):
    with pytest.raises(ExperimentError, match=r"none/quick\.toml: no such file$"):
        read_experiment(tmp_path / "none" / "quick.toml")
    with pytest.raises(ExperimentError, match="cannot be read"):
        read_experiment(tmp_path)


def test_overrides():
    content = {"base": {"epochs": 5}, "axes": {"activation": ["relu", "tanh"], "pooling": ["max", "avg"]}}
    changed = override(
        content,
        ["activation=gelu", "batch_size=32,64", "epochs=2", "timing.rounds=3", "seeds=1", "timing.phases=forward,step"],
    )
    experiment = check(changed)
    assert experiment.axes == {"pooling": ["max", "avg"], "batch_size": [32, 64]}
    assert {named.trial.variant.activation for named in experiment.trials} == {"gelu"}
    assert {named.trial.recipe.epochs for named in experiment.trials} == {2}
    assert experiment.timing.rounds == 3
    assert experiment.timing.phases == ["forward", "step"]
    assert experiment.seeds == [0]
    assert content == {"base": {"epochs": 5}, "axes": {"activation": ["relu", "tanh"], "pooling": ["max", "avg"]}}


def test_an_axis_may_replace_a_base_value():
    assert check(override({"base": {"epochs": 5}}, ["epochs=1,2"])).axes == {"epochs": [1, 2]}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs", "write KEY=VALUE"),
        ("epochs=", "write KEY=VALUE"),
        ("epoch=1", "unknown key 'epoch'; did you mean 'epochs'?"),
        ("tming.rounds=1", "unknown section 'tming'"),
        ("batch_size=3", "moves together"),
    ],
)
def test_bad_overrides(setting, message):
    with pytest.raises(ExperimentError) as error:
        override({"zip": [{"batch_size": [1, 2], "learning_rate": [0.1, 0.2]}]}, [setting])
    assert message in str(error.value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_of_the_project_unfolds(path):
    experiment = read_experiment(path)
    assert experiment.question
    assert experiment.trials
    assert path.read_text().startswith("# ")
    assert estimate_s(experiment, 2)[0] >= 0


def test_quick_is_as_large_as_promised():
    experiment = read_experiment(Path(__file__).parents[2] / "experiments" / "quick.toml")
    assert len(experiment.trials) >= 16
    assert len(experiment.seeds) == 3


def test_more_jobs_train_sooner():
    experiment = check({"axes": {"activation": ["relu", "tanh"]}})
    assert estimate_s(experiment, 2)[0] == pytest.approx(estimate_s(experiment, 1)[0] / 2)
    assert estimate_s(experiment, 2)[1] == estimate_s(experiment, 1)[1]
