"""The one training loop: K replicas of an encoder pair, trained on one device."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from trainables.datasets.base import PairData
from trainables.metrics.similarities import similarities
from trainables.networks.network import SoloEncoder, State, build_networks
from trainables.networks.trial import prepared
from trainables.objectives.alignment import ALIGNMENT_OBJECTIVES
from trainables.objectives.tasks import balanced_weights
from trainables.saving.checkpoint import CheckpointError as CheckpointError
from trainables.saving.checkpoint import read_checkpoint, write_checkpoint
from trainables.sources import Source
from trainables.spec import Direction, PackSpec, Precision, ReplicateResult, derive_seed
from trainables.training.feed import epoch_order, load_feeds
from trainables.training.group import Group, Weights, group_size
from trainables.training.optim import join_states, split_state
from trainables.training.rows import ReplicateRows
from trainables.training.scoring import Scoring

CURVE_ROWS = 2048  # a learning curve shows whether training has ended; its last score is measured on all rows besides
ALIGNMENT_ROWS = 512  # as Tjandrasuwita et al. 2025


class Pack:
    """K replicas of one encoder pair, trained on one device, `together` of them in lockstep (None: see `group_size`).

    Each replica minimises task loss 1 + task loss 2 + its alignment term (`alignment_loss`) by
    AdamW, its gradient clipped per encoder, so that at strength 0 the two encoders train as if alone. What a replica
    comes to depends on its own spec, the data and the device, to float tolerance not on what shares its pack: weights,
    order of batches and dropout follow from its seed, and are the same at every strength.

    Each epoch visits the rows in a new order. Rows that do not fill a last batch are left out of that epoch, because
    the scale of contrastive losses (log N) depends on the batch size.

    Raises:
        ValueError: the spec asks for what the data or the device cannot give.
    """

    def __init__(self, spec: PackSpec, data: PairData, *, device: str = "cpu", together: int | None = None) -> None:
        self.spec = spec
        self.epoch = 0
        self._device = torch.device(device)
        _check(spec, self._device)
        self._seeds = list(dict.fromkeys(replica.seed for replica in spec.replicas))
        self._own = own = ReplicateRows.of(spec, data, self._seeds, self._device)
        self._fit, self.evaluated, self._scalings = load_feeds(
            data, fit=own.fit, evaluate=own.evaluate, device=self._device
        )
        self._fit_rows = self._fit.rows if own.trained is None else own.trained.shape[1]
        self._evaluated_rows = self.evaluated.rows if own.scored is None else own.scored.shape[1]
        if spec.training.batch_size > self._fit_rows:
            raise ValueError(
                f"batch size {spec.training.batch_size} exceeds the {self._fit_rows} training rows; lower it"
            )
        first, second = (tuple(inputs.values.shape[1:]) for inputs in self._fit.inputs)
        n_outs = data.targets[0].n_outputs, data.targets[1].n_outputs
        network_1, network_2 = build_networks(spec.encoders, spec.alignment, (first, second), n_outs)
        masked_1, masked_2 = (inputs.mask is not None for inputs in self._fit.inputs)
        self._networks = (
            prepared(network_1, masked=masked_1, device=self._device),
            prepared(network_2, masked=masked_2, device=self._device),
        )
        n_groups = -(-len(spec.replicas) // (together or group_size(spec, data, len(spec.replicas), self._device)))
        self._scoring = scoring = Scoring.of(spec, data, fit=own.fit, evaluate=own.evaluate, device=self._device)
        self._groups: list[Group] = []
        start, states = self._draw(data.names)
        weights = self._class_weights(data)
        for part in np.array_split(range(len(spec.replicas)), n_groups):
            members = part.tolist()  # not torch's: memory is measured on tensors that hold no numbers
            own_1, own_2 = ({name: values[members] for name, values in state.items()} for state in states)
            group = replace(spec, replicas=tuple(spec.replicas[k] for k in members))
            self._groups.append(
                Group(
                    group, data, self._networks, start[members], states=(own_1, own_2), seeds=self._seeds,
                    scoring=scoring, weights=weights,
                )
            )  # fmt: skip
        self._curve: list[tuple[int, Tensor]] = []  # epoch, (score 1, score 2, loss 1, loss 2) of K replicas
        self._final: Tensor | None = None  # the same after the last epoch, on all evaluated rows
        self._alignment: dict[str, Tensor] = {}  # (K,) each, measured after the last epoch
        self._by_unit: Tensor | None = None  # (2, K, units), what each unit adds to the scores, if that is asked for
        self._others: list[dict[str, Tensor]] = []  # all scores of either encoder, (K,) each, if they are measured

    @property
    def done(self) -> bool:
        """Whether the last epoch is over."""
        return self.epoch >= self.spec.training.epochs

    def run(self, epochs: int | None = None) -> None:
        """Train that many more epochs (None: to the end), evaluating where the learning curve has its points."""
        total = self.spec.training.epochs
        n_points = max(1, min(self.spec.training.evaluations, total))
        points = {round((i + 1) * total / n_points) for i in range(n_points)}
        end = total if epochs is None else min(self.epoch + epochs, total)
        while self.epoch < end:
            self.train_epoch()
            self.epoch += 1
            if self.done:
                self._measure_all()
            elif self.epoch in points:
                self._curve.append((self.epoch, self.score(self._evenly_spaced(CURVE_ROWS))))

    def results(self) -> tuple[ReplicateResult, ...]:
        """What each replica came to, in the spec's order.

        Raises:
            RuntimeError: training has not ended.
        """
        if self._final is None:
            raise RuntimeError(f"the pack is at epoch {self.epoch} of {self.spec.training.epochs}; run() it to the end")
        curve = torch.stack([values for _, values in self._curve]).double()  # (points, 4, K)
        sound = self._final.isfinite().all(0) & ~torch.cat([group.frozen for group in self._groups]).cpu()
        final = self._final.double().masked_fill(~sound, float("nan"))
        alignment = {name: v.double().masked_fill(~sound, float("nan")) for name, v in self._alignment.items()}
        epochs = [float(epoch) for epoch, _ in self._curve]
        results, scoring = [], self._scoring
        for k in range(len(self.spec.replicas)):
            score_1, score_2, loss_1, loss_2 = final[:, k].tolist()
            results.append(
                ReplicateResult(
                    status="ok" if sound[k] else "diverged",
                    scores=(score_1, score_2),
                    losses=(loss_1, loss_2),
                    alignment={name: float(values[k]) for name, values in alignment.items()},
                    curve=tuple(
                        (epoch, *row) for epoch, row in zip(epochs, map(tuple, curve[:, :, k].tolist()), strict=True)
                    ),
                    by_unit=None if self._by_unit is None or not sound[k] else scoring.outcomes(self._by_unit[:, k]),
                    others=self._other_scores(k) if sound[k] else None,
                )
            )
        return tuple(results)

    def encoders(self, replica: int) -> tuple[nn.Module, nn.Module]:
        """Both encoders of one replica as modules of their own; see `trainables.networks.network.SoloEncoder`."""
        group, position = [(group, k) for group in self._groups for k in range(group.n_replicas)][replica]
        with torch.no_grad():
            first, second = (
                SoloEncoder(
                    network,
                    flat[position],
                    scaling.mean.to(self._device),
                    scaling.factor.to(self._device),
                    state={name: values[position] for name, values in state.items()},
                )
                for network, flat, scaling, state in zip(
                    self._networks, group.parts(), self._scalings, group.states, strict=True
                )
            )
        return first, second

    def state_dict(self) -> dict[str, Any]:
        """All that a new Pack of the same spec and data needs to go on, bit for bit."""
        return {
            "spec": self.spec.hash,
            "epoch": self.epoch,
            "optimiser": join_states([group.optimiser.state_dict() for group in self._groups]),
            **self._own_code(),
            "curve": [(epoch, values.clone()) for epoch, values in self._curve],
            "final": self._final,
            "alignment": dict(self._alignment),
            "by_row": self._by_unit,
            "others": [dict(scores) for scores in self._others],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`.

        Raises:
            CheckpointError: it is not the state of a pack of this spec.
        """
        if state.get("spec") != self.spec.hash:
            raise CheckpointError("the checkpoint is of another pack; start this one over")
        sizes = [group.n_replicas for group in self._groups]
        if state.get("code") != self._own_code().get("code"):
            raise CheckpointError("the checkpoint is of another version of the encoder's code; start this pack over")
        try:
            parts = split_state(state["optimiser"], sizes)
            for group, part in zip(self._groups, parts, strict=True):
                group.optimiser.load_state_dict(part)
            for i, joined in enumerate(state.get("states", [])):
                for group, part in zip(self._groups, split_state(joined, sizes), strict=True):
                    for name, values in group.states[i].items():
                        values.copy_(part[name])
            self._curve = [(int(epoch), values.cpu()) for epoch, values in state["curve"]]
            self._final = None if state["final"] is None else state["final"].cpu()
            self._alignment = {name: values.cpu() for name, values in state["alignment"].items()}
            self._by_unit = None if state.get("by_row") is None else state["by_row"].cpu()
            self._others = [dict(scores) for scores in state.get("others", [])]
            self.epoch = int(state["epoch"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint is incomplete ({error}); start the pack over") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a file, atomically."""
        write_checkpoint(self.state_dict(), path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from what `save` wrote.

        Raises:
            CheckpointError: the file is torn, foreign or of another spec.
            OSError: there is no file, or it cannot be opened.
        """
        self.load_state_dict(read_checkpoint(path, device=self._device))

    def _draw(self, names: tuple[str, str]) -> tuple[Tensor, list[State]]:
        """Initial (K, P), and state of both networks: seed and modality decide, so a replica starts alike in every pack
        and pair.
        """
        which = [self._seeds.index(replica.seed) for replica in self.spec.replicas]
        flats: list[Tensor] = []
        states: list[State] = []
        for network, name in zip(self._networks, names, strict=True):
            drawn = [network.draw(derive_seed(seed, "init", name)) for seed in self._seeds]
            flats.append(torch.stack([flat for flat, _ in drawn])[which])
            state = {part: torch.stack([own[part] for _, own in drawn])[which] for part in drawn[0][1]}
            states.append({part: values.to(self._device) for part, values in state.items()})
        return torch.cat(flats, 1).to(self._device), states

    def _class_weights(self, data: PairData) -> Weights:
        """What rows of each class count, by the rows in memory to train on: the same for all replicas."""
        if self.spec.training.class_weights == "none":
            return None, None
        first, second = (
            None if target.kind == "real" else balanced_weights(values, classes=target.n_classes)
            for target, values in zip(data.targets, self._fit.targets, strict=True)
        )
        return first, second

    def _own_code(self) -> dict[str, Any]:
        """What a checkpoint has of modules and scores of the user's: their code, as a hash, and the modules' state."""
        hashes = [Source(e.factory, e.code).hash for e in self.spec.encoders if e.kind == "module"]
        scores = [Source(one.name, one.code).hash for one in self.spec.scores or () if one.code]
        if not hashes:
            return {"code": scores} if scores else {}
        return {
            "code": [*hashes, *scores],
            "states": [join_states([dict(g.states[i]) for g in self._groups]) for i in range(2)],
        }

    def train_epoch(self) -> None:
        """One pass over the training rows, without counting it or measuring anything."""
        batch_size = self.spec.training.batch_size
        n_steps = self._fit_rows // batch_size
        order = epoch_order(self._seeds, self.epoch, self._fit_rows)[:, : n_steps * batch_size].to(self._device)
        if self._own.trained is not None:
            order = self._own.trained.gather(1, order)
        batches = order.view(-1, n_steps, batch_size).transpose(0, 1)
        for group in self._groups:
            group.train_epoch(self._fit, batches, self.epoch)

    def score(self, rows: Tensor | None = None) -> Tensor:
        """Scores and task losses of both encoders on evaluated `rows` (None: all), (4, K); NaN for a frozen replica.

        `rows` (N,) are the same for all, or (S, N) those of each seed of the pack.
        """
        if rows is None:
            rows = self._evenly_spaced(self._evaluated_rows)
        return torch.cat([group.score(self.evaluated, rows) for group in self._groups], 1)

    def predictions(self) -> tuple[Tensor, Tensor]:
        """Task outputs of both encoders for all evaluated rows, (K, rows, outputs) each."""
        rows = torch.arange(self.evaluated.rows, device=self._device)
        said = [group.predict(self.evaluated, rows, "predictions") for group in self._groups]
        first, second = (torch.cat(outputs) for outputs in zip(*said, strict=True))
        return first, second

    def _evenly_spaced(self, most: int) -> Tensor:
        """At most so many of the evaluated rows: (N,), or (S, N) where each seed has its own."""
        n = self._evaluated_rows
        places = torch.linspace(0, n - 1, min(n, most), dtype=torch.float64, device=self._device).round().long()
        return places if self._own.scored is None else self._own.scored[:, places]

    def _measure_all(self) -> None:
        """All that is measured after the last epoch, which is a point of the learning curve too."""
        rows = self._evenly_spaced(self._evaluated_rows)
        on_test = self.spec.evaluate == "test"
        measured = [
            group.measure(self.evaluated, rows, by_unit=on_test and self.spec.rows == "resampled", others=on_test)
            for group in self._groups
        ]
        self._final = torch.cat([one.scores for one in measured], 1)
        by_unit = [one.by_unit for one in measured if one.by_unit is not None]
        self._by_unit = torch.cat(by_unit, 1) if by_unit else None
        self._others = [
            {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
            for parts in zip(*(one.others for one in measured), strict=True)
        ]
        few = self._evaluated_rows <= CURVE_ROWS
        self._curve.append((self.epoch, self._final if few else self.score(self._evenly_spaced(CURVE_ROWS))))
        self._alignment = self._measure_alignment()

    def _other_scores(self, replica: int) -> tuple[dict[str, float], dict[str, float]] | None:
        if not self._others:
            return None
        first, second = ({name: float(values[replica]) for name, values in one.items()} for one in self._others)
        return first, second

    def _measure_alignment(self) -> dict[str, Tensor]:
        """How alike the two encoders' features are on at most 512 evenly spaced evaluated rows."""
        rows = self._evenly_spaced(ALIGNMENT_ROWS)
        measured = [similarities(*group.predict(self.evaluated, rows, "features")) for group in self._groups]
        return {name: torch.cat([values[name] for values in measured]).cpu() for name in measured[0]}


def _check(spec: PackSpec, device: torch.device) -> None:
    if not spec.replicas:
        raise ValueError("a pack needs at least one replica, given none")
    for name, value in (("epochs", spec.training.epochs), ("batch_size", spec.training.batch_size)):
        if value < 1:
            raise ValueError(f"{name} is {value}; give at least 1")
    for name, given, known in (
        ("alignment objective", spec.alignment.objective, ALIGNMENT_OBJECTIVES),
        ("direction", spec.alignment.direction, get_args(Direction)),
        ("precision", spec.training.precision, get_args(Precision)),
    ):
        if given not in known:
            raise ValueError(f"unknown {name} {given!r}; known are {', '.join(known)}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device} was asked for, and this machine has no CUDA GPU; use cpu")
    if spec.training.precision == "tf32" and device.type != "cuda":
        raise ValueError(f"precision tf32 exists on CUDA GPUs only, the device is {device}; use float32 or bf16")
