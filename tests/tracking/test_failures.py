import sys

import pytest

from bench.errors import TrackingError
from bench.tracking import failures
from bench.tracking.failures import Patience, attempt, explain, first_line, import_mlflow, may_pass

URI = "http://user:secret@host:5000"


class MlflowError(Exception):
    def __init__(self, text, error_code=""):
        super().__init__(text)
        self.error_code = error_code


LOST = MlflowError("API request to http://host failed with exception HTTPConnectionPool: refused")
REFUSED = MlflowError("no such thing", "RESOURCE_DOES_NOT_EXIST")


@pytest.fixture
def waits(monkeypatch):
    """The seconds of each wait, which are not waited."""
    waited = []
    monkeypatch.setattr(failures.time, "sleep", waited.append)
    return waited


def failing(*errors):
    """An action that raises these in turn, and then returns 7."""
    left = list(errors)

    def action():
        if left:
            raise left.pop(0)
        return 7

    return action


def test_a_failure_that_may_pass_is_tried_again_after_longer_and_longer_waits(waits):
    patience = Patience(10.0)
    assert attempt(failing(*[LOST] * 7), URI, patience) == 7
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])
    assert patience.left_s == pytest.approx(10.0 - sum(waits), abs=0.5)


def test_patience_is_shared_by_all_calls_and_ends(waits):
    patience = Patience(0.5)
    assert attempt(failing(LOST, LOST), URI, patience) == 7
    with pytest.raises(TrackingError, match="the server stopped answering"):
        attempt(failing(*[LOST] * 9), URI, patience)
    assert sum(waits) <= 0.5
    assert patience.left_s <= 0


def test_other_failures_are_not_tried_again(waits):
    for error in (REFUSED, TrackingError("mine")):
        with pytest.raises(TrackingError):
            attempt(failing(error), URI, Patience(10.0))
    assert waits == []


def test_no_request_may_take_longer_than_the_patience_that_is_left(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "")
    seen = []
    for left_s in (0.2, 3.4, 99.0):
        attempt(lambda: seen.append(failures.os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]), URI, Patience(left_s))
    assert seen == ["1", "4", "15"]


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (LOST, True),
        (MlflowError("API request to x failed with timeout exception"), True),
        (MlflowError("busy", "TEMPORARILY_UNAVAILABLE"), True),
        (MlflowError("(sqlite3.OperationalError) database is locked"), True),
        (MlflowError("Response body was not in a valid JSON format"), True),
        (REFUSED, False),
        (MlflowError("API request to x failed with error code 403 != 200"), False),
        (ValueError("wrong"), False),
    ],
)
def test_what_may_pass(error, passes):
    assert may_pass(error) is passes


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MlflowError("Invalid Host header - possible DNS rebinding attack detected"), "--allowed-hosts"),
        (MlflowError("x", "PERMISSION_DENIED"), "MLFLOW_TRACKING_PASSWORD"),
        (MlflowError("Detected out-of-date database schema"), "another version of MLflow"),
        (MlflowError("attempt to write a readonly database"), "the file is read-only"),
        (MlflowError("unable to open database file"), "cannot be opened or written"),
        (MlflowError("file is not a database"), "no intact sqlite database"),
        (MlflowError("database or disk is full"), "the disk is full"),
        (ImportError("No module named 'psycopg2'"), "driver is not installed (No module named 'psycopg2')"),
        (MlflowError("password authentication failed for user"), "the database refuses these credentials"),
        (MlflowError("API request to x failed with error code 404"), "not as MLflow does"),
        (LOST, "stopped answering"),
        (MlflowError("something new with secret in it\nand more"), "something new with *** in it"),
    ],
)
def test_a_failure_is_one_line_without_the_password(error, says):
    line = str(explain(error, URI))
    assert says in line
    assert line.startswith("http://user:***@host:5000: ")
    assert "secret" not in line
    assert "\n" not in line


def test_the_first_line_is_short_and_never_empty():
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 900))) == 200


def test_a_machine_without_mlflow_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(TrackingError, match=r"pip install mlflow.*--no-track"):
        import_mlflow()
