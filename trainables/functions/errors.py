"""What can be wrong with a user's function: all of it is told in one line, without a traceback of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trainables.code.calls import SourceError
from trainables.code.files import NotPythonError
from trainables.code.tracebacks import in_one_line
from trainables.trainer import RefusedError


class FunctionError(RefusedError):
    """A function that cannot be called as it is, or whose answer is none; the message is one line: given, allowed, what
    to do. Another attempt would end alike.
    """


@contextmanager
def refused() -> Iterator[None]:
    """What is wrong with a user's code is wrong with his function: a `SourceError` becomes a `FunctionError`."""
    try:
        yield
    except NotPythonError as error:
        why = str(error.reason) if isinstance(error.reason, ValueError) else in_one_line(error.reason)
        raise FunctionError(f"{error.path.name} is not Python: {why}") from None
    except SourceError as error:
        raise FunctionError(str(error)) from None


class UserError(RuntimeError):
    """An exception of the user's code: in one line what it was and where, and `lines`, the traceback of his own code.

    Another attempt may do better: it goes on from what the function has saved.
    """

    def __init__(self, message: str, lines: str = "") -> None:
        super().__init__(message, lines)  # both, so that it travels from process to process
        self.lines = lines

    def __str__(self) -> str:
        return str(self.args[0])
