"""The files that verdicts are written to: the options that name them, shared by every command that judges, and the
writing.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import RecordError
from bench.records.files import replaced_file, write_whole
from bench.text.json_text import strict_json
from bench.verdicts.verdict import Verdict

SCHEMA = 1  # of our own JSON
STANDARD_OUTPUT = Path("-")
SUMMARY_LIMIT = 1_000_000  # bytes; GitHub drops a job's summary above 1024 KiB


def write_json(header: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """One object: `schema`, `kind`, the header's keys, and `verdicts` with all fields. Unknown numbers are null."""
    rows = [dataclasses.asdict(one) for one in verdicts]
    return strict_json({"schema": SCHEMA, "kind": "verdicts", **header, "verdicts": rows})


def write_files(header: Mapping[str, Any], verdicts: Sequence[Verdict], files: Mapping[str, Path | None]) -> None:
    """Writes the formats that were asked for, and the Markdown to `$GITHUB_STEP_SUMMARY` where that is set.

    **Arguments:**

    - `files`: a path, `-` or None for `json`, `markdown`, `junit`, `github_action_benchmark`, `bencher`,
      `pytest_benchmark`. With the last, `out.json` holds the head and `out-base.json` the base.

    Raises `RecordError`; where `check_files` does, before anything is written.
    """
    check_files(files)
    from bench.verdicts.bencher import write_bencher
    from bench.verdicts.github_action import write_github_action_benchmark
    from bench.verdicts.junit import write_junit
    from bench.verdicts.markdown import write_markdown
    from bench.verdicts.pytest_benchmark import write_pytest_benchmark

    writers = {
        "json": write_json,
        "markdown": write_markdown,
        "junit": write_junit,
        "github_action_benchmark": write_github_action_benchmark,
        "bencher": write_bencher,
        "pytest_benchmark": write_pytest_benchmark,
    }
    for name, path in files.items():
        if path is not None:
            write_file(path, writers[name](header, verdicts))
    if base := _base_file(files.get("pytest_benchmark")):
        write_file(base, write_pytest_benchmark(header, verdicts, side="base"))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        _append(Path(summary), write_markdown(header, verdicts))


def check_files(files: Mapping[str, Path | None]) -> None:
    """Refuses a folder, and two options that name one file: the second would replace what the first wrote. To what is
    not replaced (`-`, a pipe, a device) both are written, one after the other. Raises `RecordError`.
    """
    named = [(name, path) for name, path in files.items() if path is not None]
    if base := _base_file(files.get("pytest_benchmark")):
        named.append(("pytest_benchmark", base))
    options: dict[Path, str] = {}
    for name, path in named:
        target = None if path == STANDARD_OUTPUT else replaced_file(path)
        if target is None:
            continue
        option = "--" + name.replace("_", "-")
        if target in options:
            raise RecordError(f"{path}: {options[target]} and {option} both write it; give each a file of its own")
        options[target] = option


def _base_file(path: Path | None) -> Path | None:
    """Where the base goes beside the head's file; nowhere if the head's is not a file, as `-` and /dev/null are not."""
    if path is None or path == STANDARD_OUTPUT or replaced_file(path) is None:
        return None
    return path.with_name(f"{path.stem}-base{path.suffix}")


def write_file(path: Path, text: str) -> None:
    """Writes a text whole or not at all; to `-` it is printed. Raises `RecordError`."""
    text = text.encode(errors="replace").decode()  # half a character, cut out of some worker's last words
    if path == STANDARD_OUTPUT:
        try:
            print(text, end="", flush=True)
        except BrokenPipeError:  # the exit code is still the verdict's, as under `| head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    write_whole(path, text)


def _append(path: Path, text: str) -> None:
    encoded = text.encode(errors="replace")
    if len(encoded) > SUMMARY_LIMIT:
        encoded = encoded[:SUMMARY_LIMIT].rpartition(b"\n")[0] + b"\n\n(cut; the whole is in the files)\n"
    try:
        with path.open("ab") as file:
            file.write(encoded)
    except OSError as error:
        raise RecordError(f"{path}: cannot be written ({error.strerror})") from error
