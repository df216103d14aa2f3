"""λ* from replicate results: planted optima are found, and nothing that should not matter does."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from threadpoolctl import threadpool_limits

from study.selection import Selection, counted, has_curve, sample_posterior, select, unwarp, warp, warp_scale
from study.selection.noise import Noise

STRENGTHS = np.array([0, 0.1, 0.25, 0.5, 0.6, 0.75, 1, 2, 4])
SCALE = warp_scale(STRENGTHS)
AXIS = warp(STRENGTHS, scale=SCALE) / warp(4, scale=SCALE)
PEAK = float(AXIS[4])


def trained(curve: np.ndarray, *, noise: float = 0.05, seeds: int = 5, seed: int = 0) -> np.ndarray:
    """Scores (strengths, seeds) of a curve, each seed with an offset of its own."""
    rng = np.random.default_rng(seed)
    return curve[:, None] + rng.normal(size=seeds) + noise * rng.normal(size=(len(curve), seeds))


def peaked(**options: float) -> np.ndarray:
    return trained(-4 * (AXIS - PEAK) ** 2, **options)


def rise(chosen: Selection) -> np.ndarray:
    """The curve above its value at the weakest strength, in units of the noise."""
    mean = chosen.posterior.mean
    return (mean - mean[0]) / chosen.noise_sd


def same(first: Selection, second: Selection) -> bool:
    """Equal answers, to rounding."""
    return (
        np.isclose(first.lambda_star, second.lambda_star)
        and np.allclose(first.interval, second.interval)
        and np.isclose(first.lambda_1se, second.lambda_1se)
        and np.isclose(first.shape_p_value, second.shape_p_value)
        and np.allclose(rise(first), rise(second), atol=1e-6)
        and (first.shape, first.flags) == (second.shape, second.flags)
    )


# --- known truths


def test_planted_optimum_is_found() -> None:
    chosen = select(STRENGTHS, peaked())
    assert chosen.lambda_star == pytest.approx(0.6, rel=0.15)
    assert chosen.interval[0] <= 0.6 <= chosen.interval[1]
    assert chosen.interval[0] > 0.25
    assert chosen.interval[1] < 1
    assert chosen.shape == "inverted-u"
    assert chosen.flags == ()


def test_noise_of_a_training_is_estimated() -> None:
    chosen = select(STRENGTHS, peaked(noise=0.2, seeds=20))
    assert chosen.noise_sd == pytest.approx(0.2, rel=0.15)


@pytest.mark.parametrize(
    ("curve", "shape"), [(AXIS, "rising"), (-AXIS, "falling"), (1 - np.exp(-AXIS / 0.2), "rising"), (0 * AXIS, "flat")]
)
def test_monotone_and_flat_shapes(curve: np.ndarray, shape: str) -> None:
    assert select(STRENGTHS, trained(curve)).shape == shape


def test_rising_curve_raises_the_edge_flag() -> None:
    chosen = select(STRENGTHS, trained(AXIS))
    assert chosen.lambda_star == 4
    assert chosen.interval[1] == 4
    assert "edge" in chosen.flags


def test_falling_curve_ends_at_zero_without_a_flag() -> None:
    chosen = select(STRENGTHS, trained(-AXIS))
    assert chosen.lambda_star == 0
    assert chosen.lambda_1se == 0
    assert chosen.flags == ()
    assert chosen.harm_p_value < 0.01


@pytest.mark.parametrize(("strengths", "seeds"), [(9, 3), (9, 5), (12, 8)])
@pytest.mark.parametrize("luck", [Noise(0.7, 0.25, 0.0, 1.0), Noise(0.8, 0.5, 0.0, 1.0), Noise(0.8, 0.3, 1.5, 1.0)])
def test_luck_that_neighbouring_strengths_share_is_no_shape(luck: Noise, strengths: int, seeds: int) -> None:
    """A flat curve is called otherwise in a twentieth of the draws, whichever noise the seeds leave unknown."""
    axis, rng = np.linspace(0, 1, strengths), np.random.default_rng(0)
    factor = np.linalg.cholesky(luck.covariance(axis) + 1e-9 * np.eye(strengths))
    draws = [rng.normal(size=seeds) + factor @ rng.normal(size=(strengths, seeds)) for _ in range(150)]
    rejected = np.mean([select(axis, scores, scale=1e6).shape != "flat" for scores in draws])
    assert rejected <= 0.1  # 0.05, and 2.8 standard errors of 150 draws


def test_flat_curves_locate_nothing() -> None:
    found = [select(STRENGTHS, trained(0 * AXIS, seed=seed)) for seed in range(20)]
    widths = [warp(chosen.interval[1], scale=SCALE) - warp(chosen.interval[0], scale=SCALE) for chosen in found]
    assert np.mean(widths) > 0.9 * warp(4, scale=SCALE)
    assert sum(chosen.shape == "flat" for chosen in found) >= 18


def test_cliff_lies_in_its_gap() -> None:
    chosen = select(STRENGTHS, trained(np.where(AXIS[6] >= AXIS, AXIS, -2.0)))
    assert chosen.interval[0] >= 0.75
    assert 1 <= chosen.interval[1] <= 2
    assert chosen.lambda_star < 1.5


def test_one_standard_error_strength_is_the_smaller_one_on_a_plateau() -> None:
    chosen = select(STRENGTHS, trained(np.minimum(AXIS, 0.5), noise=0.02))
    assert 0.25 < chosen.lambda_1se <= chosen.lambda_star


def test_expected_regret_shrinks_with_seeds() -> None:
    regrets = [select(STRENGTHS, peaked(noise=0.5, seeds=count)).expected_regret for count in (3, 30)]
    assert regrets[1] < regrets[0] / 2


def test_pairing_removes_the_seeds_spread() -> None:
    """Offsets a hundred times the gain change nothing, since seeds are common to all strengths."""
    scores = peaked()
    assert same(select(STRENGTHS, scores), select(STRENGTHS, scores + 100 * np.arange(5)))


def test_smooth_luck_of_seeds_is_not_taken_for_the_curve() -> None:
    """Three seeds with smooth deviations of their own and no common curve: the optimum is not located."""
    rng = np.random.default_rng(2)
    luck = np.linalg.cholesky(np.exp(-0.5 * ((AXIS[:, None] - AXIS) / 0.3) ** 2) + 1e-9 * np.eye(9))
    chosen = select(STRENGTHS, luck @ rng.normal(size=(9, 3)) + 0.1 * rng.normal(size=(9, 3)))
    assert chosen.shape == "flat"
    assert chosen.interval[1] - chosen.interval[0] > 1


# --- what must not matter


def test_same_input_gives_the_same_answer() -> None:
    first, second = (select(STRENGTHS, peaked(), seed=7) for _ in range(2))
    assert first.interval == second.interval
    assert np.array_equal(first.posterior.low, second.posterior.low)


def test_global_random_state_is_neither_read_nor_changed() -> None:
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    select(STRENGTHS, peaked())
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(("factor", "shift"), [(1e-6, 0), (1e6, 0), (1, 1e4), (100, -50)])
def test_unit_of_the_scores_does_not_matter(factor: float, shift: float) -> None:
    scores = peaked(noise=0.3)
    first, second = select(STRENGTHS, scores), select(STRENGTHS, factor * scores + shift)
    assert same(first, second)
    assert second.expected_regret == pytest.approx(factor * first.expected_regret, rel=1e-6)
    assert np.allclose(second.posterior.mean, factor * first.posterior.mean + shift)


def test_unit_of_the_strengths_does_not_matter() -> None:
    first, second = select(STRENGTHS, peaked(noise=0.3)), select(1000 * STRENGTHS, peaked(noise=0.3))
    assert second.lambda_star == pytest.approx(1000 * first.lambda_star)
    assert second.interval == pytest.approx([1000 * limit for limit in first.interval])


@given(st.permutations(range(5)), st.permutations(range(9)))
@settings(max_examples=10)
def test_order_of_seeds_and_strengths_does_not_matter(columns: list[int], rows: list[int]) -> None:
    scores = peaked(noise=0.3)
    assert same(select(STRENGTHS, scores), select(STRENGTHS[rows], scores[rows][:, columns]))


@given(arrays(float, 5, elements=st.floats(-1e3, 1e3)))
@settings(max_examples=10)
def test_constant_per_seed_does_not_matter(constants: np.ndarray) -> None:
    scores = peaked(noise=0.3)
    scores[2:4, 1] = np.nan
    missing = np.zeros(scores.shape, bool)
    first = select(STRENGTHS, scores, diverged=missing)
    assert same(first, select(STRENGTHS, scores + constants, diverged=missing))


def test_seed_with_a_single_score_says_nothing() -> None:
    scores = peaked(noise=0.3)
    alone = np.full((9, 1), np.nan)
    alone[3] = 1e3
    widened = np.hstack([scores, alone])
    first = select(STRENGTHS, scores)
    second = select(STRENGTHS, widened, diverged=np.zeros(widened.shape, bool))
    assert second.lambda_star == first.lambda_star
    assert second.interval == first.interval


# --- trainings that diverged or were not run


def test_dead_strengths_are_never_chosen() -> None:
    scores = trained(AXIS)
    scores[-2:] = np.nan
    chosen = select(STRENGTHS, scores)
    assert chosen.lambda_star < 2
    assert chosen.interval[1] < 2
    assert "diverged" in chosen.flags


def test_strength_at_which_half_of_the_seeds_diverge_is_dead() -> None:
    scores = trained(AXIS, seeds=6)
    scores[-1, :3] = np.nan
    assert select(STRENGTHS, scores).interval[1] < 4


@given(arrays(np.int8, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.integers(0, 2)))
@settings(max_examples=60)
def test_whether_there_is_a_curve_is_asked_and_raised_by_one_rule(kinds: np.ndarray) -> None:
    """Each training is sound (0), diverged (1) or was not run (2)."""
    strengths = np.arange(len(kinds))
    scores = np.where(kinds == 0, np.random.default_rng(0).normal(size=kinds.shape), np.nan)
    if has_curve(scores, diverged=kinds == 1):
        assert np.isfinite(select(strengths, scores, range_=(0, 4), diverged=kinds == 1).lambda_star)
    else:
        with pytest.raises(ValueError, match=r"more strengths|same seeds"):
            select(strengths, scores, range_=(0, 4), diverged=kinds == 1)


def test_as_many_diverged_as_sound_seeds_make_no_curve() -> None:
    scores = np.array([[0.7, 0.7], [0.8, np.nan], [np.nan, 0.9]])
    assert not has_curve(scores)
    assert has_curve(scores, diverged=np.zeros((3, 2), bool))
    assert counted(scores).tolist() == [[True, True], [False, False], [False, False]]


def test_missing_trainings_are_not_divergence() -> None:
    scores = trained(AXIS, seeds=6)
    scores[-1, :5] = np.nan
    chosen = select(STRENGTHS, scores, diverged=np.zeros(scores.shape, bool))
    assert chosen.lambda_star == 4
    assert "diverged" not in chosen.flags


def test_more_seeds_at_a_few_strengths_sharpen_the_answer() -> None:
    scores = np.full((9, 40), np.nan)
    full = peaked(noise=0.5, seeds=40)
    scores[:, :4] = full[:, :4]
    few = select(STRENGTHS, scores[:, :4])
    scores[2:8, 4:] = full[2:8, 4:]
    more = select(STRENGTHS, scores, diverged=np.zeros(scores.shape, bool))
    assert more.expected_regret < few.expected_regret


# --- extremes


def test_three_trainings_give_a_wide_answer_that_says_so() -> None:
    chosen = select([0, 0.5, 1], [[0.70], [0.72], [0.71]])
    assert chosen.interval == (0, 1)
    assert chosen.shape == "flat"
    assert "few_seeds" in chosen.flags


def test_two_hundred_strengths_with_fifty_seeds_take_less_than_a_second() -> None:
    strengths = np.linspace(0, 4, 200)
    scores = np.random.default_rng(0).normal(size=(200, 50)) - (strengths[:, None] - 2) ** 2
    with threadpool_limits(1):  # threads that wait for each other on a busy machine spend time of the processor, too
        began = time.process_time()
        chosen = select(strengths, scores)
        assert time.process_time() - began < 1
    assert chosen.interval[0] <= 2 <= chosen.interval[1]
    assert chosen.interval[1] - chosen.interval[0] < 0.6


def test_equal_scores_are_flat() -> None:
    chosen = select(STRENGTHS, np.full((9, 4), 0.75))
    assert chosen.shape == "flat"
    assert chosen.interval == (0, 4)
    assert chosen.expected_regret == pytest.approx(0, abs=1e-9)


def test_scores_without_noise_are_interpolated() -> None:
    chosen = select(STRENGTHS, np.repeat(-((AXIS - PEAK) ** 2)[:, None], 3, axis=1))
    assert chosen.lambda_star == pytest.approx(0.6, rel=0.05)


def test_strengths_a_rounding_apart_are_no_trouble() -> None:
    strengths = np.array([0, 5e-324, 1, np.nextafter(1, 2), 2])
    scores = trained(np.array([0, 0, 1, 1, 0.5]), seeds=3)
    chosen = select(strengths, scores)
    assert np.isfinite(chosen.posterior.mean).all()
    assert chosen.lambda_star == pytest.approx(1, abs=0.5)


def test_wider_range_than_tried() -> None:
    chosen = select(STRENGTHS, peaked(), range_=(0, 8))
    assert chosen.posterior.strengths[-1] == 8
    assert chosen.lambda_star == pytest.approx(0.6, rel=0.15)


@given(
    st.integers(2, 12).flatmap(
        lambda size: st.tuples(
            st.lists(st.floats(0, 1e3, width=16), min_size=size, max_size=size, unique=True),
            st.integers(1, 6).flatmap(
                lambda seeds: arrays(
                    float,
                    (size, seeds),
                    elements=st.one_of(st.floats(-1e3, 1e3), st.sampled_from([np.nan, 0.0, 0.5, np.inf])),
                )
            ),
        )
    )
)
@settings(max_examples=40)
def test_hostile_tables_are_answered_or_refused(table: tuple[list[float], np.ndarray]) -> None:
    strengths, scores = table
    try:
        chosen = select(strengths, scores)
    except ValueError as error:
        assert str(error)  # noqa: PT017
        return
    low, high = chosen.interval
    assert min(strengths) <= low <= chosen.lambda_star <= high <= max(strengths)
    assert chosen.lambda_1se <= chosen.lambda_star
    assert chosen.expected_regret >= 0
    assert np.isfinite(chosen.posterior.mean).all()
    assert (np.diff(chosen.posterior.strengths) > 0).all()
    assert (chosen.posterior.low <= chosen.posterior.high).all()
    assert 0 < chosen.shape_p_value <= 1
    assert chosen.noise_sd >= 0


@pytest.mark.parametrize(
    ("strengths", "scores", "says"),
    [
        ([1.0], [[1.0, 2.0]], "at least 2"),
        ([0, 1], [[np.nan], [1.0]], "at least 2"),
        ([0, 1, 2], np.full((3, 2), np.nan), "0 strength"),
        ([0, 1], [[1.0, np.nan], [np.nan, 1.0]], "at least 2"),
        ([0, 1], [1.0, 2.0], "shape"),
        ([0, 1, 2], [[1.0], [2.0]], "shape"),
        ([-1, 1], [[1.0], [2.0]], "at least 0"),
        ([0, np.inf], [[1.0], [2.0]], "finite"),
        ([1, 1], [[1.0], [2.0]], "repeat"),
    ],
)
def test_bad_input_is_one_clear_line(strengths: list[float], scores: list[list[float]], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        select(strengths, scores)
    assert "\n" not in str(caught.value)


def test_seeds_that_share_no_strength_are_refused() -> None:
    scores = [[1.0, np.nan], [np.nan, 1.0]]
    with pytest.raises(ValueError, match="no seed has scores at two strengths"):
        select([0, 1], scores, diverged=np.zeros((2, 2), bool))


@pytest.mark.parametrize("range_", [(0.5, 4), (0, 1), (-1, 4), (0, np.inf)])
def test_range_must_hold_the_strengths(range_: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="range"):
        select(STRENGTHS, peaked(), range_=range_)


@pytest.mark.parametrize("level", [0, 1, 90])
def test_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        select(STRENGTHS, peaked(), level=level)


# --- the warp, and draws for an acquisition function


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=10), st.floats(1e-3, 1e3))
def test_warp_is_monotone_and_undone_by_unwarp(strengths: list[float], scale: float) -> None:
    warped = warp(strengths, scale=scale)
    assert warp(0, scale=scale) == 0
    assert (np.diff(warped[np.argsort(strengths)]) >= 0).all()
    assert np.allclose(unwarp(warped, scale=scale), strengths, rtol=1e-9, atol=1e-9)


def test_warp_spreads_designs_evenly() -> None:
    even = np.linspace(0, 1, 11)
    logarithmic = np.array([0, 1e-3, 1e-2, 1e-1, 1, 10])
    for design in (even, logarithmic):
        axis = warp(design, scale=warp_scale(design))
        assert np.diff(axis).max() < 0.4 * axis[-1]
    axis = warp(even, scale=warp_scale(even))
    assert np.allclose(axis / axis[-1], even, atol=0.02)


def test_draws_agree_with_the_exact_mean() -> None:
    posterior = sample_posterior(STRENGTHS, peaked(noise=0.3), draws=4000)
    error = posterior.draws.std(axis=0) / np.sqrt(4000)
    assert (np.abs(posterior.draws.mean(axis=0) - posterior.mean) < 5 * error + 1e-6).all()


def test_posterior_matches_a_dense_gaussian_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one ℓ, one ρ, independent noise and no cliff, the mean is the textbook's, offsets projected out."""
    from study.selection import model, noise

    monkeypatch.setattr(model, "LENGTHS", np.array([0.4]))
    monkeypatch.setattr(model, "RATIOS", np.array([2.0]))
    monkeypatch.setattr(model, "CLIFF", 1e-300)
    monkeypatch.setattr(noise, "NOISES", (noise.Noise(0.0, 1.0, 0.0, 1.0),))
    strengths = np.array([0, 0.17, 0.31, 0.6, 1.0])
    scores = trained(strengths * (1 - strengths), noise=0.1, seeds=3)
    scores[1, 0] = scores[4, 2] = np.nan
    posterior = sample_posterior(strengths, scores, diverged=np.zeros(scores.shape, bool), scale=1e6, draws=2)

    rows, columns = np.nonzero(np.isfinite(scores))
    values, points = scores[rows, columns], strengths[rows]

    def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return 4.0 * np.exp(-0.5 * ((first[:, None] - second) / 0.4) ** 2)

    offsets = 1e6 * (columns[:, None] == columns)
    weights = np.linalg.solve(kernel(points, points) + np.eye(len(points)) + offsets, values)
    dense = kernel(posterior.strengths, points) @ weights
    assert np.allclose(np.diff(posterior.mean), np.diff(dense), atol=1e-5)


ANSWER = """
import json
import numpy as np
from study.selection import next_strength, select

strengths = np.array([0, 0.1, 0.25, 0.5, 0.6, 0.75, 1, 2, 4])
scores = np.random.default_rng(4).normal(-0.1 * (np.log1p(strengths) - 0.7)[:, None] ** 2, 0.03, (9, 4))
chosen = select(strengths, scores)
answer = [chosen.lambda_star, *chosen.interval, chosen.lambda_1se, chosen.expected_regret]
answer += [chosen.shape_p_value, chosen.harm_p_value, chosen.drop_p_value, *chosen.posterior.low]
print(json.dumps([*answer, next_strength(strengths, scores, seeds=2)]))
"""


def test_another_machine_s_linear_algebra_gives_the_same_answer() -> None:
    """Kernels of OpenBLAS round differently, and return other eigenvectors where values are equal."""
    answers = []
    for kernels in ("Prescott", "Haswell"):
        environment = os.environ | {"OPENBLAS_CORETYPE": kernels}
        ran = subprocess.run([sys.executable, "-c", ANSWER], env=environment, capture_output=True, text=True)
        assert not ran.stderr
        answers.append(json.loads(ran.stdout))
    assert answers[0] == pytest.approx(answers[1], rel=1e-9)
