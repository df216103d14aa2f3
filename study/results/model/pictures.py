"""What a report draws of single trainings: where representations lie, and what alignment changes of each class."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from study.results.model.containers import said


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionResult:
    """Both modalities' representations at one strength, in the plane of their first two principal components."""

    strengths: tuple[float, ...] = said("λ of encoder 1 and of encoder 2", default=(), length=2, minimum=0)
    points: str | None = said("base64 of float16, least significant byte first: (2 modalities, rows, 2 axes)")
    labels: str | None = said("base64 of bytes: the class of each row, or the fifth that its target lies in")
    classes: bool = said("whether labels are classes, or else fifths of the target", default=True)
    shares: tuple[float, ...] = said("of the variance, of each axis", default=(), length=2)

    @property
    def places(self) -> NDArray[np.float64] | None:
        """The points (2, rows, 2); None where they are missing or damaged."""
        try:
            values = np.frombuffer(base64.b64decode(self.points or "", validate=True), "<f2").astype(float)
        except (binascii.Error, ValueError):
            return None
        known = len(values) > 0 and len(values) % 4 == 0 and bool(np.isfinite(values).all())
        return values.reshape(2, -1, 2) if known else None

    @property
    def told_labels(self) -> NDArray[np.int64]:
        """The label of each row; none where they are missing or damaged."""
        try:
            return np.frombuffer(base64.b64decode(self.labels or "", validate=True), np.uint8).astype(np.int64)
        except (binascii.Error, ValueError):
            return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassChange:
    """The share of each class that one encoder tells, in test rows: means over the confirming seeds."""

    modality: str | None = None
    at_zero: tuple[float | None, ...] = said("at λ = 0, null where no row is of a class", default=())
    at_star: tuple[float | None, ...] = said("at the strengths that are compared", default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturesResult:
    """What is drawn of a pair's trainings; of a record of the version before there is none."""

    projections: tuple[ProjectionResult, ...] = said(
        "of the first seed of the search, validation rows: at λ = 0, next to λ*, at the largest strength", default=()
    )
    strengths: tuple[float, ...] = said(
        "at which classes are compared with λ = 0", default=(), absent=True, length=2, minimum=0
    )
    classes: tuple[ClassChange, ...] = said("of each encoder", default=())
