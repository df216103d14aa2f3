"""AdamW on one flat (K, P) buffer, with every hyperparameter per replica."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class AdamW:
    """Decoupled weight decay Adam (Loshchilov & Hutter 2019, algorithm 2), equal to `torch.optim.AdamW` per replica.

    Gradients are first clipped to norm `clip_norm` in each `group` of columns (one group per encoder, so that at
    strength 0 two encoders train as if alone).
    """

    def __init__(
        self, flat: Tensor, *, groups: Sequence[int], learning_rate: Tensor, weight_decay: Tensor, clip_norm: Tensor
    ) -> None:
        self._flat, self._groups = flat, list(groups)
        self._learning_rate = learning_rate[:, None]
        self._decay = 1.0 - self._learning_rate * weight_decay[:, None]
        self._clip_norm = clip_norm[:, None]
        self.moment_1 = torch.zeros_like(flat)
        self.moment_2 = torch.zeros_like(flat)
        self.steps = 0

    def step(self, gradient: Tensor, frozen: Tensor) -> None:
        """Update the buffer from `gradient` (K, P), which is overwritten; replicas where `frozen` (K,) keep their values."""
        self.steps += 1
        for part in gradient.split(self._groups, dim=1):
            norm = torch.linalg.vector_norm(part, dim=1, keepdim=True)
            part.mul_(torch.clamp(self._clip_norm / (norm + 1e-6), max=1.0))
        correction_1, correction_2 = 1.0 - BETA_1**self.steps, math.sqrt(1.0 - BETA_2**self.steps)
        self.moment_1.lerp_(gradient, 1.0 - BETA_1)
        self.moment_2.mul_(BETA_2).addcmul_(gradient, gradient, value=1.0 - BETA_2)
        torch.sqrt(self.moment_2, out=gradient)
        update = torch.div(self.moment_1, gradient.add_(EPSILON * correction_2), out=gradient)
        update.mul_(self._learning_rate * (correction_2 / correction_1)).masked_fill_(frozen[:, None], 0.0)
        self._flat.mul_(torch.where(frozen[:, None], 1.0, self._decay)).sub_(update)
