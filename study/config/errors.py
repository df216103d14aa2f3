"""The tree of errors: all that the project defines, under those of the standard library.

    Exception
    ├── ValueError                 what somebody gave is wrong; the message says what is allowed and what to do
    │   ├── ConfigError            a study file, an option, or a place that a study needs: a command ends with 2
    │   ├── NotationError          a text that is not the YAML of study files: becomes a ConfigError
    │   └── DataError              data and their options (`trainables.datasets`): becomes a ConfigError in a study
    └── RuntimeError
        └── CheckpointError        a pack's checkpoint is of no use (`trainables.saving`): the pack starts over

The numerics (`study.pid`, `study.selection`, `study.theory`) raise ValueError itself where arguments do not fit.
"""

from __future__ import annotations

_LONGEST = 2000  # characters of a message


class ConfigError(ValueError):
    """Bad input of the user: one line that says what was given, what is allowed and what to do.

    Whatever was given, it stays one line of a bounded length.
    """

    def __init__(self, message: str) -> None:
        line = "".join(char if char.isprintable() else " " for char in " ".join(message.splitlines()))
        super().__init__(line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}")


class NotationError(ValueError):
    """A text that is no such YAML: what is wrong, and where (a line and a column from 1, or None)."""

    def __init__(self, problem: str, place: tuple[int, int] | None = None) -> None:
        super().__init__(problem)
        self.place = place
