"""The exact profile of a discrete joint table (Bertschinger et al. 2014; the CVX estimator of Liang et al. 2023)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from study.pid import interior
from study.pid.profile import COMPONENTS, PIDProfile
from trainables.training.threads import on_one_thread

Array = NDArray[Any]  # float64, but for the optimum to a coarse tolerance

TOLERANCE = 1e-8  # bits
_INNER = 0.3  # the solver's own error may be this part of the tolerance: the certificate is a little wider
# How far towards the boundary a step may go. The long ones stall on some three in a thousand tables whose entries span
# many orders of magnitude.
_BOUNDARY, _SHORTER = 0.99, (0.8, 0.5)
_SINGLE = 1e-3
_MATCHED = 1e-5  # nats, of an optimum that is only asked which states it matches
_NEWTON_ENTRIES = 1_000_000  # n_1 n_2 n_y² of all tables that are solved together: some 30 MB, most of it in the cache


class Bounds(NamedTuple):
    """Bounds (B,) on the least information, in bits, and the Newton steps (B,) that they took."""

    lower: Array
    upper: Array
    steps: NDArray[np.int64]


class Decomposition(NamedTuple):
    """Components (B, 4) in the order of `COMPONENTS`, certificate (B,), both in bits; Newton steps (B,)."""

    components: Array
    gap: Array
    steps: NDArray[np.int64]


@on_one_thread
def broja(
    p: ArrayLike, *, tolerance: float = TOLERANCE, max_iterations: int = 100
) -> PIDProfile | tuple[PIDProfile, ...]:
    """Profile of a joint table p(x1, x2, y) of shape (n_1, n_2, n_y); of a stack (B, n_1, n_2, n_y), a tuple of B.

    q* minimises I_q(X1, X2; Y) over the tables that share p's two pair marginals; then R = I(X1;Y) + I(X2;Y) − I_q*,
    U_i = I_q* − I(X_j;Y), S = I(X1, X2; Y) − I_q* (Bertschinger et al. 2014, Eqs. 4-8). `gap` is the duality
    gap in bits of the rounded, exactly feasible q: R and S may be larger by at most that, U1 and U2 smaller.
    Where `max_iterations` Newton steps do not reach `tolerance` bits, the gap says so.

    Raises:
        ValueError: p has another number of axes, negative or non-finite entries, or does not sum to 1.
    """
    table = check_table(p)
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}; it must be a positive number of bits, such as {TOLERANCE}")
    if max_iterations < 1:
        raise ValueError(f"max_iterations is {max_iterations}; it must be at least 1")
    stack = table if table.ndim == 4 else table[None]
    result = decompose(stack, tolerance=tolerance, max_iterations=max_iterations)
    profiles = tuple(
        _profile(values, float(gap), int(steps), shape=stack.shape[1:], tolerance=tolerance)
        for values, gap, steps in zip(result.components, result.gap, result.steps, strict=True)
    )
    return profiles if table.ndim == 4 else profiles[0]


def check_table(p: ArrayLike) -> Array:
    """The table as float64, of 3 axes or 4; `ValueError` in one line where it is no distribution."""
    table = np.asarray(p, dtype=np.float64)
    if table.ndim not in (3, 4) or 0 in table.shape:
        raise ValueError(f"p has shape {table.shape}; give a table (n_1, n_2, n_y), or a stack (B, n_1, n_2, n_y)")
    if not np.isfinite(table).all():
        raise ValueError("p has NaN or infinite entries; probabilities must be finite")
    if table.min() < 0:
        raise ValueError(f"p has negative entries (least {table.min():.3g}); probabilities must be at least 0")
    total = table.sum(axis=(-3, -2, -1))
    worst = np.ravel(total)[np.abs(np.ravel(total) - 1).argmax()]
    if abs(worst - 1) > 1e-6:
        raise ValueError(f"p sums to {worst:.8g}; it must sum to 1: divide counts by their total")
    return np.asarray(table / np.expand_dims(total, (-3, -2, -1)))


def decompose(p: Array, *, tolerance: float = TOLERANCE, max_iterations: int = 100) -> Decomposition:
    """Components of a checked stack p (B, n_1, n_2, n_y), from the upper bound on I_q*."""
    p1, p2 = p.sum(axis=2), p.sum(axis=1)
    i1, i2, i12 = information(p1), information(p2), information(p.reshape(len(p), -1, p.shape[3]))
    if len(p) == 1:
        p1, p2 = _merge(p1), _merge(p2)
    bounds = least_information(p1, p2, tolerance=tolerance, max_iterations=max_iterations)
    lower, upper = narrowed(bounds, i1, i2, i12)
    parts = np.maximum(components(i1, i2, i12, upper), 0.0)  # rounding errors of a part that is none
    return Decomposition(parts, upper - lower, bounds.steps)


def narrowed(bounds: Bounds, i1: Array, i2: Array, i12: Array) -> tuple[Array, Array]:
    """Bounds on I_q* with what holds anyway, so that no component is negative.

    I_q* is at least I(X1;Y) and I(X2;Y). The table itself attains I(X1, X2; Y), and the one that is independent given
    y attains I(X1;Y) + I(X2;Y) - I(X1;X2) of that table.
    """
    upper = np.minimum(bounds.upper, np.minimum(i12, i1 + i2))
    lower = np.maximum(bounds.lower, np.maximum(i1, i2))
    return np.minimum(lower, upper), upper


def components(i1: Array, i2: Array, i12: Array, least: Array) -> Array:
    """The four parts (B, 4) from I(X1;Y), I(X2;Y), I(X1, X2; Y) and I_q*(X1, X2; Y), each (B,), in bits."""
    return np.stack([i1 + i2 - least, least - i2, least - i1, i12 - least], axis=1)


def information(joint: Array) -> Array:
    """I(X;Y) in bits of tables p(x, y), (B, n_x, n_y)."""
    flat = joint.reshape(len(joint), -1)
    return shannon_entropy(joint.sum(axis=2)) + shannon_entropy(joint.sum(axis=1)) - shannon_entropy(flat)


def least_information(p1: Array, p2: Array, *, tolerance: float, max_iterations: int = 100) -> Bounds:
    """Bounds on I_q*(X1, X2; Y), the least over tables with pair marginals p1 (B, n_1, n_y) and p2 (B, n_2, n_y).

    The upper one is attained by a table that has these marginals, the lower one by a feasible point of the dual. Above
    a tolerance of `_SINGLE` bits the arithmetic is float32. The stack is solved in parts, so that memory stays bounded.
    """
    if p1.shape[1] < p2.shape[1]:  # the dense Newton matrix is that of the second modality: let it be the smaller
        p1, p2 = p2, p1
    batch, n_1, n_y = p1.shape
    size = max(1, _NEWTON_ENTRIES // (n_1 * p2.shape[1] * n_y * n_y))
    precision = np.float32 if tolerance >= _SINGLE else np.float64
    p1, p2 = (np.ascontiguousarray(table.transpose(0, 2, 1), dtype=precision) for table in (p1, p2))
    parts = [_bounds(p1[i : i + size], p2[i : i + size], tolerance, max_iterations) for i in range(0, batch, size)]
    return Bounds(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def matching(p1: Array, p2: Array) -> Array:
    """q*(x1, x2), (n_1, n_2), of pair marginals p1 (n_1, n_y), p2 (n_2, n_y): states that the optimum matches."""
    p1, p2 = (np.ascontiguousarray(table.T[None], dtype=np.float64) for table in (p1, p2))
    point = interior.solve(p1, p2, tolerance=_MATCHED, max_iterations=100, boundary=_BOUNDARY)
    return np.asarray(point.mass[0])


def _bounds(p1: Array, p2: Array, tolerance: float, max_iterations: int) -> Bounds:
    """The same for marginals class by class: p1 (B, n_y, n_1), p2 (B, n_y, n_2).

    Tables whose long steps stall are solved again with shorter ones, and what holds of each attempt holds.
    """
    bounds = _attempt(p1, p2, tolerance, max_iterations, _BOUNDARY)
    for boundary in _SHORTER:
        again = np.flatnonzero((bounds.upper - bounds.lower > tolerance) & (bounds.steps < max_iterations))
        if not again.size:
            break
        other = _attempt(p1[again], p2[again], tolerance, max_iterations, boundary)
        bounds.lower[again] = np.fmax(bounds.lower[again], other.lower)
        bounds.upper[again] = np.fmin(bounds.upper[again], other.upper)
        bounds.steps[again] = np.maximum(bounds.steps[again], other.steps)
    return bounds


def _attempt(p1: Array, p2: Array, tolerance: float, max_iterations: int, boundary: float) -> Bounds:
    nats = tolerance * float(np.log(2))
    point = interior.solve(p1, p2, tolerance=_INNER * nats, max_iterations=max_iterations, boundary=boundary)
    conditional, _ = interior.fibres(point.alpha, point.beta)
    q = _round(point.mass[:, None] * conditional, p1, p2)
    entropy_y = shannon_entropy(p1.sum(axis=2))
    upper = entropy_y + shannon_entropy(q.sum(axis=1).reshape(len(q), -1)) - shannon_entropy(q.reshape(len(q), -1))
    dual = (p1 * point.alpha).sum(axis=(1, 2)) + (p2 * point.beta).sum(axis=(1, 2))
    return Bounds(entropy_y + dual / np.log(2), upper, point.steps)


def _merge(marginal: Array) -> Array:
    """One state for all with the same p(y | x), and none for those with p(x) = 0: the optimum stays what it was.

    From q(t, x2, y) with t the merged state, q(t, x2, y) p(x | t) has the wanted marginals and the same information;
    merging any q(x, x2, y) adds none.
    """
    table = marginal[0][marginal[0].sum(axis=1) > 0]
    conditional = table / table.sum(axis=1, keepdims=True)
    _, state = np.unique(conditional.round(14), axis=0, return_inverse=True)
    merged = np.zeros((1, int(state.max()) + 1, table.shape[1]))
    np.add.at(merged[0], state.ravel(), table)
    return merged


def shannon_entropy(p: Array) -> Array:
    """Shannon entropy in bits along the last axis."""
    entropy: Array = -(p * np.log2(np.where(p > 0, p, 1.0))).sum(axis=-1)
    return entropy


def _round(q: Array, p1: Array, p2: Array) -> Array:
    """The table near q with exactly the pair marginals p1, p2 (Altschuler, Weed, Rigollet 2017, Algorithm 2, per y)."""
    q = q * _shrink(p1, q.sum(axis=3))[:, :, :, None]
    q *= _shrink(p2, q.sum(axis=2))[:, :, None, :]
    missing_1, missing_2 = np.maximum(p1 - q.sum(axis=3), 0.0), np.maximum(p2 - q.sum(axis=2), 0.0)
    total = missing_1.sum(axis=2, keepdims=True)
    missing_2 /= np.where(total > 0, total, 1.0)
    q += missing_1[:, :, :, None] * missing_2[:, :, None, :]
    return q


def _shrink(wanted: Array, present: Array) -> Array:
    return np.where(present > wanted, wanted / np.where(present > 0, present, 1.0), 1.0)


def _profile(values: Array, gap: float, steps: int, *, shape: tuple[int, ...], tolerance: float) -> PIDProfile:
    redundancy, unique_1, unique_2, synergy = (float(v) for v in values)
    resolution = max(gap, 1e-6)  # below it a component is rounding error
    return PIDProfile(
        redundancy=redundancy,
        unique_1=unique_1,
        unique_2=unique_2,
        synergy=synergy,
        estimator="exact",
        gap=gap,
        interval={
            "redundancy": (redundancy, redundancy + gap),
            "unique_1": (max(unique_1 - gap, 0.0), unique_1),
            "unique_2": (max(unique_2 - gap, 0.0), unique_2),
            "synergy": (synergy, synergy + gap),
        },
        null=dict.fromkeys(COMPONENTS, 0.0),
        significant={name: bool(value > resolution) for name, value in zip(COMPONENTS, values, strict=True)},
        settings={"shape": list(shape), "tolerance": tolerance, "iterations": steps, "converged": gap <= tolerance},
    )
