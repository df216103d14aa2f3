"""How much memory a pack needs, and so how many replicas share one.

The prediction is not a formula that has to follow every change of the model: it runs the pack's own training step and
evaluation on tensors without values (`FakeTensorMode`), at no cost in memory and next to none in time, and adds up what
is alive at each moment.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainables.datasets.base import TRAIN, VALID, PairData
from trainables.pack import ALIGNMENT_ROWS, Pack
from trainables.spec import PackSpec

# What the model may be wrong by, and what allocators lose to fragments.
_RESERVE = 0.2


class PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, while its context lasts, the bytes of all tensors that were created in it and are still alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._add(leaf.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._remove, key)

    def _remove(self, key: int) -> None:
        self.live -= self._sizes.pop(key)


def predict_bytes(spec: PackSpec, data: PairData, n_replicas: int) -> int:
    """Peak bytes of tensors while a pack like `spec`, but of `n_replicas` replicas, trains and is scored on `data`.

    The data themselves are included. The process is not (Python and torch, a CUDA context of some 0.5 GiB, scratch
    memory inside kernels), nor are an allocator's fragments: on Linux the heap of a CPU process may hold as much again.
    On a GPU InfoNCE may use up to 0.5 GiB more than here, its workspace being larger there.

    Raises:
        ValueError: as `Pack`.
    """
    fit_rows, evaluate_rows = len(data.rows(*spec.fit)), len(data.rows(spec.evaluate))
    sample = sum(
        4 * math.prod(m.values.shape[1:]) + (0 if m.mask is None else m.mask.shape[1]) for m in data.modalities
    )
    sample += sum(8 if target.kind == "classes" else 4 * target.n_outputs for target in data.targets)
    seeds = [spec.replicas[k % len(spec.replicas)].seed for k in range(n_replicas)]
    # No other strength or temperature changes the memory; without any strength there would be no alignment term.
    replicas = tuple(replace(spec.replicas[0], strength_1=1.0, seed=seed) for seed in seeds)
    peak, resident = _trace(replace(spec, replicas=replicas, fit=("train",), evaluate="valid"), data, evaluate_rows)
    rows = min(evaluate_rows, ALIGNMENT_ROWS)
    widths = sum(encoder.width for encoder in spec.encoders)
    alignment = 24 * rows**2 + 29 * n_replicas * rows * widths  # measured: float64 and its copies, similarities
    orders = 8 * fit_rows * len(set(seeds))
    return sample * (fit_rows + evaluate_rows) + orders + max(peak, resident + alignment)


def auto_pack_size(spec: PackSpec, data: PairData, *, budget: int, at_most: int) -> int:
    """How many replicas of a pack like `spec` (1 … `at_most`) `budget` bytes hold, by prediction.

    A fifth of the budget is held back for what the prediction may be wrong by, and for fragments.
    """
    budget = int(budget * (1.0 - _RESERVE))
    most = predict_bytes(spec, data, at_most)
    if most <= budget or at_most == 1:
        return at_most
    one = predict_bytes(spec, data, 1)
    each = (most - one) / (at_most - 1)  # the need is linear in K, but for workspaces of a fixed size
    size = max(1, min(at_most - 1, 1 + int((budget - one) / each)))
    while size > 1 and predict_bytes(spec, data, size) > budget:
        size -= 1
    return size


def free_bytes(device: str = "cpu") -> int:
    """What a new pack could use of a device's memory; on a CPU within the limit of this process's cgroup."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    cgroup = Path("/sys/fs/cgroup")
    try:
        limit, used = ((cgroup / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return free if limit == "max" else max(0, min(free, int(limit) - int(used)))
    except OSError:  # no cgroup v2
        return free


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: on a GPU, or on the CPU, where torch raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


def _trace(spec: PackSpec, data: PairData, evaluate_rows: int) -> tuple[int, int]:
    """Peak bytes of a training step on one batch and of an evaluation of so many rows; and what stays afterwards."""
    few = spec.training.batch_size + 1
    first, second = (
        replace(m, values=_zeros(m.values, few), mask=None if m.mask is None else _zeros(m.mask, few))
        for m in data.modalities
    )
    target_1, target_2 = (replace(target, values=_zeros(target.values, few)) for target in data.targets)
    split = np.array([TRAIN] * (few - 1) + [VALID], np.int8)
    batch = replace(data, modalities=(first, second), targets=(target_1, target_2), split=split)
    with FakeTensorMode(allow_non_fake_inputs=True):
        evaluated = Pack(spec, batch).evaluated.expanded(evaluate_rows)
        with PeakMemory() as memory:
            pack = Pack(spec, batch)
            pack.train_epoch()
            pack.evaluated = evaluated
            pack.score()
            return memory.peak, memory.live


def _zeros(values: NDArray[Any], rows: int) -> NDArray[Any]:
    return np.zeros((rows, *values.shape[1:]), values.dtype)
