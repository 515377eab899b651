"""The base class of every error that is meant for the person who runs the program."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, where, and what would be right.

    A command line prints the message and nothing else. Any other exception is a bug and keeps its traceback.
    """
