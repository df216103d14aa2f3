"""The one matrix of a MATLAB file, version 5 to 7, read from the published format.

SciPy's reader takes every kind of content and crashes the process on some damaged files; here a file is a header, one
numeric array, and nothing else. Source: MathWorks, "MAT-File Format", level 5.
"""

from __future__ import annotations

import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError
from trainables.datasets.files.reading import MAX_BYTES, plausible_size, size_text
from trainables.datasets.files.regular import check_file

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double, single and the integers; not cells, structures, objects, text, sparse
_COMPLEX = 0x800


class _Element(NamedTuple):
    kind: int
    data: memoryview
    end: int  # where the next element starts, before padding


def read_mat(path: Path) -> NDArray[Any]:
    """The one matrix of the file at `path`, (n, m) real numbers; how it is named does not matter.

    Raises:
        DataError: it is not there, damaged, of another version, or holds anything but one matrix of numbers.
    """
    if not path.exists():
        raise DataError(f"{path.parent} has no {path.name}")
    check_file(path)
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path} has more than {size_text(MAX_BYTES)}; save it as .npy")
    content = memoryview(path.read_bytes())
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:_HEADER]))
    if order is None or bytes(content[:6]) != b"MATLAB":
        raise DataError(f"{path} is no MATLAB file of version 5 to 7; save it with -v7")
    try:
        element = _element(content, _HEADER, order)
        if len(content) > element.end + 7:
            raise DataError(f"{path} holds several variables; one matrix of numbers is needed")
        if element.kind == _COMPRESSED:
            element = _element(memoryview(_unpacked(element.data)), 0, order)
        matrix = _matrix(element, order)
    except (ValueError, struct.error, zlib.error, MemoryError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read ({error}); it is damaged or holds no matrix of numbers") from None
    return matrix


def _element(content: memoryview, start: int, order: str) -> _Element:
    """The data element whose tag starts at `start`; small ones hold up to four bytes in the tag itself."""
    kind, size = struct.unpack_from(order + "II", content, start)
    if kind >> 16:
        kind, size, start = kind & 0xFFFF, kind >> 16, start - 4
        if size > 4:
            raise ValueError("a small element is larger than its tag")
    begin, end = start + 8, start + 8 + size
    if end > len(content):
        raise ValueError("an element is longer than the file")
    return _Element(kind, content[begin:end], end)


def _matrix(element: _Element, order: str) -> NDArray[Any]:
    if element.kind != _MATRIX:
        raise ValueError("its variable is no array")
    parts, position = [], 0
    for _ in range(4):  # flags, dimensions, name, real part
        part = _element(element.data, position, order)
        parts.append(part)
        position = part.end + (-part.end % 8)
    flags, dimensions, _, values = parts
    (flag,) = struct.unpack_from(order + "I", flags.data)
    if flag & 0xFF not in _NUMERIC_CLASSES or flag & _COMPLEX or values.kind not in _NUMBERS:
        raise ValueError("its variable is no array of real numbers")
    shape = tuple(int(n) for n in np.frombuffer(dimensions.data, dtype=order + "i4"))
    if len(shape) != 2 or min(shape) < 0:
        raise ValueError(f"its array has shape {shape}")
    numbers = np.frombuffer(values.data, dtype=order + _NUMBERS[values.kind])
    if len(numbers) != prod(shape):
        raise ValueError(f"its array has {len(numbers)} values for shape {shape}")
    return numbers.reshape(shape, order="F")


def _unpacked(data: memoryview) -> bytes:
    """What `data` unpacks to, as far as that is plausible."""
    limit = plausible_size(len(data))
    stream = zlib.decompressobj()
    unpacked = stream.decompress(data, limit)
    if stream.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {size_text(limit)}")
    return unpacked
