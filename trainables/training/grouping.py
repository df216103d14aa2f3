"""How the replicas of a pack are put into groups that train in lockstep, at its start and when some have stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trainables.datasets.base import PairData
from trainables.networks.network import EncoderNetwork, State
from trainables.objectives.tasks import balanced_weights
from trainables.spec import PackSpec, derive_seed
from trainables.training.feed import Feed
from trainables.training.group import Group, Weights, group_size
from trainables.training.keeping import joined_states
from trainables.training.optim import join_states, split_state
from trainables.training.scoring import Scoring


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """What the groups of a pack have in common: see `Group`. `together` replicas are in one (None: `group_size`)."""

    spec: PackSpec
    data: PairData
    networks: tuple[EncoderNetwork, EncoderNetwork]
    seeds: list[int]
    scoring: Scoring
    weights: Weights
    together: int | None
    device: torch.device

    def of(self, members: Sequence[int], start: Tensor, states: Sequence[State]) -> list[Group]:
        """Groups of these replicas of the pack, in their order, as nearly even as can be.

        `start` and `states` have a row for each member.
        """
        most = self.together or group_size(self.spec, self.data, len(members), self.device)
        groups = []
        for part in np.array_split(range(len(members)), -(-len(members) // most)):
            rows = part.tolist()  # not torch's: memory is measured on tensors that hold no numbers
            own_1, own_2 = ({name: values[rows] for name, values in state.items()} for state in states)
            replicas = tuple(self.spec.replicas[members[row]] for row in rows)
            groups.append(
                Group(
                    replace(self.spec, replicas=replicas), self.data, self.networks, start[rows],
                    states=(own_1, own_2), seeds=self.seeds, scoring=self.scoring, weights=self.weights,
                )
            )  # fmt: skip
        return groups

    def without(self, groups: Sequence[Group], *, members: Sequence[int], stopped: Sequence[int]) -> list[Group]:
        """Groups of the `members` of `groups` that have not stopped, which go on where they were: as few as hold them,
        so that the place of the others is free.
        """
        rows = [row for row, k in enumerate(members) if k not in stopped]
        state = join_states([group.optimiser.state_dict() for group in groups])
        state = {name: value[rows] if isinstance(value, Tensor) else value for name, value in state.items()}
        states = [{name: values[rows] for name, values in one.items()} for one in joined_states(groups)]
        left = self.of([members[row] for row in rows], state["flat"], states)
        for group, part in zip(left, split_state(state, [group.n_replicas for group in left]), strict=True):
            group.optimiser.load_state_dict(part)
        return left


def class_weights(spec: PackSpec, data: PairData, fit: Feed) -> Weights:
    """What rows of each class count, by the rows in memory to train on: the same for all replicas."""
    if spec.training.class_weights == "none":
        return None, None
    first, second = (
        None if target.kind == "real" else balanced_weights(values, classes=target.n_classes)
        for target, values in zip(data.targets, fit.targets, strict=True)
    )
    return first, second


def initial(
    spec: PackSpec, networks: Sequence[EncoderNetwork], names: Sequence[str], *, device: torch.device
) -> tuple[Tensor, list[State]]:
    """Initial (K, P), and state of both networks: seed and modality decide, so a replica starts alike in every pack and
    pair.
    """
    seeds = list(dict.fromkeys(replica.seed for replica in spec.replicas))
    which = [seeds.index(replica.seed) for replica in spec.replicas]
    flats: list[Tensor] = []
    states: list[State] = []
    for network, name in zip(networks, names, strict=True):
        drawn = [network.draw(derive_seed(seed, "init", name)) for seed in seeds]
        flats.append(torch.stack([flat for flat, _ in drawn])[which])
        state = {part: torch.stack([own[part] for _, own in drawn])[which] for part in drawn[0][1]}
        states.append({part: values.to(device) for part, values in state.items()})
    return torch.cat(flats, 1).to(device), states
