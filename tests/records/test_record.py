"""Records: what is written comes back, a torn line is dropped, damage is refused, a full disk loses nothing."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from bench.errors import RecordError
from bench.experiment.trial import Trial
from bench.records.journal import Journal
from bench.records.record import Record, SeedResult, Timing
from bench.records.run import Run, all_runs, find_run, reference_runs


def make_record(name="a", status="ok", **changes):
    trial = Trial.from_knobs({"activation": "tanh"})
    return Record(
        key=trial.key, name=name, trial=trial.to_dict(), status=status,
        seeds=[SeedResult(seed=0, history=[{"epoch": 1, "train_loss": None}], test_accuracy=0.5)],
        timing=Timing(samples={"forward": [[0, 0, 10, 0.01, 0.01]]}, stopped="narrow"), **changes,
    )  # fmt: skip


def make_run(path, **description):
    trial = Trial.from_knobs({"activation": "tanh"})
    trials = [{"key": "other", "name": "b", "trial": {}}, {"key": trial.key, "name": "a", "trial": trial.to_dict()}]
    return Run.create(path, {"name": "x", "uid": "u", "trials": trials} | description, {"id": "m"})


def test_a_record_comes_back_as_it_was(tmp_path):
    run = make_run(tmp_path / "run")
    record = make_record()
    run.append(record)
    assert Run.open(run.path).records() == [record]


def test_the_newest_record_of_a_trial_counts_in_the_order_of_the_plan(tmp_path):
    run = make_run(tmp_path / "run")
    run.append(make_record(status="failed"))
    run.append(make_record(attempt=2))
    run.append(Record(key="other", name="b", trial={}, status="skipped"))
    assert [(record.name, record.attempt) for record in run.records()] == [("b", 1), ("a", 2)]


def test_nan_is_refused_rather_than_written(tmp_path):
    journal = Journal(tmp_path / "j")
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append({"x": float("nan")})
    assert list(journal.read()) == []


@pytest.mark.parametrize("torn", [b'{"n":', b'{"n": 3}', b"\x00\x00", b"x" * 200_000])
def test_a_torn_last_line_is_dropped_and_overwritten(tmp_path, torn):
    journal = Journal(tmp_path / "j")
    journal.append({"n": 1})
    journal.append({"n": 2})
    with journal.path.open("ab") as file:
        file.write(torn)
    assert [line["n"] for line in journal.read()] == [1, 2]
    journal.append({"n": 4})
    assert [line["n"] for line in journal.read()] == [1, 2, 4]
    assert journal.path.read_bytes().count(b"\n") == 3


def test_a_file_that_is_one_torn_line_starts_anew(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.path.write_bytes(b'{"n": 1')
    journal.append({"n": 2})
    assert list(journal.read()) == [{"n": 2}]


def test_damage_in_the_middle_is_refused(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.path.write_text('{"n": 1}\n{"n": \n{"n": 3}\n')
    with pytest.raises(RecordError, match=r"j:2: not a line of JSON"):
        list(journal.read())


def test_an_unknown_schema_is_refused(tmp_path):
    with pytest.raises(RecordError, match="schema 99"):
        Record.from_dict({**make_record().to_dict(), "schema": 99})


def test_killed_while_appending_loses_at_most_the_line_in_hand(tmp_path):
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from bench.records.journal import Journal
        journal = Journal(Path(sys.argv[1]))
        n = 0
        while True:
            journal.append({"n": n, "filling": "x" * 5000})
            n += 1
            print(n, flush=True)
    """)
    journal = Journal(tmp_path / "j")
    for _ in range(5):
        journal.path.unlink(missing_ok=True)
        writer = subprocess.Popen([sys.executable, "-c", script, str(journal.path)], stdout=subprocess.PIPE, text=True)
        for _ in range(7):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        acknowledged = int((writer.stdout.read().split() or [acknowledged])[-1])
        writer.wait()
        writer.stdout.close()
        numbers = [line["n"] for line in journal.read()]
        assert numbers[:acknowledged] == list(range(acknowledged))
        assert len(numbers) <= acknowledged + 1


def test_a_full_disk_keeps_what_was_there(tmp_path):
    """A limit on the size of files stands for the full disk: the write stops in the middle of the line."""
    script = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        from bench.errors import RecordError
        from bench.records.journal import Journal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        journal = Journal(Path(sys.argv[1]))
        for n in range(100):
            try:
                journal.append({"n": n, "filling": "x" * 300})
            except RecordError as error:
                print(n, error)
                break
    """)
    journal = Journal(tmp_path / "j")
    done = subprocess.run([sys.executable, "-c", script, str(journal.path)], capture_output=True, text=True, check=True)
    assert "cannot record" in done.stdout
    assert "kept" in done.stdout
    number = int(done.stdout.split()[0])
    assert number > 2
    assert [line["n"] for line in journal.read()] == list(range(number))


@pytest.mark.parametrize("folder", ["/proc", "file"], ids=["not writable", "below a file"])
def test_a_folder_that_cannot_be_made(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"cannot be made .*choose another with --results"):
        make_run(tmp_path / folder / "run")


def test_a_run_is_never_overwritten(tmp_path):
    make_run(tmp_path / "run")
    with pytest.raises(RecordError, match="is there already"):
        make_run(tmp_path / "run")


def test_what_is_no_run(tmp_path):
    with pytest.raises(RecordError, match=r"not a run's folder \(experiment.json is missing\)"):
        Run.open(tmp_path)
    (tmp_path / "experiment.json").write_text("{")
    with pytest.raises(RecordError, match="cannot be read"):
        Run.open(tmp_path)


def test_runs_are_found_by_what_a_person_types(tmp_path):
    for name, stamp in (("quick", "20260101-000000"), ("quick", "20260102-000000"), ("mnist", "20250101-000000")):
        make_run(tmp_path / name / stamp)
    assert find_run(tmp_path, "quick").name == "20260102-000000"
    assert find_run(tmp_path, "quick/20260101-000000").name == "20260101-000000"
    assert find_run(tmp_path, str(tmp_path / "mnist" / "20250101-000000")).parent.name == "mnist"
    assert find_run(tmp_path, "latest").parent.name == "quick"
    for missing in ("nothing", "", "..", "quick/1999"):
        with pytest.raises(RecordError, match="no such run"):
            find_run(tmp_path, missing)


def test_the_newest_run_is_the_one_that_began_last(tmp_path):
    """Whatever its folder is called: stamps of several time zones, and runs of before there was a time in them."""
    make_run(tmp_path / "quick" / "20260102-090000", started_s=1_767_312_000.0)
    make_run(tmp_path / "quick" / "20260101-160000", started_s=1_767_312_001.0)
    make_run(tmp_path / "quick" / "20250101-000000")
    os.utime(make_run(tmp_path / "made" / "by hand").path / "experiment.json", (1.0, 1.0))
    (make_run(tmp_path / "quick" / "20240101-000000").path / "experiment.json").write_text("damaged")
    order = ["by hand", "20240101-000000", "20250101-000000", "20260102-090000", "20260101-160000"]
    assert [path.name for path in all_runs(tmp_path)] == order
    assert find_run(tmp_path, "latest").name == find_run(tmp_path, "quick").name == "20260101-160000"


def test_the_runs_of_the_repository_are_never_the_newest(tmp_path):
    make_run(tmp_path / "reference" / "mnist", started_s=2e9)
    assert all_runs(tmp_path) == []
    for name in ("latest", "reference", "mnist"):
        with pytest.raises(RecordError, match="no such run"):
            find_run(tmp_path, name)
    make_run(tmp_path / "quick" / "20260101-000000", started_s=1e9)
    assert find_run(tmp_path, "latest").parent.name == "quick"
    assert find_run(tmp_path, "reference/mnist") == reference_runs(tmp_path)[0] == tmp_path / "reference" / "mnist"
    assert find_run(tmp_path / "reference", "mnist") == tmp_path / "reference" / "mnist"


def test_json_is_plain(tmp_path):
    assert json.loads(json.dumps(make_record().to_dict())) == make_record().to_dict()


def test_knobs_are_every_knob_of_the_trial_flat():
    assert make_record().knobs() == Trial.from_knobs({"activation": "tanh"}).knobs()


def test_accuracies_are_those_of_the_seeds_that_ended_well():
    seeds = [
        SeedResult(seed=3, test_accuracy=0.9),
        SeedResult(seed=1, test_accuracy=0.0),
        SeedResult(seed=2, status="failed", cause="diverged", test_accuracy=0.8),
        SeedResult(seed=4),
    ]
    assert dataclasses.replace(make_record(), seeds=seeds).accuracies() == {3: 0.9, 1: 0.0}
