"""The one training loop: K replicas of an encoder pair, trained on one device."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from trainables.datasets.base import PairData
from trainables.networks.network import SoloEncoder, build_networks
from trainables.networks.trial import prepared
from trainables.saving.checkpoint import CheckpointError as CheckpointError
from trainables.saving.checkpoint import read_checkpoint, write_checkpoint
from trainables.sources import Source
from trainables.spec import PackSpec, ReplicateResult
from trainables.training.checks import check
from trainables.training.feed import epoch_order, load_feeds
from trainables.training.final import Final
from trainables.training.group import Field
from trainables.training.grouping import Grouping, class_weights, initial
from trainables.training.keeping import joined_states, keeper_of, validation_of
from trainables.training.optim import join_states, split_state
from trainables.training.rows import ReplicateRows, evenly_spaced
from trainables.training.scoring import Scoring

CURVE_ROWS = 2048  # a learning curve shows whether training has ended; its last score is measured on all rows besides
ALIGNMENT_ROWS = 512  # as Tjandrasuwita et al. 2025
# What a state has of `Final` before there is one.
_NOTHING: dict[str, Any] = {"final": None, "alignment": {}, "joint": {}, "by_row": None, "others": []}


class Pack:
    """K replicas of one encoder pair, trained on one device, `together` of them in lockstep (None: see `group_size`).

    Each replica minimises task loss 1 + task loss 2 + its alignment term (`alignment_loss`) by
    AdamW or SGD, its gradient clipped per encoder, so that at strength 0 the two encoders train as if alone. What a
    replica comes to depends on its own spec, the data and the device, to float tolerance not on what shares its pack:
    weights, order of batches and dropout follow from its seed, and are the same at every strength.

    Each epoch visits the rows in a new order. Rows that do not fill a last batch are left out of that epoch, because
    the scale of contrastive losses (log N) depends on the batch size.

    Raises:
        ValueError: the spec asks for what the data or the device cannot give.
    """

    def __init__(self, spec: PackSpec, data: PairData, *, device: str = "cpu", together: int | None = None) -> None:
        self.spec = spec
        self.epoch = 0
        self._device = torch.device(device)
        check(spec, self._device)
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
        self._scoring = Scoring.of(spec, data, fit=own.fit, evaluate=own.evaluate, device=self._device)
        self._weights = class_weights(spec, data, self._fit)
        start, states = initial(spec, self._networks, data.names, device=self._device)
        self._grouping = Grouping(
            spec=spec,
            data=data,
            networks=self._networks,
            seeds=self._seeds,
            scoring=self._scoring,
            weights=self._weights,
            together=together,
            device=self._device,
        )
        self._members = list(range(len(spec.replicas)))  # those in the groups
        self._groups = self._grouping.of(self._members, start, states)
        validation = validation_of(
            spec, data, own, fit=self._fit, evaluated=self.evaluated, scalings=self._scalings, device=self._device
        )
        sizes = [network.layout.size for network in self._networks]
        self._keeper = keeper_of(spec.training, start, states, sizes=sizes, validation=validation)
        self._curve: list[tuple[int, Tensor]] = []  # epoch, (score 1, score 2, loss 1, loss 2) of K replicas
        self._final: Final | None = None

    @property
    def done(self) -> bool:
        """Whether the last epoch is over, or every replica has stopped."""
        return self.epoch >= self.spec.training.epochs or (self._keeper is not None and not self._keeper.members)

    def run(self, epochs: int | None = None) -> None:
        """Train that many more epochs (None: to the end), evaluating where the learning curve has its points."""
        total = self.spec.training.epochs
        end = total if epochs is None else min(self.epoch + epochs, total)
        while self.epoch < end and not self.done:
            self._run_epoch()

    def _run_epoch(self) -> None:
        """One more epoch, and what is measured after it."""
        self.train_epoch()
        self.epoch += 1
        is_measured = self._keep()
        if self.done:
            self._measure_all()
        elif self.epoch in self._points and not is_measured:
            self._curve.append((self.epoch, self.score(self._evenly_spaced(CURVE_ROWS))))

    @property
    def _points(self) -> set[int]:
        """The epochs at which the learning curve has its points, evenly spaced up to the last one."""
        total = self.spec.training.epochs
        n_points = max(1, min(self.spec.training.evaluations, total))
        return {round((i + 1) * total / n_points) for i in range(n_points)}

    def _keep(self) -> bool:
        """Let the keeper have the weights of this epoch; replicas that it stops leave their groups, and at the end all
        are what was kept of them. Whether that was a point of the learning curve, which is that of the training.
        """
        keeper = self._keeper
        stopped = [] if keeper is None else keeper.epoch_over(self.epoch, self._groups)
        if keeper is None or not (stopped or self.done):
            return False
        self._curve.append((self.epoch, self.score(self._evenly_spaced(CURVE_ROWS))))
        if self.done:
            self._members, self._groups = list(range(len(self.spec.replicas))), []  # whose memory is free first
            self._groups = self._grouping.of(self._members, keeper.flat, keeper.states)
            for group, frozen in zip(self._groups, torch.split(keeper.frozen, self._sizes), strict=True):
                group.optimiser.freeze(frozen)
        else:
            self._groups = self._grouping.without(self._groups, members=self._members, stopped=stopped)
            self._members = list(keeper.members)
        return True

    @property
    def _sizes(self) -> list[int]:
        """How many replicas each group has."""
        return [group.n_replicas for group in self._groups]

    def results(self) -> tuple[ReplicateResult, ...]:
        """What each replica came to, in the spec's order.

        Raises:
            RuntimeError: training has not ended.
        """
        if self._final is None:
            raise RuntimeError(f"the pack is at epoch {self.epoch} of {self.spec.training.epochs}; run() it to the end")
        curve = torch.stack([values for _, values in self._curve]).double()  # (points, 4, K)
        frozen = torch.cat([group.frozen for group in self._groups]).cpu().tolist()
        epochs, points = [epoch for epoch, _ in self._curve], self._points
        results = []
        for k in range(len(self.spec.replicas)):
            end = self.spec.training.epochs if self._keeper is None else self._keeper.ended[k]
            own = tuple(
                (float(epoch), *row)
                for epoch, row in zip(epochs, map(tuple, curve[:, :, k].tolist()), strict=True)
                if epoch == end or (epoch < end and epoch in points)  # not where another one has stopped
            )
            results.append(self._final.result(k, is_frozen=frozen[k], curve=own, scoring=self._scoring))
        return tuple(results)

    def encoders(self, replica: int) -> tuple[nn.Module, nn.Module]:
        """Both encoders of one replica as modules of their own (`trainables.networks.network.SoloEncoder`), with the
        weights that are kept once training is over, until then those that it has come to.
        """
        places = [(group, k) for group in self._groups for k in range(group.n_replicas)]
        group, position = places[self._members.index(replica)]
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
            **(_NOTHING if self._final is None else self._final.state_dict()),
            **({} if self._keeper is None else {"members": list(self._members), "kept": self._keeper.state_dict()}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`.

        Raises:
            CheckpointError: it is not the state of a pack of this spec.
        """
        if state.get("spec") != self.spec.hash:
            raise CheckpointError("the checkpoint is of another pack; start this one over")
        if state.get("code") != self._own_code().get("code"):
            raise CheckpointError("the checkpoint is of another version of the encoder's code; start this pack over")
        try:
            if self._keeper is not None:
                self._keeper.load_state_dict(state["kept"])
                self._members = [int(k) for k in state["members"]]
                rows = [{name: values[self._members] for name, values in s.items()} for s in self._keeper.states]
                self._groups = self._grouping.of(self._members, state["optimiser"]["flat"], rows)
            sizes = self._sizes
            parts = split_state(state["optimiser"], sizes)
            for group, part in zip(self._groups, parts, strict=True):
                group.optimiser.load_state_dict(part)
            for i, joined in enumerate(state.get("states", [])):
                for group, part in zip(self._groups, split_state(joined, sizes), strict=True):
                    for name, values in group.states[i].items():
                        values.copy_(part[name])
            self._curve = [(int(epoch), values.cpu()) for epoch, values in state["curve"]]
            self._final = Final.of_state(state)
            self.epoch = int(state["epoch"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
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

    def _own_code(self) -> dict[str, Any]:
        """What a checkpoint has of modules and scores of the user's: their code, as a hash, and the modules' state."""
        hashes = [Source(e.factory, e.code).hash for e in self.spec.encoders if e.kind == "module"]
        scores = [Source(one.name, one.code).hash for one in self.spec.scores or () if one.code]
        if not hashes:
            return {"code": scores} if scores else {}
        return {
            "code": [*hashes, *scores],
            "states": joined_states(self._groups),
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
        scores = torch.cat([group.score(self.evaluated, rows) for group in self._groups], 1)
        if len(self._members) == len(self.spec.replicas):
            return scores
        everyone = scores.new_full((len(scores), len(self.spec.replicas)), float("nan"))
        everyone[:, self._members] = scores  # the others have stopped
        return everyone

    def predictions(self) -> tuple[Tensor, Tensor]:
        """Task outputs of both encoders for all evaluated rows, (K, rows, outputs) each."""
        rows = torch.arange(self.evaluated.rows, device=self._device)
        said = [group.predict(self.evaluated, rows, "predictions") for group in self._groups]
        first, second = (torch.cat(outputs) for outputs in zip(*said, strict=True))
        return first, second

    def outputs(self, field: Field, *, most: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """What both encoders say of at most so many evenly spaced evaluated rows, (K, rows, …), and both targets there,
        (K, rows) or (K, rows, …).
        """
        rows = self._evenly_spaced(most)
        said = [group.predict(self.evaluated, rows, field) for group in self._groups]
        first, second = (torch.cat(parts) for parts in zip(*said, strict=True))
        of_seeds = rows.expand(len(self._seeds), -1) if rows.ndim == 1 else rows
        own = of_seeds[[self._seeds.index(replica.seed) for replica in self.spec.replicas]]
        return (first, second), self.evaluated.batch_targets(own)

    def _evenly_spaced(self, most: int) -> Tensor:
        """At most so many of the evaluated rows: (N,), or (S, N) where each seed has its own."""
        n = self._evaluated_rows
        places = evenly_spaced(n, most, device=self._device)
        return places if self._own.scored is None else self._own.scored[:, places]

    def _measure_all(self) -> None:
        """All that is measured after the last epoch, which is a point of the learning curve too."""
        self._final = final = Final.measure(
            self.spec,
            self._groups,
            (self._fit, self.evaluated),
            rows=self._evenly_spaced(self._evaluated_rows),
            few=self._evenly_spaced(ALIGNMENT_ROWS),
            trained=self._own.trained,
            scoring=self._scoring,
            weights=self._weights,
        )
        if self._keeper is None:
            few = self._evaluated_rows <= CURVE_ROWS
            self._curve.append((self.epoch, final.scores if few else self.score(self._evenly_spaced(CURVE_ROWS))))
