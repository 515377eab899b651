"""The suite's own JSON: everything a comparison found, under a schema number."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bench.formats.numbers import strict_json
from bench.verdict import Verdict

SCHEMA = 1


def write_json(header: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """One object: `schema`, `kind`, the header's keys, and `verdicts` with all fields. Unknown numbers are null."""
    rows = [dataclasses.asdict(one) for one in verdicts]
    return strict_json({"schema": SCHEMA, "kind": "verdicts", **header, "verdicts": rows})
