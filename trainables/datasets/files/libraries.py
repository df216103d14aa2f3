"""Libraries that only some files need: they are extras, imported when such a file is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.datasets.base import DataError
from trainables.datasets.files.reading import first_line


@contextmanager
def needed(library: str, *, extra: str, path: Path) -> Iterator[None]:
    """Around an import of `library`, which `pip install 'align-study[EXTRA]'` installs, to read the file at `path`.

    Raises:
        DataError: it is not installed, or cannot be imported: whatever it raises, as with libraries that do not fit.
    """
    install = f"pip install 'align-study[{extra}]'"
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != library:
            raise DataError(f"{path} is read by {library}, which lacks {error.name}: {install}") from None
        raise DataError(f"{path} is read by {library}, which is not installed: {install}") from None
    except Exception as error:  # noqa: BLE001  binaries of another version raise anything
        told = f"{type(error).__name__}: {first_line(error)}"
        raise DataError(f"{path} is read by {library}, which cannot be imported ({told}): {install}") from None
