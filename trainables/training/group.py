"""Replicas that train in lockstep: one batched training step for all of them, and what they come to on other rows."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from trainables.datasets.base import PairData
from trainables.networks.draws import Draws
from trainables.networks.layers import Dropout, no_dropout
from trainables.networks.modules import ModuleEncoder, module_encoder
from trainables.networks.network import EncoderNetwork, State
from trainables.networks.perceptron import Perceptron, is_perceptron
from trainables.networks.trial import examine
from trainables.objectives.tasks import TASK_LOSSES, task_loss_and_gradient
from trainables.objectives.term import alignment_and_gradients, alignment_loss
from trainables.spec import EncoderSpec, PackSpec, Precision, derive_seed
from trainables.training.feed import Feed
from trainables.training.optim import OPTIMISERS
from trainables.training.schedule import learning_rates
from trainables.training.scoring import Scoring

# How many numbers a layer's output may hold in a training step and in an evaluation: on a CPU so few that a step's
# tensors stay in a core's second-level cache (measured), on other devices what bounds the memory.
_CPU_STEP_VALUES = 2**16
_CPU_EVALUATION_VALUES, _DEVICE_EVALUATION_VALUES = 2**16, 2**24


def group_size(spec: PackSpec, data: PairData, n_replicas: int, device: torch.device) -> int:
    """How many replicas to train in lockstep: all, but on a CPU as many as its cache has room for, in equal parts."""
    if device.type != "cpu":
        return n_replicas
    widest = max(
        _values_per_sample(encoder, modality.values.shape[1:], masked=modality.mask is not None, device=device)
        for encoder, modality in zip(spec.encoders, data.modalities, strict=True)
    )
    most = max(1, _CPU_STEP_VALUES // (spec.training.batch_size * widest))
    n_groups = -(-n_replicas // most)
    return -(-n_replicas // n_groups)


def _values_per_sample(encoder: EncoderSpec, shape: tuple[int, ...], *, masked: bool, device: torch.device) -> int:
    """How many numbers the widest layer has for a sample of `shape`: its values, or features for each step."""
    size = torch.Size(shape).numel()
    if encoder.kind == "module":
        return max(size, examine(module_encoder(encoder, tuple(shape)), masked=masked, device=device).widest)
    return max(encoder.width * size // shape[-1], size)


Field = Literal["features", "predictions", "projections"]  # of `trainables.networks.network.Outputs`
Weights = tuple[Tensor | None, Tensor | None]  # of the classes or labels of both targets


class Measured(NamedTuple):
    """Scores and task losses of both encoders (4, K); what each unit adds to the scores (2, K, units); all scores of
    either encoder by name, (K,) each.
    """

    scores: Tensor
    by_unit: Tensor | None
    others: list[dict[str, Tensor]]


class Group:
    """Replicas of `spec`, all trained in lockstep, from the parameters `start` (K, P) of both networks.

    `states` are what the networks change besides their parameters, `seeds` the distinct ones of the pack, in the order
    in which it draws what depends on them, `scoring` what outputs are worth, `weights` what
    rows of a class count in training (None: all alike).
    """

    def __init__(
        self,
        spec: PackSpec,
        data: PairData,
        networks: tuple[EncoderNetwork, EncoderNetwork],
        start: Tensor,
        *,
        states: tuple[State, State],
        seeds: list[int],
        scoring: Scoring,
        weights: Weights = (None, None),
    ) -> None:
        self._spec, self._networks, self._scoring, self._weights = spec, networks, scoring, weights
        self._names, self._targets = data.names, data.targets
        self._widest = [
            _values_per_sample(e, m.values.shape[1:], masked=m.mask is not None, device=start.device)
            for e, m in zip(spec.encoders, data.modalities, strict=True)
        ]
        self._device = start.device
        self.flat, self.states = start.requires_grad_(), states
        self._sizes = [network.layout.size for network in networks]
        self.optimiser = OPTIMISERS[spec.training.optimiser](
            self.flat.detach(),
            groups=self._sizes,
            learning_rate=self._per_replica("learning_rate"),
            weight_decay=self._per_replica("weight_decay"),
            clip_norm=self._per_replica("clip_norm"),
        )
        explicit = spec.training.precision == "float32" and not any(encoder.dropout for encoder in spec.encoders)
        self._perceptrons = [
            Perceptron.of(network, part.detach())
            for network, part in zip(networks, self.parts(), strict=True)
            if explicit and all(map(is_perceptron, networks))
        ]
        self._order_of = self._index_of(seeds)
        self._seeds = list(dict.fromkeys(replica.seed for replica in spec.replicas))
        self._seed_of = self._index_of(self._seeds)
        self._strengths = self._per_replica("strength_1"), self._per_replica("strength_2")
        temperatures = {replica.temperature for replica in spec.replicas}
        self._temperature = self._per_replica("temperature") if len(temperatures) > 1 else temperatures.pop()
        self._is_aligned = any(replica.strength_1 or replica.strength_2 for replica in spec.replicas)
        self._all_pulled = all(replica.strength_1 and replica.strength_2 for replica in spec.replicas)

    @property
    def n_replicas(self) -> int:
        """K."""
        return len(self.flat)

    @property
    def width(self) -> int:
        """How many features both encoders give together."""
        return sum(encoder.width for encoder in self._spec.encoders)

    @property
    def frozen(self) -> Tensor:
        """Which replicas (K,) have diverged."""
        return self.optimiser.frozen

    def parts(self) -> tuple[Tensor, ...]:
        """Each encoder's part of the flat buffer."""
        return torch.split(self.flat, self._sizes, dim=1)

    def train_epoch(self, fit: Feed, batches: Tensor, epoch: int) -> None:
        """A step on each of the `batches` (steps, S, N): rows of `fit`, as each seed of the pack visits them."""
        dropouts = self._dropouts(epoch)
        ones = torch.ones(self.n_replicas, device=self._device)
        rates = learning_rates(self._spec.training, epoch=epoch, steps=len(batches))
        for batch, rate in zip(batches.unbind(), rates, strict=True):
            index = batch.index_select(0, self._order_of)
            if self._perceptrons:
                loss, gradient = self._loss_and_gradient(fit, index)
            else:
                loss = self._loss(fit, index, dropouts)
                (gradient,) = torch.autograd.grad(loss, self.flat, ones)
            self.optimiser.step(gradient, loss.detach(), rate)

    @torch.no_grad()
    def score(self, evaluated: Feed, rows: Tensor) -> Tensor:
        """Scores and task losses of both encoders on evaluated `rows`, (4, K); NaN for a frozen replica."""
        return self._scores(self.predict(evaluated, rows, "predictions"), evaluated.batch_targets(self._own(rows)))

    @torch.no_grad()
    def measure(self, evaluated: Feed, rows: Tensor, *, by_unit: bool, others: bool) -> Measured:
        """As `score`, and what each unit of the `rows` adds to the scores of both encoders, and all scores there are,
        where these are asked for.
        """
        outputs, targets = self.predict(evaluated, rows, "predictions"), evaluated.batch_targets(self._own(rows))
        return Measured(
            scores=self._scores(outputs, targets),
            by_unit=self._scoring.by_unit(outputs, targets) if by_unit else None,
            others=self._scoring.others(outputs, targets) if others else [],
        )

    def _scores(self, outputs: list[Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
        values = torch.stack([*self._scoring.scores(outputs, targets), *self._task_losses(outputs, targets)])
        return values.masked_fill_(self.frozen, float("nan")).cpu()

    def targets(self, feed: Feed, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The targets of rows of a feed, (N, …), or (K, N, …) where each seed of the pack has its own (S, N)."""
        return feed.batch_targets(self._own(rows))

    def _own(self, rows: Tensor) -> Tensor:
        """Rows (N,) as they are, or those of each replica (K, N) out of those of each seed of the pack (S, N)."""
        return rows if rows.ndim == 1 else rows.index_select(0, self._order_of)

    @torch.no_grad()
    def predict(self, evaluated: Feed, rows: Tensor, field: Field) -> list[Tensor]:
        """What all replicas say of evaluated `rows`, (K, rows, …) of each encoder, in chunks that bound the memory.

        `rows` (N,) are the same for all, or (S, N) those of each seed of the pack.
        """
        rows = self._own(rows)
        room = _CPU_EVALUATION_VALUES if self._device.type == "cpu" else _DEVICE_EVALUATION_VALUES
        outputs = []
        with _arithmetic(self._spec.training.precision, self._device):
            for i, flat in enumerate(self.parts()):
                each = self._widest[i]
                size = max(self._spec.training.batch_size, room // (self.n_replicas * each))
                chunks = []
                for part in torch.split(rows, size, dim=-1):
                    values, mask = evaluated.samples(i, part, self.n_replicas)
                    said = self._networks[i](flat, values, mask, state=self.states[i])
                    chunks.append(getattr(said, field).mT)
                outputs.append(torch.cat(chunks, 2).mT)  # feature by feature in memory, as the chunks
        return outputs

    @torch.no_grad()
    def _loss_and_gradient(self, fit: Feed, index: Tensor) -> tuple[Tensor, Tensor]:
        """The loss as in `_loss`, and its gradient (K, P), for networks that have one written out."""
        passes = [p.forward(fit.batch(i, index).values.flatten(2)) for i, p in enumerate(self._perceptrons)]
        (loss_1, for_outputs_1), (loss_2, for_outputs_2) = (
            task_loss_and_gradient(target.loss, done.outputs.mT, values, weights)
            for done, values, target, weights in zip(
                passes, fit.batch_targets(index), self._targets, self._weights, strict=True
            )
        )
        loss = loss_1 + loss_2
        for_features: list[Tensor | None] = [None, None]
        if self._is_aligned:
            value, for_features = alignment_and_gradients(
                passes[0].features.mT,
                passes[1].features.mT,
                *self._strengths,
                temperature=self._temperature,
                objective=self._spec.alignment.objective,
                direction=self._spec.alignment.direction,
                positive=self._all_pulled,
            )
            loss += value
        gradients = [
            gradient
            for perceptron, done, for_outputs, pulled in zip(
                self._perceptrons, passes, (for_outputs_1, for_outputs_2), for_features, strict=True
            )
            for gradient in perceptron.backward(done, for_outputs.mT, None if pulled is None else pulled.mT)
        ]
        return loss, torch.cat(gradients, 1)

    def _loss(self, fit: Feed, index: Tensor, dropouts: list[Any]) -> Tensor:
        """What each replica minimises on its batch of rows `index` (K, N), (K,)."""
        outputs = []
        with _arithmetic(self._spec.training.precision, self._device):
            for i, flat in enumerate(self.parts()):
                outputs.append(self._networks[i](flat, *fit.batch(i, index), dropouts[i], self.states[i]))
        loss_1, loss_2 = self._task_losses(
            [out.predictions for out in outputs], fit.batch_targets(index), weights=self._weights
        )
        loss = loss_1 + loss_2
        if self._is_aligned:
            alignment = self._spec.alignment
            loss = loss + alignment_loss(
                outputs[0].projections,
                outputs[1].projections,
                *self._strengths,
                self._temperature,
                objective=alignment.objective,
                direction=alignment.direction,
            )
        return loss

    def _task_losses(
        self, outputs: list[Tensor], targets: tuple[Tensor, Tensor], *, weights: Weights = (None, None)
    ) -> list[Tensor]:
        return [
            TASK_LOSSES[target.loss](out, values, own)
            for out, values, target, own in zip(outputs, targets, self._targets, weights, strict=True)
        ]

    def _dropouts(self, epoch: int) -> list[Any]:
        def drawing(i: int) -> Any:
            rate, is_module = self._spec.encoders[i].dropout, isinstance(self._networks[i].encoder, ModuleEncoder)
            if not rate and not is_module:
                return no_dropout
            seeds = [derive_seed(seed, "dropout", self._names[i], epoch) for seed in self._seeds]
            if is_module:
                return Draws(seeds, [self._seeds.index(r.seed) for r in self._spec.replicas], device=self._device)
            return Dropout(rate, seeds, self._seed_of)

        return [drawing(i) for i in range(2)]

    def _per_replica(self, field: str) -> Tensor:
        values = [getattr(replica, field) for replica in self._spec.replicas]
        return torch.tensor([math.inf if value is None else float(value) for value in values], device=self._device)

    def _index_of(self, seeds: list[int]) -> Tensor:
        return torch.tensor([seeds.index(r.seed) for r in self._spec.replicas], device=self._device)


@contextlib.contextmanager
def _arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """The networks' arithmetic: bf16 by autocast (on CPUs too), tf32 for this block alone; losses stay in float32."""
    if precision == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
    elif precision == "tf32":
        before = torch.backends.cuda.matmul.fp32_precision
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        try:
            yield
        finally:
            torch.backends.cuda.matmul.fp32_precision = before
    else:
        yield
