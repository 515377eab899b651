"""Ending with one line and an exit code."""

import pytest

from bench.cli import exits


def test_an_end_is_one_line_on_standard_error(capsys):
    with pytest.raises(SystemExit) as ended:
        exits.end("a\n  b", exits.NO_VERDICT)
    assert ended.value.code == 3
    assert capsys.readouterr() == ("", "lenet-bench: a b\n")


def test_exit_codes_are_told_apart():
    codes = (exits.OK, exits.FINDING, exits.BAD_INPUT, exits.NO_VERDICT, exits.INTERRUPTED)
    assert codes == (0, 1, 2, 3, 130)
