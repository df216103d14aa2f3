"""AdamW and SGD on one flat (K, P) buffer, every hyperparameter per replica."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
MOMENTUM = 0.9  # of SGD


class Optimiser(ABC):
    """What updates the flat buffer of K replicas from its gradient, after clipping each replica's gradient in each of
    `groups` (adjacent columns) to norm `clip_norm` as `torch.nn.utils.clip_grad_norm_` does; infinity leaves it alone.

    A replica whose loss or gradient is not finite is `frozen` from that step on: it keeps its values, the others never
    see it, and the host is not asked.
    """

    def __init__(
        self, flat: Tensor, *, groups: Sequence[int], learning_rate: Tensor, weight_decay: Tensor, clip_norm: Tensor
    ) -> None:
        self._flat, self._groups = flat, list(groups)
        self._learning_rate, self._weight_decay = learning_rate[:, None], weight_decay[:, None]
        self._clip_norm = clip_norm
        self._moment_1 = torch.zeros_like(flat)
        self._n_steps = 0
        self._sound = torch.ones(len(flat), dtype=torch.bool, device=flat.device)

    @property
    def frozen(self) -> Tensor:
        """Which replicas (K,) stand still."""
        return ~self._sound

    def freeze(self, which: Tensor) -> None:
        """Let these replicas (K,) stand still, too."""
        self._sound &= ~which

    def step(self, gradient: Tensor, loss: Tensor, rate: float = 1.0) -> None:
        """Update the buffer from `gradient` (K, P) of `loss` (K,), at `rate` times each replica's learning rate; the
        gradient's memory is reused.
        """
        self._n_steps += 1
        parts = torch.split(gradient, self._groups, dim=1)
        norms = torch.stack([torch.linalg.vector_norm(part, dim=1) for part in parts])
        clip = (self._clip_norm / (norms + 1e-6)).clamp_max_(1.0).unsqueeze(2)
        for part, factor in zip(parts, clip.unbind(), strict=True):
            part.mul_(factor)
        size = norms.sum(0).add_(loss)
        self._sound &= size - size == 0  # whether it is finite
        gradient.nan_to_num_(0.0, 0.0, 0.0)  # of the replicas frozen now, whose moments nobody reads any more
        self._update(gradient, self._sound[:, None], rate)

    @abstractmethod
    def _update(self, gradient: Tensor, sound: Tensor, rate: float) -> None:
        """A step on a clipped gradient (K, P) for the replicas that are `sound` (K, 1)."""

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that changes, the buffer included."""
        return {"n_steps": self._n_steps} | {name: tensor.clone() for name, tensor in self._tensors().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same shape, bit for bit."""
        self._n_steps = int(state["n_steps"])
        for name, tensor in self._tensors().items():
            if state[name].shape != tensor.shape:
                raise ValueError(f"{name} has shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)}")
            tensor.copy_(state[name])

    def _tensors(self) -> dict[str, Tensor]:
        return {"flat": self._flat, "moment_1": self._moment_1, "sound": self._sound}


class AdamW(Optimiser):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, Algorithm 2) of K replicas at once: on each of them
    equal to `torch.optim.AdamW`.
    """

    def __init__(
        self, flat: Tensor, *, groups: Sequence[int], learning_rate: Tensor, weight_decay: Tensor, clip_norm: Tensor
    ) -> None:
        super().__init__(
            flat, groups=groups, learning_rate=learning_rate, weight_decay=weight_decay, clip_norm=clip_norm
        )
        self._decay = self._learning_rate * self._weight_decay
        self._moment_2 = torch.zeros_like(flat)

    def _update(self, gradient: Tensor, sound: Tensor, rate: float) -> None:
        correction_1 = 1.0 - BETA_1**self._n_steps
        correction_2 = math.sqrt(1.0 - BETA_2**self._n_steps)
        self._moment_1.lerp_(gradient, 1.0 - BETA_1)
        self._moment_2.mul_(BETA_2).addcmul_(gradient, gradient, value=1.0 - BETA_2)
        torch.sqrt(self._moment_2, out=gradient)
        gradient.add_(EPSILON * correction_2)
        update = torch.div(self._moment_1, gradient, out=gradient)
        decay = self._decay.mul_(sound)
        self._flat.mul_(1.0 - (decay if rate == 1.0 else decay * rate))
        self._flat.addcmul_(update, self._learning_rate.mul_(sound), value=-rate * correction_2 / correction_1)

    def _tensors(self) -> dict[str, Tensor]:
        return super()._tensors() | {"moment_2": self._moment_2}


class SGD(Optimiser):
    """Stochastic gradient descent with momentum 0.9 of K replicas at once: on each of them equal to `torch.optim.SGD`,
    whose weight decay is a part of the gradient (an L2 penalty).
    """

    def _update(self, gradient: Tensor, sound: Tensor, rate: float) -> None:
        self._learning_rate.mul_(sound)
        self._moment_1.mul_(MOMENTUM).add_(gradient)
        self._moment_1.addcmul_(self._flat, self._weight_decay)
        self._flat.addcmul_(self._moment_1, self._learning_rate, value=-rate)


OPTIMISERS: Mapping[str, type[Optimiser]] = {"adamw": AdamW, "sgd": SGD}


def join_states(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One state of all replicas, of optimisers that went the same number of steps."""
    names = [name for name, value in states[0].items() if isinstance(value, Tensor)]
    return states[0] | {name: torch.cat([state[name] for state in states]) for name in names}


def split_state(state: dict[str, Any], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """The inverse of `join_states`, for so many replicas each.

    Raises:
        ValueError: the state is of another number of replicas.
    """
    parts: list[dict[str, Any]] = [dict(state) for _ in sizes]
    for name, value in state.items():
        if isinstance(value, Tensor):
            if len(value) != sum(sizes):
                raise ValueError(f"{name} is of {len(value)} replicas, expected {sum(sizes)}")
            for part, rows in zip(parts, torch.split(value, list(sizes)), strict=True):
                part[name] = rows
    return parts
