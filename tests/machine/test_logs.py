"""The files of a child's standard error."""

from bench.machine.logs import discard_if_empty, log_size, read_tail


def test_the_tail_of_a_log(tmp_path):
    log = tmp_path / "log"
    assert read_tail(log) == ""
    log.write_bytes(b"x" * 10_000 + b"\xff end")
    assert len(read_tail(log)) == 4096
    assert read_tail(log).endswith("� end")
    assert read_tail(log, 10_001) == " end"
    assert read_tail(log, 10_005) == ""


def test_the_end_of_a_log_that_others_wrote_to(tmp_path):
    log = tmp_path / "log"
    assert log_size(log) == 0
    log.write_text("earlier words")
    start = log_size(log)
    with log.open("a") as file:
        file.write(" last words")
    assert (start, read_tail(log, start)) == (13, " last words")


def test_only_an_empty_log_is_removed(tmp_path):
    log = tmp_path / "log"
    discard_if_empty(log)
    log.write_text("words")
    discard_if_empty(log)
    assert log.exists()
    log.write_text("")
    discard_if_empty(log)
    assert not log.exists()
