"""Interior-point solver of the BROJA programme, for a stack of tables at once.

The primal is min Σ q log(q / q(x1, x2)) over joint tables q with the two pair marginals of p (Bertschinger et al.
2014, "Quantifying unique information", Eq. 8; protocols of Liang et al. 2023 call it CVX). It separates over the fibres
(x1, x2), so its Lagrange dual has one variable per entry of a pair marginal and one constraint per fibre:

    max Σ p(x1, y) α[x1, y] + Σ p(x2, y) β[x2, y]   subject to   log Σ_y exp(α[x1, y] + β[x2, y]) ≤ 0.

The multiplier of a fibre's constraint is its mass w = q(x1, x2), and q(y | x1, x2) = softmax_y(α + β). A
Newton step eliminates w, then α (blocks of size n_y), and factorises one dense matrix in β.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

Array = NDArray[np.float64]

FORBIDDEN = -1e4  # dual value of an entry with p = 0: exp of it is exactly 0, yet sums of it stay finite
ZERO = 1e-15  # marginal entries below carry no information at double precision
_BOUNDARY = 0.99  # fraction of the way to the boundary that a step may go
_STALLED = 8  # steps without a gain
_RIDGE = 1e-13  # on the unit-diagonal system: optimal duals need not be unique


class DualPoint(NamedTuple):
    """Duals `alpha` (B, n_1, n_y), `beta` (B, n_2, n_y), fibre masses `mass` (B, n_1, n_2), Newton steps (B,)."""

    alpha: Array
    beta: Array
    mass: Array
    steps: NDArray[np.int64]


def fibres(alpha: Array, beta: Array) -> tuple[Array, Array]:
    """Conditionals softmax_y(α + β), (B, n_1, n_2, n_y), and slacks −log Σ_y exp(α + β), (B, n_1, n_2)."""
    z = alpha[:, :, None, :] + beta[:, None, :, :]
    top = z.max(axis=-1)
    np.exp(z - top[..., None], out=z)
    total = z.sum(axis=-1)
    z /= total[..., None]
    return z, -(top + np.log(total))


@dataclass
class _State:
    """The tables still being solved; every array has the batch as its first axis."""

    index: NDArray[np.int64]
    p1: Array
    p2: Array
    alpha: Array
    beta: Array
    mass: Array
    weight: Array  # the central path is mass · slack ∝ weight, and the start lies on it
    alive: NDArray[np.bool_]  # fibres that some class may occupy
    pin: NDArray[np.int64]  # (B, n_y): one β per class fixes the gauge α + c_y, β − c_y

    def keep(self, mask: NDArray[np.bool_]) -> _State:
        return _State(**{name: value[mask] for name, value in vars(self).items()})


def solve(p1: Array, p2: Array, *, tolerance: float, max_iterations: int) -> DualPoint:
    """Dual optimum for pair marginals p1 (B, n_1, n_y), p2 (B, n_2, n_y), each table to `tolerance` nats or the limit.

    Mehrotra's predictor and corrector, the corrector with the curvature of log-sum-exp as well: without that
    term the steps are short and convergence is only linear.
    """
    state = _start(p1, p2)
    result = DualPoint(
        state.alpha.copy(), state.beta.copy(), state.mass.copy(), np.full(len(p1), max_iterations, dtype=np.int64)
    )
    best, best_step = np.full(len(p1), np.inf), np.zeros(len(p1), dtype=np.int64)
    for iteration in range(max_iterations + 1):
        conditional, slack = fibres(state.alpha, state.beta)
        slack[~state.alive] = 1.0
        q = state.mass[..., None] * conditional
        residual_1, residual_2 = state.p1 - q.sum(axis=2), state.p2 - q.sum(axis=1)
        error = (
            (state.mass * slack).sum(axis=(1, 2))
            + np.abs(residual_1).sum(axis=(1, 2))
            + np.abs(residual_2).sum(axis=(1, 2))
        )
        better = error < best[state.index]
        chosen = state.index[better]
        best[chosen], best_step[chosen] = error[better], iteration
        result.alpha[chosen], result.beta[chosen] = state.alpha[better], state.beta[better]
        result.mass[chosen] = state.mass[better]
        result.steps[state.index] = iteration
        # No gain for long, or not a number: rounding has taken over, and the best so far is the answer.
        running = (error > tolerance) & (iteration - best_step[state.index] < _STALLED)
        if not running.any() or iteration == max_iterations:
            break
        if not running.all():
            state = state.keep(running)
            conditional, slack, q = conditional[running], slack[running], q[running]
            residual_1, residual_2 = residual_1[running], residual_2[running]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            _step(state, conditional, slack, q, residual_1, residual_2)
    return result


def _start(p1: Array, p2: Array) -> _State:
    """Conditional independence given y: its masses have the wanted marginals, and its duals become feasible by shifts.

    Masses of this size also are the weights of the path. Equal weights would ask fibres that p all but excludes for as
    much as the others, and then entries of p below 1e-6 stall the steps.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.log(p1) - np.log(p1.sum(axis=-1, keepdims=True))
        beta = np.log(p2) - np.log(p1.sum(axis=1))[:, None, :]
    p1, p2 = np.where(p1 > ZERO, p1, 0.0), np.where(p2 > ZERO, p2, 0.0)
    allowed_1, allowed_2 = p1 > 0, p2 > 0
    alpha, beta = np.where(allowed_1, alpha, FORBIDDEN), np.where(allowed_2, beta, FORBIDDEN)
    alive = np.matmul(allowed_1.astype(float), allowed_2.astype(float).transpose(0, 2, 1)) > 0
    slack = np.where(alive, fibres(alpha, beta)[1], 1.0)
    alpha += np.where(allowed_1, slack.min(axis=2)[..., None] - 1.0, 0.0)
    slack = np.where(alive, fibres(alpha, beta)[1], 1.0)
    beta += np.where(allowed_2, slack.min(axis=1)[..., None] - 1.0, 0.0)
    py = p1.sum(axis=1)
    mass = np.matmul(p1 * np.where(py > 0, 1.0 / np.where(py > 0, py, 1.0), 0.0)[:, None, :], p2.transpose(0, 2, 1))
    n_y = p1.shape[2]
    return _State(
        index=np.arange(len(p1)),
        p1=p1,
        p2=p2,
        alpha=alpha,
        beta=beta,
        mass=mass,
        weight=mass.copy(),
        alive=alive,
        pin=p2.argmax(axis=1) * n_y + np.arange(n_y),
    )


def _step(state: _State, conditional: Array, slack: Array, q: Array, residual_1: Array, residual_2: Array) -> None:
    """One predictor-corrector step of every table, in place."""
    newton = _Newton(state, conditional, slack, q)

    def direction(complementarity: Array) -> tuple[Array, Array, Array, Array, Array]:
        shift = (complementarity / slack)[..., None] * conditional
        d_alpha, d_beta = newton.solve(residual_1 - shift.sum(axis=2), residual_2 - shift.sum(axis=1))
        dz = d_alpha[:, :, None, :] + d_beta[:, None, :, :]
        dz *= state.alive[..., None]
        mean = (conditional * dz).sum(axis=-1)
        curvature = (conditional * dz * dz).sum(axis=-1) - mean**2
        d_mass = (complementarity + state.mass * mean) / slack * state.alive
        return d_alpha, d_beta, d_mass, -mean, curvature

    product = state.mass * slack
    gap = product.sum(axis=(1, 2)) / state.weight.sum(axis=(1, 2))
    _, _, d_mass, d_slack, curvature = direction(-product)
    t_mass, t_slack = _longest(state.mass, d_mass), _longest(slack, d_slack)
    affine = (state.mass + t_mass * d_mass) * (slack + t_slack * d_slack)
    affine_gap = affine.sum(axis=(1, 2)) / state.weight.sum(axis=(1, 2))
    centring = np.clip(affine_gap / gap, 0.0, 1.0) ** 3 * gap
    target = centring[:, None, None] * state.weight - product - d_mass * d_slack
    target += 0.5 * t_slack**2 * state.mass * curvature
    d_alpha, d_beta, d_mass, d_slack, _ = direction(target)
    t_mass = np.minimum(_BOUNDARY * _longest(state.mass, d_mass), 1.0)
    t_slack = np.minimum(_BOUNDARY * _longest(slack, d_slack), 1.0)
    for _ in range(60):
        new = fibres(state.alpha + t_slack * d_alpha, state.beta + t_slack * d_beta)[1]
        outside = ((new < (1 - _BOUNDARY) * slack) & state.alive).any(axis=(1, 2))
        if not outside.any():
            break
        t_slack[outside] *= 0.8
    state.alpha = state.alpha + t_slack * d_alpha
    state.beta = state.beta + t_slack * d_beta
    state.mass = state.mass + t_mass * d_mass


def _longest(x: Array, dx: Array) -> Array:
    """Largest t ≤ 1 with x + t dx ≥ 0, per table, of shape (B, 1, 1)."""
    rate = np.max(-dx / np.where(x > 0, x, 1.0), axis=(1, 2), keepdims=True)
    limit: Array = 1.0 / np.maximum(rate, 1.0)
    return limit


class _Newton:
    """Factorised Hessian Σ mass·(diag π − ππ') + (mass/slack) ππ' over the fibres, in (α, β)."""

    def __init__(self, state: _State, conditional: Array, slack: Array, q: Array) -> None:
        batch, n_1, n_2, n_y = q.shape
        diagonal = np.arange(n_y)
        self._pin = state.pin
        block = (state.mass / slack - state.mass)[..., None, None] * conditional[..., :, None]
        block = block * conditional[..., None, :]
        block[..., diagonal, diagonal] += q
        h1, h2 = block.sum(axis=2), block.sum(axis=1)
        # Unit diagonal: entries of very different probability then weigh the same in the factorisation.
        self._d1 = _inverse_root(h1[..., diagonal, diagonal])
        self._d2 = _inverse_root(h2[..., diagonal, diagonal])
        h1 *= self._d1[..., :, None] * self._d1[..., None, :]
        h2 *= self._d2[..., :, None] * self._d2[..., None, :]
        h1[..., diagonal, diagonal] = h2[..., diagonal, diagonal] = 1.0 + _RIDGE
        block *= self._d1[:, :, None, :, None]
        block *= self._d2[:, None, :, None, :]
        cross = block.transpose(0, 1, 3, 2, 4).reshape(batch, n_1, n_y, n_2 * n_y)
        self._root = np.linalg.inv(np.linalg.cholesky(h1))  # (B, n_1, n_y, n_y), lower
        self._cross = np.matmul(self._root, cross).reshape(batch, n_1 * n_y, n_2 * n_y)
        self._factors = [self._factorise(h2[k], self._cross[k], state.pin[k]) for k in range(batch)]

    @staticmethod
    def _factorise(h2: Array, cross: Array, pin: NDArray[np.int64]) -> Array:
        n_2, n_y, _ = h2.shape
        dense = np.zeros((n_2, n_y, n_2, n_y))
        states = np.arange(n_2)
        dense[states, :, states, :] = h2
        schur = blas.dsyrk(-1.0, cross.T, beta=1.0, c=dense.reshape(n_2 * n_y, -1).T, lower=1, overwrite_c=1)
        schur[pin, :] = 0.0
        schur[:, pin] = 0.0
        schur[pin, pin] = 1.0
        ridge = 0.0
        while True:
            schur[np.arange(len(schur)), np.arange(len(schur))] += ridge
            factor, failed = lapack.dpotrf(schur, lower=1)
            if not failed or ridge > 1.0 or not np.isfinite(schur).all():
                return np.asarray(factor)
            ridge = max(10 * ridge, _RIDGE)

    def solve(self, g1: Array, g2: Array) -> tuple[Array, Array]:
        """Newton direction (dα, dβ) for right-hand sides of the same shapes; 0 where an entry is forbidden."""
        batch, n_2, n_y = g2.shape
        h1 = np.matmul(self._root, (g1 * self._d1)[..., None])
        flat = h1.reshape(batch, -1, 1)
        rest = (g2 * self._d2).reshape(batch, -1) - np.matmul(self._cross.transpose(0, 2, 1), flat)[..., 0]
        solution = np.empty_like(rest)
        for k, factor in enumerate(self._factors):
            rest[k, self._pin[k]] = 0.0
            solution[k] = lapack.dpotrs(factor, rest[k], lower=1)[0]
        h1 -= np.matmul(self._cross, solution[..., None]).reshape(h1.shape)
        d_alpha = np.matmul(np.swapaxes(self._root, -1, -2), h1)[..., 0] * self._d1
        return d_alpha, solution.reshape(batch, n_2, n_y) * self._d2


def _inverse_root(diagonal: Array) -> Array:
    positive = diagonal > 0
    return np.where(positive, 1.0 / np.sqrt(np.where(positive, diagonal, 1.0)), 0.0)
