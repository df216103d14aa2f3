"""Every generated family against what is known about it exactly."""

import itertools

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

from study.pid import broja
from trainables.datasets import DATASETS, DataError, cells, load
from trainables.datasets.generated.continuous import EXACT_PROFILES as EXACT_CONTINUOUS
from trainables.datasets.generated.gates import GATES, gate_profile, gate_table
from trainables.datasets.generated.gaussian import gaussian_information, gaussian_profile, joint_correlation
from trainables.datasets.generated.linear import population
from trainables.datasets.generated.lsmi import lsmi_profile
from trainables.spec import DatasetSpec

PARTS = ("redundancy", "unique_1", "unique_2", "synergy")


def _load(name, **options):
    return load(DatasetSpec(name=name, options=options))


def _plug_in(labels, codes, n_codes):
    """I(code; label) in bits from counts, with the Miller-Madow correction."""
    table = np.zeros((n_codes, labels.max() + 1))
    np.add.at(table, (codes, labels), 1 / len(labels))
    product = table.sum(1, keepdims=True) * table.sum(0, keepdims=True)
    kept = table > 0
    bias = (n_codes - 1) * labels.max() / (2 * len(labels) * np.log(2))
    return (table[kept] * np.log2(table[kept] / product[kept])).sum() - bias


class TestGates:
    def test_every_gate_has_a_known_answer(self, gate_profiles):
        assert set(gate_profiles) == set(GATES)

    @pytest.mark.parametrize("gate", GATES)
    def test_noiseless_profile(self, gate, gate_profiles):
        assert list(gate_profile(gate).values()) == pytest.approx(gate_profiles[gate], abs=5e-5)

    @pytest.mark.parametrize("gate", GATES)
    def test_noisy_profile_is_the_exact_one_of_the_table(self, gate):
        exact = broja(gate_table(gate, 0.1))
        found = [exact.redundancy, exact.unique_1, exact.unique_2, exact.synergy]
        assert list(gate_profile(gate, 0.1).values()) == pytest.approx(found, abs=1e-6)

    @pytest.mark.parametrize("gate", GATES)
    def test_noise_lowers_every_part(self, gate):
        clean, noisy = gate_profile(gate), gate_profile(gate, 0.1)
        assert sum(noisy.values()) < sum(clean.values())
        assert all(noisy[part] <= clean[part] + 1e-12 for part in PARTS)

    def test_noisy_xor_is_a_binary_symmetric_channel(self):
        entropy = -(0.2 * np.log2(0.2) + 0.8 * np.log2(0.8))
        assert list(gate_profile("xor", 0.2).values()) == pytest.approx([0, 0, 0, 1 - entropy])

    @pytest.mark.parametrize(("gate", "noise"), [*itertools.product(GATES, (0.0, 0.15))])
    def test_rows_follow_the_table(self, gate, noise):
        data = _load("gates", gate=gate, noise=noise, rows=40_000)
        pair = data.pair("first", "second")
        codes = [m.values.astype(int) @ (1 << np.arange(m.values.shape[1])) for m in pair.modalities]
        drawn = np.zeros_like(gate_table(gate, noise))
        np.add.at(drawn, (*codes, pair.targets[0].values), 1 / 40_000)
        assert np.abs(drawn - gate_table(gate, noise)).max() < 0.01

    def test_noise_above_chance_is_refused(self):
        with pytest.raises(DataError, match=r"at most 0\.5"):
            _load("gates", gate="xor", noise=0.6)


class TestGaussian:
    def test_real_score_has_the_closed_form(self):
        assert gaussian_information(0.6) == pytest.approx(-0.5 * np.log2(0.64))

    @pytest.mark.parametrize("classes", [2, 3, 10])
    def test_classes_lose_information_and_approach_the_score(self, classes):
        coarse, fine = gaussian_information(0.7, classes), gaussian_information(0.7, 10 * classes)
        assert 0 < coarse < fine < gaussian_information(0.7)

    def test_many_classes_are_the_score(self):
        assert gaussian_information(0.5, 2000) == pytest.approx(gaussian_information(0.5), abs=1e-3)

    def test_two_classes_agree_with_a_simulation(self):
        rng = np.random.default_rng(0)
        t, noise = rng.standard_normal((2, 400_000))
        labels = (0.8 * t + 0.6 * noise > 0).astype(np.int64)
        codes = np.clip(((t + 4) * 25).astype(int), 0, 199)
        assert gaussian_information(0.8, 2) == pytest.approx(_plug_in(labels, codes, 200), abs=3e-3)

    @pytest.mark.parametrize("classes", [0, 2])
    def test_swapping_the_modalities_swaps_the_profile(self, classes):
        straight, turned = gaussian_profile(0.7, 0.4, 0.1, classes), gaussian_profile(0.4, 0.7, 0.1, classes)
        assert turned == {**straight, "unique_1": straight["unique_2"], "unique_2": straight["unique_1"]}

    def test_a_copy_is_all_redundant_and_a_degraded_copy_has_no_synergy(self):
        degraded = gaussian_profile(0.8, 0.4, 0.5)  # t_2 = t_1 / 2 + noise
        assert degraded["synergy"] == pytest.approx(0, abs=1e-9)
        assert degraded["unique_2"] == 0

    @pytest.mark.parametrize(
        ("a", "b", "between", "classes"), [(0.7, 0.5, 0.2, 2), (0.6, 0.6, 0.0, 2), (0.8, 0.3, -0.1, 3)]
    )
    def test_closed_form_for_classes_is_the_exact_profile_of_a_fine_grid(self, a, b, between, classes):
        """The general solver on p(t_1, t_2, class) finds the same: the weaker modality has nothing unique."""
        grid = np.linspace(-3.6, 3.6, 41)
        t1, t2 = np.meshgrid(grid, grid, indexing="ij")
        covariance = np.array([[1, between], [between, 1]])
        density = multivariate_normal([0, 0], covariance).pdf(np.stack([t1, t2], axis=-1))
        slopes = np.linalg.solve(covariance, [a, b])
        cuts = ndtri(np.arange(1, classes) / classes)
        below = ndtr((cuts - (slopes[0] * t1 + slopes[1] * t2)[..., None]) / np.sqrt(1 - slopes @ [a, b]))
        table = density[..., None] * np.diff(below, axis=-1, prepend=0, append=1)
        exact = broja(table / table.sum())
        found = [exact.redundancy, exact.unique_1, exact.unique_2, exact.synergy]
        assert list(gaussian_profile(a, b, between, classes).values()) == pytest.approx(found, abs=1e-3)

    def test_independent_halves_add_up(self):
        assert joint_correlation(0.6, 0.6, 0.0) ** 2 == pytest.approx(0.72)

    @pytest.mark.parametrize("between", [-0.9, 0.0])
    def test_impossible_correlations_are_refused(self, between):
        with pytest.raises(DataError, match="no normal variables"):
            _load("gaussian", correlation_1=0.9, correlation_2=0.9, between=between)

    def test_a_linear_readout_reaches_the_planted_correlation(self):
        data = _load("gaussian", rows=40_000, classes=0, correlation_1=0.8, correlation_2=0.5, between=0.1)
        pair = data.pair("first", "second")
        y = pair.targets[0].values
        inputs = [m.values for m in pair.modalities]
        inputs.append(np.concatenate(inputs, axis=1))
        reached = [np.corrcoef(x @ np.linalg.lstsq(x, y, rcond=None)[0], y)[0, 1] for x in inputs]
        assert reached == pytest.approx([0.8, 0.5, joint_correlation(0.8, 0.5, 0.1)], abs=0.02)


class TestLSMI:
    def test_exact_information_agrees_with_a_simulation(self):
        data = _load("lsmi", rows=400_000, correlation=0.5, noise=0.8)
        pair = data.pair("first", "second")
        labels = pair.targets[0].values
        x1, x2 = (m.values[:, 1] - m.values[:, 0] for m in pair.modalities)
        for statistic, bits in (
            (x1, pair.exact_profile["redundancy"]),
            (x2, pair.exact_profile["redundancy"]),
            (x1 + x2, sum(pair.exact_profile.values())),
        ):
            ranks = statistic.argsort().argsort() * 300 // len(statistic)
            assert _plug_in(labels, ranks, 300) == pytest.approx(bits, abs=3e-3)

    def test_fully_correlated_noise_leaves_no_synergy(self):
        assert lsmi_profile(1.0, 0.5)["synergy"] == pytest.approx(0, abs=1e-12)

    def test_more_than_two_classes_have_no_stored_profile(self):
        assert not _load("lsmi", classes=3).exact_profiles


class TestContinuous:
    @pytest.mark.parametrize("setting", DATASETS["continuous"].options["setting"].choices)
    def test_shapes_and_equal_classes(self, setting):
        data = _load("continuous", setting=setting, classes=8, rows=4000)
        assert [m.values.shape for m in data.modalities.values()] == [(4000, 64), (4000, 64)]
        assert np.bincount(data.targets["first"].values).tolist() == [500] * 8

    @pytest.mark.parametrize(
        ("setting", "informed"),
        [("redundancy", (True, True)), ("uniqueness0", (True, False)), ("uniqueness1", (False, True))],
    )
    def test_the_right_modality_is_informative(self, setting, informed):
        data = _load("continuous", setting=setting)
        train, test = data.split == 0, data.split == 2
        for name, expected in zip(("first", "second"), informed, strict=True):
            x, y = data.modalities[name].values, data.targets[name].values
            weights = np.linalg.lstsq(x[train], y[train] - 0.5, rcond=1e-6)[0]
            accuracy = ((x[test] @ weights > 0) == y[test]).mean()
            assert (accuracy > 0.8) if expected else (accuracy < 0.54)

    @pytest.mark.parametrize("setting", EXACT_CONTINUOUS)
    def test_profile_is_a_little_more_than_a_linear_readout_finds(self, setting):
        """Dropout makes the sum of the latents all but sufficient: most of the exact information, to sampling error."""
        pair = _load("continuous", setting=setting, rows=60_000).pair("first", "second")
        redundancy, unique_1, unique_2, synergy = (pair.exact_profile[part] for part in PARTS)
        x1, x2 = (modality.values for modality in pair.modalities)
        labels = pair.targets[0].values
        for x, exact in (
            (x1, redundancy + unique_1),
            (x2, redundancy + unique_2),
            (np.concatenate([x1, x2], axis=1), redundancy + unique_1 + unique_2 + synergy),
        ):
            readout = x @ np.linalg.lstsq(x, labels - 0.5, rcond=1e-5)[0]
            found = _plug_in(labels, readout.argsort().argsort() * 200 // len(labels), 200)
            assert 0.94 * exact - 0.006 < found < exact + 0.006

    def test_profile_is_known_for_two_classes_only(self):
        assert _load("continuous", classes=32).pair("first", "second").exact_profile is None


LINEAR = {"redundancy": 0.3, "correlation": 0.8, "latents": 2, "features": 12, "rows": 100_000, "noise": 0.1}


class TestLinear:
    def test_moments_are_those_of_the_stated_law(self):
        data = _load("linear", **LINEAR)
        law = population(cells(DatasetSpec(name="linear", options=LINEAR))[0].options)
        x1, x2 = (data.modalities[name].values.astype(float) for name in ("first", "second"))
        y1, y2 = (data.targets[name].values.astype(float) for name in ("first", "second"))
        n = len(x1)
        assert x1.T @ x1 / n == pytest.approx(np.eye(12), abs=0.02)
        assert x1.T @ x2 / n == pytest.approx(law.cross_covariance, abs=0.02)
        assert x1.T @ y1 / n == pytest.approx(law.target_covariance(0), abs=0.02)
        assert x2.T @ y2 / n == pytest.approx(law.target_covariance(1), abs=0.02)

    def test_canonical_correlations_and_prediction_eigenvalues(self):
        law = population(cells(DatasetSpec(name="linear", options=LINEAR))[0].options)
        assert np.linalg.svd(law.cross_covariance)[1] == pytest.approx([0.8, 0.8, *[0] * 10], abs=1e-12)
        eigenvalues = np.linalg.eigvalsh(law.target_covariance(0) @ law.target_covariance(0).T)[::-1]
        assert eigenvalues == pytest.approx([0.7, 0.7, 0.3, 0.3, *[0] * 8], abs=1e-12)

    def test_joint_optimum_swaps_directions_at_the_critical_strength(self):
        law = population(cells(DatasetSpec(name="linear", options=LINEAR))[0].options)
        shared = law.rotations[0][:, :2]
        task = law.target_covariance(0) @ law.target_covariance(0).T
        align = law.cross_covariance @ law.cross_covariance.T
        overlaps = []
        for strength in (0.99 * law.critical_strength, 1.01 * law.critical_strength):
            top = np.linalg.eigh(task + strength * align)[1][:, -2:]
            overlaps.append(np.linalg.norm(top.T @ shared) ** 2)
        assert overlaps == pytest.approx([0, 2], abs=1e-9)

    def test_each_modality_has_its_own_real_target(self):
        data = _load("linear", redundancy=0.0)
        first, second = data.targets["first"], data.targets["second"]
        assert (first.kind, first.metric, first.values.shape) == ("real", "r2", (4000, 2))
        assert abs(np.corrcoef(first.values[:, 1], second.values[:, 1])[0, 1]) < 0.05

    def test_too_few_features_are_refused(self):
        with pytest.raises(DataError, match="at least 6"):
            _load("linear", latents=3, features=5)
