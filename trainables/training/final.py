"""What is measured of a pack's replicas after their last epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainables.metrics.similarities import similarities
from trainables.spec import PackSpec, ReplicateResult
from trainables.training.feed import Feed
from trainables.training.group import Group, Weights
from trainables.training.joint import of_replica, probe
from trainables.training.scoring import Scoring


@dataclass(frozen=True, kw_only=True)
class Final:
    """Numbers of K replicas, on the CPU: `scores` (4, K) on all evaluated rows, which are score 1, score 2, loss 1 and
    loss 2; `alignment` and `joint` (K,) by name; `by_unit` (2, K, units), what each unit adds to the scores, where that
    was asked for; `others`, all scores of either encoder, (K,) each, where they were.
    """

    scores: Tensor
    alignment: Mapping[str, Tensor]
    joint: Mapping[str, Tensor]
    by_unit: Tensor | None
    others: Sequence[Mapping[str, Tensor]]

    @classmethod
    def measure(
        cls,
        spec: PackSpec,
        groups: Sequence[Group],
        feeds: tuple[Feed, Feed],
        *,
        rows: Tensor,
        few: Tensor,
        trained: Tensor | None,
        scoring: Scoring,
        weights: Weights,
    ) -> Final:
        """All that there is to measure of trained groups.

        Args:
            spec: of the pack.
            groups: that hold all its replicas.
            feeds: of the training rows and of the evaluated ones.
            rows: (N,) of the latter, or (S, N) where each seed has its own: those that are scored.
            few: likewise, those on which the similarity of the representations is measured.
            trained: (S, n) rows of the former that each seed trains on; None: all.
            scoring: of the pack.
            weights: of classes.
        """
        fit, evaluated = feeds
        on_test = spec.evaluate == "test"
        by_unit = on_test and spec.rows == "resampled"
        measured = [group.measure(evaluated, rows, by_unit=by_unit, others=on_test) for group in groups]
        units = [one.by_unit for one in measured if one.by_unit is not None]
        alike = [similarities(*group.predict(evaluated, few, "features")) for group in groups]
        return cls(
            scores=torch.cat([one.scores for one in measured], 1),
            by_unit=torch.cat(units, 1) if units else None,
            others=[_joined(parts) for parts in zip(*(one.others for one in measured), strict=True)],
            alignment={name: values.cpu() for name, values in _joined(alike).items()},
            joint=probe(groups, fit, evaluated, trained=trained, scored=rows, scoring=scoring, weights=weights)
            if spec.training.joint_probe
            else {},
        )

    def result(
        self,
        replica: int,
        *,
        is_frozen: bool,
        curve: tuple[tuple[float, float, float, float, float], ...],
        scoring: Scoring,
    ) -> ReplicateResult:
        """What one replica came to, with its learning curve."""
        is_sound = not is_frozen and bool(self.scores[:, replica].isfinite().all())

        def number(values: Tensor) -> float:
            return float(values[replica]) if is_sound else math.nan

        score_1, score_2, loss_1, loss_2 = map(number, self.scores)
        joint = {name: number(values) for name, values in self.joint.items()}
        others = [{name: float(values[replica]) for name, values in one.items()} for one in self.others]
        return ReplicateResult(
            status="ok" if is_sound else "diverged",
            scores=(score_1, score_2),
            losses=(loss_1, loss_2),
            alignment={name: number(values) for name, values in self.alignment.items()},
            curve=curve,
            by_unit=scoring.outcomes(self.by_unit[:, replica]) if is_sound and self.by_unit is not None else None,
            others=(others[0], others[1]) if is_sound and others else None,
            joint=of_replica(joint, "joint"),
            crossed=of_replica(joint, "crossed"),
        )

    def state_dict(self) -> dict[str, Any]:
        """What `of_state` reads."""
        return {
            "final": self.scores,
            "alignment": dict(self.alignment),
            "joint": dict(self.joint),
            "by_row": self.by_unit,
            "others": [dict(scores) for scores in self.others],
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Final | None:
        """Read back from a state, perhaps of the version before; None where nothing was measured yet."""
        if state["final"] is None:
            return None
        return cls(
            scores=state["final"].cpu(),
            alignment={name: values.cpu() for name, values in state["alignment"].items()},
            joint={name: values.cpu() for name, values in state.get("joint", {}).items()},
            by_unit=None if state.get("by_row") is None else state["by_row"].cpu(),
            others=[dict(scores) for scores in state.get("others", [])],
        )


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The numbers of all groups, by name."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
