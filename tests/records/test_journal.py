"""A journal: a torn line is dropped, damage is refused, a full disk or a killed writer loses nothing."""

import json
import signal
import subprocess
import sys
import textwrap

import pytest

from bench.errors import RecordError
from bench.experiment.trial import Trial
from bench.records.journal import Journal
from bench.records.record import Record, SeedResult, Timing
from bench.records.run import Run


def make_run(path, **description):
    trial = Trial.from_knobs({"activation": "tanh"})
    trials = [{"key": "other", "name": "b", "trial": {}}, {"key": trial.key, "name": "a", "trial": trial.to_dict()}]
    return Run.create(path, {"name": "x", "uid": "u", "trials": trials} | description, {"id": "m"})


def make_record(name="a", status="ok", **changes):
    trial = Trial.from_knobs({"activation": "tanh"})
    return Record(
        key=trial.key, name=name, trial=trial.to_dict(), status=status,
        seeds=[SeedResult(seed=0, history=[{"epoch": 1, "train_loss": None}], test_accuracy=0.5)],
        timing=Timing(samples={"forward": [[0, 0, 10, 0.01, 0.01]]}, stopped="narrow"), **changes,
    )  # fmt: skip


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


def test_json_is_plain(tmp_path):
    assert json.loads(json.dumps(make_record().to_dict())) == make_record().to_dict()
