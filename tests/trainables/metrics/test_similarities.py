import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import CCA

from trainables.metrics.similarities import (
    linear_cka,
    mutual_knn,
    prepare_features,
    similarities,
    svcca,
)

METRICS = {
    "cka": linear_cka,
    "unbiased cka": lambda x, y: linear_cka(x, y, unbiased=True),
    "svcca": svcca,
    "mutual knn": mutual_knn,
}


def features(n: int, d: int, e: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two views of shared causes, each with its own."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 3))
    x = np.tanh(shared @ rng.normal(size=(3, d))) + rng.normal(size=(n, d)) * rng.uniform(0.2, 2, size=d)
    y = shared @ rng.normal(size=(3, e)) + rng.normal(size=(n, e)) + 1
    return x, y


def rotation(d: int, seed: int = 9) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


# The definitions, sample by sample and matrix by matrix, without any of the shortcuts of the code under test.


def reference_cka(x, y, unbiased):
    def hsic(k, el):
        m = len(k)
        if not unbiased:
            centring = np.eye(m) - 1 / m
            return np.trace(k @ centring @ el @ centring)
        k, el = k - np.diag(np.diag(k)), el - np.diag(np.diag(el))
        total = (k * el.T).sum() + k.sum() * el.sum() / ((m - 1) * (m - 2)) - 2 * (k @ el).sum() / (m - 2)
        return total / (m * (m - 3))

    k, el = x @ x.T, y @ y.T
    return hsic(k, el) / (np.sqrt(hsic(k, k) * hsic(el, el)) + 1e-6)


def reference_directions(x, rank):
    x = (x - x.mean(0)) / (x.std(0, ddof=1) + 1e-8)
    return np.linalg.svd(x, full_matrices=False)[0][:, :rank]


def reference_svcca(x, y, rank):
    """The largest correlations come out one by one: the best pair of directions, then the best orthogonal to it."""
    u, v = reference_directions(x, rank), reference_directions(y, rank)
    covariance = np.block([[u.T @ u, u.T @ v], [v.T @ u, v.T @ v]])
    eigenvalues = np.linalg.eigvalsh(covariance)  # 1 ± each canonical correlation
    return np.sort(eigenvalues)[-rank:].mean() - 1


def reference_mutual_knn(x, y, k):
    shares = []
    for i in range(len(x)):
        in_x, in_y = (sorted((j for j in range(len(z)) if j != i), key=lambda j: -(z[i] @ z[j]))[:k] for z in (x, y))
        shares.append(len(set(in_x) & set(in_y)) / k)
    return np.mean(shares)


class TestDefinitions:
    @pytest.mark.parametrize("unbiased", [False, True])
    @pytest.mark.parametrize(("n", "d", "e"), [(40, 12, 12), (60, 5, 17), (20, 50, 30), (4, 2, 3)])
    def test_linear_cka(self, n, d, e, unbiased):
        x, y = features(n, d, e)
        assert linear_cka(x, y, unbiased) == pytest.approx(reference_cka(x, y, unbiased), abs=1e-9)

    def test_epsilon_counts_as_defined_for_small_features(self):
        x, y = (0.01 * z for z in features(40, 6, 5))
        assert linear_cka(x, y, unbiased=True) == pytest.approx(reference_cka(x, y, True), abs=1e-9)
        assert linear_cka(x, y, unbiased=True) < 0.9 * linear_cka(x, y, unbiased=True, epsilon=0)

    @pytest.mark.parametrize(("n", "d", "e"), [(100, 12, 12), (200, 40, 15), (30, 60, 40)])
    def test_svcca(self, n, d, e):
        x, y = features(n, d, e)
        assert svcca(x, y) == pytest.approx(reference_svcca(x, y, 10), abs=1e-9)

    def test_svcca_is_the_mean_correlation_of_sklearn_s_cca(self):
        x, y = features(150, 12, 14)
        u, v = reference_directions(x, 4), reference_directions(y, 4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its iteration reports slow convergence
            scores = CCA(n_components=4, max_iter=10_000, tol=1e-12).fit(u, v).transform(u, v)
        expected = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(scores[0].T, scores[1].T, strict=True)])
        assert svcca(x, y, rank=4) == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("k", [1, 10, 29])
    def test_mutual_knn(self, k):
        x, y = features(30, 12, 7)
        assert mutual_knn(x, y, k) == pytest.approx(reference_mutual_knn(x, y, k), abs=1e-12)

    def test_mutual_knn_in_blocks_of_rows(self, monkeypatch):
        x, y = features(30, 12, 7)
        monkeypatch.setattr("trainables.metrics.similarities.ROW_BLOCK_BYTES", 7 * 30 * 8)
        assert mutual_knn(x, y) == pytest.approx(reference_mutual_knn(x, y, 10), abs=1e-12)


class TestKnownTruths:
    @pytest.mark.parametrize("name", METRICS)
    def test_equal_features_score_1(self, name):
        x, _ = features(60, 12, 12)
        assert METRICS[name](x, x) == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("name", METRICS)
    def test_rotation_does_not_matter(self, name):
        x, y = features(60, 10, 10)
        if name == "svcca":  # it standardises columns: any map of all of them, as long as the rank keeps them all
            assert svcca(x @ rotation(10), y) == pytest.approx(svcca(x, y), abs=1e-9)
        else:
            assert METRICS[name](x @ rotation(10), y @ rotation(10, 3)) == pytest.approx(METRICS[name](x, y), abs=1e-9)

    @pytest.mark.parametrize("unbiased", [False, True])
    def test_cka_ignores_shift_and_scale(self, unbiased):
        x, y = features(60, 12, 7)
        moved = linear_cka(100 * x + 3, y - 50, unbiased)
        assert moved == pytest.approx(linear_cka(x, y, unbiased), abs=1e-6)

    @pytest.mark.parametrize("name", METRICS)
    def test_sides_are_interchangeable(self, name):
        x, y = features(60, 12, 17)
        assert METRICS[name](x, y) == pytest.approx(METRICS[name](y, x), abs=1e-9)

    def test_independent_features(self):
        """Unbiased CKA is 0 on average, the biased one grows with the width; neighbours agree by chance, k/(n − 1)."""
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(2, 40, 101, 60))
        unbiased, neighbours = linear_cka(x, y, unbiased=True), mutual_knn(x, y, k=10)
        assert abs(unbiased.mean()) < 4 * unbiased.std() / math.sqrt(40)
        assert linear_cka(x, y).mean() > 0.3
        assert neighbours.mean() == pytest.approx(10 / 100, abs=4 * neighbours.std() / math.sqrt(40))

    def test_svcca_sees_through_any_invertible_map(self):
        x, _ = features(80, 8, 8)
        assert svcca(x, x @ np.random.default_rng(1).normal(size=(8, 8))) == pytest.approx(1, abs=1e-9)

    @given(seed=st.integers(0, 999), n=st.integers(12, 30), d=st.integers(1, 40), e=st.integers(1, 40))
    @settings(max_examples=40)
    def test_ranges(self, seed, n, d, e):
        x, y = features(n, d, e, seed=seed)
        assert 0 <= linear_cka(x, y) <= 1
        assert -1 <= linear_cka(x, y, unbiased=True) <= 1
        assert 0 <= svcca(x, y) <= 1
        assert 0 <= mutual_knn(x, y) <= 1


class TestEdges:
    def test_svcca_rank_falls_to_the_narrower_width(self):
        x, y = features(80, 4, 12)
        expected = np.linalg.svd(reference_directions(x, 4).T @ reference_directions(y, 10), compute_uv=False).mean()
        assert svcca(x, y) == pytest.approx(expected, abs=1e-9)

    def test_svcca_of_dead_and_redundant_units(self):
        """Neither a constant column nor the rounding noise of float32 mixtures is a direction of its own."""
        x, y = features(333, 6, 12)
        padded = np.concatenate([x, np.zeros((333, 3)), np.full((333, 1), 0.7)], 1)  # the mean of the last is rounded
        assert svcca(padded, y) == pytest.approx(svcca(x, y), abs=1e-9)
        x, y = features(2000, 6, 12)
        mixed = (x @ np.random.default_rng(0).normal(size=(6, 12))).astype(np.float32)
        expected = np.linalg.svd(reference_directions(mixed, 6).T @ reference_directions(y, 10), compute_uv=False)
        assert svcca(mixed, y) == pytest.approx(expected.mean(), abs=1e-5)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("offset", [0.0, 1.0, 0.1, 1e8, 1e-12])
    @pytest.mark.parametrize("name", METRICS)
    def test_features_that_do_not_vary_score_0(self, name, offset, dtype):
        """Whatever their size, on one side or on both, where each side is as alike as two can be."""
        x, _ = features(31, 5, 5)
        constant = np.tile(offset * np.random.default_rng(1).normal(size=12), (31, 1)).astype(dtype)
        assert METRICS[name](x, constant) == 0
        assert METRICS[name](constant, x) == 0
        assert METRICS[name](constant, constant[:, ::-1].copy()) == 0

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_encoders_that_say_the_same_of_every_sample_have_nothing_in_common(self, dtype):
        """Rounding noise about a constant is constant; so are rows of one direction, which is what is compared."""
        generator = np.random.default_rng(3)
        constant = np.tile(generator.normal(size=6), (40, 1)).astype(dtype)
        noisy = constant * (1 + np.finfo(dtype).eps * generator.integers(-2, 3, (40, 6))).astype(dtype)
        one_direction = (generator.random((40, 1)) + 0.5).astype(dtype) * constant
        varied = generator.normal(size=(40, 6)).astype(dtype)
        for dead in (constant, noisy, one_direction):
            for other in (dead, constant, varied):
                assert similarities(dead, other) == {"cka": 0, "svcca": 0, "mutual_knn": 0}
        assert similarities(varied, varied)["cka"] == pytest.approx(1)

    def test_only_the_collapsed_replica_scores_0(self):
        x, y = (np.stack([z, np.ones_like(z), z]) for z in features(30, 5, 5))
        for values in similarities(x, y).values():
            assert values[1] == 0
            assert values[0] == values[2] > 0

    def test_clipping_and_zero_denominator(self):
        """The convention with HSIC clipped at 0 and no ε."""
        seeds = range(20)
        scores = [linear_cka(*np.random.default_rng(s).normal(size=(2, 20, 5)), unbiased=True) for s in seeds]
        negative = int(np.argmin(scores))
        x, y = np.random.default_rng(negative).normal(size=(2, 20, 5))
        assert linear_cka(x, y, unbiased=True) < 0
        assert linear_cka(x, y, unbiased=True, clip_negative=True, epsilon=0) == 0
        assert linear_cka(x, np.ones((20, 2)), unbiased=True, clip_negative=True, epsilon=0) == 0

    @pytest.mark.parametrize("name", METRICS)
    def test_replicas_are_scored_as_if_alone(self, name):
        x, y = (np.stack(z) for z in zip(*(features(40, 12, 11, seed=s) for s in range(3)), strict=True))
        together = METRICS[name](x, y)
        assert together.shape == (3,)
        assert together == pytest.approx([METRICS[name](a, b) for a, b in zip(x, y, strict=True)], abs=1e-12)

    @pytest.mark.parametrize("name", METRICS)
    def test_diverged_replica_scores_nan_alone(self, name):
        x, y = (np.stack(z) for z in zip(*(features(40, 12, 11, seed=s) for s in range(3)), strict=True))
        expected = METRICS[name](x, y)
        x[1, 3, 3] = np.nan
        y[2, 0, 0] = np.inf
        assert np.isnan(METRICS[name](x, y)).tolist() == [False, True, True]
        assert METRICS[name](x, y)[0] == expected[0]

    @pytest.mark.parametrize("name", METRICS)
    def test_tensors_give_tensors_and_arrays_give_numbers(self, name):
        x, y = features(40, 12, 11)
        number = METRICS[name](x, y)
        assert isinstance(number, float)
        tensor = METRICS[name](torch.from_numpy(x).requires_grad_(), torch.from_numpy(y))
        assert isinstance(tensor, torch.Tensor)
        assert not tensor.requires_grad
        assert tensor.shape == ()
        assert float(tensor) == number

    def test_read_only_and_integer_arrays_are_read(self):
        x, y = (np.round(10 * z).astype(np.int64) for z in features(40, 12, 11))
        x.setflags(write=False)
        assert linear_cka(x, y) == linear_cka(x.astype(float), y.astype(float))
        assert svcca(x, y) == svcca(x.astype(float), y.astype(float))

    @pytest.mark.parametrize("name", METRICS)
    @pytest.mark.parametrize("shapes", [((40, 3), (39, 3)), ((40, 3), (1, 40, 3)), ((40,), (40,)), ((40, 0), (40, 3))])
    def test_shapes_that_do_not_match_are_refused(self, name, shapes):
        with pytest.raises(ValueError, match=r"give \(N, d\)"):
            METRICS[name](*map(np.ones, shapes))

    def test_too_few_samples_are_refused(self):
        with pytest.raises(ValueError, match="N ≥ 4"):
            linear_cka(np.ones((3, 2)), np.ones((3, 2)), unbiased=True)

    @pytest.mark.parametrize("k", [0, 40])
    def test_k_out_of_range_is_refused(self, k):
        with pytest.raises(ValueError, match=f"k is {k} for 40 samples; give one from 1 to 39"):
            mutual_knn(np.ones((40, 2)), np.ones((40, 2)), k)

    def test_rank_out_of_range_is_refused(self):
        with pytest.raises(ValueError, match="rank is 0"):
            svcca(np.ones((40, 2)), np.ones((40, 2)), 0)


class TestPreparation:
    def test_exact_clipping_is_at_the_ranked_entry(self):
        x, _ = features(50, 8, 1)
        limit = np.sort(np.abs(x).ravel())[int(0.95 * x.size)]
        actual = prepare_features(x, quantile=0.95, normalise=False)
        np.testing.assert_allclose(actual, np.clip(x, -limit, limit))

    def test_inexact_clipping_is_at_the_mean_of_row_quantiles(self):
        x, _ = features(50, 8, 1)
        limit = np.quantile(np.abs(x), 0.9, axis=1).mean()
        actual = prepare_features(x, quantile=0.9, exact=False, normalise=False)
        np.testing.assert_allclose(actual, np.clip(x, -limit, limit))

    def test_every_replica_has_its_own_limit(self):
        x = np.stack([features(50, 8, 1, seed=s)[0] * s for s in (1, 5)])
        actual = prepare_features(x, quantile=0.8)
        np.testing.assert_allclose(actual, [prepare_features(z, quantile=0.8) for z in x])

    def test_rows_have_unit_norm_and_zero_rows_stay(self):
        x, _ = features(50, 8, 1)
        x[3] = 0
        norms = np.linalg.norm(prepare_features(x), axis=1)
        np.testing.assert_allclose(norms, np.arange(50) != 3, atol=1e-12)

    @pytest.mark.parametrize("quantile", [0, 1.01, math.nan])
    def test_quantile_out_of_range_is_refused(self, quantile):
        with pytest.raises(ValueError, match="quantile is"):
            prepare_features(np.ones((4, 2)), quantile=quantile)


class TestSimilarities:
    def test_similarities_of_a_result(self):
        x, y = (np.stack([z, z]) for z in features(60, 12, 12))
        scores = similarities(torch.from_numpy(x), torch.from_numpy(y))
        assert list(scores) == ["cka", "svcca", "mutual_knn"]
        assert all(value.shape == (2,) for value in scores.values())
        x, y = prepare_features(x), prepare_features(y)
        assert scores["cka"].tolist() == pytest.approx(linear_cka(x, y, unbiased=True, epsilon=0))
        assert scores["mutual_knn"].tolist() == pytest.approx(mutual_knn(x, y))

    def test_few_samples_have_fewer_neighbours(self):
        x, y = features(5, 3, 3)
        assert similarities(x, y)["mutual_knn"] == 1
