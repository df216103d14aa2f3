"""The small networks that estimators train: their shape, their optimiser, and a race of many of them in lockstep."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.networks.layers import Layout, Linear, Parameters
from trainables.networks.perceptron import Perceptron
from trainables.objectives.tasks import cross_entropy, task_loss_and_gradient
from trainables.training.optim import AdamW

LEARNING_RATE, WEIGHT_DECAY = 5e-3, 0.5
_CLIP = 5.0
_PATIENCE, _GAIN = 3, 2e-3  # a team ends after so many checks without a gain of so many nats


class SmallNetwork:
    """Two hidden ReLU layers and a linear output, with a leading replica axis."""

    def __init__(self, n_in: int, hidden: int, n_out: int) -> None:
        self._layers = (Linear("in", n_in, hidden), Linear("hidden", hidden, hidden), Linear("out", hidden, n_out))
        self.layout = Layout([p for layer in self._layers for p in layer.parameters])

    def __call__(self, parameters: Parameters, x: Tensor) -> Tensor:
        """(K, N, n_in) -> (K, N, n_out)."""
        first, second, out = self._layers
        return out(parameters, torch.relu(second(parameters, torch.relu(first(parameters, x)))))


def optimiser_of(flat: Tensor, *, learning_rate: float = LEARNING_RATE, weight_decay: float = WEIGHT_DECAY) -> AdamW:
    """AdamW with the same settings for all replicas of `flat` (K, P)."""
    same = torch.ones(len(flat))
    return AdamW(
        flat,
        groups=[flat.shape[1]],
        learning_rate=same * learning_rate,
        weight_decay=same * weight_decay,
        clip_norm=same * _CLIP,
    )


class Race:
    """Classifiers that train in lockstep, each of which keeps the best state that it was in.

    They come in teams, which end together: a team trains on while any of its networks has gained lately. What a network
    comes to depends on no other team.

    Args:
        start: initial parameters (K, P) of `SmallNetwork`s, one team after the other.
        layout: of these parameters.
        team: networks in a team.
        to_beat: loss (K,) in nats that a state must stay below in order to be kept.
        weight_decay: of AdamW.
    """

    def __init__(self, start: Tensor, *, layout: Layout, team: int, to_beat: Tensor, weight_decay: float) -> None:
        self._layout, self._team, self._weight_decay = layout, team, weight_decay
        # Of all K networks; `learned` are those that have a state worth keeping.
        self._best, self._best_loss, self._waited = start.clone(), to_beat.clone(), torch.zeros(len(start))
        self.learned = torch.zeros(len(start), dtype=torch.bool)
        # Of the networks that still train, which are `_active` among all.
        self._active = torch.arange(len(start))
        self._flat, self._network, self._optimiser = self._trained(start.clone())

    @property
    def teams(self) -> Tensor:
        """Numbers of the teams that still train, ascending; none once the race is over."""
        return self._active[:: self._team] // self._team

    def step(self, x: Tensor, classes: Tensor) -> None:
        """A step of each network of `teams` (M in all) on its own batch: x (M, B, d), classes (M, B)."""
        forward = self._network.forward(x)
        loss, for_outputs = task_loss_and_gradient("cross_entropy", forward.outputs.mT, classes)
        self._optimiser.step(torch.cat(self._network.backward(forward, for_outputs.mT, None), 1), loss)

    def check(self, x: Tensor, classes: Tensor) -> None:
        """Judge each network of `teams` by rows that it does not learn from, as in `step`; teams that are done end."""
        loss = cross_entropy(self._network.forward(x).outputs.mT, classes)
        active = self._active
        self._waited[active] = torch.where(loss < self._best_loss[active] - _GAIN, 0.0, self._waited[active] + 1)
        better = loss < self._best_loss[active]
        kept = active[better]
        self._best[kept], self._best_loss[kept], self.learned[kept] = self._flat[better], loss[better], True
        going = (self._waited[active] < _PATIENCE).view(-1, self._team).any(dim=1).repeat_interleave(self._team)
        if not going.all():
            self._go_on_with(going)

    def logits(self, networks: slice, x: Tensor) -> Tensor:
        """Outputs (n, N, classes) of these networks' best states for rows (N, d); the initial one if none was kept."""
        best = self._best[networks]
        return Perceptron(self._layout, best, "relu").forward(x.expand(len(best), -1, -1)).outputs.mT

    def _go_on_with(self, going: Tensor) -> None:
        """Leave out the networks that are not in this mask; the others keep their state."""
        self._active = self._active[going]
        state = {name: v[going] if isinstance(v, Tensor) else v for name, v in self._optimiser.state_dict().items()}
        self._flat, self._network, self._optimiser = self._trained(torch.empty_like(state["flat"]))
        self._optimiser.load_state_dict(state)

    def _trained(self, flat: Tensor) -> tuple[Tensor, Perceptron, AdamW]:
        """Parameters, and the networks and the optimiser that share them."""
        return flat, Perceptron(self._layout, flat, "relu"), optimiser_of(flat, weight_decay=self._weight_decay)
