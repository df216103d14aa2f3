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
def made_for_owner_alone(uri: str) -> Iterator[None]:
    """Make the SQLite file of a database's address its owner's alone, if it comes to be within this context."""
    path = Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None
    made = path is not None and not path.exists()
    try:
        yield
    finally:
        if path is not None and made:
            with contextlib.suppress(OSError):
                path.chmod(FILE)
