"""What data are, in a few letters: whether a study goes on from the data that it began with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import MultimodalData

WHOLE_BYTES = 2**30  # memory maps above it are read in blocks
_BLOCKS, _BLOCK_BYTES = 1024, 2**18  # evenly spaced, the first and the last among them: 256 MiB
_CHUNK_BYTES = 2**24
_SAMPLED, _SKETCH = "sampled ", "sketch "  # how a digest begins that did not see every byte
_NUMBERS, _ROWS = 8, 4096  # of a sketch, and that it is made of
_TOLERANCE = 1e-3  # of a sketch's numbers, which are of size 1 and for other data anything


def digest(data: MultimodalData, *, generated: bool) -> dict[str, str]:
    """A digest of each part of a dataset: `modality NAME`, `mask of NAME`, `target of NAME`, `split`, `groups`.

    Arrays count with their type, shape and every byte; memory maps above 1 GiB with 1,024 blocks of 256 KiB, and their
    digest begins with `sampled`. Real numbers that were `generated` count by a sketch, which `same` compares to 0.1 %:
    their last bits depend on the machine's arithmetic.
    """
    parts = {"split": _exact(data.split)}
    if data.groups is not None:
        parts["groups"] = _exact(data.groups)
    for name, modality in data.modalities.items():
        parts[f"modality {name}"] = _part(modality.values, generated=generated)
        if modality.mask is not None:
            parts[f"mask of {name}"] = _exact(modality.mask)
        parts[f"target of {name}"] = _part(np.asarray(data.targets[name].values), generated=generated)
    return parts


def same(part: str, other: str) -> bool:
    """Whether two digests are of the same array."""
    if not (part.startswith(_SKETCH) and other.startswith(_SKETCH)):
        return part == other
    (shape, numbers), (other_shape, others) = (json.loads(text.removeprefix(_SKETCH)) for text in (part, other))
    return bool(shape == other_shape and np.allclose(numbers, others, rtol=0, atol=_TOLERANCE))


def _part(values: NDArray[Any], *, generated: bool) -> str:
    return _sketch(values) if generated and values.dtype.kind == "f" else _exact(values)


def _exact(values: NDArray[Any]) -> str:
    sampled = values.nbytes > WHOLE_BYTES and values.flags.c_contiguous and _is_mapped(values)
    found = hashlib.blake2b(f"{values.dtype.str} {values.shape}".encode(), digest_size=16)
    for piece in _blocks(values) if sampled else _chunks(values):
        found.update(piece.tobytes())
    return _SAMPLED * sampled + found.hexdigest()


def _chunks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    rows = max(1, _CHUNK_BYTES // max(1, values[:1].nbytes))
    return (np.ascontiguousarray(values[start : start + rows]) for start in range(0, len(values), rows))


def _blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    data = values.reshape(-1).view(np.uint8)
    starts = np.linspace(0, len(data) - _BLOCK_BYTES, _BLOCKS).astype(np.int64)
    return (np.ascontiguousarray(data[start : start + _BLOCK_BYTES]) for start in starts)


def _is_mapped(values: NDArray[Any]) -> bool:
    base: Any = values
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, np.memmap)


def _sketch(values: NDArray[Any]) -> str:
    """Projections of (at most 4,096 evenly spaced) rows on directions at random, in units of their length."""
    rows = np.unique(np.linspace(0, len(values) - 1, min(len(values), _ROWS)).round().astype(np.int64))
    x = values[rows].reshape(len(rows), -1).astype(np.float64)
    length = float(np.sqrt((x**2).sum())) or 1.0
    signs = np.random.default_rng(0)
    numbers = [
        float((signs.choice([-1.0, 1.0], len(x)) @ x @ signs.choice([-1.0, 1.0], x.shape[1])) / length)
        for _ in range(_NUMBERS)
    ]
    return _SKETCH + json.dumps([list(values.shape), [round(number, 6) for number in numbers]])
