"""Array files without surprises: .npz, folders of .npy, and tables; sizes are checked before anything is allocated."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError
from trainables.datasets.files.regular import check_file

MAX_BYTES = 16 * 2**30  # that one file may unpack to; larger data belongs into .npy files, which are memory-mapped
_BOMB_RATIO, BOMB_BYTES = 200, 2**28  # deflate makes zeros 1000 times smaller, measured data at most 20 times

_INSTEAD = (
    "save it with numpy.savez, or give a folder of .npy files, .parquet, .csv or .tsv (also .csv.gz, .tsv.gz), or .h5"
)
_ZIP_FAILURES = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, UnicodeDecodeError)
_HEADER_FAILURES = (ValueError, KeyError, EOFError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError)


class NamedArrays(Mapping[str, NDArray[Any]]):
    """The arrays of a file or a folder by name, each read when it is asked for."""

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the named array, its data untouched."""

    def __contains__(self, name: object) -> bool:
        return any(name == one for one in self)  # Mapping would read the array

    def key(self, name: str) -> str:
        """The name under which an array is listed, of one that may be called by more."""
        return name

    def default_modalities(self) -> dict[str, str] | None:
        """The modalities where the user names none; None where they follow from the shapes.

        Raises:
            DataError: nothing says which they are.
        """
        return None


class ArrayFolder(NamedArrays):
    """The .npy files of a folder by their stem, memory-mapped and read-only."""

    def __init__(self, path: Path) -> None:
        try:
            files = sorted(path.iterdir())
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror})") from None
        self._paths = {file.stem: file for file in files if _is_array(file.name)}
        if odd := [name for name in self._paths if _is_no_text(name)]:
            raise DataError(f"{path}: the name of the file {odd[0] + '.npy'!a} is no UTF-8; rename it")
        if not self._paths:
            shown = ", ".join(file.name for file in files[:4]) or "nothing"
            raise DataError(
                f"{path} has no .npy files, it holds {shown}; give a folder with one for each modality and target"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return read_npy(self._paths[name])

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the named array, its data untouched."""
        return self[name].shape


class ArrayArchive(NamedArrays):
    """The arrays of an .npz file by name, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.infolist() if _is_array(member.filename)]
        except _ZIP_FAILURES as error:
            raise DataError(f"{path} is no readable .npz file ({first_line(error)}); {_INSTEAD}") from None
        self._members = {member.filename.removesuffix(".npy"): member for member in members}
        if len(self._members) < len(members):
            names = [member.filename for member in members]
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{path} holds two arrays {twice.removesuffix('.npy')!r}; save it again, each name once")
        if not members:
            raise DataError(f"{path} holds no arrays, so it is no .npz file; save it with numpy.savez")
        total = sum(member.file_size for member in self._members.values())
        packed = max(1, path.stat().st_size)
        if total > plausible_size(packed):
            raise DataError(
                f"{path} would unpack from {size_text(packed)} to {size_text(total)}, more than is plausible; "
                "save the arrays as a folder of .npy files"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._read(name)[1]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the named array, its data unread."""
        return self._read(name, only_shape=True)[0]

    def _read(self, name: str, *, only_shape: bool = False) -> tuple[tuple[int, ...], NDArray[Any]]:
        where, member = f"{self._path}: array {name!r}", self._members[name]
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(member) as file:
                shape, fortran, dtype = _npy_header(file, where)
                n_bytes = prod(shape) * dtype.itemsize
                if n_bytes + file.tell() != member.file_size:
                    raise DataError(f"{where} has shape {shape}, but data of another size; it is damaged")
                data = b"" if only_shape else file.read(n_bytes)
        except _ZIP_FAILURES as error:
            raise DataError(f"{where} cannot be read ({error}); it is damaged or encrypted") from None
        values = np.empty(0) if only_shape else np.frombuffer(data, dtype=dtype).reshape(shape, order=fortran)
        return shape, values


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an .npy file, memory-mapped and read-only.

    Raises:
        DataError: it is not there or no file, damaged, shorter than its header says, or holds Python objects.
    """
    check_file(path)
    with path.open("rb") as file:
        _npy_header(file, str(path))
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error}); it is damaged or truncated") from None
    return array


def find(path: str, *, missing: str) -> Path:
    """The file or folder at `path`.

    Raises:
        DataError: nothing is there, or what is there cannot be reached; `missing` says what to do.
    """
    place = Path(path)
    if not path.strip() or "\0" in path:
        raise DataError(f"the path is {path!r}; {missing}")
    if "://" in path:  # of which the rest may hold a password
        raise DataError(
            f"the path is an address ({path.partition('://')[0][:20]}://…), not a file; fetch it; {missing}"
        )
    if path.startswith("~"):
        missing = f"~ is not expanded, write the folder in full; {missing}"
    try:
        place.stat()
    except FileNotFoundError:
        target = f"what the link {place} points to, {place.readlink()}" if place.is_symlink() else str(place)
        raise DataError(f"there is no {target}; {missing}") from None
    except OSError as error:
        raise DataError(f"{path[:100]} cannot be read ({error.strerror}); {missing}") from None
    return place


def find_file(path: str, *, origin: str) -> Path:
    """The file or folder of a published set.

    Raises:
        DataError: it is not there: where it goes, where it can be had, and how to try without it.
    """
    return find(
        path,
        missing=f"put the file there, or give its place with `path`; it can be had from {origin}. To try the study on "
        "generated data of the same layout, use --stand-in (or stand_in: small)",
    )


def open_arrays(path: Path) -> ArrayFolder | ArrayArchive:
    """The arrays of a folder of .npy files or of an .npz file."""
    if path.is_dir():
        return ArrayFolder(path)
    if path.suffix.lower() == ".npy":
        raise DataError(f"{path} is one array; give the folder that holds it, {path.parent}")
    check_file(path)
    if not zipfile.is_zipfile(path) and path.suffix.lower() not in (".npz", ".zip"):
        raise DataError(f"{path} is of no kind that is read; {_INSTEAD}")
    return ArrayArchive(path)


def _is_array(name: str) -> bool:
    """Whether a file of a folder or an archive is an array: neither something else beside them, nor macOS's notes."""
    return name.endswith(".npy") and not name.rpartition("/")[2].startswith("._")


def _is_no_text(name: str) -> bool:
    """Whether a file's name holds bytes that are no UTF-8."""
    return any("\ud800" <= char <= "\udfff" for char in name)


def plausible_size(packed: int) -> int:
    """How many bytes a compressed file of `packed` bytes may unpack to: measured data, not a bomb of zeros."""
    return min(MAX_BYTES, max(BOMB_BYTES, _BOMB_RATIO * packed))


def size_text(n_bytes: int) -> str:
    """A number of bytes in words."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"


def first_line(error: BaseException) -> str:
    """What an error says, as one line."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _npy_header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:
    """Shape, order and dtype of the .npy data that starts at the file's position, which is moved behind the header."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(file)
        shape, fortran, dtype = readers[version](file)
    except _HEADER_FAILURES as error:
        raise DataError(f"{where} is no readable .npy data ({first_line(error)})") from None
    if dtype.hasobject or dtype.names is not None:
        raise DataError(
            f"{where} holds Python objects or named fields (texts? ragged rows?); save a plain array: numbers, or "
            "labels that are texts with .astype(str)"
        )
    return shape, "F" if fortran else "C", dtype
