"""Tracking against real sqlite stores: content, agreement after every kind of damage, bad stores, killed processes."""

import dataclasses
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.tracked_run import make_record, make_run, make_table, snapshot

from bench.errors import TrackingError
from bench.records.record import SeedResult
from bench.records.run import Run
from bench.text.numbers import rounded
from bench.tracking import store as stores
from bench.tracking.description import NOTE_LIMIT
from bench.tracking.entries import COLORS, curves, sweep_entry, trial_entries, trial_entry
from bench.tracking.links import links
from bench.tracking.plan import Found, plan
from bench.tracking.sync import sync
from bench.tracking.uri import mask, resolve_uri
from bench.tracking.views import takes_saved_views, view_state

TESTS = Path(__file__).parent


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A store with MLflow's tables, made once: that takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with stores.quiet_environment():
        stores.initialize_sqlite(path)
    return path


@pytest.fixture
def uri(tmp_path, empty_store):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return resolve_uri(None, tmp_path)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "quick" / "r1")


@pytest.fixture(autouse=True)
def _no_store_of_the_user(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def client_of(uri):
    with stores.quiet_environment():  # around the import and the opening, which warn
        return stores.import_mlflow().MlflowClient(tracking_uri=uri)


def children(uri):
    runs = client_of(uri).search_runs(["1"], filter_string="tags.`bench.role` = 'trial'")
    return {run.info.run_name: run for run in runs}


def rows(uri):
    """Rows in each table: a store that was synced twice must not have grown."""
    with sqlite3.connect(stores.sqlite_path(uri)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        count = {name: connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0] for name in names}
    connection.close()
    return count


# --- which store


def test_the_default_store_is_a_file_under_results_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_uri(None, Path("results")) == f"sqlite:///{tmp_path}/results/mlflow.db"
    assert resolve_uri("sqlite:///here.db", Path("results")) == f"sqlite:///{tmp_path}/here.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000/")
    assert resolve_uri(None, Path("results")) == "http://host:5000"
    assert resolve_uri("postgresql+psycopg2://u:p@h/d", Path("results")) == "postgresql+psycopg2://u:p@h/d"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("file:///tmp/mlruns", "no longer has"),
        ("./mlruns", "no longer has"),
        ("ftp://host/x", "unknown scheme"),
        ("sqlite://", "names no file"),
        ("http://", "names no host"),
        ("redis://user:secret@host", "unknown scheme"),
    ],
)
def test_a_uri_that_cannot_be_a_store_is_refused_in_one_line(given, says, tmp_path):
    with pytest.raises(TrackingError, match=says) as caught:
        resolve_uri(given, tmp_path)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://u:pa:s/s@h:1/x", "http://u:***@h:1/x"),
        ("https://u:p%40ss@h", "https://u:***@h"),
        ("postgresql://u:p@h:5432/db?sslmode=require", "postgresql://u:***@h:5432/db?sslmode=require"),
        ("http://h/?token=abc&x=1", "http://h/?token=***&x=1"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("http://h:5000", "http://h:5000"),
    ],
)
def test_passwords_are_masked(uri, shown):
    assert mask(uri) == shown


# --- what is sent


@pytest.mark.parametrize(
    ("value", "expected"),
    [(34577.04251620162, 34577.0), (0.123456789, 0.123457), (1_234_567, 1_234_567.0), (1.5e-9, 1.5e-9),
     (float("nan"), None), (float("inf"), None), (None, None), ("3", None), (True, None)],
)  # fmt: skip
def test_numbers_have_six_digits_and_are_finite(value, expected):
    assert rounded(value) == expected


def test_an_entry_says_what_varies_and_mirrors_numbers(run):
    entries = {entry.name: entry for entry in trial_entries(run, run.records(), make_table(run))}
    entry = entries["tanh-64"]
    assert list(entry.params)[:2] == ["activation", "batch_size"]
    assert entry.params["batch_size"] == "64"
    metrics = {name: value for name, value, step in entry.metrics if step == 0}
    assert metrics["config/batch_size"] == 64
    assert "config/activation" not in metrics
    # place 3: seeds 0.903 and 0.913; forward blocks of 4.0 and 4.4 ms
    assert metrics["test/accuracy"] == pytest.approx(0.908)
    assert metrics["forward/ms"] == pytest.approx(4.2)
    assert metrics["memory/peak_mib"] == 4
    assert entry.tags["mlflow.runColor"] == entries["tanh-8"].tags["mlflow.runColor"] == COLORS[1]
    assert entries["relu-8"].tags["mlflow.runColor"] == COLORS[0]
    assert len({entry.digest for entry in entries.values()}) == 4


def test_curves_are_means_over_the_seeds_that_got_so_far():
    history = [{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 0.5}]
    seeds = [SeedResult(seed=0, history=history), SeedResult(seed=1, history=[{"epoch": 1, "train_loss": 2.0}]),
             SeedResult(seed=2, history=[{"epoch": 1, "train_loss": None}])]  # fmt: skip
    record = dataclasses.replace(make_record({"activation": "relu"}, 0), seeds=seeds)
    assert curves(record) == [("epoch/train_loss", 1.5, 1), ("epoch/train_loss", 0.5, 2)]


@pytest.mark.parametrize(("status", "shown"), [("ok", "FINISHED"), ("failed", "FAILED"), ("skipped", "KILLED")])
def test_a_status_is_shown_with_its_reason(run, status, shown):
    record = make_record({"activation": "relu"}, 0, status=status)
    entry = trial_entry(run, record, {}, {})
    assert entry.status == shown
    assert entry.tags["bench.status"] == status
    assert entry.tags.get("bench.reason", "") == record.reason


def test_the_description_is_bounded_and_hostile_text_stays_text(tmp_path):
    run = make_run(tmp_path / "run", {"batch_size": list(range(1, 401))})
    run.experiment["question"] = "<script>|`*\n# " + "x" * 9000
    table = make_table(run)
    note = sweep_entry(run, run.records(), table).tags["mlflow.note.content"]
    assert len(note) <= NOTE_LIMIT
    assert note.splitlines()[2].startswith("&lt;script&gt;\\|\\`\\* # xxx")
    assert "and 380 more" in note


def test_a_sweep_with_missing_trials_is_killed_and_counts_them(run):
    records = run.records()
    entry = sweep_entry(run, records[:3], make_table(run))
    assert entry.status == "KILLED"
    assert ("sweep/missing", 1.0, 0) in entry.metrics
    assert sweep_entry(run, records, make_table(run)).status == "FINISHED"


# --- what has to be done


def found(entry, run_id, status="FINISHED", digest=None):
    return Found(run_id, entry.uid, entry.digest if digest is None else digest, status, "p")


@pytest.fixture
def entry(run):
    return trial_entries(run, run.records(), make_table(run))[0]


@pytest.mark.parametrize(
    ("there", "create", "complete", "agreed", "deleted"),
    [
        ([], 1, [], [], []),
        ([("a", "FINISHED", None)], 0, [], ["a"], []),
        ([("a", "RUNNING", None)], 0, ["a"], [], []),
        ([("a", "KILLED", None)], 0, ["a"], [], []),
        ([("a", "RUNNING", None), ("b", "FINISHED", None)], 0, [], ["b"], ["a"]),
        ([("b", "FINISHED", None), ("a", "FINISHED", None)], 0, [], ["a"], ["b"]),
        ([("a", "FINISHED", "old")], 1, [], [], ["a"]),
        ([("a", "FINISHED", "old"), ("b", "RUNNING", None)], 0, ["b"], [], ["a"]),
    ],
)
def test_the_plan_mends_every_state(entry, there, create, complete, agreed, deleted):
    steps = plan([entry], [found(entry, run_id, status, digest) for run_id, status, digest in there])
    assert len(steps.create) == create
    assert [run_id for _, run_id in steps.complete] == complete
    assert [one.run_id for one in steps.agreed] == agreed
    assert steps.stale + steps.duplicate + steps.stray == deleted
    assert steps.done == (create == 0 and not complete and not deleted)


def test_a_run_without_a_record_is_a_stray(entry):
    assert plan([], [found(entry, "a")]).stray == ["a"]


# --- sqlite


def test_a_store_holds_what_the_records_say_and_twice_adds_nothing(run, uri, tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("a,b\n")
    seen = []
    result = sync(run, uri, table=make_table(run), artifacts=[file], on_progress=lambda *place: seen.append(place))
    assert (result.created, result.unchanged, seen) == (4, 0, [(1, 4), (2, 4), (3, 4), (4, 4)])
    held = children(uri)
    assert sorted(held) == ["relu-64", "relu-8", "tanh-64", "tanh-8"]
    one = held["tanh-8"]
    assert one.data.metrics["step/ms"] == pytest.approx(9.45)
    assert one.data.params["activation"] == "tanh"
    assert one.data.tags["mlflow.parentRunId"] == result.parent_run_id
    assert one.data.tags["mlflow.source.git.commit"] == "0123abc"
    assert (one.info.start_time, one.info.end_time) == (1_760_000_002_000, 1_760_000_002_500)
    history = client_of(uri).get_metric_history(one.info.run_id, "epoch/validation_accuracy")
    assert [(point.step, point.value) for point in history] == [(1, 0.6), (2, 0.7), (3, 0.8)]
    parent = client_of(uri).get_run(result.parent_run_id)
    assert (parent.info.status, parent.data.metrics["sweep/trials"]) == ("FINISHED", 4)
    assert "| tanh-64 |" in parent.data.tags["mlflow.note.content"]
    assert [file.path for file in client_of(uri).list_artifacts(result.parent_run_id)] == ["ranking.json", "table.csv"]
    before, content = rows(uri), snapshot(uri)
    again = sync(run, uri, table=make_table(run), artifacts=[file])
    assert (again.created, again.unchanged, again.parent_run_id) == (0, 4, result.parent_run_id)
    assert (rows(uri), snapshot(uri)) == (before, content)


def test_a_trial_run_again_replaces_its_run(run, uri):
    sync(run, uri, table=make_table(run))
    run.append(dataclasses.replace(run.records()[0], attempt=2, ended_s=1_760_000_100.0))
    result = sync(run, uri, table=make_table(run))
    assert (result.created, result.replaced, result.unchanged) == (1, 1, 3)
    held = children(uri)
    assert len(held) == 4
    assert held["relu-8"].data.tags["bench.attempt"] == "2"
    assert str(result) == "1 renewed, 3 unchanged"


def test_a_failed_trial_that_then_succeeds_is_shown_as_finished(tmp_path, uri):
    run = make_run(tmp_path / "quick" / "r2", records=False)
    good = make_record({"activation": "relu", "batch_size": 8}, 0)
    run.append(make_record({"activation": "relu", "batch_size": 8}, 0, status="failed"))
    result = sync(run, uri, table=make_table(run))
    assert children(uri)["relu-8"].info.status == "FAILED"
    assert client_of(uri).get_run(result.parent_run_id).info.status == "KILLED"
    run.append(dataclasses.replace(good, attempt=2))
    sync(run, uri, table=make_table(run))
    assert children(uri)["relu-8"].info.status == "FINISHED"
    assert children(uri)["relu-8"].data.metrics["test/accuracy"] == pytest.approx(0.905)


def test_damage_of_every_kind_is_mended(run, uri):
    table = make_table(run)
    sync(run, uri, table=table)
    want = snapshot(uri)
    client, held = client_of(uri), children(uri)
    client.delete_run(held["relu-8"].info.run_id)
    client.update_run(held["relu-64"].info.run_id, status="RUNNING")
    client.set_tag(held["tanh-8"].info.run_id, "mlflow.parentRunId", "nobody")
    second = client.create_run("1", tags=held["tanh-64"].data.tags, run_name="tanh-64")
    stray = client.create_run("1", tags={**held["tanh-64"].data.tags, "bench.trial_uid": "abc123:gone"})
    counted = sync(run, uri, table=table, dry_run=True)
    result = sync(run, uri, table=table)
    for one in (counted, result):
        assert (one.created, one.completed, one.unchanged, one.duplicates_removed, one.strays_removed) == (
            1,
            1,
            2,
            1,
            1,
        )
    assert snapshot(uri) == want
    assert {client.get_run(one.info.run_id).info.lifecycle_stage for one in (second, stray)} == {"deleted"}


def test_a_dry_run_writes_nothing(run, tmp_path):
    uri = resolve_uri(None, tmp_path)
    assert sync(run, uri, table=make_table(run), dry_run=True).created == 4
    assert not (tmp_path / "mlflow.db").exists()


def test_sweeps_that_died_are_closed_and_live_ones_are_not(run, uri):
    client = client_of(uri)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    sync(run, uri, table=make_table(run))
    other = {"bench.role": "sweep", "bench.sweep_uid": "other"}
    here = socket.gethostname()
    made = {
        writer: client.create_run("1", tags={**other, "bench.writer": writer}).info.run_id
        for writer in (f"{here}:{ended.pid}", f"{here}:1", "elsewhere:7")
    }
    sync(run, uri, table=make_table(run))
    status = {writer: client.get_run(run_id).info.status for writer, run_id in made.items()}
    assert status == {f"{here}:{ended.pid}": "KILLED", f"{here}:1": "RUNNING", "elsewhere:7": "RUNNING"}


# --- views


def test_links_open_the_saved_view_and_compare_the_baseline_with_the_best(run, uri):
    with pytest.raises(TrackingError, match="lenet-bench sync"):
        links(run, uri)
    result = sync(run, uri, table=make_table(run))
    found = links(run, uri, port=5001)
    assert found.table == "http://127.0.0.1:5001/#/experiments/1/runs?workflowType=machine_learning" \
        "&viewStateShareKey=bench-abc123-trials"  # fmt: skip
    assert found.chart == found.table + "&compareRunsMode=CHART"
    assert found.parent.endswith(f"/#/experiments/1/runs/{result.parent_run_id}?workflowType=machine_learning")
    ids = [run.info.run_id for name, run in children(uri).items()]
    positions = [found.compare.index(run_id) for run_id in ids]
    held = children(uri)
    assert len(positions) == 4
    assert found.compare.index(held["relu-8"].info.run_id) == min(positions)  # the baseline stands first
    assert "--port 5001" in found.lines()[0]
    assert "mlflow.sharedViewState.bench-abc123-trials" in client_of(uri).get_experiment("1").tags


def test_other_versions_of_mlflow_get_a_plain_link(run, uri, monkeypatch):
    monkeypatch.setattr("bench.views.takes_saved_views", lambda version: False)
    result = sync(run, uri, table=make_table(run))
    found = links(run, uri)
    assert f"parentRunId%60%20%3D%20%27{result.parent_run_id}%27" in found.table
    assert "orderByKey=metrics.%60test%2Faccuracy%60&orderByAsc=false" in found.table
    assert found.groups == ""
    assert not any("sharedViewState" in name for name in client_of(uri).get_experiment("1").tags)


@pytest.mark.parametrize(
    ("version", "takes"), [("3.14.9", False), ("3.15.0", True), ("3.17.2", True), ("4.0.0", False), ("", False)]
)
def test_saved_views_are_guarded_by_version(version, takes):
    assert takes_saved_views(version) is takes


def test_a_view_has_only_columns_that_the_trials_have(run):
    state = view_state(run, "p", {"step/ms", "config/batch_size"}, grouped=False)
    assert "params.`activation`" in state["selectedColumns"]
    assert "metrics.`step/ms`" in state["selectedColumns"]
    assert not any("test/accuracy" in column for column in state["selectedColumns"])


# --- stores that cannot be used


def refused(run, uri):
    with pytest.raises(TrackingError) as caught:
        sync(run, uri, table=make_table(run))
    line = str(caught.value)
    assert "\n" not in line
    assert line.endswith(f"lenet-bench sync {run.path}")
    return line


def test_a_deleted_experiment_is_named_with_its_remedy(run, uri):
    sync(run, uri, table=make_table(run))
    client_of(uri).delete_experiment("1")
    assert "mlflow experiments restore --experiment-id 1" in refused(run, uri)


@pytest.mark.parametrize("revision", ["451aebb31d03", "ffffffffffff"])
def test_a_store_of_another_version_is_refused(run, uri, revision):
    with sqlite3.connect(stores.sqlite_path(uri)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()
    assert "another version of MLflow" in refused(run, uri)


def test_a_file_that_is_no_database_is_refused_and_kept(run, tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database, but somebody's file")
    assert "no intact sqlite database" in refused(run, resolve_uri(None, tmp_path))
    assert (tmp_path / "mlflow.db").read_text().startswith("not a database")


def test_a_folder_that_cannot_be_made_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("")
    assert "sqlite" in refused(run, f"sqlite:///{tmp_path}/file/mlflow.db")


def test_a_read_only_file_is_one_line_and_nothing_is_written(run, uri, tmp_path):
    file = tmp_path / "mlflow.db"
    file.chmod(0o444)
    before = file.read_bytes()
    # Root may write anywhere, so the process gives that right up first: CAP_DAC_OVERRIDE leaves its bounding set.
    code = (
        "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    command = [sys.executable, "-c", code, str(TESTS / "tracked_run.py"), str(run.path), uri]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    says = f"{file}: the file is read-only; the records are safe, send them later with: lenet-bench sync {run.path}"
    assert done.stderr.splitlines()[-1].endswith(says)
    assert file.read_bytes() == before


def test_names_and_values_longer_than_mlflow_takes_are_cut_and_stay_apart(tmp_path, uri):
    long = 20_000
    run = make_run(tmp_path / "quick" / "r1", records=False)
    experiment = dict(run.experiment)
    experiment |= {"question": "why " * long, "expect": "because " * long, "command": "x" * long}
    endless = Run.create(tmp_path / "quick" / "r2", experiment | {"uid": "long"}, {"id": "m1"})
    for place, batch_size in enumerate((8, 64)):
        record = make_record({"batch_size": batch_size}, place)
        endless.append(dataclasses.replace(record, name=f"{'n' * long}{place}", reason="r" * long))
    table = make_table(endless)
    sync(endless, uri, table=table)
    held = client_of(uri).search_runs(["1"], filter_string="tags.`bench.role` = 'trial'")
    assert sorted(len(name) for name in {run.info.run_name for run in held}) == [250, 250]  # PostgreSQL takes no more
    before = rows(uri)
    report = sync(endless, uri, table=table)  # what was cut is not taken for damage
    assert rows(uri) == before, report


def test_a_machine_without_mlflow_gets_one_line(run, uri):
    code = (
        "import sys; sys.modules['mlflow'] = None; sys.path.insert(0, sys.argv.pop(1))\n"
        "from tracked_run import *\nfrom bench.tracking import sync, TrackingError\n"
        "run = Run.open(Path(sys.argv[1]))\n"
        "try: sync(run, sys.argv[2], table=make_table(run))\n"
        "except TrackingError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(TESTS), str(run.path), uri], capture_output=True, text=True, check=True
    )
    assert "pip install mlflow" in done.stdout
    assert done.stdout.count("\n") == 1


def test_importing_tracking_does_not_import_mlflow_or_pandas():
    code = "import sys, bench.tracking; sys.exit(bool({'mlflow', 'pandas', 'torch'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=TESTS.parent)


@pytest.mark.parametrize("listens", [False, True], ids=["refuses", "never answers"])
def test_a_server_that_does_not_answer_costs_seconds_and_says_what_to_run_later(run, listens):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if listens:
            listener.listen()
        began = time.monotonic()
        line = refused(run, f"http://user:secret@127.0.0.1:{listener.getsockname()[1]}")
    assert "does not answer" in line
    assert "secret" not in line
    assert time.monotonic() - began < 10  # MLflow's own retries take 247 s


# --- kills and company


def test_killed_at_any_moment_and_run_again_nothing_is_lost_or_doubled(tmp_path, uri):
    axes = {"activation": ["relu", "tanh"], "batch_size": [8, 16, 24, 32, 40, 48, 56, 64]}
    run = make_run(tmp_path / "quick" / "r1", axes)
    command = [sys.executable, str(TESTS / "sync_and_kill.py"), str(run.path), uri, "8", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) >= 2, "too few kills hit a sync on its way"
    sync(run, uri, table=make_table(run))
    (tmp_path / "other").mkdir()
    undisturbed = resolve_uri(None, tmp_path / "other")
    sync(run, undisturbed, table=make_table(run))
    assert snapshot(uri) == snapshot(undisturbed)
    assert len(children(uri)) == 16


def test_two_syncs_at_once_into_a_store_that_is_not_there_yet(tmp_path, run):
    uri, other = (
        resolve_uri(None, tmp_path),
        make_run(tmp_path / "quick" / "r2", {"init": ["seed", "orthogonal"]}, uid="other"),
    )
    command = [sys.executable, str(TESTS / "tracked_run.py")]
    running = [
        subprocess.Popen([*command, str(path), uri], stdout=subprocess.PIPE, text=True)
        for path in (run.path, run.path, other.path)
    ]
    said = sorted(process.communicate(timeout=300)[0].strip() for process in running)
    assert [process.returncode for process in running] == [0, 0, 0]
    assert said == ["2 sent", "4 sent", "4 unchanged"]
    assert len(children(uri)) == 6
    with sqlite3.connect(stores.sqlite_path(uri)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
