"""Out-of-sample posteriors p(y | x) of every row, by networks that never saw it: the folds train in lockstep.

A modality enters redundancy and unique information only through its posterior. States of x1 with equal p(y | x1) can be
merged without changing them: from any q(t, x2, y) with t the merged state, q(t, x2, y) p(x1 | t) has the pair marginals
of p, and by construction no more information; merging a q(x1, x2, y) adds none either. So the posterior of any
modality, however many features it has, is all that an exact solver needs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from trainables.layers import Layout, Linear, Parameters
from trainables.optim import AdamW

Array = NDArray[np.float64]

FOLDS, INITS = 4, 2  # networks of a fold differ in their initial weights and batches; their answers are averaged
_HIDDEN = 32
_STEPS, _BATCH, _CHECK = 1500, 64, 20
_PATIENCE, _GAIN = 4, 2e-3  # stop after so many checks without a gain of so many nats
_LEARNING_RATE, _WEIGHT_DECAY, _CLIP = 3e-3, 0.5, 5.0


def cross_fitted(points: Array, y: NDArray[np.int64], n_classes: int, *, seed: int) -> Array:
    """p(y | x) of shape (N, n_classes) for rows `points` (N, d), each by the network of a fold that left it out.

    The networks (two hidden layers, `INITS` per fold) train in lockstep. Each keeps its best state by the loss on a
    seventh of its own rows; one that never beats the class frequencies answers with these.
    """
    rng = np.random.default_rng(seed)
    fold = _folds(y, rng)
    kept = [rng.permutation(np.flatnonzero(fold != k)) for k in range(FOLDS) for _ in range(INITS)]
    size = max(1, min(map(len, kept)) // 7)
    x, labels = torch.from_numpy(points.astype(np.float32)), torch.from_numpy(y)
    check = torch.from_numpy(np.stack([rows[:size] for rows in kept]))
    fit = [rows[size:] for rows in kept]
    network = Network(points.shape[1], _HIDDEN, n_classes)
    flat = torch.stack([network.layout.draw(int(rng.integers(2**31))) for _ in fit]).requires_grad_()
    optimiser = optimiser_of(flat.data)
    frequency = np.maximum(np.bincount(y, minlength=n_classes), 0.5) / len(y)
    chance = torch.from_numpy(np.log(frequency)).float()
    best_loss = -chance[labels[check]].mean(dim=1)
    best, learned = flat.detach().clone(), torch.zeros(len(fit), dtype=torch.bool)
    waited = torch.zeros(len(fit))
    for step in range(1, _STEPS + 1):
        rows = torch.from_numpy(np.stack([own[rng.integers(len(own), size=_BATCH)] for own in fit]))
        loss = _cross_entropy(network(network.layout.split(flat), x[rows]), labels[rows])
        (gradient,) = torch.autograd.grad(loss.sum(), flat)
        optimiser.step(gradient, loss.detach())
        if step % _CHECK == 0:
            with torch.no_grad():
                loss = _cross_entropy(network(network.layout.split(flat), x[check]), labels[check])
            better = loss < best_loss
            waited = torch.where(loss < best_loss - _GAIN, 0.0, waited + 1)
            best_loss = torch.where(better, loss, best_loss)
            best = torch.where(better[:, None], flat.detach(), best)
            learned |= better
            if bool((waited >= _PATIENCE).all()):
                break
    posterior = np.empty((len(y), n_classes))
    for k in range(FOLDS):
        team = slice(k * INITS, (k + 1) * INITS)
        left_out = torch.from_numpy(np.flatnonzero(fold == k))
        with torch.no_grad():
            logits = network(network.layout.split(best[team]), x[left_out].expand(INITS, -1, -1))
            logits = torch.where(learned[team, None, None], logits, chance)
        posterior[fold == k] = torch.softmax(logits.double(), dim=-1).mean(dim=0).numpy()
    return posterior


class Network:
    """Two hidden ReLU layers and a linear output, with a leading replica axis."""

    def __init__(self, n_in: int, hidden: int, n_out: int) -> None:
        self._layers = (Linear("in", n_in, hidden), Linear("hidden", hidden, hidden), Linear("out", hidden, n_out))
        self.layout = Layout([p for layer in self._layers for p in layer.parameters])

    def __call__(self, parameters: Parameters, x: Tensor) -> Tensor:
        """(K, N, n_in) -> (K, N, n_out)."""
        first, second, out = self._layers
        return out(parameters, torch.relu(second(parameters, torch.relu(first(parameters, x)))))


def optimiser_of(flat: Tensor, *, learning_rate: float = _LEARNING_RATE, weight_decay: float = _WEIGHT_DECAY) -> AdamW:
    """AdamW with the same settings for all replicas of `flat` (K, P)."""
    same = torch.ones(len(flat))
    return AdamW(
        flat,
        groups=[flat.shape[1]],
        learning_rate=same * learning_rate,
        weight_decay=same * weight_decay,
        clip_norm=same * _CLIP,
    )


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the rows of each replica, (K,), in nats."""
    losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view(labels.shape).mean(dim=1)


def _folds(y: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Fold of every row, each class spread evenly over the folds."""
    fold = np.empty(len(y), dtype=np.int64)
    fold[np.lexsort((rng.random(len(y)), y))] = np.arange(len(y)) % FOLDS
    return fold
