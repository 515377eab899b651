"""The errors of the suite that are meant for people: each message is one line that says what is wrong and what would be
right.

They all are a `UserError`, as the network's own `ChoiceError` and `DataError` are: the command line prints the line and
ends with exit code 2. An exception that is no `UserError` is a bug and keeps its traceback.
"""

from __future__ import annotations

from lenet.errors import UserError as UserError


class ExperimentError(UserError, ValueError):
    """An experiment that cannot be run as written; the message names file and key."""


class RecordError(UserError):
    """A results folder or a file that cannot be read or written."""


class LaunchError(UserError):
    """A worker that could not be started or understood."""


class BadInputError(UserError):
    """A sweep that cannot start as asked, for a reason a person can mend."""


class BusyError(UserError):
    """Another process works on what was to be locked."""


class TableError(UserError):
    """A question to the table that it cannot answer."""


class TrackingError(UserError):
    """A store that cannot be used; passwords are left out of the message."""


class GateError(UserError):
    """A gate that cannot judge as asked."""


class TreesError(UserError):
    """Revisions that cannot be compared."""


class SideError(UserError):
    """Something that cannot be compared."""


class FormatError(UserError):
    """A file that is not what it should be."""
