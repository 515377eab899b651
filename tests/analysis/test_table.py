"""Records made by hand in, every number of the table out."""

import math
import statistics

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from fakes.made_run import ODD, make_record, make_run, odd_run, sweep

from bench.analysis.ranking import machine_warning, pareto_front
from bench.analysis.results import Results
from bench.analysis.table import build_samples, build_table, select, write_table
from bench.errors import TableError
from bench.experiment.trial import KNOBS
from bench.records.reading import Reading


@pytest.fixture
def run(tmp_path):
    return sweep(tmp_path / "run")


@pytest.fixture
def table(run):
    return build_table([run])


def row_of(table, name):
    return table[table["name"] == name].iloc[0]


def test_every_number_of_a_row(table):
    row = row_of(table, "relu")
    accuracies, step_s = [0.98, 0.97, 0.99], [1.0e-3, 1.1e-3, 1.05e-3]
    low, high = scipy.stats.t.interval(0.95, 2, loc=0.98, scale=scipy.stats.sem(accuracies))
    mean_s = statistics.geometric_mean(step_s)
    logs = scipy.stats.t.interval(0.95, 2, loc=math.log(mean_s), scale=scipy.stats.sem(np.log(step_s)))
    expected = {
        "test_accuracy": 0.98,
        "test_accuracy_low": low,
        "test_accuracy_high": min(1.0, high),
        "validation_accuracy": 0.97,
        "seeds": 3,
        "best_epoch": 3,
        "train_s": 2.0,
        "evaluate_s": 0.25,
        "step_ms": mean_s * 1e3,
        "step_ms_low": math.exp(logs[0]) * 1e3,
        "step_ms_high": math.exp(logs[1]) * 1e3,
        "backward_ms": mean_s * 1e3 / 2,
        "forward_ms": mean_s * 1e3 / 4,
        "forward_ms_high": math.exp(logs[1]) * 1e3 / 4,
        "step_images_per_s": 64 / mean_s,
        "images_per_s": 64 / mean_s,
        "forward_images_per_s": 4 * 64 / mean_s,
        "parameters": 61_706,
        "macs": 400_000,
        "forward_gflops_per_s": 2 * 400_000 * 4 * 64 / mean_s / 1e9,
        "step_gflops_per_s": 3 * 2 * 400_000 * 64 / mean_s / 1e9,
        "peak_memory_mib": 8.0,
        "processes": 3,
        "rounds": 6,
        "attempt": 1,
        "batch_size": 64,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert (row["status"], row["machine"], row["torch"], row["run"]) == ("ok", "m1", "2.13.0", "run")
    assert (row["activation"], row["device"], row["timing_stopped"]) == ("relu", "cpu", "narrow")
    assert set(KNOBS) <= set(table.columns)


def test_what_failed_or_was_skipped_has_its_reason_and_no_numbers(table):
    assert list(table["status"]) == ["ok", "ok", "failed", "skipped"]
    failed, skipped = row_of(table, "gelu"), row_of(table, "silu-cuda")
    assert (failed["cause"], failed["reason"]) == ("crashed", "the worker crashed (SIGABRT)")
    assert (skipped["cause"], skipped["reason"]) == ("no_device", "no CUDA device: none here")
    measured = [c for c in table.columns if c.startswith(("test_acc", "step_", "forward_", "peak", "parameters"))]
    assert len(measured) > 10
    assert failed[measured].isna().all()
    assert skipped[measured].isna().all()


def test_one_repeat_has_a_value_and_no_interval(tmp_path):
    run = make_run(tmp_path / "r", [make_record({}, (0.98,), (1e-3,)), make_record({"data": "synthetic"}, ())], {})
    table = build_table([run])
    assert table["test_accuracy"][0] == 0.98
    assert table["step_ms"][0] == pytest.approx(1.0)
    for column in ("test_accuracy_low", "test_accuracy_high", "step_ms_low", "step_ms_high"):
        assert table[column].isna().all(), column
    assert math.isnan(table["test_accuracy"][1])


def test_an_accuracys_interval_ends_at_0_and_1(tmp_path):
    run = make_run(tmp_path / "r", [make_record({}, (1.0, 0.99)), make_record({"init": "zeros"}, (0.0, 0.02))], {})
    table = build_table([run])
    assert table["test_accuracy_high"][0] == 1.0
    assert table["test_accuracy_low"][1] == 0.0


def test_the_newest_attempt_stands_in_the_table(run):
    run.append(make_record({"activation": "gelu"}, (0.9, 0.91), (1e-3, 1e-3), attempt=2))
    table = build_table([run])
    assert list(table["name"]) == ["relu", "tanh", "gelu", "silu-cuda"]
    assert (row_of(table, "gelu")["status"], row_of(table, "gelu")["attempt"]) == ("ok", 2)


def test_a_run_without_records_has_the_columns_of_all(tmp_path, table):
    run = odd_run(tmp_path / "odd", "nothing recorded")
    empty = build_table([run])
    assert len(empty) == 0
    assert list(empty.columns) == list(table.columns)
    assert len(Results.of(run).ranked) == 0


def test_the_table_survives_the_disk(run, table):
    paths = write_table(Reading(run), table)
    assert [path.name for path in paths] == ["table.csv", "table.parquet", "samples.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(paths[1]), table)
    # A CSV cannot tell an empty text from nothing.
    read = pd.read_csv(paths[0], keep_default_na=False, na_values={c: [""] for c in table if c not in TEXTS})
    pd.testing.assert_frame_equal(read, table, check_dtype=False, rtol=1e-12)
    samples = pd.read_parquet(paths[2])
    pd.testing.assert_frame_equal(samples, build_samples(run.each()))
    assert len(samples) == 2 * 3 * 3 * 2  # trials, phases, processes, rounds
    one = samples[(samples["key"] == table["key"][0]) & (samples["phase"] == "step") & (samples["process"] == 1)]
    assert list(one["seconds"] / one["iterations"]) == pytest.approx([1.1e-3, 1.1e-3])
    assert not list(run.path.glob("*.part"))


TEXTS = {"name", "key", "run", "status", "cause", "reason", "timing_stopped", "machine", "torch"}


@pytest.mark.parametrize("odd", ODD)
def test_odd_tables_survive_the_disk(tmp_path, odd):
    run = odd_run(tmp_path / "odd", odd)
    table = build_table([run])
    paths = write_table(Reading(run), table)
    pd.testing.assert_frame_equal(pd.read_parquet(paths[1]), table)
    assert list(pd.read_csv(paths[0], keep_default_na=False)["name"]) == list(table["name"])


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("activation == 'relu'", ["relu"]),
        ("test_accuracy > 0.9 and step_ms < 1", ["tanh"]),
        ("status != 'ok'", ["gelu", "silu-cuda"]),
        ("name.str.contains('u')", ["relu", "gelu", "silu-cuda"]),
        ("step_ms > 1e9", []),
        ("activation in ['relu', 'gelu'] and not (status == 'failed')", ["relu"]),
    ],
)
def test_a_condition_selects_rows(table, where, names):
    assert list(select(table, where)["name"]) == names


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("activaton == 'relu'", "no column 'activaton'; did you mean 'activation'?"),
        ("activation == ", "not an expression that pandas understands"),
        ("activation = 'relu'", "not a condition"),
        ("batch_size", "not a condition"),
        ("seeds", "not a condition"),
        ("step_ms + 1", "not a condition"),
        ("1 == 1", "not a condition"),
        ("'relu'", "not a condition"),
        ("", "not an expression"),
        ("activation > 3", "not an expression that pandas understands"),
        ("name.nonsense()", "not an expression that pandas understands"),
        ("step_ms > 1\n\nand", "not an expression that pandas understands"),
    ],
)
def test_what_is_no_condition_is_refused_in_one_line(table, where, message):
    with pytest.raises(TableError) as refusal:
        select(table, where)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("accuracy", "step_ms", "front"),
    [
        ([0.9, 0.8, 0.7], [3.0, 2.0, 1.0], [True, True, True]),
        ([0.9, 0.8, 0.9], [1.0, 2.0, 1.0], [True, False, True]),  # two alike do not beat each other
        ([0.9, 0.9, 0.8], [2.0, 1.0, 1.0], [False, True, False]),
        ([0.9, math.nan, 0.8], [math.nan, 1.0, 2.0], [False, False, True]),
        ([], [], []),
    ],
)
def test_the_front_is_what_nothing_beats_in_both(accuracy, step_ms, front):
    table = pd.DataFrame({"test_accuracy": accuracy, "step_ms": step_ms}, dtype=float)
    found = pareto_front(table)
    assert found.dtype == bool
    assert list(found) == front


def test_the_ranking(tmp_path):
    records = [
        make_record({"activation": "tanh"}, (0.96, 0.95, 0.955), (0.9e-3, 0.95e-3)),
        make_record({"activation": "relu"}, (0.98, 0.97, 0.99), (1.0e-3, 1.1e-3)),
        make_record({"activation": "elu"}, (0.985, 0.965, 0.985), (1.2e-3, 1.3e-3)),
        make_record({"init": "zeros"}, (0.1, 0.1, 0.1), (0.5e-3, 0.5e-3)),
        make_record({"activation": "gelu"}, status="failed", reason="x"),
        make_record({"activation": "silu"}, (0.98, 0.98, 0.98), (0.8e-3, 0.81e-3)),
    ]
    run = make_run(tmp_path / "r", records, {"activation": ["tanh", "relu", "elu", "gelu", "silu"]})
    ranked = Results.of(run).ranked
    # Equal accuracies: the faster first.
    assert list(ranked["name"]) == ["silu", "relu", "elu", "tanh", "zeros"]
    assert list(ranked["rank"]) == [1, 2, 3, 4, 5]
    assert list(ranked["learned"]) == [True, True, True, True, False]
    # zeros is the fastest, and no use; tanh and the others lose to silu in both.
    assert list(ranked["pareto"]) == [True, False, False, False, False]
    # By hand: the differences to silu are (0, 0.01, -0.01), (-0.005, 0.015, -0.005), (0.02, 0.03, 0.025), 0.88.
    assert list(ranked["within_noise"]) == [True, True, True, False, False]
    assert {str(ranked[column].dtype) for column in ("learned", "pareto", "within_noise")} == {"bool"}


def test_two_runs_of_the_same_trials_keep_their_own_numbers(tmp_path):
    good = make_run(tmp_path / "good", [make_record({}, (0.98, 0.981, 0.979), (1e-3,))], {})
    bad = make_run(tmp_path / "bad", [make_record({}, (0.90, 0.901, 0.902), (1e-3,))], {})
    for runs in ([good, bad], [bad, good]):
        ranked = Results.of(*runs).ranked
        assert list(ranked["run"]) == ["good", "bad"]
        assert list(ranked["within_noise"]) == [True, False]


def test_seeds_are_paired_by_number(tmp_path):
    """Seed 2 of both is poor; the second has lost seed 0. By place, the difference would not be told from 0."""
    whole = make_record({"activation": "relu"}, (0.90, 0.80, 0.70))
    part = make_record({"activation": "tanh"}, (0.79, 0.78, 0.685))
    part.seeds.pop(0)
    run = make_run(tmp_path / "r", [whole, part], {"activation": ["relu", "tanh"]})
    ranked = Results.of(run).ranked
    by_name = dict(zip(ranked["name"], ranked["within_noise"], strict=True))
    assert by_name == {"relu": True, "tanh": True}  # two pairs: 0.02 and 0.015, t(1) is 12.7
    assert list(ranked["name"]) == ["relu", "tanh"]


def test_a_ranking_without_accuracies_is_by_time(tmp_path):
    synthetic = {"data": "synthetic"}
    records = [
        make_record(synthetic | {"activation": "relu"}, (), (2e-3, 2.1e-3)),
        make_record(synthetic | {"activation": "tanh"}, (), (1e-3, 1.1e-3)),
    ]
    run = make_run(tmp_path / "r", records, {"activation": ["relu", "tanh"]})
    ranked = Results.of(run).ranked
    assert list(ranked["activation"]) == ["tanh", "relu"]
    assert not ranked[["within_noise", "pareto", "learned"]].any(axis=None)


def designed(path, accuracy, step_s, axes=None, leave_out=()):
    """A full design of activation x batch size: each trial's seeds and processes from two functions of its levels."""
    axes = axes or {"activation": ["relu", "tanh"], "batch_size": [8, 16, 32]}
    records = [
        make_record({"activation": act, "batch_size": size}, accuracy(act, size), step_s(act, size))
        for act in axes["activation"] for size in axes["batch_size"] if (act, size) not in leave_out
    ]  # fmt: skip
    return make_run(path, records, axes)


def test_main_effects_of_a_known_design(tmp_path):
    def accuracy(act, size):
        base = 0.9 - (0.02 if act == "tanh" else 0.0) + size / 1000
        return [base + luck for luck in (0.0, 0.004, 0.001)]

    def step_s(act, size):
        return [1e-3 * size * (1.25 if act == "tanh" else 1.0) * layout for layout in (1.0, 1.1, 0.95)]

    run = designed(tmp_path / "r", accuracy, step_s)
    effects = Results.of(run).effects.set_index(["axis", "level"])
    relu, tanh = effects.loc[("activation", "relu")], effects.loc[("activation", "tanh")]
    # Seeds and processes are shared, so that what they do cancels, and the effects are known exactly.
    for row, difference, ratio in ((relu, 0.0, 1.0), (tanh, -0.02, 1.25)):
        assert row["trials"] == 3
        for bound in ("", "_low", "_high"):
            assert row["accuracy_difference" + bound] == pytest.approx(difference, abs=1e-12)
            assert row["step_ratio" + bound] == pytest.approx(ratio, rel=1e-12)
    assert tanh["test_accuracy"] == pytest.approx(0.88 + (8 + 16 + 32) / 3 / 1000 + 0.005 / 3)
    for size in (8, 16, 32):
        row = effects.loc[("batch_size", str(size))]
        assert row["accuracy_difference"] == pytest.approx((size - 8) / 1000)
        assert row["step_ratio"] == pytest.approx(size / 8)
        assert row["trials"] == 2
    # Eta squared by hand, of a design without interaction: the shares add up to all.
    squares = {"activation": 6 * 0.01**2, "batch_size": 2 * sum((s - 56 / 3) ** 2 for s in (8, 16, 32)) / 1e6}
    for axis in squares:
        shares = effects.loc[axis]["accuracy_share"]
        assert shares.iloc[0] == pytest.approx(squares[axis] / sum(squares.values()))
    assert effects.loc["activation"]["step_share"].iloc[0] + effects.loc["batch_size"]["step_share"].iloc[
        0
    ] == pytest.approx(1.0)


def test_an_effects_interval_is_students_over_the_seeds(tmp_path):
    luck = {"relu": (0.0, 0.004, 0.001), "tanh": (0.003, -0.002, 0.0)}
    run = designed(
        tmp_path / "r",
        lambda act, size: [0.9 + size / 1000 + change for change in luck[act]],
        lambda act, size: [1e-3, 1e-3, 1e-3],
    )
    differences = np.subtract(luck["tanh"], luck["relu"])
    low, high = scipy.stats.t.interval(0.95, 2, loc=differences.mean(), scale=scipy.stats.sem(differences))
    row = Results.of(run).effects.set_index(["axis", "level"]).loc[("activation", "tanh")]
    assert row["accuracy_difference"] == pytest.approx(differences.mean())
    assert (row["accuracy_difference_low"], row["accuracy_difference_high"]) == pytest.approx((low, high))


def test_levels_are_compared_within_blocks_alone(tmp_path):
    """tanh at the largest batch is missing: the rest of that block must not lift relu."""
    run = designed(
        tmp_path / "r",
        lambda act, size: [0.5 + size / 100] * 2,
        lambda act, size: [1e-3 * size] * 2,
        leave_out={("tanh", 32)},
    )
    effects = Results.of(run).effects.set_index(["axis", "level"])
    assert effects.loc[("activation", "tanh")]["accuracy_difference"] == pytest.approx(0.0)
    assert effects.loc[("activation", "tanh")]["step_ratio"] == pytest.approx(1.0)
    assert effects.loc[("activation", "relu")]["trials"] == 2


def test_runs_are_not_blocks_of_each_other(tmp_path):
    """The same trials in two runs, the second on a machine three times as slow."""
    runs = [
        designed(
            tmp_path / name,
            lambda act, size: [0.9, 0.91],
            lambda act, size, slow=slow: [slow * 1e-3 * (2 if act == "tanh" else 1)] * 2,
        )
        for name, slow in (("a", 1.0), ("b", 3.0))
    ]
    effects = Results.of(*runs).effects.set_index(["axis", "level"])
    row = effects.loc[("activation", "tanh")]
    assert row["step_ratio"] == pytest.approx(2.0)
    assert row["trials"] == 6  # three blocks in each run


def test_a_selection_of_the_table_selects_the_effects_trials(tmp_path):
    run = designed(
        tmp_path / "r",
        lambda act, size: [0.9 if size < 32 or act == "relu" else 0.5] * 2,
        lambda act, size: [1e-3] * 2,
    )
    effects = Results.of(run, where="batch_size < 32").effects.set_index(["axis", "level"])
    assert effects.loc[("activation", "tanh")]["accuracy_difference"] == pytest.approx(0.0)


def test_axes_that_move_together_have_nothing_to_compare(tmp_path):
    run = odd_run(tmp_path / "odd", "moving together")
    effects = Results.of(run).effects
    assert len(effects) == 4
    assert effects[["accuracy_difference", "step_ratio", "accuracy_share"]].isna().all(axis=None)


def test_times_of_different_places_are_pointed_out(tmp_path, run, table):
    assert machine_warning(table) is None
    assert machine_warning(build_table([])) is None
    other = sweep(tmp_path / "other", machine={"id": "m2"})
    assert "machine m1, m2" in machine_warning(build_table([run, other]))
    newer = sweep(tmp_path / "newer", machine={"torch": "2.14.0"})
    warning = machine_warning(build_table([run, newer]))
    assert "torch 2.13.0, 2.14.0" in warning
    assert "machine m1" not in warning
    # What was not timed there does not count.
    untimed = make_run(tmp_path / "u", [make_record({}, (0.9,))], {}, machine={"id": "m3"})
    assert machine_warning(build_table([run, untimed])) is None


def test_thread_counts_of_different_runs_are_pointed_out(tmp_path, run):
    threads = [make_record({"threads": n}, (0.9,), (1e-3, 1e-3)) for n in (1, 2)]
    one = make_run(tmp_path / "axis", threads, {"threads": [1, 2]})
    assert machine_warning(build_table([one])) is None  # asked for, and in the trials' names
    four = make_run(tmp_path / "four", [make_record({"threads": 4}, (0.9,), (1e-3, 1e-3))], {})
    assert "threads 1, 4" in machine_warning(build_table([run, four]))
