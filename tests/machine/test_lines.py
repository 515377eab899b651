"""JSON lines from real pipes and sockets: whole, in pieces, several at once, too late, and none any more."""

import contextlib
import os
import socket
import threading

import pytest

from bench.machine.lines import LineReader


@pytest.fixture
def pipe():
    """A reader of a pipe, and the function that writes to it; `write(None)` closes it."""
    read_end, write_end = os.pipe()

    def write(data):
        os.close(write_end) if data is None else os.write(write_end, data)

    yield LineReader(read_end), write
    os.close(read_end)
    with contextlib.suppress(OSError):
        os.close(write_end)


def test_lines_come_one_at_a_time_and_what_came_with_the_first_is_kept(pipe):
    reader, write = pipe
    assert not reader.has_line
    write(b'{"a": 1}\n{"b": 2}\n{"c"')
    assert reader.read(5) == {"a": 1}
    assert reader.has_line
    assert reader.read(5) == {"b": 2}
    assert not reader.has_line
    write(b": 3}\n")
    assert reader.read(5) == {"c": 3}


def test_a_line_longer_than_a_pipe_holds_arrives_whole(pipe):
    reader, write = pipe
    text = "x" * 300_000
    writer = threading.Thread(target=write, args=(b'{"text": "%s"}\n' % text.encode(),))
    writer.start()
    assert reader.read(30) == {"text": text}
    writer.join()


def test_half_a_line_is_too_late_and_can_still_be_completed(pipe):
    reader, write = pipe
    write(b'{"a"')
    with pytest.raises(TimeoutError, match=r"no whole line within 0\.05 s"):
        reader.read(0.05)
    write(b": 1}\n")
    assert reader.read(5) == {"a": 1}


def test_a_writer_of_pieces_does_not_put_the_deadline_off(pipe):
    reader, write = pipe
    ended = threading.Event()

    def drip():
        while not ended.wait(0.01):
            write(b" ")

    writer = threading.Thread(target=drip)
    writer.start()
    try:
        with pytest.raises(TimeoutError):
            reader.read(0.2)
    finally:
        ended.set()
        writer.join()


def test_a_line_that_has_come_needs_no_time(pipe):
    reader, write = pipe
    write(b"{}\n{}\n")
    assert reader.read(0) == {}
    assert reader.read(-1) == {}


def test_the_end_is_told_after_the_last_line(pipe):
    reader, write = pipe
    write(b'{"a": 1}\n{"half')
    write(None)
    assert reader.read(5) == {"a": 1}
    for _ in range(2):
        with pytest.raises(EOFError):
            reader.read(5)


@pytest.mark.parametrize("line", [b"noise", b"5", b"[1]", b"null", b"", b"\xff\xfe", b"{" + b"x" * 500])
def test_a_line_that_is_no_object_is_shown_and_the_next_is_read(pipe, line):
    reader, write = pipe
    write(line + b'\n{"a": 1}\n')
    with pytest.raises(ValueError, match="a line that is not JSON, or no object: b'") as raised:
        reader.read(5)
    assert len(str(raised.value)) < 400
    assert reader.read(5) == {"a": 1}


def test_a_socket_whose_other_end_is_gone_has_ended():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(30)  # this makes the descriptor non-blocking
        reader = LineReader(ours.fileno())
        theirs.sendall(b'{"a": 1}\n')
        assert reader.read(5) == {"a": 1}
        ours.sendall(b"never read")
        theirs.close()
        with pytest.raises(EOFError):
            reader.read(5)
