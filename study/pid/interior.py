"""Interior-point solver of the BROJA programme, for a stack of tables at once.

The primal is min Σ q log(q / q(x1, x2)) over joint tables q with the two pair marginals of p (Bertschinger et al.
2014, "Quantifying unique information", Eq. 8; Liang et al. 2023 call it CVX). It separates over the fibres (x1, x2), so
its Lagrange dual has one variable per entry of a pair marginal and one constraint per fibre:

    max Σ p(x1, y) α[x1, y] + Σ p(x2, y) β[x2, y]   subject to   log Σ_y exp(α[x1, y] + β[x2, y]) ≤ 0.

The multiplier of a fibre's constraint is its mass q(x1, x2), and q(y | x1, x2) = softmax_y(α + β). A Newton step
eliminates the masses, then α (blocks of size n_y), and factorises one dense matrix in β.

Arrays are class by class in memory, (B, n_y, …): classes are few, and loops over the states are then the inner ones.
The arithmetic is that of the marginals: float64, or float32 where 1e-3 is near enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]  # of float32 or float64

FORBIDDEN = -1e4  # dual of an entry with p = 0: exp of it is exactly 0, yet sums of it stay finite
ZERO = 1e-15  # entries of a marginal below carry no information at double precision
_STALLED = 8  # steps without a gain
_RIDGE = 100.0  # rounding errors on the unit diagonal: optimal duals need not be unique


class DualPoint(NamedTuple):
    """Duals `alpha` (B, n_y, n_1), `beta` (B, n_y, n_2), fibre masses `mass` (B, n_1, n_2), Newton steps (B,)."""

    alpha: Array
    beta: Array
    mass: Array
    steps: NDArray[np.int64]


def fibres(alpha: Array, beta: Array) -> tuple[Array, Array]:
    """Conditionals softmax_y(α + β), (B, n_y, n_1, n_2), and slacks -log Σ_y exp(α + β), (B, n_1, n_2)."""
    z = alpha[:, :, :, None] + beta[:, :, None, :]
    top = z.max(axis=1)
    z -= top[:, None]
    np.exp(z, out=z)
    total = z.sum(axis=1)
    z /= total[:, None]
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
    pin: NDArray[np.int64]  # (B, n_y), one β per class that fixes the gauge α + c_y, β - c_y

    def keep(self, mask: NDArray[np.bool_]) -> _State:
        return _State(**{name: value[mask] for name, value in vars(self).items()})


def solve(p1: Array, p2: Array, *, tolerance: float, max_iterations: int, boundary: float) -> DualPoint:
    """Dual optimum for pair marginals p1 (B, n_y, n_1), p2 (B, n_y, n_2), each table to `tolerance` nats or the limit.

    A step goes at most the fraction `boundary` of the way to where it would leave the feasible set.
    Mehrotra's predictor and corrector, the corrector with the curvature of log-sum-exp as well: without that
    term the steps are short and convergence is only linear.
    """
    state = _start(p1, p2)
    steps = np.full(len(p1), max_iterations, dtype=np.int64)
    result = DualPoint(state.alpha.copy(), state.beta.copy(), state.mass.copy(), steps)
    best, best_step = np.full(len(p1), np.inf), np.zeros(len(p1), dtype=np.int64)
    for step in range(max_iterations + 1):
        conditional, slack = fibres(state.alpha, state.beta)
        slack[~state.alive] = 1.0
        q = state.mass[:, None] * conditional
        residual_1, residual_2 = state.p1 - q.sum(axis=3), state.p2 - q.sum(axis=2)
        error = (state.mass * slack).sum(axis=(1, 2)) + _size(residual_1) + _size(residual_2)
        better = error < best[state.index]
        chosen = state.index[better]
        best[chosen], best_step[chosen] = error[better], step
        result.alpha[chosen], result.beta[chosen] = state.alpha[better], state.beta[better]
        result.mass[chosen] = state.mass[better]
        steps[state.index] = step
        # No gain for long, or not a number: rounding has taken over, and the best so far is the answer.
        running = (error > tolerance) & (step - best_step[state.index] < _STALLED)
        if not running.any() or step == max_iterations:
            break
        if not running.all():
            state = state.keep(running)
            conditional, slack, q = conditional[running], slack[running], q[running]
            residual_1, residual_2 = residual_1[running], residual_2[running]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            _step(state, conditional, slack, q, residual_1, residual_2, boundary)
    return result


def _size(residual: Array) -> Array:
    return np.asarray(np.abs(residual).sum(axis=(1, 2)))


def _start(p1: Array, p2: Array) -> _State:
    """Conditional independence given y: its masses have the wanted marginals, and its duals become feasible by shifts.

    Masses of this size also are the weights of the path. Equal weights would ask fibres that p all but excludes for as
    much as the others, and then entries of p below 1e-6 stall the steps.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.log(p1) - np.log(p1.sum(axis=1, keepdims=True))
        beta = np.log(p2) - np.log(p1.sum(axis=2, keepdims=True))
    p1, p2 = np.where(p1 > ZERO, p1, 0.0), np.where(p2 > ZERO, p2, 0.0)
    allowed_1, allowed_2 = p1 > 0, p2 > 0
    alpha, beta = np.where(allowed_1, alpha, FORBIDDEN), np.where(allowed_2, beta, FORBIDDEN)
    alive = np.asarray((allowed_1[:, :, :, None] & allowed_2[:, :, None, :]).any(axis=1))
    slack = np.where(alive, fibres(alpha, beta)[1], 1.0)
    alpha += np.where(allowed_1, slack.min(axis=2)[:, None, :] - 1.0, 0.0)
    slack = np.where(alive, fibres(alpha, beta)[1], 1.0)
    beta += np.where(allowed_2, slack.min(axis=1)[:, None, :] - 1.0, 0.0)
    p_y = p1.sum(axis=2, keepdims=True)
    mass = np.matmul((p1 / np.where(p_y > 0, p_y, 1.0)).transpose(0, 2, 1), p2)
    n_y, n_2 = p2.shape[1:]
    return _State(
        index=np.arange(len(p1)),
        p1=p1,
        p2=p2,
        alpha=alpha,
        beta=beta,
        mass=mass,
        weight=mass,
        alive=alive,
        pin=p2.argmax(axis=2) + n_2 * np.arange(n_y),
    )


def _step(
    state: _State, conditional: Array, slack: Array, q: Array, residual_1: Array, residual_2: Array, boundary: float
) -> None:
    """One predictor-corrector step of every table, in place."""
    newton = _Newton(state, conditional, slack, q)

    def direction(complementarity: Array) -> tuple[Array, Array, Array, Array, Array]:
        shift = (complementarity / slack)[:, None] * conditional
        d_alpha, d_beta = newton.solve(residual_1 - shift.sum(axis=3), residual_2 - shift.sum(axis=2))
        dz = d_alpha[:, :, :, None] + d_beta[:, :, None, :]
        dz *= state.alive[:, None]
        weighted = conditional * dz
        mean = weighted.sum(axis=1)
        weighted *= dz
        curvature = weighted.sum(axis=1) - mean**2
        d_mass = (complementarity + state.mass * mean) / slack * state.alive
        return d_alpha, d_beta, d_mass, -mean, curvature

    product = state.mass * slack
    total = state.weight.sum(axis=(1, 2))
    gap = product.sum(axis=(1, 2)) / total
    _, _, d_mass, d_slack, curvature = direction(-product)
    t_mass, t_slack = _longest(state.mass, d_mass), _longest(slack, d_slack)
    affine_gap = ((state.mass + t_mass * d_mass) * (slack + t_slack * d_slack)).sum(axis=(1, 2)) / total
    centring = np.clip(affine_gap / gap, 0.0, 1.0) ** 3 * gap
    target = centring[:, None, None] * state.weight - product - d_mass * d_slack
    target += 0.5 * t_slack**2 * state.mass * curvature
    d_alpha, d_beta, d_mass, d_slack, _ = direction(target)
    t_mass = np.minimum(boundary * _longest(state.mass, d_mass), 1.0)
    t_slack = np.minimum(boundary * _longest(slack, d_slack), 1.0)
    for _ in range(60):
        new = fibres(state.alpha + t_slack * d_alpha, state.beta + t_slack * d_beta)[1]
        outside = ((new < (1 - boundary) * slack) & state.alive).any(axis=(1, 2))
        if not outside.any():
            break
        t_slack[outside] *= 0.8
    state.alpha = state.alpha + t_slack * d_alpha
    state.beta = state.beta + t_slack * d_beta
    state.mass = state.mass + t_mass * d_mass


def _longest(x: Array, dx: Array) -> Array:
    """Largest t ≤ 1 with x + t dx ≥ 0, per table, of shape (B, 1, 1)."""
    rate = np.max(-dx / np.where(x > 0, x, 1.0), axis=(1, 2), keepdims=True)
    return np.asarray(1.0 / np.maximum(rate, 1.0))


class _Newton:
    """Factorised Hessian of the duals: Σ mass (diag π - ππ') + (mass / slack) ππ' over the fibres."""

    def __init__(self, state: _State, conditional: Array, slack: Array, q: Array) -> None:
        batch, n_y, n_1, n_2 = q.shape
        diagonal = np.arange(n_y)
        self._pin = state.pin
        weighted = (state.mass / slack - state.mass)[:, None] * conditional
        h1 = np.matmul(weighted.transpose(0, 2, 1, 3), conditional.transpose(0, 2, 3, 1))
        h2 = np.matmul(weighted.transpose(0, 3, 1, 2), conditional.transpose(0, 3, 2, 1))
        h1[..., diagonal, diagonal] += q.sum(axis=3).transpose(0, 2, 1)
        h2[..., diagonal, diagonal] += q.sum(axis=2).transpose(0, 2, 1)
        # Unit diagonal: entries of very different probability then weigh the same in the factorisation.
        d1, d2 = _inverse_root(h1[..., diagonal, diagonal]), _inverse_root(h2[..., diagonal, diagonal])
        h1 *= d1[..., :, None] * d1[..., None, :]
        h2 *= d2[..., :, None] * d2[..., None, :]
        h1[..., diagonal, diagonal] = h2[..., diagonal, diagonal] = 1.0 + _RIDGE * np.finfo(h1.dtype).eps
        self._d1, self._d2 = d1.transpose(0, 2, 1), d2.transpose(0, 2, 1)
        self._root = _inverse_factor(h1)  # (B, n_1, n_y, n_y), lower
        # Between α[x1] and β[x2] lies weighted ⊗ conditional + diag q: one outer product and one scaling.
        left = np.matmul(self._root, (weighted * self._d1[..., None]).transpose(0, 2, 1, 3))
        right = (conditional * self._d2[:, :, None, :]).transpose(0, 2, 1, 3)
        scaled = (q * self._d1[..., None] * self._d2[:, :, None, :]).transpose(0, 2, 1, 3)
        outer = torch.from_numpy(left)[:, :, :, None, :] * torch.from_numpy(right)[:, :, None]
        cross = outer.addcmul_(torch.from_numpy(self._root)[..., None], torch.from_numpy(scaled)[:, :, None])
        self._cross = cross.view(batch, n_1 * n_y, n_y * n_2).numpy()
        self._factor = self._factorise(h2)

    def _factorise(self, h2: Array) -> Tensor:
        """The factor of the matrix in β, h2 less cross' cross, (B, n_y n_2, n_y n_2), without pinned rows and columns.

        SciPy's routines take one matrix at a time and keep other threads waiting; Torch's take the stack, and do not.
        """
        batch, n_2, n_y, _ = h2.shape
        table, states = np.arange(batch)[:, None], np.arange(n_2)
        dense = np.zeros((batch, n_y, n_2, n_y, n_2), dtype=h2.dtype)
        dense[:, :, states, :, states] = h2.transpose(1, 0, 2, 3)
        schur = dense.reshape(batch, n_y * n_2, n_y * n_2)
        schur -= np.matmul(self._cross.transpose(0, 2, 1), self._cross)
        schur[table, self._pin] = 0.0
        schur[table, :, self._pin] = 0.0
        schur[table, self._pin, self._pin] = 1.0
        factor: Tensor
        factor, failures = torch.linalg.cholesky_ex(torch.from_numpy(schur))
        ridge = _RIDGE * float(np.finfo(h2.dtype).eps)
        while ridge < 1.0 and failures.any():
            again = failures.nonzero()[:, 0]
            schur[again] += ridge * np.eye(n_y * n_2, dtype=h2.dtype)
            factor[again], failures[again] = torch.linalg.cholesky_ex(torch.from_numpy(schur[again]))
            ridge *= 10
        return factor

    def solve(self, g1: Array, g2: Array) -> tuple[Array, Array]:
        """Newton direction (dα, dβ) for right-hand sides of the same shapes; 0 where an entry is forbidden."""
        batch = len(g1)
        h1 = np.matmul(self._root, (g1 * self._d1).transpose(0, 2, 1)[..., None])
        rest = (g2 * self._d2).reshape(batch, -1, 1)
        rest -= np.matmul(self._cross.transpose(0, 2, 1), h1.reshape(batch, -1, 1))
        rest[np.arange(batch)[:, None], self._pin] = 0.0
        solution = torch.cholesky_solve(torch.from_numpy(rest), self._factor).numpy()
        h1 -= np.matmul(self._cross, solution).reshape(h1.shape)
        d_alpha = np.matmul(np.swapaxes(self._root, -1, -2), h1)[..., 0].transpose(0, 2, 1) * self._d1
        return d_alpha, solution.reshape(g2.shape) * self._d2


def _inverse_root(diagonal: Array) -> Array:
    positive = diagonal > 0
    return np.where(positive, 1.0 / np.sqrt(np.where(positive, diagonal, 1.0)), 0.0)


def _inverse_factor(matrices: Array) -> Array:
    """L⁻¹ of matrices L L', (…, n, n)."""
    factor, _ = torch.linalg.cholesky_ex(torch.from_numpy(matrices))
    unit = torch.eye(factor.shape[-1], dtype=factor.dtype).expand_as(factor)
    return np.asarray(torch.linalg.solve_triangular(factor, unit, upper=False))
