import pytest
from fakes.tracked_run import make_record, make_run, results_of

from bench.tracking.description import NOTE_LIMIT, describe
from bench.tracking.entries import make_entries


def note_of(run):
    *_, sweep = make_entries(results_of(run))
    return sweep.tags["mlflow.note.content"]


def test_the_answer_comes_first_then_the_question_the_ranking_and_what_each_axis_does(run):
    lines = note_of(run).splitlines()
    assert lines[0].startswith("Best: **tanh-64**, test accuracy 0.908 [")
    assert lines[2] == "Which is best?"
    assert lines[4].startswith("| trial | activation | batch_size | test accuracy |")
    ranking = [line.split(" | ")[0] for line in lines if line.startswith("| ")][1:5]
    assert ranking == ["| tanh-64", "| tanh-8", "| relu-64", "| relu-8"]
    assert any(line.startswith("Machine m1: ") and "torch 2.13.0" in line for line in lines)
    effects = lines[lines.index("**Main effects**") :]
    assert len([line for line in effects if line.startswith(("| activation |", "| batch"))]) == 4


def test_it_is_bounded_and_hostile_text_stays_text(tmp_path):
    run = make_run(tmp_path / "run", {"batch_size": list(range(1, 401))})
    run.experiment["question"] = "<script>|`*\n# " + "x" * 9000
    note = note_of(run)
    assert len(note) <= NOTE_LIMIT
    assert "<script>" not in note
    assert "xxx" in note.splitlines()[2]
    assert "and 380 more" in note
    assert "Main effects" not in note  # of an axis of 400 levels nobody reads them


def test_trials_that_did_not_end_well_are_named_with_their_reason(run):
    run.append(make_record({"activation": "relu", "batch_size": 8}, 0, status="failed"))
    assert "- failed: relu-8, worker ended with code 1" in note_of(run)


def test_a_sweep_without_results_has_no_ranking_and_no_effects(tmp_path):
    run = make_run(tmp_path / "quick" / "r1", records=False)
    note = describe(run, (), (), ())
    assert note.startswith("No trial succeeded.")
    assert "Main effects" not in note


@pytest.mark.parametrize("machine", [{}, {"id": "m1", "cpu": "a processor", "cores": 2, "gpu": ["a card"]}])
def test_the_machine_is_said_as_far_as_it_is_known(run, machine):
    run.machine.clear()
    run.machine.update(machine)
    line = next(line for line in describe(run, (), (), ()).splitlines() if line.startswith("Machine"))
    assert line == ("Machine m1: a processor, 2 cores, a card" if machine else "Machine : ")
