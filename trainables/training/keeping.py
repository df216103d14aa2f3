"""Which weights of a training count, if not those after its last epoch: its best epoch's, or the mean of its last ones.

What is kept lies beside the weights that are trained, and changes no training: the same replica takes the same steps
whatever is kept of it, until its patience is over.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainables.datasets.base import PairData
from trainables.networks.network import State
from trainables.spec import PackSpec, TrainingSpec
from trainables.training.feed import Feed, Scaling, load_feed
from trainables.training.group import Group
from trainables.training.rows import ReplicateRows

AVERAGED = 0.2  # of all epochs, the last ones; most of what an average gains comes from a few


class Validation(NamedTuple):
    """The rows that choose the best epoch: rows of a feed (N,), or (S, N) those of each seed of the pack."""

    feed: Feed
    rows: Tensor


class Keeper(ABC):
    """What is kept of K replicas: `flat` (K, P), `sizes` of it each network's, and the `states` of both networks.

    `members` are the replicas that still train, `ended` (K,) the last epoch of each, `frozen` (K,) those that diverged.
    """

    def __init__(self, training: TrainingSpec, flat: Tensor, states: Sequence[State], *, sizes: Sequence[int]) -> None:
        self._training = training
        self.flat = flat.detach().clone()
        self.states = [{name: values.clone() for name, values in state.items()} for state in states]
        self._parts = torch.split(self.flat, list(sizes), dim=1)
        self.members = list(range(len(flat)))
        self.ended = [training.epochs] * len(flat)
        self.frozen = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)

    def epoch_over(self, epoch: int, groups: Sequence[Group]) -> list[int]:
        """Take what the groups of all `members` have come to after an epoch, counted from 1.

        Returns:
            The members that stop here; they have left `members`.
        """
        self.frozen[self.members] = torch.cat([group.frozen for group in groups])
        self._take(epoch, groups)
        stopped = self._stopped(epoch)
        for k in stopped:
            self.ended[k] = epoch
        self.members = [k for k in self.members if k not in stopped]
        return stopped

    @abstractmethod
    def _take(self, epoch: int, groups: Sequence[Group]) -> None:
        """Change what is kept of the members."""

    def _stopped(self, _epoch: int) -> list[int]:
        return []

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that changes."""
        return {
            "members": list(self.members),
            "ended": list(self.ended),
            "states": [{name: values.clone() for name, values in state.items()} for state in self.states],
            **{name: tensor.clone() for name, tensor in self._tensors().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same shape, bit for bit.

        Raises:
            ValueError: it is of other replicas.
        """
        members, ended = [int(k) for k in state["members"]], [int(epoch) for epoch in state["ended"]]
        if len(ended) != len(self.flat) or any(k not in range(len(self.flat)) for k in members):
            raise ValueError(f"what is kept is of {len(ended)} replicas, expected {len(self.flat)}")
        for name, tensor in self._tensors().items():
            if state[name].shape != tensor.shape:
                raise ValueError(f"{name} has shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)}")
            tensor.copy_(state[name])
        for own, saved in zip(self.states, state["states"], strict=True):
            for name, values in own.items():
                values.copy_(saved[name])
        self.members, self.ended = members, ended

    def _tensors(self) -> dict[str, Tensor]:
        return {"flat": self.flat, "frozen": self.frozen}


class Average(Keeper):
    """The mean of the weights after each of the last fifth of the epochs, all alike, as in stochastic weight averaging
    (Izmailov et al. 2018, Algorithm 1) with one snapshot an epoch.

    Running statistics, as of BatchNorm, are averaged likewise and not taken anew: near enough as long as the weights of
    these epochs are near each other. Whole numbers are those of the last epoch.
    """

    def _take(self, epoch: int, groups: Sequence[Group]) -> None:
        count = epoch - self._training.epochs + math.ceil(AVERAGED * self._training.epochs)
        if count < 1:
            return
        self.flat.copy_(_mean(self.flat, torch.cat([group.flat.detach() for group in groups]), count))
        for kept, now in zip(self.states, joined_states(groups), strict=True):
            for name, values in now.items():
                kept[name].copy_(_mean(kept[name], values, count))


class Best(Keeper):
    """Each encoder's weights after the epoch in which its validation score, the one that decides, was highest; of equal
    ones the first.

    The two encoders choose apart, so that at strength 0 each is kept as if it were trained alone. An encoder that has
    not been better for `patience` epochs keeps what it has; a replica stops when that is true of both. As long as a
    score is not finite, the weights are the last ones.
    """

    def __init__(
        self,
        training: TrainingSpec,
        flat: Tensor,
        states: Sequence[State],
        *,
        sizes: Sequence[int],
        validation: Validation,
    ) -> None:
        super().__init__(training, flat, states, sizes=sizes)
        self._validation = validation
        self._best = torch.full((2, len(flat)), -math.inf, dtype=torch.float64)
        self._at = torch.zeros(2, len(flat), dtype=torch.int64)  # the epoch of it
        self._over = torch.zeros(2, len(flat), dtype=torch.bool)  # whether the encoder's patience is

    def _take(self, epoch: int, groups: Sequence[Group]) -> None:
        feed, rows = self._validation
        scores = torch.cat([group.score(feed, rows)[:2] for group in groups], 1).double()
        before = self._best[:, self.members]
        is_better = (scores > before) & ~self._over[:, self.members]
        is_taken = is_better | before.isneginf()
        self._best[:, self.members] = torch.where(is_better, scores, before)
        self._at[:, self.members] = self._at[:, self.members].masked_fill(is_better, epoch)
        states = joined_states(groups)
        for i, (kept, state) in enumerate(zip(self._parts, states, strict=True)):
            here = is_taken[i].nonzero()[:, 0]
            there = torch.tensor(self.members)[here].to(kept.device)
            here = here.to(kept.device)
            kept[there] = torch.cat([group.parts()[i].detach() for group in groups])[here]
            for name, values in state.items():
                self.states[i][name][there] = values[here]

    def _stopped(self, epoch: int) -> list[int]:
        if self._training.patience is None:
            return []
        self._over |= epoch - self._at >= self._training.patience
        return [k for k in self.members if bool(self._over[:, k].all())]

    def _tensors(self) -> dict[str, Tensor]:
        return super()._tensors() | {"best": self._best, "at": self._at, "over": self._over}


def keeper_of(
    training: TrainingSpec,
    flat: Tensor,
    states: Sequence[State],
    *,
    sizes: Sequence[int],
    validation: Validation | None,
) -> Keeper | None:
    """What a training keeps beside its own weights; None where those count. `best` needs rows to be validated on."""
    if training.keep == "average":
        return Average(training, flat, states, sizes=sizes)
    if training.keep == "best" and validation is not None:
        return Best(training, flat, states, sizes=sizes, validation=validation)
    return None


def validation_of(
    spec: PackSpec,
    data: PairData,
    own: ReplicateRows,
    *,
    fit: Feed,
    evaluated: Feed,
    scalings: tuple[Scaling, Scaling],
    device: torch.device,
) -> Validation | None:
    """The rows that choose a pack's best epochs, if it keeps these: each seed's own where rows are drawn, and the test
    rows never. `fit` and `evaluated` are what it has in memory anyway.

    Raises:
        ValueError: there are no validation rows.
    """
    if spec.training.keep != "best":
        return None
    if own.validated is not None:
        return Validation(fit, own.validated)
    feed = evaluated
    if spec.evaluate != "valid":
        feed = load_feed(data, splits=("valid",), fit=own.fit, scalings=scalings, device=device)
    return Validation(feed, torch.arange(feed.rows, device=device))


def joined_states(groups: Sequence[Group]) -> list[dict[str, Tensor]]:
    """What the networks of all groups have changed besides their parameters."""
    return [{name: torch.cat([g.states[i][name] for g in groups]) for name in groups[0].states[i]} for i in range(2)]


def _mean(mean: Tensor, values: Tensor, count: int) -> Tensor:
    """The mean of `count` tensors, of which `values` are the last and `mean` is that of the others."""
    if count == 1 or not values.dtype.is_floating_point:
        return values
    return torch.lerp(mean, values, 1.0 / count)
