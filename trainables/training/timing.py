"""How long a pack trains: some of its own steps and one evaluation, on a few of its rows, timed."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.datasets.base import TRAIN, VALID, Modality, PairData
from trainables.spec import PackSpec
from trainables.training.pack import Pack

STEPS = 4  # in an epoch of the trial
EVALUATED = 512  # rows that the trial evaluates at most


@dataclass(frozen=True, kw_only=True)
class PackSeconds:
    """Seconds that the parts of a pack take: building it, a training step, a row's evaluation, alignment metrics."""

    build: float
    step: float
    row: float
    alignment: float

    def at(self, n_replicas: int, *, small: int, other: PackSeconds, large: int) -> PackSeconds:
        """The times of `n_replicas`, on the line through these of `small` replicas and the `other` of `large`."""
        share = (n_replicas - small) / (large - small) if large > small else 0.0
        parts = {}
        for part in fields(self):
            mine, its = getattr(self, part.name), getattr(other, part.name)
            parts[part.name] = max(mine + share * (its - mine), min(mine, its) * min(1.0, n_replicas / small))
        return PackSeconds(**parts)

    def training(self, spec: PackSpec, *, fit_rows: int, evaluated_rows: int, valid_rows: int = 0) -> float:
        """Seconds of a whole training on that many rows, its evaluations included: those that choose the best epoch,
        where that is kept, are on `valid_rows`. Of patience, with which it may be shorter, nothing is known.
        """
        epochs = spec.training.epochs
        evaluations = max(1, min(spec.training.evaluations, epochs))
        rows = evaluations * evaluated_rows + (epochs * valid_rows if spec.training.keep == "best" else 0)
        steps = epochs * (fit_rows // spec.training.batch_size)
        return math.fsum(
            [self.build, steps * self.step, rows * self.row, self.alignment],
        )


def few_rows(spec: PackSpec, data: PairData) -> PairData:
    """The few rows of the data that `time_pack` needs, with splits `train` and `valid`."""
    fit = data.rows(*spec.fit)[: STEPS * spec.training.batch_size]
    evaluated = data.rows(spec.evaluate)[:EVALUATED]
    rows = np.concatenate([fit, evaluated])
    first, second = (_rows_of(modality, rows) for modality in data.modalities)
    target_1, target_2 = (replace(target, values=target.values[rows]) for target in data.targets)
    split = np.array([TRAIN] * len(fit) + [VALID] * len(evaluated), np.int8)
    # So few rows may be of one group, of which none could be drawn anew; how long it takes does not hang on groups.
    return replace(data, modalities=(first, second), targets=(target_1, target_2), split=split, groups=None)


def time_pack(spec: PackSpec, data: PairData, n_replicas: int, *, seconds: float, device: str = "cpu") -> PackSeconds:
    """Train and score a pack like `spec`, but of `n_replicas` replicas, on `few_rows` for about `seconds`.

    It runs in this process, on the threads that torch has here. Times are means, not medians: what interrupts the trial
    interrupts the study.
    """
    replicas = tuple(spec.replicas[k % len(spec.replicas)] for k in range(n_replicas))
    # Whatever is kept of a training, its steps are the same; what choosing an epoch takes follows from `row`.
    training = replace(spec.training, epochs=1, evaluations=1, keep="last", patience=None, warmup=0.0)
    begin = time.perf_counter()
    pack = Pack(
        replace(spec, replicas=replicas, training=training, fit=("train",), evaluate="valid"), data, device=device
    )
    build = _since(begin, device)
    pack.train_epoch()  # the first one pays for what is prepared once
    n_steps = len(data.rows("train")) // spec.training.batch_size
    steps: list[float] = []
    scored: list[float] = []
    begin = time.perf_counter()
    while not steps or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        pack.train_epoch()
        steps.append(_since(start, device) / n_steps)
        if len(scored) < len(steps) / 8:
            start = time.perf_counter()
            pack.score()
            scored.append(_since(start, device))
    step, evaluation = float(np.mean(steps)), float(np.mean(scored))
    start = time.perf_counter()
    pack.run()
    alignment = _since(start, device) - n_steps * step - evaluation
    return PackSeconds(build=build, step=step, row=evaluation / len(data.rows("valid")), alignment=max(0.0, alignment))


def _rows_of(modality: Modality, rows: NDArray[np.int64]) -> Modality:
    mask = None if modality.mask is None else modality.mask[rows]
    return replace(modality, values=modality.values[rows], mask=mask)


def _since(start: float, device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start
