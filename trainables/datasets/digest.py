"""What data are, in a few letters: whether a study goes on from the data that it began with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import MultimodalData

WHOLE_BYTES = 2**30  # memory maps above it are read in blocks
BLOCKS, BLOCK_BYTES = 1024, 2**18  # evenly spaced, the first and the last among them: 256 MiB
_CHUNK_BYTES = 2**24
_SAMPLED, _SKETCH = "sampled ", "sketch "  # how a digest begins that did not see every byte
_REAL = "real steps of "  # part of a digest: a modality without what its mask leaves out
_NUMBERS, _ROWS = 8, 4096  # of a sketch, and that it is made of
_TOLERANCE = 1e-3  # of a sketch's numbers, which are of size 1 and for other data anything


def digest(data: MultimodalData, *, generated: bool) -> dict[str, str]:
    """A digest of each part of a dataset: `modality NAME`, `mask of NAME`, `target of NAME`, `split`, `groups`.

    A modality with a mask has one of its `real steps of NAME` besides, where its digest sees every byte: what stands in
    padded steps is read by nobody.
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
            if not parts[f"modality {name}"].startswith((_SAMPLED, _SKETCH)):
                parts[_REAL + name] = _exact(modality.values, modality.mask)
        parts[f"target of {name}"] = _part(np.asarray(data.targets[name].values), generated=generated)
    return parts


def changed(known: Mapping[str, str], current: Mapping[str, str]) -> list[str]:
    """Parts of which both have a digest, and not the same; of a modality its real steps count, where both know them."""
    differ = [part for part, own in current.items() if part in known and not same(known[part], own)]
    modalities = [part.removeprefix(_REAL) for part in current if part.startswith(_REAL) and part in known]
    padded = {f"modality {name}" for name in modalities if _REAL + name not in differ}
    return [part for part in differ if part not in padded and not part.startswith(_REAL)]


def same(part: str, other: str) -> bool:
    """Whether two digests are of the same array."""
    if not (part.startswith(_SKETCH) and other.startswith(_SKETCH)):
        return part == other
    (shape, numbers), (other_shape, others) = (json.loads(text.removeprefix(_SKETCH)) for text in (part, other))
    return bool(shape == other_shape and np.allclose(numbers, others, rtol=0, atol=_TOLERANCE))


def _part(values: NDArray[Any], *, generated: bool) -> str:
    return _sketch(values) if generated and values.dtype.kind == "f" else _exact(values)


def _exact(values: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> str:
    """A digest of every byte; those outside a mask (N, T) count as zeros."""
    sampled = values.nbytes > WHOLE_BYTES and values.flags.c_contiguous and _is_mapped(values)
    hashed = hashlib.blake2b(f"{values.dtype.str} {values.shape}".encode(), digest_size=16)
    for piece in _blocks(values) if sampled else _chunks(values, mask):
        hashed.update(piece.tobytes())
    return _SAMPLED * sampled + hashed.hexdigest()


def _chunks(values: NDArray[Any], mask: NDArray[np.bool_] | None) -> Iterator[NDArray[Any]]:
    size = max(1, _CHUNK_BYTES // max(1, values[:1].nbytes))
    for start in range(0, len(values), size):
        rows = slice(start, start + size)
        if mask is None:
            yield np.ascontiguousarray(values[rows])
        else:
            piece = np.array(values[rows], order="C")
            piece[~mask[rows]] = 0
            yield piece


def _blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    data = values.reshape(-1).view(np.uint8)
    starts = np.linspace(0, len(data) - BLOCK_BYTES, BLOCKS).astype(np.int64)
    return (np.ascontiguousarray(data[start : start + BLOCK_BYTES]) for start in starts)


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
