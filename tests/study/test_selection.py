"""λ* from replicate results: planted optima are found, and nothing that should not matter does."""

import numpy as np
import pytest

from study.selection import select, warp, warp_scale

STRENGTHS = np.array([0, 0.1, 0.25, 0.5, 0.6, 0.75, 1, 2, 4])


def planted(peak: float, *, noise: float = 0.1, seeds: int = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    axis = warp(STRENGTHS, scale=warp_scale(STRENGTHS))
    curve = -((axis - warp(peak, scale=warp_scale(STRENGTHS))) ** 2)
    return curve[:, None] + rng.normal(size=seeds) + noise * rng.normal(size=(len(STRENGTHS), seeds))


def test_planted_optimum_is_found():
    chosen = select(STRENGTHS, planted(0.6))
    assert chosen.lambda_star == pytest.approx(0.6, rel=0.25)
    assert chosen.interval[0] <= 0.6 <= chosen.interval[1]
    assert chosen.shape == "inverted-u"
