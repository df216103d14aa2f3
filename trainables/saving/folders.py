"""Folders that outlive the process that fills them, wherever a place is: on disks that all nodes share, or in a bucket.

On shared disks the folder itself is in the place. Of a bucket the process has a copy on its own disk, which `sync`
brings there: first the files that have changed, each as an object of its own, then a list of all, so that whoever
takes over finds the folder as it was at the last `sync` that came to its end, never a mixture.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.saving.place import Place
from trainables.saving.scratch import scratch

_HELD = (errno.EACCES, errno.EAGAIN)
_WAIT_SECONDS = 60.0  # for a process that was just killed, or whose driver was, to be gone
_LIST = ".json"


@contextmanager
def kept_folder(place: Place, name: str, part: str, *, wait: float = _WAIT_SECONDS) -> Iterator[KeptFolder]:
    """The folder `part` of those called `name` in a place, this process's own until the context ends.

    `Place.remove_folder(name)` removes them all.

    Raises:
        TimeoutError: another process still has it after `wait` seconds.
        OSError: the place cannot be written.
    """
    if place.is_bucket:
        with scratch() as local:
            kept = KeptFolder(path=local / "folder", place=place.below(name), part=part)
            kept.fetch()
            yield kept
        return
    below = place.below(name)
    with _held(Path(below.address) / ".lock", wait=wait):
        path = Path(below.below(part).address).absolute()
        yield KeptFolder(path=path, place=below, part=part)


@dataclass(kw_only=True)
class KeptFolder:
    """A folder at `path`, and what of it is in a bucket: by relative path, the object and its file's size and time."""

    path: Path
    place: Place
    part: str
    _there: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def sync(self) -> None:
        """Bring what has changed to the bucket; nothing on shared disks.

        Raises:
            OSError: the bucket does not take it; there is still what there was.
        """
        if not self.place.is_bucket:
            return
        there: dict[str, tuple[str, int, int]] = {}
        for file in sorted(path for path in self.path.rglob("*") if path.is_file()):
            name = file.relative_to(self.path).as_posix()
            with contextlib.suppress(FileNotFoundError):  # somebody has just removed it
                stat = file.stat()
                known = self._there.get(name)
                if known is None or known[1:] != (stat.st_size, stat.st_mtime_ns):
                    known = (f"{self.part}-{uuid.uuid4().hex}", stat.st_size, stat.st_mtime_ns)
                    self.place.write(known[0], lambda path, file=file: path.symlink_to(file))  # type: ignore[misc]
                there[name] = known
        if there == self._there:
            return
        text = json.dumps(there)
        self.place.write(f"{self.part}{_LIST}", lambda path: path.write_text(text, encoding="utf-8"))
        old, self._there = self._there, there
        for name in {known[0] for known in old.values()} - {known[0] for known in there.values()}:
            with contextlib.suppress(OSError):
                self.place.remove(name)

    def fetch(self) -> None:
        """Make the folder as the last `sync` of any process left it, or empty where there was none or it is damaged."""
        self.path.mkdir()
        try:
            self._there = self.place.read(f"{self.part}{_LIST}", _read_list)
            for name, (stored, _, written) in self._there.items():
                file = self.path / name
                file.parent.mkdir(parents=True, exist_ok=True)
                self.place.read(stored, lambda path, file=file: shutil.move(path, file))  # type: ignore[misc]
                os.utime(file, ns=(written, written))
        except (FileNotFoundError, ValueError):
            self._there = {}
            shutil.rmtree(self.path)
            self.path.mkdir()


def _read_list(path: Path) -> dict[str, tuple[str, int, int]]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {name: (str(stored), int(size), int(written)) for name, (stored, size, written) in value.items()}


@contextmanager
def _held(path: Path, *, wait: float) -> Iterator[None]:
    """A lock that the kernel drops with this process, and that no process which it forks has.

    A file system without locks has none to give; there two processes at one trial would write side by side.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + wait
        while True:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in _HELD:
                    break
                if time.monotonic() >= until:
                    raise TimeoutError(
                        f"another process still trains in {path.parent}; see whether one was left behind there"
                    ) from None
            time.sleep(0.1)
        yield
    finally:
        os.close(handle)
