"""Pickles without their code: NumPy arrays and plain containers, nothing else.

A pickle is a program. Here the few names that array pickles use stand for objects of this module, which only collect
what the file says about an array; NumPy then sees plain bytes, a plain dtype and a shape that were checked. Every
other name is refused before it is imported. The names' objects have no attributes to overwrite and cannot be called
with anything but what array pickles give them.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import warnings
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError
from trainables.datasets.files.reading import MAX_BYTES, first_line, size_text
from trainables.datasets.files.regular import check_file

_DTYPE = re.compile(r"[<>|=]?([biufcSUaO])(\d*)")
MAX_OPCODES = 20_000_000  # objects of a file, roughly; the published sets have some 100,000
_DEPTH = 8  # of containers in containers; the published layouts need two

_FAILURES = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


def read_pickle(path: Path) -> Any:
    """What the pickle at `path` holds: dicts, lists, tuples, strings, numbers and arrays (read-only, no copies).

    Python 2 pickles are read with latin-1 strings, as NumPy's own loader does.

    Raises:
        DataError: it is larger than `MAX_BYTES`, truncated or damaged, or names anything that is no plain data.
    """
    check_file(path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"{path} has {size_text(size)}; pickles up to {size_text(MAX_BYTES)} are read: use .npy files")
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of odd escapes in damaged text
        try:
            _check_opcodes(file, size)
            file.seek(0)
            return _plain(_Unpickler(file).load(), {}, 0)
        except _Refused as error:
            raise DataError(f"{path} is refused: {error}") from None
        except _FAILURES as error:
            raise DataError(f"{path} is no readable pickle ({first_line(error)}); it is damaged or cut off") from None


def _check_opcodes(file: IO[bytes], size: int) -> None:
    """Refuses what makes the unpickler allocate memory that the file does not fill: it trusts these numbers."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        memo = argument if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") else 0
        if not isinstance(memo, int) or memo > count or count > MAX_OPCODES:
            raise _Refused(f"it asks for more memory than its {size_text(size)} can need ({opcode.name})")


class _Refused(pickle.UnpicklingError):
    """The file wants something that is no data."""


class _Unpickler(pickle.Unpickler):
    """Maps the names of array pickles, of NumPy 1 and 2, to this module's objects."""

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str, /) -> Any:
        allowed = _NAMES.get((module.replace("numpy.core", "numpy._core"), name))
        if allowed is None:
            shown = f"{module}.{name}"[:80].encode("unicode_escape").decode()  # a hostile file's own text
            raise _Refused(
                f"it names {shown}, and a pickle may run what it names; "
                "only NumPy arrays and plain containers are read: save it as such, or as .npz"
            )
        return allowed

    def persistent_load(self, pid: Any, /) -> Any:
        raise _Refused(f"it refers to data outside of itself ({type(pid).__name__}); save it with plain NumPy arrays")


class _Dtype:
    """A scalar dtype that the file describes: `numpy.dtype(code, False, True)`, then its byte order as state."""

    __slots__ = ("value",)

    def __init__(self, code: str) -> None:
        match = _DTYPE.fullmatch(code)
        if match is None:
            raise _Refused(f"it holds an array of type {code!r}; only numbers, booleans and strings are read")
        self.value = np.dtype(object) if match[1] == "O" else np.dtype(code.replace("a", "S"))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, subarray, names, fields = state[1], *state[2:5]
        if subarray is not None or names is not None or fields is not None:
            raise _Refused("it holds a structured array; save each field as an array of its own")
        if order in ("<", ">"):
            self.value = self.value.newbyteorder(order)


class _Array:
    """An array that the file describes: made empty, then given (version, shape, dtype, fortran order, data)."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, shape, "F" if fortran else "C")


def _array(data: Any, dtype: Any, shape: Any, order: str) -> NDArray[Any]:
    """An array over `data` without a copy, where its size is exactly that of the shape; object arrays from a list."""
    if type(dtype) is not _Dtype or type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
        raise _Refused("it describes an array that is none; save it again with NumPy")
    count = math.prod(shape)
    if dtype.value.hasobject:
        if type(data) is not list or len(data) != count:
            raise _Refused("it holds an object array whose size is not that of its shape")
        objects = np.empty(count, dtype=object)
        for index, item in enumerate(data):  # not objects[:] = data, which would unpack sequences
            objects[index] = item
        return objects.reshape(shape, order="F" if order == "F" else "C")
    raw = data.encode("latin1") if type(data) is str else data
    if type(raw) not in (bytes, bytearray) or len(raw) != count * dtype.value.itemsize:
        raise _Refused(f"it holds an array of shape {shape} whose data has another size")
    return np.frombuffer(raw, dtype=dtype.value).reshape(shape, order="F" if order == "F" else "C")


class _Name:
    """Base of what a name stands for: no attributes, so that a pickle's BUILD has nothing to overwrite."""

    __slots__ = ()


class _Ndarray(_Name):
    """`numpy.ndarray`, given to `_Reconstruct` and never called."""


class _MakeDtype(_Name):
    def __call__(self, code: Any, _align: Any = False, _copy: Any = True) -> _Dtype:
        return _Dtype(code if isinstance(code, str) else "")


class _Reconstruct(_Name):
    def __call__(self, kind: Any, _shape: Any, _code: Any) -> _Array:
        if type(kind) is not _Ndarray:
            raise _Refused("it holds a subclass of numpy.ndarray; save it as a plain array")
        return _Array()  # whatever shape the file asks for here, nothing is allocated


class _FromBuffer(_Name):
    def __call__(self, data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
        return _array(data, dtype, shape, str(order))


class _Scalar(_Name):
    def __call__(self, dtype: Any, data: Any) -> Any:
        return _array(data, dtype, (), "C").item()


class _Encode(_Name):
    def __call__(self, text: Any, encoding: Any) -> bytes:
        if type(text) is not str or encoding not in ("latin1", "latin-1"):
            raise _Refused("it encodes something that is no latin-1 text")
        return text.encode("latin1")


class _EmptyBytes(_Name):
    def __call__(self) -> bytes:
        return b""


class _OrderedDict(_Name):
    def __call__(self) -> dict[Any, Any]:
        return {}


_NAMES: Final = {
    ("numpy", "ndarray"): _Ndarray(),
    ("numpy", "dtype"): _MakeDtype(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "scalar"): _Scalar(),
    ("numpy._core.numeric", "_frombuffer"): _FromBuffer(),
    ("_codecs", "encode"): _Encode(),
    ("__builtin__", "bytes"): _EmptyBytes(),
    ("collections", "OrderedDict"): _OrderedDict(),
}


def _plain(value: Any, done: dict[int, Any], depth: int) -> Any:
    """`value` with arrays in place of what stands for them; each shared container is gone through once."""
    if type(value) is _Array:
        return value.value
    if type(value) not in (dict, list, tuple):
        if isinstance(value, _Dtype | _Name):
            raise _Refused("it holds a NumPy type where data should be")
        return value
    if depth == _DEPTH:
        raise _Refused(f"its containers are nested more than {_DEPTH} deep")
    if id(value) in done:
        return done[id(value)]
    done[id(value)] = value  # a container that holds itself ends here
    plain: Any
    if type(value) is dict:
        plain = {key: _plain(item, done, depth + 1) for key, item in value.items()}
    else:
        plain = type(value)(_plain(item, done, depth + 1) for item in value)
    done[id(value)] = plain
    return plain
