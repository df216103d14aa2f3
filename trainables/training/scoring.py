"""What the outputs of a pack's encoders are worth: the scores that decide, what each unit of rows adds, all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.datasets.base import PairData, Target
from trainables.datasets.columns import target_unit
from trainables.metrics.jackknife import deal, pseudo_values
from trainables.metrics.outcomes import ByUnit
from trainables.metrics.own import OwnScore
from trainables.metrics.scores import SCORES, Measure, Score, scores_of
from trainables.sources import Source
from trainables.spec import PackSpec, ScoreSpec

_OTHER_VALUES = 2**18  # numbers of one replica's outputs on which scores that do not decide are measured: seconds


@dataclass(frozen=True, kw_only=True)
class EncoderScore:
    """The score of one encoder: higher is better, whatever it is called by itself.

    `centre` and `scale` (m,) bring a real target and its outputs back into the user's unit.
    """

    target: Target
    score: Score | OwnScore
    centre: Tensor | None
    scale: Tensor | None

    @classmethod
    def of(cls, spec: ScoreSpec, target: Target, fit: NDArray[np.int64], device: torch.device) -> EncoderScore:
        """The score of a spec; a real target is scaled by the rows `fit`."""
        own = SCORES.get(spec.name) or OwnScore(source=Source(spec.name, spec.code), kind=target.kind)
        if target.kind != "real":
            return cls(target=target, score=own, centre=None, scale=None)
        unit = target_unit(target, fit)
        centre, scale = (torch.from_numpy(np.array(part)).to(device) for part in (unit.centre, unit.scale))
        return cls(target=target, score=own, centre=centre, scale=scale)

    @property
    def by_row(self) -> Measure | None:
        """What each row adds, where the score is a mean over rows."""
        return self.score.by_row if isinstance(self.score, Score) else None

    def measure(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The score (K,)."""
        return self.sign * self.score.measure(*self._prepared(self.score, outputs, target))

    def rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        """What each row adds to it, (K, N)."""
        assert self.by_row is not None
        return self.sign * self.by_row(*self._prepared(self.score, outputs, target))

    def all(self, outputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Every score of the table that is for this target, and the user's own, (K,) each, as it is called by itself.

        What asks for a target's sign is left out where that is always the same. Of large data those that do not decide
        are measured on evenly spaced rows.
        """
        values = self.target.values
        known: dict[str, Score | OwnScore] = {
            name: SCORES[name]
            for name in scores_of(self.target.kind)
            if not SCORES[name].signed or bool((values > 0).any() and (values <= 0).any())
        }
        if isinstance(self.score, OwnScore):
            known[self.score.source.name] = self.score
        n, most = outputs.shape[1], max(1, _OTHER_VALUES // outputs.shape[2])
        rows = torch.linspace(0, n - 1, min(most, n), dtype=torch.float64, device=outputs.device).round().long()
        few = outputs.index_select(1, rows), target.index_select(target.ndim - self._sample_axes, rows)
        return {
            name: score.measure(*self._prepared(score, *((outputs, target) if score is self.score else few)))
            .double()
            .cpu()
            for name, score in known.items()
        }

    @property
    def _sample_axes(self) -> int:
        """How many axes of a target are its rows and what they hold: classes are numbers, all else has columns."""
        return 1 if self.target.kind == "classes" else 2

    @property
    def sign(self) -> int:
        """−1 of an error."""
        return -1 if isinstance(self.score, Score) and self.score.lower else 1

    def _prepared(self, score: Score | OwnScore, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """In the user's unit where the score is about that; otherwise as they are: the others do not depend on it."""
        if self.centre is None or self.scale is None or (isinstance(score, Score) and not score.in_unit):
            return outputs, target
        return outputs * self.scale + self.centre, target * self.scale + self.centre


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The scores of both encoders of a pair on `rows` evaluated rows, with the `groups` (rows,) of these if any."""

    encoders: tuple[EncoderScore, EncoderScore]
    rows: int
    groups: NDArray[np.int64] | None

    @classmethod
    def of(
        cls, spec: PackSpec, data: PairData, *, fit: Sequence[str], evaluate: Sequence[str], device: torch.device
    ) -> Scoring:
        """The scores of a pack that is trained on the splits `fit` and scored on `evaluate`."""
        specs = spec.scores or tuple(ScoreSpec(name=target.metric) for target in data.targets)
        rows = data.rows(*fit)
        first, second = (
            EncoderScore.of(one, target, rows, device) for one, target in zip(specs, data.targets, strict=True)
        )
        evaluated = data.rows(*evaluate)
        groups = None if data.groups is None else data.groups[evaluated]
        return cls(encoders=(first, second), rows=len(evaluated), groups=groups)

    @cached_property
    def blocks(self) -> NDArray[np.int64]:
        """The block (rows,) of each evaluated row: they are left out in turn where a score is no mean over rows."""
        return deal(self.rows, self.groups)

    def scores(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> list[Tensor]:
        """The scores (K,) of outputs (K, N, m)."""
        return [one.measure(*each) for one, *each in zip(self.encoders, outputs, targets, strict=True)]

    def by_unit(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """What each evaluated row, or each block where either score is no mean over rows, adds, (2, K, units)."""
        given = list(zip(self.encoders, outputs, targets, strict=True))
        if self.by_rows:
            return torch.stack([one.rows(out, target) for one, out, target in given]).cpu()
        return torch.stack([self._by_block(one, out, target) for one, out, target in given]).cpu()

    def others(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Every score of the table, (K,), of either encoder."""
        return [one.all(*each) for one, *each in zip(self.encoders, outputs, targets, strict=True)]

    @property
    def by_rows(self) -> bool:
        """Whether both scores are means over rows."""
        return all(one.by_row is not None for one in self.encoders)

    def outcomes(self, values: Tensor) -> dict[str, Any] | None:
        """One replica's part (2, units) of `by_unit`, as it stands on record; None where a score is not defined for
        some part of the rows.
        """
        first, second = values.double().numpy()
        if not np.isfinite(values.numpy()).all():
            return None
        if self.by_rows:
            return ByUnit.of(first, second, self.groups).to_json()
        rows = np.bincount(self.blocks).astype(np.int64)
        whole_groups = self.groups is not None and len(np.unique(self.groups)) == len(rows)
        return ByUnit(values=(first, second), rows=rows, blocks=not whole_groups).to_json()

    def _by_block(self, one: EncoderScore, outputs: Tensor, target: Tensor) -> Tensor:
        if one.by_row is None:
            return pseudo_values(one.measure, outputs, target, self.blocks)
        code = torch.from_numpy(self.blocks).to(outputs.device)
        by_row = one.rows(outputs, target).double()
        sums = by_row.new_zeros(len(by_row), int(code.max()) + 1).index_add_(1, code, by_row)
        return sums / torch.bincount(code)
