"""Second moments of a pair and its targets: all that the linear theory needs to know about the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]
EncoderNumber = Literal[1, 2]


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Second central moments S_ab = E[a bᵀ] of x_1 (d_1), x_2 (d_2) and the targets y_1 (q_1), y_2 (q_2).

    `s11` (d_1, d_1), `s22` (d_2, d_2), `s12` (d_1, d_2); `s1y` (d_1, q_1) is E[x_1 y_1ᵀ], `s2y` (d_2, q_2) is
    E[x_2 y_2ᵀ]: each encoder has its own target, which may be the same one. `syy_1`, `syy_2` are the targets' own.
    `rows` is the sample size (None: population moments) and `intensity` the Ledoit–Wolf shrinkage of each modality,
    0 (none) to 1 (a multiple of the identity).

    Raises:
        ValueError: a matrix has the wrong shape, is not finite, or a covariance is not symmetric.
    """

    s11: Matrix
    s22: Matrix
    s12: Matrix
    s1y: Matrix
    s2y: Matrix
    syy_1: Matrix
    syy_2: Matrix
    rows: int | None = None
    intensity: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        d_1, d_2 = len(self.s11), len(self.s22)
        q_1, q_2 = len(self.syy_1), len(self.syy_2)
        shapes = {"s11": (d_1, d_1), "s22": (d_2, d_2), "s12": (d_1, d_2), "s1y": (d_1, q_1), "s2y": (d_2, q_2)}
        for name, shape in {**shapes, "syy_1": (q_1, q_1), "syy_2": (q_2, q_2)}.items():
            value = getattr(self, name)
            if value.shape != shape:
                raise ValueError(f"moment {name} has shape {value.shape}, the other moments ask for {shape}")
            if not np.isfinite(value).all():
                raise ValueError(f"moment {name} has values that are not finite; remove or impute them first")
        for name in ("s11", "s22", "syy_1", "syy_2"):
            value = getattr(self, name)
            if not np.allclose(value, value.T, rtol=1e-8, atol=1e-8 * np.abs(value).max(initial=0.0)):
                raise ValueError(f"moment {name} is not symmetric; give a covariance matrix")

    @classmethod
    def from_samples(
        cls,
        x_1: ArrayLike,
        x_2: ArrayLike,
        y_1: ArrayLike,
        y_2: ArrayLike,
        *,
        shrinkage: Literal["ledoit-wolf"] | None = "ledoit-wolf",
    ) -> Moments:
        """Sample moments of paired rows x_i (N, d_i) and y_i (N, q_i) or (N,), centred here, divided by N.

        With `shrinkage` (default) they are `shrunk` by the Ledoit–Wolf intensity of each modality.

        Raises:
            ValueError: fewer than 2 rows, row counts that differ, values that are not finite, or another shrinkage.
        """
        if shrinkage not in ("ledoit-wolf", None):
            raise ValueError(f"unknown shrinkage {shrinkage!r}; 'ledoit-wolf' or None")
        x1, x2, y1, y2 = (_columns(name, v) for name, v in (("x_1", x_1), ("x_2", x_2), ("y_1", y_1), ("y_2", y_2)))
        rows = len(x1)
        if rows < 2 or not rows == len(x2) == len(y1) == len(y2):
            raise ValueError(f"{rows}, {len(x2)}, {len(y1)}, {len(y2)} rows; give the same number, at least 2")
        x1, x2, y1, y2 = (v - v.mean(axis=0) for v in (x1, x2, y1, y2))
        sample = cls(
            s11=x1.T @ x1 / rows,
            s22=x2.T @ x2 / rows,
            s12=x1.T @ x2 / rows,
            s1y=x1.T @ y1 / rows,
            s2y=x2.T @ y2 / rows,
            syy_1=y1.T @ y1 / rows,
            syy_2=y2.T @ y2 / rows,
            rows=rows,
        )
        if shrinkage is None:
            return sample
        return sample.shrunk(ledoit_wolf_intensity(x1, sample.s11), ledoit_wolf_intensity(x2, sample.s22))

    def shrunk(self, intensity_1: float, intensity_2: float) -> Moments:
        """These moments with each modality's covariance drawn to a multiple of the identity, by a_i from 0 to 1.

        S_ii ← (1−a_i) S_ii + a_i tr(S_ii)/d_i I  (Ledoit and Wolf 2004, J. Multivariate Analysis 88), and S_12,
        S_1y, S_2y are each scaled by the largest factor ≤ 1 that leaves no correlation between any two directions above
        1. The factor is this project's choice: with one covariance shrunk and the other moments left alone they may
        belong to no data (negative risks); it keeps every direction and the order of their values.
        """
        s11, s22 = _shrunk(self.s11, intensity_1), _shrunk(self.s22, intensity_2)
        white_1, white_2 = whitening(s11), whitening(s22)
        return replace(
            self,
            s11=s11,
            s22=s22,
            s12=_coherent(self.s12, white_1, white_2),
            s1y=_coherent(self.s1y, white_1, whitening(self.syy_1)),
            s2y=_coherent(self.s2y, white_2, whitening(self.syy_2)),
            intensity=(intensity_1, intensity_2),
        )

    def swapped(self) -> Moments:
        """The same pair with its modalities, and so its encoders and targets, the other way round."""
        return Moments(
            s11=self.s22,
            s22=self.s11,
            s12=self.s12.T,
            s1y=self.s2y,
            s2y=self.s1y,
            syy_1=self.syy_2,
            syy_2=self.syy_1,
            rows=self.rows,
            intensity=self.intensity[::-1],
        )


def ledoit_wolf_intensity(x: Matrix, covariance: Matrix) -> float:
    """Shrinkage intensity in [0, 1] of centred rows x (N, d) with second moment `covariance` (d, d).

    min(b̄², δ²)/δ² with δ² = ‖S − mI‖²/d and b̄² = (Σ_n ‖x_n‖⁴ / N − ‖S‖²)/(N d): Ledoit and Wolf 2004, Section 3.3;
    0 where the covariance already is a multiple of the identity.
    """
    rows, d = x.shape
    mean = np.trace(covariance) / d
    spread = float(np.sum(covariance**2))
    delta = spread - d * mean**2
    error = (float(np.mean(np.einsum("nd,nd->n", x, x) ** 2)) - spread) / rows
    return 0.0 if delta <= 1e-12 * spread else float(min(max(error, 0.0) / delta, 1.0))


def whitening(covariance: Matrix) -> Matrix:
    """T (r, d) with T S Tᵀ = I_r, r being the numerical rank of the covariance S (d, d), which may be 0.

    Eigenvalues of the correlation matrix below 1e-12 of the largest count as rounding, whatever the features' units.
    """
    scale = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    values, vectors = np.linalg.eigh(covariance * inverse[:, None] * inverse)
    keep = values > 1e-12 * max(values[-1], 0.0)
    return np.asarray((vectors[:, keep] / np.sqrt(values[keep])).T * inverse)


def _shrunk(covariance: Matrix, intensity: float) -> Matrix:
    target = intensity * np.trace(covariance) / len(covariance)
    return np.asarray((1 - intensity) * covariance + target * np.eye(len(covariance)))


def _coherent(cross: Matrix, white_a: Matrix, white_b: Matrix) -> Matrix:
    whitened = white_a @ cross @ white_b.T
    return cross if whitened.size == 0 else np.asarray(cross / max(1.0, float(np.linalg.norm(whitened, 2))))


def _columns(name: str, values: ArrayLike) -> Matrix:
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}; give rows of features (N, d)")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite; remove or impute them first")
    return array
