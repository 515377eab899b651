"""The commands around MLflow, as far as they need no store."""

import io

from fakes.command_line import one_line
from rich.console import Console

from bench.cli.tracking import print_synced
from bench.tracking.client import Synced


def test_links_of_a_store_that_cannot_be_is_one_line(results, call):
    done = call("links", "made", "--results", results, "--tracking-uri", "nonsense://x")
    assert done.returncode == 2
    assert "unknown scheme" in one_line(done.stderr)


def test_a_file_that_pytest_benchmark_did_not_write_is_one_line(tmp_path, call):
    (tmp_path / "x.json").write_text("{")
    done = call("import-pytest-benchmark", tmp_path / "x.json", "--results", tmp_path)
    assert done.returncode == 2
    assert "x.json" in one_line(done.stderr)


def test_a_sync_of_nothing_says_so(tmp_path, call):
    done = call("sync", "--results", tmp_path)
    assert (done.returncode, done.stdout) == (0, f"no runs under {tmp_path}\n")


def test_brackets_in_what_a_sync_did_are_printed():
    out = Console(file=io.StringIO(), width=100)
    print_synced(out, "http://me:secret@here", Synced("3 sent of [b]", ["http://here/1"], model="champion: [x]"))
    text = out.file.getvalue()
    assert "3 sent of [b]" in text
    assert text.index("champion: [x]") < text.index("http://here/1")
    assert "secret" not in text
