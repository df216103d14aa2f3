"""Folders for what nobody needs once their process has ended: removed with it or, where it was killed, by the next."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX, SUFFIX = ".align-study-", ".held"


@contextmanager
def scratch(folder: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """A new folder in `folder` (where temporary files lie), held by a lock that the kernel drops with this process."""
    path, handle = _make(folder)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def clear_scratch(folder: str | os.PathLike[str] | None = None, *, ours: bool = False) -> None:
    """Remove this user's folders of `scratch` in `folder` whose processes are gone.

    `ours` says that nobody else can be at work in `folder`: then all of them go, held or not. Without it no folder is
    removed whose lock cannot be asked for, as on some network file systems.
    """
    place = Path(folder or tempfile.gettempdir())
    with contextlib.suppress(OSError):
        for path in place.glob(f"{PREFIX}*{SUFFIX}"):
            with contextlib.suppress(OSError):
                if path.is_symlink() or path.stat().st_uid != os.getuid():
                    continue
                if ours:
                    shutil.rmtree(path, ignore_errors=True)
                    continue
                handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(handle)


def _make(folder: str | os.PathLike[str] | None) -> tuple[Path, int | None]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX, dir=folder))
        handle = None
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # no locks here, so that nobody will remove it; or somebody is just about to
            if handle is not None:
                os.close(handle)
            if path.exists():
                return path, None
            continue
        if path.exists():
            return path, handle
        os.close(handle)  # removed between its making and its lock
