"""Learning rates over a training: shares of each replica's own, by the step."""

from __future__ import annotations

import math

from trainables.spec import TrainingSpec


def learning_rates(training: TrainingSpec, *, epoch: int, steps: int) -> list[float]:
    """The share of the learning rate at each of the `steps` of an epoch, which counts from 0.

    The first `warmup` epochs, w steps, rise evenly: (t + 1) / (w + 1) at step t, as in nanoGPT, so that the first step
    moves. From there the rate is constant, 1 exactly, or falls along half a cosine, ½ + ½ cos(π (t − w) / (T − w)) of T
    steps in all, to nearly 0 (Loshchilov & Hutter 2017, equation 5, without restarts).
    """
    total, warm = training.epochs * steps, round(training.warmup * steps)
    first = epoch * steps

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        if training.schedule == "constant":
            return 1.0
        return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (total - warm))

    return [share(first + step) for step in range(steps)]
