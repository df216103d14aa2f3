"""Generated data in place of a file that is not there: its layout and size, and a planted, exactly known profile.

A normal score is hidden behind the labels. Modality m holds one direction t_m that correlates with it, spread over all
of its features, and is noise in all other directions: every pair has the closed form of `gaussian.gaussian_profile`.
Whoever uses it marks it: `mark` puts "(stand-in)" behind the dataset's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import MultimodalData
from trainables.datasets.generated.gaussian import gaussian_profile
from trainables.datasets.splits import quantile_classes
from trainables.datasets.table import Option

STAND_IN = Option(
    doc="generated data of this layout instead of the file; `small`: fewer rows and shorter sequences",
    types=(bool, str),
    default=False,
    choices=(False, True, "small"),
)
_SMALL_ROWS, _SMALL_STEPS = (512, 128, 256), 8
_SIGNAL = 0.5  # spread of t_m in each feature, that of the noise being 1


@dataclass(frozen=True, kw_only=True)
class StandInPlan:
    """Layout and information of a stand-in.

    `rows` of train, valid and test; one sample's shape of each modality; the number of quantile `classes` of the score
    that the labels are (for real targets: of its sign, 2); the correlation of each modality's direction with the score;
    and for pairs that share more than the score explains, the correlation of their directions given the score.
    """

    rows: tuple[int, int, int]
    shapes: Mapping[str, tuple[int, ...]]
    classes: int
    relevance: Mapping[str, float]
    given_score: Mapping[tuple[str, str], float] = field(default_factory=dict)
    sequences: bool = False  # of varying length; the shapes are then (T, d) and one length counts for all modalities

    def sized(self, size: bool | str) -> StandInPlan:
        """The plan itself, or a small one."""
        if size != "small":
            return self
        shapes = {m: (min(s[0], _SMALL_STEPS), *s[1:]) if self.sequences else s for m, s in self.shapes.items()}
        rows = tuple(min(small, full) for small, full in zip(_SMALL_ROWS, self.rows, strict=True))
        return replace(self, rows=(rows[0], rows[1], rows[2]), shapes=shapes)

    def profiles(self) -> dict[tuple[str, str], dict[str, float]]:
        """Exact PID of every pair in bits."""
        return {
            (a, b): gaussian_profile(self.relevance[a], self.relevance[b], self._between(a, b), self.classes)
            for a, b in combinations(self.shapes, 2)
        }

    def _between(self, a: str, b: str) -> float:
        x, y = self.relevance[a], self.relevance[b]
        given = self.given_score.get((a, b), self.given_score.get((b, a), 0.0))
        return x * y + given * sqrt((1 - x * x) * (1 - y * y))


class Generated:
    """A drawn stand-in: `score`, `labels` (quantile classes), `split`, `lengths`, and modalities one at a time."""

    def __init__(self, plan: StandInPlan, *, seed: int = 0) -> None:
        self.plan = plan
        self._seed = seed
        n, names = sum(plan.rows), list(plan.shapes)
        rng = np.random.default_rng((seed, len(names)))
        correlations = np.eye(len(names) + 1)
        for (i, a), (j, b) in combinations(enumerate(names), 2):
            correlations[i, j] = correlations[j, i] = plan._between(a, b)
        correlations[-1, :-1] = correlations[:-1, -1] = [plan.relevance[name] for name in names]
        latents = rng.standard_normal((n, len(names) + 1)) @ np.linalg.cholesky(correlations).T
        self.score: NDArray[np.float64] = latents[:, -1]
        self.labels = quantile_classes(self.score, plan.classes)
        self.split = np.repeat(np.arange(3, dtype=np.int8), plan.rows)
        self.lengths: NDArray[np.int64] | None = None
        if plan.sequences:
            steps = next(iter(plan.shapes.values()))[0]
            self.lengths = rng.integers(max(1, steps // 3), steps, size=n, endpoint=True)
        self._directions = {name: latents[:, i] for i, name in enumerate(names)}

    def modality(self, name: str) -> NDArray[np.float32]:
        """Values (N, *shape), float32; a sequence stands at the end of its steps, with zeros before it."""
        shape = self.plan.shapes[name]
        rng = np.random.default_rng((self._seed, list(self.plan.shapes).index(name), 1))
        features = prod(shape[1:]) if self.lengths is not None else prod(shape)
        axis = rng.choice([-1.0, 1.0], size=features).astype(np.float32) / np.float32(sqrt(features))
        values = np.empty((len(self.score), *shape), dtype=np.float32)
        flat = values.reshape(len(values), -1, features)  # (N, steps, features); one step where there are none
        for rows in _chunks(len(values), 1024):
            self._fill(flat[rows], rows, name, axis, rng)
        return values

    def _fill(
        self, out: NDArray[np.float32], rows: slice, name: str, axis: NDArray[np.float32], rng: np.random.Generator
    ) -> None:
        """Noise with its part along the one direction that matters replaced by t_m, so that nothing else tells t_m."""
        rng.standard_normal(dtype=np.float32, out=out)
        n, steps, features = out.shape
        length = np.full(n, steps) if self.lengths is None else self.lengths[rows]
        real = np.arange(steps) >= steps - length[:, None]  # (n, steps)
        out *= real[..., None]
        noise = (out @ axis).sum(axis=1) / np.sqrt(length)
        signal = _SIGNAL * np.sqrt(features * length) * self._directions[name][rows]
        out += (real * ((signal - noise) / np.sqrt(length))[:, None])[..., None].astype(np.float32) * axis


def mark(data: MultimodalData, plan: StandInPlan) -> MultimodalData:
    """`data`, made from a stand-in, named so and with its planted profiles."""
    return replace(data, name=f"{data.name} (stand-in)", stand_in=True, exact_profiles=plan.profiles())


def _chunks(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(n, start + size)) for start in range(0, n, size))
