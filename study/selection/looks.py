"""Confirmations that are looked at and then extended: what a p-value and an interval are worth after several looks.

Whoever trains more seeds because a gain was not confirmed gives chance another turn. Nobody plans how often, so that no
share of a planned number of seeds says where a look stands. Each look therefore spends half of what is left of a
one-sided level of twice the test's own: of 5 % for gains, the first look spends 2.5 %, which is the two-sided test at
5 % as it is without any further look, the second 1.25 %, and so on. However often and for whatever reason a study is
extended, what gains nothing is told to gain in at most 5 % of studies.

A look that spends α_k is significant beyond c_k, where P(Z_1 < c_1, …, Z_k−1 < c_k−1, Z_k ≥ c_k) = α_k (Slud & Wei
1982, JASA 77:862; Lan & DeMets 1983, Biometrika 70:659) by the recursion of Armitage, McPherson & Rowe (1969, JRSS A
132:235): what earlier looks saw is part of what the last one sees, so that this is less than halving it would cost.
p-values and intervals are those of Jennison & Turnbull (1989, JRSS B 51:305), which hold whatever made somebody stop.
Student's t is taken by its nominal level (Jennison & Turnbull 2000, section 3.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

_NODES = 96
_FAR = 8.0  # standard deviations beyond which nothing is
_LEAST = 1e-12  # p-values below are not told apart


def boundaries(spent: Sequence[float], information: Sequence[float]) -> tuple[float, ...]:
    """The critical values (K,) of a one-sided test that spends `spent` (K,) at looks of `information` (K,).

    Information is in any unit, above 0 and rising: the number of seeds will do. -inf where all that is left of the
    probability is less than what is to be spent.

    Raises:
        ValueError: the two are not of one length, a look spends nothing, or information does not rise.
    """
    if len(spent) != len(information) or not spent or min(spent) <= 0:
        raise ValueError(f"looks spend {list(spent)} at information {list(information)}; give one above 0 for each")
    times = np.asarray(information, float)
    if not np.all(np.diff(np.concatenate([[0.0], times])) > 0):
        raise ValueError(f"information must be above 0 and rise from look to look, given {times.tolist()}")
    critical = [float(-ndtri(spent[0]))]
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    points, density, before = np.zeros(1), np.ones(1), 0.0  # where the sum is that has not crossed, with its weights
    for level, now in zip(spent, times, strict=True):
        step, size = np.sqrt(now - before), np.sqrt(now)

        def beyond(z: float, step: float = step, size: float = size, level: float = level) -> float:
            return float(density @ ndtr((points - z * size) / step)) - level  # noqa: B023  called in this turn

        bound = float(brentq(beyond, -_FAR, _FAR, xtol=1e-9)) if beyond(-_FAR) > 0 else -np.inf
        if before:
            critical.append(bound)
        if bound == -np.inf:
            critical += [-np.inf] * (len(spent) - len(critical))
            break
        half = (bound + _FAR) * size / 2
        fresh = half * (nodes + 1) - _FAR * size
        kernel = np.exp(-(((fresh[:, None] - points) / step) ** 2) / 2) / (step * np.sqrt(2 * np.pi))
        points, density, before = fresh, half * weights * (kernel @ density), now
    return tuple(critical)


def nominal_level(level: float, earlier: Sequence[float]) -> float:
    """The two-sided level at which a look is to be tested so that all looks together keep to `level`.

    `earlier` is the information of each look before it as a share of its own, ascending; 0 of a look at something else
    (another strength), whose luck tells nothing of this one's. Never more than `level`.
    """
    return _nominal(level, tuple(earlier))


def corrected_p(p_value: float, earlier: Sequence[float]) -> float:
    """A look's two-sided p-value, corrected for the looks before it: the smallest level at which it is significant."""
    if not earlier or not _LEAST < p_value < 1:
        return min(1.0, p_value * 2.0 ** len(earlier))
    most = min(1.0, p_value * 2.0 ** len(earlier))
    if nominal_level(p_value, earlier) >= p_value:
        return p_value
    if nominal_level(most, earlier) <= p_value:
        return most
    return float(brentq(lambda level: nominal_level(level, earlier) - p_value, p_value, most, xtol=1e-9, rtol=1e-5))


@lru_cache(maxsize=4096)
def _nominal(level: float, earlier: tuple[float, ...]) -> float:
    spent = [level / 2 / 2**look for look in range(1 + len(earlier))]
    related = [look for look, share in enumerate(earlier) if share > 0]
    information = [*(earlier[look] for look in related), 1.0]
    # What other looks did not find rules nothing out here: to leave them out is on the safe side.
    bounds = boundaries([spent[look] for look in (*related, len(earlier))], information)
    return min(level, float(2 * ndtr(-bounds[-1])))
