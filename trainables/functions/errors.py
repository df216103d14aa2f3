"""What can be wrong with a user's function: all of it is told in one line, without a traceback of ours."""

from __future__ import annotations

from trainables.trainer import RefusedError


class FunctionError(RefusedError):
    """A function that cannot be called as it is, or whose answer is none; the message is one line: given, allowed, what
    to do. Another attempt would end alike.
    """


class UserError(RuntimeError):
    """An exception of the user's code: in one line what it was and where, and `lines`, the traceback of his own code.

    Another attempt may do better: it goes on from what the function has saved.
    """

    def __init__(self, message: str, lines: str = "") -> None:
        super().__init__(message, lines)  # both, so that it travels from process to process
        self.lines = lines

    def __str__(self) -> str:
        return str(self.args[0])
