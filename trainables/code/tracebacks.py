"""Errors of a user's code in a line, and tracebacks with his own lines alone: neither Ray's, nor this project's, nor
those of libraries.
"""

from __future__ import annotations

import functools
import linecache
import re
import site
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from traceback import FrameSummary, StackSummary, TracebackException

import trainables

_MOST_LINES = 20  # of his frames, the last ones: where it broke
_OWN_NAMES = ("<ipython-input", "<stdin>", "<string>", "<marimo", "<cell")  # of code in no file
_LONGEST = 300  # characters of a message
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # that libraries put into their messages for a terminal


def in_one_line(error: BaseException) -> str:
    """`KeyError: 'x' (own_training.py, line 12, in train)`: what it is, and the last line of his code on its way."""
    told = TracebackException.from_exception(error)
    what = _shortened(" ".join(_COLOURS.sub("", "".join(told.format_exception_only())).split()))
    if isinstance(error, SyntaxError) and error.filename:
        what = _shortened(f"SyntaxError: {error.msg}")
        return f"{what} ({Path(error.filename).name}, line {error.lineno})"
    frame = next(reversed(_own(told.stack)), None)
    return what if frame is None else f"{what} ({_place(frame)})"


def first_line(error: BaseException) -> str:
    """What an error says, cut to its first line: for those of torch, whose other lines are a page of advice."""
    text = str(error).strip()
    return text.splitlines()[0][:_LONGEST] if text else "it says nothing more"


def place_in(error: BaseException, files: Collection[Path]) -> str:
    """` (mine.py, line 3)`: the last line of `files` on an error's way; empty where none of them is on it.

    For code that runs beside other code of the user's, as where his own script is what has called.
    """
    names = {str(path) for path in files}
    stack = TracebackException.from_exception(error).stack
    frame = next((frame for frame in reversed(stack) if frame.filename in names), None)
    return "" if frame is None else f" ({Path(frame.filename).name}, line {frame.lineno})"


def own_traceback(error: BaseException) -> str:
    """The traceback as Python prints it, of his lines alone; empty where none of them is among its frames."""
    told = TracebackException.from_exception(error)
    if not any(_own(one.stack) for one in _chain(told)):
        return ""
    for one in _chain(told):
        one.stack = StackSummary.from_list(_own(one.stack)[-_MOST_LINES:])
    return _COLOURS.sub("", "".join(told.format())).rstrip()


def show_source(sources: Mapping[str, str]) -> None:
    """Let tracebacks show lines of code that is in no file here, as of a notebook's cells, by the name of its file."""
    for name, text in sources.items():
        if not Path(name).is_file():
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)


def is_own(filename: str) -> bool:
    """Whether a file is the user's: no library's, not Python's and not of this project."""
    if filename.startswith("<"):  # what Python and libraries make up, as `<frozen importlib._bootstrap>`
        return filename.startswith(_OWN_NAMES)
    path = Path(filename)
    return not any(path.is_relative_to(folder) for folder in _foreign_folders())


def _own(stack: StackSummary) -> list[FrameSummary]:
    return [frame for frame in stack if is_own(frame.filename)]


def _chain(told: TracebackException) -> Iterator[TracebackException]:
    seen: set[int] = set()
    waiting: list[TracebackException | None] = [told]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]


def _place(frame: FrameSummary) -> str:
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


@functools.cache
def _foreign_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    here = Path(trainables.__file__).parent
    return (here, here.with_name("study"), *map(Path, sorted(folders)))
