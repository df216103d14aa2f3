"""The one training loop: K replicas of an encoder pair in lockstep."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.datasets.base import PairData, Target
from trainables.encoders import Network, Outputs, build_networks
from trainables.feed import Feed, epoch_order, load_feeds
from trainables.layers import Dropout, Layout
from trainables.optim import AdamW
from trainables.spec import PackSpec, ReplicaResult, derive_seed

ALIGNMENT_ROWS = 512
SCORED = ("cka", "svcca", "mutual_knn")


class CheckpointError(RuntimeError):
    """A checkpoint is torn, foreign or of another spec; start the pack over."""


class Pack:
    """K replicas of one encoder pair, trained in lockstep.

    Batches: each epoch visits the rows in an order that depends on (replica seed, epoch) alone; what does not fill a
    batch is left out of that epoch, because the scale of InfoNCE (log N) depends on the batch size.

    Raises:
        ValueError: the spec asks for something that the data or the device cannot give.
    """

    def __init__(self, spec: PackSpec, data: PairData, *, device: str = "cpu") -> None:
        self.spec = spec
        self.epoch = 0
        self._device = torch.device(device)
        self._names = data.names
        self._kinds: tuple[Target, Target] = data.targets
        self._fit, self._evaluate = load_feeds(data, spec.fit, spec.evaluate, self._device)
        if spec.training.batch_size > self._fit.rows:
            raise ValueError(
                f"batch size {spec.training.batch_size} is larger than the {self._fit.rows} training rows; reduce it"
            )
        shapes = tuple(tuple(inputs.values.shape[1:]) for inputs in self._fit.inputs)
        n_outs = tuple(
            target.n_classes if target.kind == "classes" else values.shape[1]
            for target, values in zip(data.targets, self._fit.targets, strict=True)
        )
        self._networks = build_networks(spec.encoders, spec.alignment, shapes, n_outs)  # type: ignore[arg-type]
        self._layouts = tuple(Layout(network.parameters) for network in self._networks)
        self._seeds = list(dict.fromkeys(replica.seed for replica in spec.replicas))
        self._seed_of = torch.tensor([self._seeds.index(r.seed) for r in spec.replicas], device=self._device)
        self._flat = self._initial().requires_grad_()
        self._frozen = torch.zeros(len(spec.replicas), dtype=torch.bool, device=self._device)
        self._optimiser = AdamW(
            self._flat.detach(),
            groups=[layout.size for layout in self._layouts],
            learning_rate=self._per_replica("learning_rate"),
            weight_decay=self._per_replica("weight_decay"),
            clip_norm=self._per_replica("clip_norm"),
        )
        self._strengths = self._per_replica("strength_1"), self._per_replica("strength_2")
        self._temperature = self._per_replica("temperature")
        self._aligned = any(r.strength_1 or r.strength_2 for r in spec.replicas)
        total, points = spec.training.epochs, max(1, min(spec.training.evaluations, spec.training.epochs))
        self._evaluations = {round((i + 1) * total / points) for i in range(points)}
        self._curve: list[tuple[int, Tensor]] = []  # epoch, (score 1, score 2, loss 1, loss 2) x K
        self._alignment: dict[str, Tensor] = {}

    @property
    def done(self) -> bool:
        """Whether the last epoch is behind."""
        return self.epoch >= self.spec.training.epochs

    def run(self, epochs: int | None = None) -> None:
        """Train that many more epochs (None: to the end), evaluating at the spec's evaluation epochs."""
        end = self.spec.training.epochs if epochs is None else min(self.epoch + epochs, self.spec.training.epochs)
        while self.epoch < end:
            self._train_epoch()
            self.epoch += 1
            if self.epoch in self._evaluations:
                self._curve.append((self.epoch, self._score()))
            if self.done:
                self._alignment = self._measure_alignment()

    def results(self) -> tuple[ReplicaResult, ...]:
        """One result per replica, in the spec's order.

        Raises:
            RuntimeError: training has not ended.
        """
        if not self.done:
            raise RuntimeError(f"epoch {self.epoch} of {self.spec.training.epochs}: call run() first")
        last = self._curve[-1][1]
        finite = (last.isfinite().all(0) & ~self._frozen.cpu()).tolist()
        nan = float("nan")
        results = []
        for k, ok in enumerate(finite):
            curve = tuple((float(epoch), *values[:, k].tolist()) for epoch, values in self._curve)
            score_1, score_2, loss_1, loss_2 = last[:, k].tolist() if ok else (nan,) * 4
            results.append(
                ReplicaResult(
                    status="ok" if ok else "diverged",
                    scores=(score_1, score_2),
                    losses=(loss_1, loss_2),
                    alignment={name: float(v[k]) if ok else nan for name, v in self._alignment.items()},
                    curve=curve,  # type: ignore[arg-type]
                )
            )
        return tuple(results)

    def state_dict(self) -> dict[str, Any]:
        """All that a new Pack of the same spec and data needs to go on bit for bit."""
        return {
            "spec": self.spec.hash,
            "epoch": self.epoch,
            "flat": self._flat.detach().clone(),
            "moment_1": self._optimiser.moment_1.clone(),
            "moment_2": self._optimiser.moment_2.clone(),
            "steps": self._optimiser.steps,
            "frozen": self._frozen.clone(),
            "curve": [(epoch, values.clone()) for epoch, values in self._curve],
            "alignment": dict(self._alignment),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`.

        Raises:
            CheckpointError: it is not the state of a pack of this spec.
        """
        if not isinstance(state, dict) or state.get("spec") != self.spec.hash:
            raise CheckpointError("the checkpoint belongs to another pack specification; start the pack over")
        try:
            with torch.no_grad():
                self._flat.copy_(state["flat"])
                self._optimiser.moment_1.copy_(state["moment_1"])
                self._optimiser.moment_2.copy_(state["moment_2"])
                self._frozen.copy_(state["frozen"])
            self._optimiser.steps = int(state["steps"])
            self.epoch = int(state["epoch"])
            self._curve = [(int(epoch), values.cpu()) for epoch, values in state["curve"]]
            self._alignment = dict(state["alignment"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"the checkpoint is incomplete ({error}); start the pack over") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to `path` so that a reader sees the old file or the new one, whole."""
        target = Path(path)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as file:
            torch.save(self.state_dict(), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, target)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from the file that `save` wrote.

        Raises:
            CheckpointError: the file is torn, foreign or of another spec.
        """
        try:
            state = torch.load(path, map_location=self._device, weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
            raise CheckpointError(f"{path} is not a whole checkpoint; start the pack over") from error
        self.load_state_dict(state)

    def _per_replica(self, field: str) -> Tensor:
        return torch.tensor([float(getattr(r, field)) for r in self.spec.replicas], device=self._device)

    def _initial(self) -> Tensor:
        """(K, P): the seed and the modality's name decide, so a replica's weights are the same in every pack."""
        per_seed = torch.stack(
            [
                torch.cat(
                    [
                        layout.draw(derive_seed(seed, "init", name))
                        for layout, name in zip(self._layouts, self._names, strict=True)
                    ]
                )
                for seed in self._seeds
            ]
        )
        return per_seed.to(self._device)[self._seed_of]

    def _parameters(self) -> list[dict[str, Tensor]]:
        parts = self._flat.split([layout.size for layout in self._layouts], dim=1)
        return [layout.split(part) for layout, part in zip(self._layouts, parts, strict=True)]

    def _train_epoch(self) -> None:
        batch = self.spec.training.batch_size
        steps = self._fit.rows // batch
        order = epoch_order(self._seeds, self.epoch, self._fit.rows)[:, : steps * batch].to(self._device)
        batches = order[self._seed_of].view(-1, steps, batch).unbind(1)
        dropouts = self._dropouts()
        for index in batches:
            self._step(index, dropouts)

    def _dropouts(self) -> list[Dropout | None]:
        return [
            Dropout(e.dropout, [derive_seed(s, "dropout", name, self.epoch) for s in self._seeds], self._seed_of)
            if e.dropout > 0
            else None
            for e, name in zip(self.spec.encoders, self._names, strict=True)
        ]

    def _step(self, index: Tensor, dropouts: list[Dropout | None]) -> None:
        outputs: list[Outputs] = []
        loss: Tensor | None = None
        for i, parameters in enumerate(self._parameters()):
            inputs = self._fit.inputs[i][index]
            out = self._networks[i](parameters, inputs.values, inputs.mask, dropouts[i])
            task = task_loss(self._kinds[i].kind, out.predictions, self._fit.targets[i][index])
            loss = task if loss is None else loss + task
            outputs.append(out)
        assert loss is not None
        if self._aligned:
            loss = loss + alignment_loss(
                outputs[0].projections, outputs[1].projections, *self._strengths, self._temperature
            )
        (gradient,) = torch.autograd.grad(loss.sum(), self._flat)
        self._frozen |= ~loss.detach().isfinite()
        self._optimiser.step(gradient, self._frozen)

    @torch.no_grad()
    def _predict(self, feed: Feed, rows: Tensor) -> list[Outputs]:
        chunks: list[list[Outputs]] = [[], []]
        n_replicas = len(self.spec.replicas)
        for i, parameters in enumerate(self._parameters()):
            for part in rows.split(max(self.spec.training.batch_size, 1024)):
                inputs = feed.inputs[i][part]
                values = inputs.values.expand(n_replicas, *inputs.values.shape)
                mask = None if inputs.mask is None else inputs.mask.expand(n_replicas, *inputs.mask.shape)
                chunks[i].append(self._networks[i](parameters, values, mask))
        return [Outputs(*(torch.cat(parts, 1) for parts in zip(*chunk, strict=True))) for chunk in chunks]

    @torch.no_grad()
    def _score(self) -> Tensor:
        feed = self._evaluate
        outputs = self._predict(feed, torch.arange(feed.rows, device=self._device))
        scores, losses = [], []
        for out, targets, target in zip(outputs, feed.targets, self._kinds, strict=True):
            expanded = targets.expand(len(self.spec.replicas), *targets.shape)
            scores.append(score(target.metric, out.predictions, targets))
            losses.append(task_loss(target.kind, out.predictions, expanded))
        values = torch.stack(scores + losses).cpu()
        return values.masked_fill(self._frozen.cpu(), float("nan"))

    @torch.no_grad()
    def _measure_alignment(self) -> dict[str, Tensor]:
        feed = self._evaluate
        rows = torch.linspace(0, feed.rows - 1, min(feed.rows, ALIGNMENT_ROWS), device=self._device).long()
        first, second = (out.features for out in self._predict(feed, rows))
        return alignment_metrics(first, second)


def task_loss(kind: str, predictions: Tensor, targets: Tensor) -> Tensor:
    """(K,)."""
    if kind == "classes":
        return (
            F.cross_entropy(predictions.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape).mean(1)
        )
    return (predictions - targets).abs().mean((1, 2))


def score(metric: str, predictions: Tensor, targets: Tensor) -> Tensor:
    """(K,)."""
    return (predictions.argmax(-1) == targets).float().mean(1)


def alignment_loss(z_1: Tensor, z_2: Tensor, s_1: Tensor, s_2: Tensor, temperature: Tensor) -> Tensor:
    """(K,)."""
    z_1, z_2 = F.normalize(z_1, dim=-1), F.normalize(z_2, dim=-1)

    def nce(a: Tensor, b: Tensor) -> Tensor:
        s = a @ b.mT / temperature[:, None, None]
        d = s.diagonal(dim1=1, dim2=2)
        return ((s.logsumexp(1) + s.logsumexp(2)) / 2 - d).mean(1)

    return s_1 * nce(z_1, z_2.detach()) + s_2 * nce(z_1.detach(), z_2)


def alignment_metrics(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """(K,) each."""
    return {name: torch.zeros(len(first)) for name in SCORED}
