"""HDF5: every array of a file under its path, memory-mapped where the file has it in one piece.

h5py is imported here alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from numpy.typing import NDArray

from trainables.datasets.base import DataError
from trainables.datasets.files.libraries import needed
from trainables.datasets.files.reading import MAX_BYTES, first_line, plausible_size, size_text
from trainables.datasets.files.regular import check_file

if TYPE_CHECKING:
    import h5py

HDF5 = (".h5", ".hdf5", ".he5", ".h5ad", ".h5mu")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_BLOCKS = (0, 512, 1024, 2048)  # where it may stand, behind what other programs write before it
_FAILURES = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
_TEXT_BYTES = 64  # of a text in memory, at least
_OLDEST = (3, 5)  # of h5py, whose files can be read while another process has them open


def is_hdf5(path: Path) -> bool:
    """Whether a file is one of HDF5, by its name or by how it begins."""
    if path.is_dir():
        return False
    if path.name.lower().endswith(HDF5):
        return True
    check_file(path)
    with path.open("rb") as file:
        begins = file.read(_BLOCKS[-1] + len(_SIGNATURE))
    return any(begins[block:].startswith(_SIGNATURE) for block in _BLOCKS)


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The open file.

    Raises:
        DataError: h5py is missing or too old, or the file is not readable, now or by what is done with it.
    """
    check_file(path)
    with needed("h5py", extra="hdf5", path=path):
        import h5py
    if tuple(h5py.version.version_tuple[:2]) < _OLDEST:
        raise DataError(f"{path} is read by h5py from 3.5 on, and {h5py.__version__} is installed; install a newer one")
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except DataError:
        raise
    except _FAILURES as error:
        raise DataError(
            f"{path} is no readable HDF5 file ({first_line(error)[:300]}); it is damaged, or not written to its end"
        ) from None


def is_array(node: Any) -> bool:
    """Whether a member of a file is an array, and not a group."""
    return not hasattr(node, "keys")


def names_in(group: Any) -> list[str]:
    """The names of a group's members, without those that are no UTF-8, which no study file can give."""
    return [name for name in group if isinstance(name, str)]


def arrays_of(file: h5py.File) -> dict[str, tuple[int, ...]]:
    """The shapes of all arrays in the file and its groups, by path; links to other files are not followed."""
    shapes: dict[str, tuple[int, ...]] = {}

    def visit(name: str | bytes, node: Any) -> None:
        if isinstance(name, str) and is_array(node) and hasattr(node, "shape") and node.shape is not None:
            shapes[name] = tuple(node.shape)

    file.visititems(visit)
    return shapes


def read_array(where: str, path: Path, node: h5py.Dataset) -> NDArray[Any]:
    """An array of the file at `path`: memory-mapped where it lies there in one piece as numbers, else read, once.

    Raises:
        DataError: it holds something else than numbers and texts, is in another file, or too large for the memory.
    """
    import h5py

    if node.is_virtual or node.external or not os.path.samefile(node.file.filename, path):
        raise DataError(f"{where} is a view of other files, which may be gone; write its values into this one")
    if node.shape is None:
        raise DataError(f"{where} is empty; give one entry for each row")
    kind = node.dtype
    if kind.names is not None:
        raise DataError(f"{where} holds named fields ({', '.join(kind.names)[:80]}); save each as an array of its own")
    if (text := h5py.check_string_dtype(kind)) is not None:
        check_memory(where, node.size * max(_TEXT_BYTES, 4 * (text.length or 0)))
        return np.asarray(node.asstr(errors="backslashreplace")[()]).astype(str)
    if kind.hasobject or kind.kind not in "biufc":
        ragged = h5py.check_vlen_dtype(kind) is not None
        what = "rows of different lengths" if ragged else "references or other objects"
        raise DataError(f"{where} holds {what}; save plain numbers, or texts, of one shape")
    mapped = _mapped(path, node)
    if mapped is not None:
        return mapped
    n_bytes = node.size * kind.itemsize
    if n_bytes > plausible_size(node.id.get_storage_size()):
        raise DataError(
            f"{where} of shape {node.shape} would unpack to {size_text(n_bytes)}, more than is plausible or than the "
            f"{size_text(MAX_BYTES)} that are read; save it without compression and chunks, which is memory-mapped"
        )
    check_memory(where, n_bytes)
    values = np.empty(node.shape, kind)
    if node.size:
        node.read_direct(values)
    return values


def check_memory(where: str, n_bytes: int, *, instead: str = "save it as .npy, which is memory-mapped") -> None:
    """Refuse what would not fit into memory.

    Raises:
        DataError: with what it takes, what there is, and what to do `instead`.
    """
    free = psutil.virtual_memory().available
    if n_bytes > free:
        raise DataError(f"{where} takes {size_text(n_bytes)} of memory, and {size_text(free)} are free; {instead}")


def _mapped(path: Path, node: h5py.Dataset) -> NDArray[Any] | None:
    """The array where it lies in the file; None where it does not lie there as such."""
    offset, kind = node.id.get_offset(), node.dtype
    if node.chunks is not None or offset is None or not node.size or kind.kind == "b":
        return None
    if node.id.get_type().get_size() != kind.itemsize or offset + node.size * kind.itemsize > path.stat().st_size:
        return None
    mapped = np.memmap(path, dtype=kind, mode="r", offset=offset, shape=node.shape)
    ends = ((0,) * node.ndim, tuple(size - 1 for size in node.shape))  # numbers of odd formats look otherwise
    same = all(np.array_equal(mapped[end], node[end], equal_nan=kind.kind in "fc") for end in ends)
    return mapped if same else None
