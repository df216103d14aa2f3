"""Optuna's journal of a study, whose every line is checked when it is read.

A line that we write ends with a checksum of itself and of the line before, so that a digit that changed, or a line that
is gone or there twice, is seen like one that is no JSON. Lines without a checksum, of the version before or of another
program, are checked by what they say. What is read is always a beginning of what was written: a later line may speak of
trials by their place, so that none can be trusted behind one that is damaged.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from study.config import ConfigError
from study.search.record.reading import CREATE_STUDY, CREATE_TRIAL, check_operation

_SUM = re.compile(rb',"sum":"([0-9a-f]{8})"\}\s*\Z')
_NOT_JSON = "it is no JSON object"
_EMPTY = "is empty: its study was ended as it began, or its record is lost"
_FIRST = "0" * 8  # stands for the line before the first
_TORN = re.compile(rb"\{[^\x00]*\Z")  # what a killed writer leaves of its last line


class Journal(JournalFileBackend):
    """A backend of `JournalStorage` that ends at the first damaged line, which `damage` then tells of.

    `damage` is None where the file is sound, else "line 7 is damaged (why)"; `lines` and `end` count the sound lines
    and their bytes. Once `opened`, the file is expected to stay sound.
    """

    def __init__(self, path: Path) -> None:
        self._was_empty = path.exists() and path.stat().st_size == 0
        super().__init__(str(path))  # makes it, if it is not there
        self.path = path
        self.lines = self.end = 0
        self.damage: str | None = None
        self._sum = _FIRST  # of the last line that has one
        self._made = Counter[int]()  # operations by their code
        self._limit: int | None = None  # a line that Optuna could not apply
        self._opened = False

    def open(self) -> JournalStorage:
        """What the sound lines tell."""
        try:
            storage = JournalStorage(self)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  whatever Optuna raises over a line that is not what it says it is
            self._limit, reason = self.lines, f"Optuna cannot apply it: {type(error).__name__}"
            self.lines, self.end, self._sum, self._made = 0, 0, _FIRST, Counter()
            storage = JournalStorage(self)
            self.damage = f"line {self.lines + 1} is damaged ({reason})"
        self._opened = True
        return storage

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The operations from that number on, which is where the last call ended."""
        if log_number_from != self.lines:
            raise ValueError(f"operation {log_number_from} of a journal that is read up to {self.lines}")
        with self.path.open("rb") as file:
            file.seek(self.end)
            for line in file:
                if self.damage or not line.endswith(b"\n") or self.lines == self._limit:
                    return
                try:
                    operation, checksum = self._read(line)
                except ValueError as error:
                    self.damage = f"line {self.lines + 1} is damaged ({error})"
                    if self._opened:
                        raise ConfigError(
                            f"{self.path}: {self.damage}, and was not when this study was opened; run the same "
                            "command again to go on from the lines before"
                        ) from None
                    return
                yield operation
                self.lines, self.end, self._sum = self.lines + 1, self.end + len(line), checksum
                self._made[operation["op_code"]] += 1

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append operations, each with its checksum."""
        checksum, signed = self._latest_sum(), []
        for log in logs:
            checksum = _checksum(json.dumps(log, separators=(",", ":")).encode(), checksum)
            signed.append({**log, "sum": checksum})
        super().append_logs(signed)

    def tail(self) -> bytes:
        """What lies behind the sound lines."""
        with self.path.open("rb") as file:
            file.seek(self.end)
            return file.read()

    def mend(self) -> str | None:
        """Cut the file behind its sound lines, what was there set aside beside it; what happened, in a line.

        None where nothing was lost but the line that a killed writer was writing. Only the writer may call this.
        """
        tail = self._judged_tail()
        if self._is_lost:
            return f"{self.path} {_EMPTY}; the study begins anew"
        if not tail:
            return None
        if self.damage is None and b"\n" not in tail:
            if self._is_whole(tail):
                with self.path.open("ab") as file:
                    file.write(b"\n")
            else:
                os.truncate(self.path, self.end)
            return None
        aside = _set_aside(self.path, tail)
        os.truncate(self.path, self.end)
        told = f"{self.path}: {self.damage}; {_amount(tail)} set aside in {aside.name}; "
        self.damage = self._limit = None
        return told + f"the {self.lines} lines before are kept, and the study goes on from there"

    def told(self) -> str | None:
        """What is wrong with a file that is only read, in a line; None where `mend` would lose nothing either."""
        tail = self._judged_tail()
        if self._is_lost:
            return f"{self.path} {_EMPTY}"
        return self.damage and f"{self.path}: {self.damage}; {_amount(tail)} left out"

    @property
    def _is_lost(self) -> bool:
        """Whether the file was there with nothing in it, which is so for no longer than a study takes to begin."""
        return self._was_empty and self.lines == 0 and self.damage is None

    def _judged_tail(self) -> bytes:
        """What lies behind the sound lines: `damage` tells of it if it is more than a line that was being written."""
        tail = self.tail()
        whole_or_torn = not tail or b"\n" in tail or self._is_whole(tail) or _TORN.match(tail)  # or written meanwhile
        if self.damage is None and not whole_or_torn:
            self.damage = f"line {self.lines + 1} is damaged ({_NOT_JSON})"
        return tail

    def _is_whole(self, line: bytes) -> bool:
        try:
            self._read(line)
        except ValueError:
            return False
        return True

    def _read(self, line: bytes) -> tuple[dict[str, Any], str]:
        """A line's operation, and the checksum that the next line follows.

        Raises:
            ValueError: it is damaged, and why.
        """
        line = line.removeprefix(codecs.BOM_UTF8)  # which some editors put at the start of a file
        signed = _SUM.search(line)
        checksum = self._sum
        if signed:
            checksum = _checksum(line[: signed.start()] + b"}", self._sum)
            if checksum != signed[1].decode():
                raise ValueError("its checksum does not fit: it was changed, or a line before it is gone")
        try:
            operation = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError(_NOT_JSON) from None
        if not isinstance(operation, dict):
            raise ValueError(_NOT_JSON)
        if not signed:
            check_operation(operation, studies=self._made[CREATE_STUDY], trials=self._made[CREATE_TRIAL])
        return operation, checksum

    def _latest_sum(self) -> str:
        """The checksum of the last line of the file, which another program may have written."""
        checksum = self._sum
        for line in self.tail().splitlines():
            if signed := _SUM.search(line):
                checksum = signed[1].decode()
        return checksum


def _checksum(line: bytes, before: str) -> str:
    return f"{zlib.crc32(line, zlib.crc32(before.encode())):08x}"


def _set_aside(path: Path, tail: bytes) -> Path:
    """A new file beside `path` that holds `tail`."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    with aside.open("xb") as file:
        file.write(tail)
        file.flush()
        os.fsync(file.fileno())
    return aside


def _amount(tail: bytes) -> str:
    """How much a damaged line and those behind it are."""
    lines = tail.splitlines()
    readable = sum(_is_json_object(line) for line in lines[1:])
    return f"it and {len(lines) - 1} after it, of which {readable} can be read, are" if lines[1:] else "it is"


def _is_json_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
