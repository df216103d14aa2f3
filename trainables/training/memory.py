"""How much memory a pack needs, and so how many replicas share one.

The prediction is not a formula that has to follow every change of the model: it runs the pack's own training step and
evaluation and adds up what is alive at each moment. For a CPU it runs the few replicas that train together there, whose
tensors are small; for a GPU, where all of a pack do, it runs on tensors without values (`FakeTensorMode`), which needs
neither their memory nor the GPU.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainables.datasets.base import TRAIN, VALID, PairData
from trainables.networks.trial import turns
from trainables.spec import PackSpec
from trainables.training.feed import stays_shared
from trainables.training.group import group_size
from trainables.training.joint import probing_bytes
from trainables.training.pack import ALIGNMENT_ROWS, Pack
from trainables.training.rows import splits_in_memory
from trainables.training.threads import one_thread

# What the model may be wrong by, and what allocators lose to fragments.
_RESERVE = 0.2

# Where larger packs stop being faster: measured on CPUs (`tests/bench/packs.py`), a guess for GPUs: none was tried.
_WORKING_SET_BYTES = {"cpu": 8 * 2**20, "cuda": 2**28}
LEAST_PACK = 4  # a trial of Ray Tune costs a fraction of a second, whatever it trains


class TensorMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
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

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch would import its compiler, for seconds, to keep it from a function that nobody compiles."""
        return False

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


def predict_bytes(spec: PackSpec, data: PairData, n_replicas: int, *, device: str = "cpu") -> int:
    """Peak bytes of tensors while a pack like `spec`, but of `n_replicas` replicas, trains and is scored on `data`.

    The data themselves are included, unless they are so large that all processes share them. The process is not
    (Python and torch, a CUDA context of some 0.5 GiB, scratch memory inside kernels), nor are an allocator's fragments:
    on Linux the heap of a CPU process may hold as much again.
    On a GPU InfoNCE may use up to 0.5 GiB more than here, its workspace being larger there.

    Raises:
        ValueError: as `Pack`.
    """
    splits = splits_in_memory(spec)
    fit_rows, evaluate_rows = len(data.rows(*splits[0])), len(data.rows(spec.evaluate))
    held = 0
    validated = (("valid",),) if spec.training.keep == "best" and spec.rows == "fixed" else ()
    for n in {names: len(data.rows(*names)) for names in (*splits, *validated)}.values():
        held += sum(n * m.values[0].nbytes for m in data.modalities if not stays_shared(m, n, device))
        held += sum(n * m.mask.shape[1] for m in data.modalities if m.mask is not None)
        held += sum(n * (8 if target.kind == "classes" else 4 * target.n_outputs) for target in data.targets)
    together = group_size(spec, data, n_replicas, torch.device(device))
    need = _trace(spec, data, n_replicas, together=together, device=device, evaluate_rows=evaluate_rows)
    rows = min(evaluate_rows, ALIGNMENT_ROWS)
    widths = sum(encoder.width for encoder in spec.encoders)
    alignment = 24 * rows**2 + 29 * together * rows * widths  # measured: float64 and its copies, similarities
    orders = 8 * fit_rows * len({replica.seed for replica in spec.replicas[:n_replicas]})
    probing = 0
    if spec.training.joint_probe:
        one_target = data.targets[0] is data.targets[1]
        probing = probing_bytes(
            together, rows=fit_rows, scored=evaluate_rows, width=widths, n_probes=1 if one_target else 4,
            n_outputs=max(target.n_outputs for target in data.targets),
        )  # fmt: skip
    return held + orders + max(need.peak, need.resident + max(alignment, probing))


def auto_pack_size(spec: PackSpec, data: PairData, *, budget: int, device: str = "cpu") -> int:
    """How many replicas of a pack like `spec` to train in lockstep on a kind of device, with `budget` bytes of memory.

    A pack is faster than its replicas alone as long as its operators are too small for the device; that ends where a
    training step's tensors no longer fit the CPU's caches, or fill the GPU (`_WORKING_SET_BYTES`). Fewer where the
    prediction exceeds the budget, a fifth of which is held back for what the prediction may be wrong by, and for
    fragments. At least 1. The answer depends on the arguments alone, not on what memory is free at the moment.
    """
    one, two = (_trace(spec, data, n, together=n, device=device).step for n in (1, 2))
    room = _WORKING_SET_BYTES[torch.device(device).type]
    size = max(LEAST_PACK, 1 + (room - one) // (two - one))
    allowed = int(budget * (1.0 - _RESERVE))
    if predict_bytes(spec, data, size, device=device) > allowed:
        fits, too_large = 1, size
        while too_large - fits > 1:
            size = (fits + too_large) // 2
            if predict_bytes(spec, data, size, device=device) > allowed:
                too_large = size
            else:
                fits = size
        return fits
    return size


class _Need(NamedTuple):
    """Bytes of tensors: the peak of a training step, the peak with an evaluation, and what stays afterwards."""

    step: int
    peak: int
    resident: int


def _trace(
    spec: PackSpec, data: PairData, n_replicas: int, *, together: int, device: str, evaluate_rows: int = 0
) -> _Need:
    """What a step on one batch and an evaluation of so many rows need."""
    for encoder, modality in zip(spec.encoders, data.modalities, strict=True):  # the trial's memory is not the pack's
        turns(encoder, modality.values.shape[1:], masked=modality.mask is not None)
    n_traced = min(n_replicas, 2 * together)  # a third group would do as the second one
    seeds = [spec.replicas[k % len(spec.replicas)].seed for k in range(n_traced)]
    # No other strength or temperature changes the memory; without any strength there would be no alignment term.
    replicas = tuple(replace(spec.replicas[0], strength_1=1.0, seed=seed) for seed in seeds)
    few = spec.training.batch_size + 1
    first, second = (
        replace(m, values=_zeros(m.values, few), mask=None if m.mask is None else _zeros(m.mask, few))
        for m in data.modalities
    )
    target_1, target_2 = (replace(target, values=_zeros(target.values, few)) for target in data.targets)
    split = np.array([TRAIN] * (few - 1) + [VALID], np.int8)
    batch = replace(data, modalities=(first, second), targets=(target_1, target_2), split=split)
    # Scores are computed piece by piece, and a user's own one cannot be asked about data that are all zeros.
    spec = replace(spec, replicas=replicas, fit=("train",), evaluate="valid", rows="fixed", scores=None)
    spec = replace(spec, training=replace(spec.training, class_weights="none"))
    with _tensors_for(device), TensorMemory() as memory:
        pack = Pack(spec, batch, together=together)
        pack.train_epoch()
        step = memory.peak
        if evaluate_rows:
            pack.evaluated = pack.evaluated.expanded(evaluate_rows)
            pack.score()
        peak, resident = memory.peak, memory.live
        state = pack.state_dict()
        own = tree_leaves([state["optimiser"], state.get("kept")])
        each = sum(tensor.nbytes for tensor in own if isinstance(tensor, Tensor)) // n_traced
    others = (n_replicas - n_traced) * each
    return _Need(step + others, peak + others, resident + others)


@contextmanager
def _tensors_for(device: str) -> Iterator[None]:
    """Tensors as the trial needs them: without values for a GPU; else computed on one thread, because the tensors are
    small, and threads that wait for one another on a busy machine take seconds.
    """
    if torch.device(device).type != "cpu":
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
        return
    with one_thread():
        yield


def _zeros(values: NDArray[Any], rows: int) -> NDArray[Any]:
    return np.zeros((rows, *values.shape[1:]), values.dtype)
