"""Messages of the command line in the words of Python: a notebook has arguments where a shell has options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_OPTION = re.compile(r"--([a-z][a-z-]*[a-z])\b")
_ASSIGNMENT = re.compile(r"""--set (?:'([^']*)'|"([^"]*)"|(\S+?)(?=[\s;:,]|$))""")
_ARGUMENTS = {"set": "overrides=", "space": "the study", "maximise": "minimise=False", "minimise": "minimise=True"}


@contextmanager
def told_in_python() -> Iterator[None]:
    """A context in which a ConfigError that names options names the arguments of `study.run` and `study.select`.

    `--stand-in` is told as `stand_in=`, and `--set a.b=c` as `overrides=['a.b=c']`. Commands that are named whole, as
    `python -m study.report NAME --sync`, stay as they are.
    """
    try:
        yield
    except ValueError as error:
        from study.config import ConfigError  # here: it brings pydantic, which `import study` need not wait for

        if not isinstance(error, ConfigError):
            raise
        raise ConfigError(in_python(str(error))) from None


def in_python(message: str) -> str:
    """A message with the names of arguments in place of options."""
    parts = re.split(r"(python -m \S+(?: [^\s;,]+)*)", message)
    return "".join(part if place % 2 else _translated(part) for place, part in enumerate(parts))


def _translated(text: str) -> str:
    assigned = _ASSIGNMENT.sub(lambda match: f"overrides=[{next(filter(None, match.groups()), '')!r}]", text)
    return _OPTION.sub(lambda match: _ARGUMENTS.get(match[1], f"{match[1].replace('-', '_')}="), assigned)
