"""What a command prints, wherever that goes: to a terminal of few signs, a pipe that nobody reads on, a full disk."""

from __future__ import annotations

import argparse
import codecs
import difflib
import io
import json
import logging
import os
import re
import sys
import unicodedata
from collections.abc import Callable
from typing import NoReturn

UNWRITTEN = 2
LOGGER = "align_study"
CLOSED = 141  # as of a program that SIGPIPE ends: 128 + 13

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_ERRORS = "spelt"
_SPELT = {
    "λ": "lambda", "τ": "tau", "α": "alpha", "ρ": "rho", "σ": "sigma", "−": "-", "–": "-", "—": "-", "‐": "-",
    "×": "x", "·": ".", "±": "+-", "≥": ">=", "≤": "<=", "≈": "~", "→": "->", "“": '"', "”": '"', "„": '"', "’": "'",
    "‘": "'", "─": "-", "━": "-", "│": "|", "┃": "|", "█": "#", "ß": "ss", "•": "*",
}  # fmt: skip


def run(main: Callable[[], int]) -> int:
    """Run a command; its exit code, which is `UNWRITTEN` or `CLOSED` where all went well but for its output.

    Signs that standard output or error cannot hold are spelt, or else replaced. Lines for a standard error that takes
    none are dropped: a study must not end with the terminal that it was started from.
    """
    _adapt()
    try:
        code = _code(main)
    except OSError:
        if _unwritten() is None:  # nothing of the output's
            raise
        code = 0
    finally:
        failure = _unwritten()
        if failure is not None:  # else the interpreter would say so once more
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
    if failure is None:
        return code
    if isinstance(failure, BrokenPipeError):
        return code or CLOSED
    print(f"error: cannot write the output: {failure.strerror}; give it another place", file=sys.stderr)
    return code or UNWRITTEN


def logger() -> logging.Logger:
    """The logger that has every line which a command shows: INFO, ERROR what ends it, DEBUG what happens to each pack.

    It says nothing by itself, as a library's: a program that wants its lines gives it a handler, or a level below
    WARNING to it and to the root's.
    """
    found = logging.getLogger(LOGGER)
    if not found.handlers:  # else Python would print its errors, which are printed already
        found.addHandler(logging.NullHandler())
    return found


class OptionParser(argparse.ArgumentParser):
    """A parser of a command's options that, of one which there is not, says which one may have been meant."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and the usage, as any parser does."""
        known = sorted(set(_OPTION.findall(self.format_help())))
        unknown = [name for name in _OPTION.findall(message) if name not in known] if "unrecognized" in message else []
        close = [name for given in unknown for name in difflib.get_close_matches(given, known, n=1)]
        super().error(message + (f"; did you mean {' and '.join(dict.fromkeys(close))}?" if close else ""))


def complain(line: str, *, level: int = logging.ERROR) -> None:
    """A line on standard error, and in the log."""
    logger().log(level, "%s", line)
    print(line, file=sys.stderr)


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON for standard output, where that cannot hold all signs by their numbers."""
    return json.dumps(value, indent=indent, ensure_ascii=not holds_all_signs())


def holds_all_signs() -> bool:
    """Whether standard output can hold every sign; else what a program reads on must tell some by their numbers."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("_", "-")
    return encoding.startswith("utf")


class _Noting(io.TextIOWrapper):
    """A stream that keeps what it could not be written for: what was to be written is gone by then."""

    failure: OSError | None = None
    replaced: object = None  # the stream that it stands for, which closes the file when it goes

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.failure = self.failure or error
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.failure = self.failure or error
            raise


class _Forgiving(io.TextIOWrapper):
    """A stream whose lines are lost where they cannot be written."""

    replaced: object = None

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            return


def _adapt() -> None:
    codecs.register_error(_ERRORS, _spell)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before the start
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the rest of the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        out = sys.stdout
        sys.stdout = _Noting(
            out.buffer, encoding=out.encoding, errors=_ERRORS, line_buffering=out.line_buffering,
            write_through=out.write_through,
        )  # fmt: skip
        sys.stdout.replaced = out
    if isinstance(sys.stderr, io.TextIOWrapper):
        err = sys.stderr
        sys.stderr = _Forgiving(err.buffer, encoding=err.encoding, errors=_ERRORS, line_buffering=True)
        sys.stderr.replaced = err


def _code(main: Callable[[], int]) -> int:
    try:
        return main()
    except SystemExit as ended:  # of argparse
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0


def _unwritten() -> OSError | None:
    """What keeps standard output from being written; None where nothing does."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return getattr(sys.stdout, "failure", None)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelt, error.object[error.start : error.end])), error.end


def _spelt(sign: str) -> str:
    plain = unicodedata.normalize("NFKD", _SPELT.get(sign, sign))
    kept = "".join(char for char in plain if char.isascii())
    return kept or ("" if unicodedata.combining(sign) else "?")
