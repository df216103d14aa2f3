"""Files and folders that this program makes for whoever runs it alone; those that others made keep their mode."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE, FOLDER = 0o600, 0o700


def make_folder(folder: Path) -> None:
    """Make a study's folder for its owner alone, the folders above it as usual; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=FOLDER, exist_ok=True)


@contextmanager
def for_owner_alone() -> Iterator[None]:
    """Whatever is made within this context, by any thread of the process, is its owner's alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def made_for_owner_alone(uri: str, *, artifacts: Path | None = None) -> Iterator[None]:
    """Make the SQLite file of a database's address its owner's alone, and the folder of its artifacts, which holds
    copies of a study's files; each if it comes to be within this context.
    """
    modes = {} if artifacts is None else {artifacts: FOLDER}
    if uri.startswith("sqlite:///"):
        modes[Path(uri.removeprefix("sqlite:///").partition("?")[0])] = FILE
    made = {path: mode for path, mode in modes.items() if not path.exists()}
    try:
        yield
    finally:
        for path, mode in made.items():
            with contextlib.suppress(OSError):
                path.chmod(mode)
