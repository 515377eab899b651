"""What went wrong with a store, in one line for people; and how long failing calls are tried again."""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bench.errors import TrackingError
from bench.tracking.uri import mask

T = TypeVar("T")
PROBE_S = 2.0
REQUEST_TIMEOUT_S = 15


@dataclass
class Patience:
    """How long failing calls may be waited for, over all calls together. `left_s` counts down."""

    left_s: float = PROBE_S


def import_mlflow() -> Any:
    """The module, with its log quiet. Raises `TrackingError` where it is not installed."""
    try:
        import mlflow
    except ImportError as error:
        raise TrackingError(
            f"mlflow cannot be imported ({first_line(error)}); install it with `pip install mlflow`, "
            "or run with --no-track"
        ) from error
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def attempt(action: Callable[[], T], uri: str, patience: Patience) -> T:
    """Runs `action`; where it fails in a way that may pass, waits (0.1 s, doubling to 2 s) and runs it again.

    Failed calls and the waits between them are taken from `patience`, and no request may take longer than what is left.
    Raises `TrackingError` for other failures, and when `patience` is spent.
    """
    delay_s = 0.1
    while True:
        limit_s = min(REQUEST_TIMEOUT_S, max(1, math.ceil(patience.left_s)))
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(limit_s)
        began = time.monotonic()
        try:
            return action()
        except TrackingError:
            raise
        except Exception as error:
            patience.left_s -= time.monotonic() - began
            if not may_pass(error) or patience.left_s <= 0:
                raise explain(error, uri) from error
        wait_s = min(delay_s, patience.left_s)
        patience.left_s -= wait_s
        delay_s = min(2 * delay_s, 2.0)
        time.sleep(wait_s)


def may_pass(error: Exception) -> bool:
    """Is this a failure of the moment: a lost connection, a 5xx, a time-out, a locked sqlite file?"""
    text = str(error)
    return (
        ("API request to" in text and ("failed with exception" in text or "timeout exception" in text))
        or getattr(error, "error_code", "")
        in ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED")
        or "not in a valid JSON format" in text
        or "database is locked" in text
        or type(error).__module__.startswith(("requests.", "urllib3."))
    )


CAUSES = (
    (r"Invalid Host header", "the server does not take this host name; start it with --allowed-hosts"),
    (
        r"UNAUTHENTICATED|PERMISSION_DENIED|error code 40[13]|not authenticated|Permission denied to",
        "the server refuses these credentials; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    ),
    (
        r"out-of-date database schema|Can't locate revision",
        "the store was written by another version of MLflow; use that version, or `mlflow db upgrade` after a backup",
    ),
    (r"readonly database|Read-only file system", "the file is read-only"),
    (r"unable to open database file|Permission denied", "the file cannot be opened or written"),
    (r"file is not a database|malformed", "the file is no intact sqlite database"),
    (r"database or disk is full|No space left", "the disk is full"),
    (
        r"mlflow-artifacts URI was supplied",
        "the files of this store go through its server; give the server's http:// address as the tracking URI",
    ),
    (r"No module named", "a database driver is not installed"),
    (r"password authentication failed|Access denied for user", "the database refuses these credentials"),
    (
        r"too many \d+ error responses|valid JSON format|failed with error code 404",
        "the server answers, but not as MLflow does",
    ),
    (r"API request to|Connection refused|could not connect", "the server stopped answering"),
)


def explain(error: Exception, uri: str) -> TrackingError:
    """The failure as a `TrackingError` of one line, without passwords."""
    text = str(error)
    for pattern, meaning in CAUSES:
        if re.search(pattern, f"{getattr(error, 'error_code', '')} {text}"):
            detail = f" ({first_line(error)})" if meaning.startswith("a database driver") else ""
            return TrackingError(f"{mask(uri)}: {meaning}{detail}")
    line = first_line(error)
    password = urlsplit(uri).password
    return TrackingError(f"{mask(uri)}: {line.replace(password, '***') if password else line}")


def first_line(error: Exception) -> str:
    """What an exception says, in one line of at most 200 characters."""
    lines = (str(error) or type(error).__name__).strip().splitlines()
    return mask(lines[0])[:200]
