import pytest
from fakes.tracked_run import results_of

from bench.errors import TrackingError
from bench.tracking import calls
from bench.tracking.calls import RunGone, create, delete, is_gone, search, send, set_tag
from bench.tracking.entries import make_entries
from bench.tracking.store import open_store


@pytest.fixture
def store(uri, tmp_path):
    with open_store(uri, tmp_path) as opened:
        yield opened


@pytest.fixture
def entry(run):
    return next(make_entries(results_of(run)))


def test_a_run_is_made_filled_and_ended_and_filling_it_again_changes_nothing(store, entry):
    run_id = create(store, entry, "parent")
    for _ in range(2):
        send(store, entry, run_id, {"note": "x"})
        run = store.client.get_run(run_id)
        assert (run.info.run_name, run.info.status) == ("relu-8", "FINISHED")
        assert (run.info.start_time, run.info.end_time) == (entry.start_ms, entry.end_ms)
        assert run.data.params == entry.params
        assert run.data.tags["bench.record_hash"] == entry.digest
        assert run.data.tags["mlflow.parentRunId"] == "parent"
        assert run.data.tags["note"] == "x"
        history = store.client.get_metric_history(run_id, "epoch/validation_accuracy")
        assert [(point.step, point.value) for point in history] == [(1, 0.6), (2, 0.7), (3, 0.8)]
        assert [file.path for file in store.client.list_artifacts(run_id)] == ["phases.json"]


class LosesAnswers:
    """A client whose `create_run` does its work and then fails as a lost connection does."""

    def __init__(self, client, losses):
        self._client, self.losses, self.creates = client, losses, 0

    def __getattr__(self, name):
        return getattr(self._client, name)

    def create_run(self, *arguments, **named):
        run = self._client.create_run(*arguments, **named)
        self.creates += 1
        if self.creates <= self.losses:
            raise RuntimeError("API request to x failed with exception: connection lost")
        return run


def test_a_create_whose_answer_is_lost_is_found_and_not_repeated(store, entry):
    client = LosesAnswers(store.client, 1)
    object.__setattr__(store, "client", client)
    run_id = create(store, entry, "parent")
    assert client.creates == 1
    assert [run.info.run_id for run in search(store, "tags.`bench.role` = 'trial'")] == [run_id]


def test_every_page_of_a_search_is_read(store, entry, monkeypatch):
    monkeypatch.setattr(calls, "PAGE", 2)
    made = {create(store, entry, f"parent {number}") for number in range(5)}
    assert {run.info.run_id for run in search(store, "tags.`bench.role` = 'trial'")} == made


def test_deleting_twice_is_as_good_and_writing_to_a_deleted_run_is_told(store, entry):
    run_id = create(store, entry, "parent")
    set_tag(store, run_id, "a", "b")
    delete(store, run_id)
    delete(store, run_id)
    assert search(store, "tags.`bench.role` = 'trial'") == []
    with pytest.raises(RunGone, match=run_id):
        send(store, entry, run_id)
    with pytest.raises(TrackingError):
        set_tag(store, run_id, "a", "c")


def test_a_run_is_gone_only_where_mlflow_says_so():
    assert is_gone(RuntimeError("The run x must be in the 'active' state. Current state is deleted."))
    assert not is_gone(RuntimeError("database is locked"))
