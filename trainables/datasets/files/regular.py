"""What a dataset's `path` may lead to: regular files and folders of them; reading anything else may never end.

What a path may be is said here alone: before anything is read (`check_regular`), and of each file (`check_file`).
"""

from __future__ import annotations

import os
import stat
from itertools import islice
from pathlib import Path

from trainables.datasets.base import DataError

_MOST_ENTRIES = 100_000  # of a folder that are looked at; where there are more, nothing reads them all
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def check_regular(path: str | Path) -> None:
    """Refuse a pipe, a device or a socket, at `path` itself and in the folder that it names. What is not there passes.

    Raises:
        DataError: there is one, or the path can be none.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        what = f"{str(path)[:200]!r} cannot be read ({reason})"
        raise DataError(f"{what}; give `path` an existing file or folder") from None
    _refuse(Path(path), mode)
    if stat.S_ISDIR(mode):
        below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
        for file in islice(below, _MOST_ENTRIES):
            try:
                _refuse(file, file.stat().st_mode)
            except OSError:  # a link that leads nowhere, which whoever reads it tells of
                continue


def check_file(path: Path) -> None:
    """Refuse what is no file that can be read.

    Raises:
        DataError: it is a folder, a pipe or the like, a link to nothing, or may not be read.
    """
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path} is a link to {path.readlink()}, which is not there; put the file there")
    if path.exists():
        _refuse(path, path.stat().st_mode)
    if not path.is_file():
        raise DataError(f"{path} is {'a folder' if path.is_dir() else 'not there'}; a file is needed there")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path} may not be read by this user; change its permissions")


def _refuse(path: Path, mode: int) -> None:
    kind = next((told for is_kind, told in _KINDS if is_kind(mode)), None)
    if kind is not None:
        raise DataError(f"{path} is {kind}, not a regular file; save the data to a file and give its path")
