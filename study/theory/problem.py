"""One encoder's joint problem in whitened, canonical coordinates, where every question is a small eigenproblem.

With T whitening x (T S11 Tᵀ = I), an encoder W with W S11 Wᵀ = I is W = Vᵀ T with orthonormal V, and

    min over B, U:  E‖B W x_1 − y_1‖² + λ E‖W x_1 − U x_2‖²  =  tr S_yy + λ k − tr Vᵀ (A + λ C) V,
    A = T S1y Sy1 Tᵀ,   C = T S12 S22⁻¹ S21 Tᵀ,

so its minimum takes the k leading eigenvectors of A + λ C (Ky Fan); up to λ I, which moves no eigenvector, this is the
joint matrix M(λ) of github IlayMalinyak/mm_align_vs_pred, for a target that need not be the other modality. T is chosen
here such that C is diagonal (canonical coordinates).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from study.theory.moments import EncoderNumber, Matrix, Moments, whitening

_KRYLOV_STEPS = 6
_TIE = 1e-10  # relative to the largest eigenvalue: closer ones count as equal


@dataclass(frozen=True, kw_only=True, eq=False)
class JointProblem:
    """A + λ C of one encoder, as A = F Fᵀ and C = diag(ρ²), in r whitened coordinates.

    `whiten` (r, d) is T; `prediction` (r, q) is F = T S1y; `squared_correlations` (r,) are the ρ², descending;
    `target_power` is tr S_yy.
    """

    whiten: Matrix
    prediction: Matrix
    squared_correlations: Matrix
    target_power: float

    @property
    def rank(self) -> int:
        """Number r of whitened coordinates: the rank of the modality's covariance."""
        return len(self.whiten)

    def leading(self, strength: float, *, k: int) -> tuple[Matrix, Matrix]:
        """All r eigenvalues of A + λ C, descending, and the k leading eigenvectors as columns (r, k).

        λ = 0 and λ = ∞ are the limits λ → 0+ and λ → ∞: what one matrix leaves undecided, the other one decides (at
        ∞ the eigenvalues are those of C).
        """
        a = self.prediction @ self.prediction.T
        c = np.diag(self.squared_correlations)
        if strength == 0:
            return _lexicographic(a, c, k)
        if strength == np.inf:
            return _lexicographic(c, a, k)
        values, vectors = np.linalg.eigh(a + strength * c)
        return values[::-1], vectors[:, ::-1][:, :k]

    def explained(self, basis: Matrix) -> float:
        """The trace of Vᵀ A V: the target's power that a linear probe on the representation Vᵀ T x explains."""
        return float(np.sum((self.prediction.T @ basis) ** 2))

    def aligned(self, basis: Matrix) -> float:
        """The trace of Vᵀ C V: the sum of squared correlations with the other modality, 0 … k."""
        return float(self.squared_correlations @ np.sum(basis**2, axis=1))

    def reduced(self, *, k: int) -> JointProblem:
        """The same problem for rank ≤ k encoders on far fewer coordinates, for many strengths in little time.

        This project's derivation: in canonical coordinates an eigenvector of F Fᵀ + λ diag(ρ²) with eigenvalue m has
        the entries F_i c/(m − λ ρ_i²), and the k leading m lie above λ ρ_k² (Weyl). Well below ρ_k² this is a smooth
        function of ρ_i², so there a few powers diag(ρ²)^p F span it: the error falls geometrically with their number.
        """
        q = self.prediction.shape[1]
        head = min(self.rank, k + q + 16)
        if self.rank - head <= _KRYLOV_STEPS * q:
            return self
        tail, correlations = self.prediction[head:], self.squared_correlations[head:, None]
        basis = block = np.linalg.qr(tail)[0]
        for _ in range(_KRYLOV_STEPS - 1):
            block = correlations * block
            block = np.linalg.qr(block - basis @ (basis.T @ block))[0]
            basis = np.linalg.qr(np.hstack([basis, block]))[0]
        values, vectors = np.linalg.eigh(basis.T @ (correlations * basis))
        rotation = scipy.linalg.block_diag(np.eye(head), basis @ vectors[:, ::-1])
        return JointProblem(
            whiten=rotation.T @ self.whiten,
            prediction=rotation.T @ self.prediction,
            squared_correlations=np.concatenate([self.squared_correlations[:head], values[::-1]]),
            target_power=self.target_power,
        )


def joint_problem(moments: Moments, *, encoder: EncoderNumber) -> JointProblem:
    """The joint problem of encoder 1 or 2.

    Directions in which a modality does not vary (up to rounding) are left out.

    Raises:
        ValueError: `encoder` is not 1 or 2, a modality does not vary at all, or the moments belong to no data.
    """
    if encoder not in (1, 2):
        raise ValueError(f"encoder is {encoder!r}; the encoders of a pair are 1 and 2")
    moments = moments if encoder == 1 else moments.swapped()
    whiten_1, whiten_2 = whitening(moments.s11), whitening(moments.s22)
    if not whiten_1.size or not whiten_2.size:
        raise ValueError("a modality does not vary; drop it")
    rotation, correlations, _ = np.linalg.svd(whiten_1 @ moments.s12 @ whiten_2.T)
    if correlations[0] > 1 + 1e-3:
        raise ValueError(f"a canonical correlation is {correlations[0]:.4g} > 1; give S11, S12, S22 of the same data")
    whiten = rotation.T @ whiten_1
    squared = np.zeros(len(whiten))
    squared[: len(correlations)] = np.minimum(correlations, 1.0) ** 2
    return JointProblem(
        whiten=whiten,
        prediction=whiten @ moments.s1y,
        squared_correlations=squared,
        target_power=float(np.trace(moments.syy_1)),
    )


def _lexicographic(first: Matrix, second: Matrix, k: int) -> tuple[Matrix, Matrix]:
    """Eigenvalues of `first`, descending, and its k leading eigenvectors, ties broken by `second`.

    The limit ε → 0+ of the leading eigenvectors of first + ε second (degenerate perturbation theory).
    """
    values, vectors = np.linalg.eigh(first)
    values, vectors = values[::-1], vectors[:, ::-1]
    cut, tolerance = values[k - 1], _TIE * max(values[0], 0.0)
    sure = int(np.sum(values > cut + tolerance))
    tied = vectors[:, np.abs(values - cut) <= tolerance]
    _, order = np.linalg.eigh(tied.T @ second @ tied)
    return values, np.hstack([vectors[:, :sure], tied @ order[:, ::-1][:, : k - sure]])
