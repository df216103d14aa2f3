"""AdamW on one flat (K, P) buffer, every hyperparameter per replica."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, Algorithm 2) of K replicas at once.

    Equal to `torch.optim.AdamW` on each replica, after clipping each replica's gradient in each of `groups` (adjacent
    columns) to norm `clip_norm` as `torch.nn.utils.clip_grad_norm_` does. A replica whose loss or gradient is not
    finite is `frozen` from that step on: it keeps its values, the others never see it, and the host is not asked.
    """

    def __init__(
        self, flat: Tensor, *, groups: Sequence[int], learning_rate: Tensor, weight_decay: Tensor, clip_norm: Tensor
    ) -> None:
        self._flat, self._groups = flat, list(groups)
        self._learning_rate = learning_rate[:, None]
        self._decay = 1.0 - (learning_rate * weight_decay)[:, None]
        self._clip_norm = clip_norm[:, None]
        self._moment_1 = torch.zeros_like(flat)
        self._moment_2 = torch.zeros_like(flat)
        self._n_steps = 0
        self.frozen = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)

    def step(self, gradient: Tensor, loss: Tensor) -> None:
        """Update the buffer from `gradient` (K, P) of `loss` (K,); the gradient's memory is reused."""
        self._n_steps += 1
        finite = loss
        for part in torch.split(gradient, self._groups, dim=1):
            norm = torch.linalg.vector_norm(part, dim=1, keepdim=True)
            part.mul_(torch.clamp_max_(self._clip_norm / (norm + 1e-6), 1.0))
            finite = finite + norm.squeeze(1)
        self.frozen |= ~finite.isfinite()
        still = self.frozen[:, None]
        correction_1 = 1.0 - BETA_1**self._n_steps
        correction_2 = math.sqrt(1.0 - BETA_2**self._n_steps)
        self._moment_1.lerp_(gradient, 1.0 - BETA_1)
        self._moment_2.mul_(BETA_2).addcmul_(gradient, gradient, value=1.0 - BETA_2)
        torch.sqrt(self._moment_2, out=gradient)
        gradient.add_(EPSILON * correction_2)
        update = torch.div(self._moment_1, gradient, out=gradient)
        update.mul_(self._learning_rate * (correction_2 / correction_1)).masked_fill_(still, 0.0)
        self._flat.mul_(self._decay.masked_fill(still, 1.0)).sub_(update)

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that changes, the buffer included."""
        tensors = {"flat": self._flat, "moment_1": self._moment_1, "moment_2": self._moment_2, "frozen": self.frozen}
        return {"n_steps": self._n_steps} | {name: tensor.clone() for name, tensor in tensors.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same shape, bit for bit."""
        self._n_steps = int(state["n_steps"])
        for tensor, name in (
            (self._flat, "flat"),
            (self._moment_1, "moment_1"),
            (self._moment_2, "moment_2"),
            (self.frozen, "frozen"),
        ):
            if state[name].shape != tensor.shape:
                raise ValueError(f"{name} has shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)}")
            tensor.copy_(state[name])
