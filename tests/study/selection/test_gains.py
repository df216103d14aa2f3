"""What selection claims in the end: the gain on fresh seeds, its correction, the verdict and the strategy."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from study.selection import (
    Gain,
    Selection,
    StrategyGains,
    choose_strategy,
    conclude,
    corrected_gain,
    holm,
    paired_gain,
    select,
)


def made(mean: float, error: float = 0.005, *, seeds: int = 10) -> Gain:
    """A gain with a t interval at 90 %."""
    reach = float(stats.t.ppf(0.95, seeds - 1)) * error
    p_value = float(2 * stats.t.sf(abs(mean) / error, seeds - 1))
    return Gain(
        mean=mean, interval=(mean - reach, mean + reach), p_value=p_value, seeds=seeds, standard_error=error, level=0.9
    )


def gains(first: float, second: float, error: float = 0.005) -> StrategyGains:
    return StrategyGains(
        gain_1=made(first, error), gain_2=made(second, error), gain_mean=made((first + second) / 2, error)
    )


# --- the gain


@pytest.mark.parametrize("count", [2, 4, 10, 40])
def test_a_gain_has_the_t_interval_and_test(count: int) -> None:
    baseline, candidate = np.random.default_rng(count).normal([[0.0], [0.4]], size=(2, count))
    gain = paired_gain(baseline, candidate)
    expected = stats.ttest_rel(candidate, baseline)
    assert gain.mean == pytest.approx((candidate - baseline).mean())
    assert gain.p_value == pytest.approx(expected.pvalue)
    assert gain.interval == pytest.approx(expected.confidence_interval(0.9))
    assert gain.seeds == count


@pytest.mark.parametrize("rows", [20, 50, 200])
def test_gains_of_scores_that_come_in_steps_are_covered(rows: int) -> None:
    """Ten seeds, the accuracies of a split of so many rows, a few of which change: most differences tie."""
    rng = np.random.default_rng(rows)
    changed = rng.poisson(0.5, (1000, 10)) - rng.poisson(0.2, (1000, 10))
    gains = [paired_gain(np.full(10, 0.8), 0.8 + row / rows) for row in changed]
    covered = np.mean([gain.interval[0] <= 0.3 / rows <= gain.interval[1] for gain in gains])
    assert 0.86 <= covered <= 0.97


def test_p_value_and_interval_agree() -> None:
    rng = np.random.default_rng(0)
    for count in (5, 10, 25):
        for shift in np.linspace(0, 1, 9):
            gain = paired_gain(np.zeros(count), rng.normal(shift, 1, count), level=0.95)
            outside = not gain.interval[0] <= 0 <= gain.interval[1]
            assert outside == (gain.p_value < 0.05) or abs(gain.p_value - 0.05) < 0.002


@pytest.mark.parametrize("count", [4, 12])
def test_swapping_the_two_swaps_the_answer(count: int) -> None:
    first, second = np.random.default_rng(1).normal(size=(2, count))
    forward, backward = paired_gain(first, second), paired_gain(second, first)
    assert backward.mean == pytest.approx(-forward.mean)
    assert backward.interval == pytest.approx([-limit for limit in reversed(forward.interval)])
    assert backward.p_value == pytest.approx(forward.p_value, rel=1e-6)


@pytest.mark.parametrize("count", [2, 9, 10, 30])
def test_identical_scores_have_no_gain(count: int) -> None:
    scores = np.random.default_rng(0).normal(size=count)
    gain = paired_gain(scores, scores)
    assert (gain.mean, gain.interval, gain.p_value) == (0, (0, 0), 1)


def test_constant_gain_is_as_sure_as_its_signs() -> None:
    gain = paired_gain(np.full(5, 0.5), np.full(5, 0.625))
    assert gain.interval == (0.125, 0.125)
    assert gain.p_value == 2**-4


def test_diverged_seeds_are_left_out_in_pairs() -> None:
    baseline, candidate = np.array([1.0, np.nan, 3, 4, 7]), np.array([2.0, 5, np.nan, 6, 7.5])
    assert paired_gain(baseline, candidate) == paired_gain(baseline[[0, 3, 4]], candidate[[0, 3, 4]])


@pytest.mark.parametrize(("baseline", "candidate", "seeds"), [([], [], 0), ([np.nan], [1.0], 0), ([1.0], [2.0], 1)])
def test_too_few_seeds_claim_nothing(baseline: list[float], candidate: list[float], seeds: int) -> None:
    gain = paired_gain(baseline, candidate)
    assert gain.seeds == seeds
    assert gain.p_value == 1
    assert np.isnan(gain.interval).all()


@pytest.mark.parametrize(
    "options", [{"candidate": [1.0]}, {"candidate": [[1.0, 2.0]]}, {"candidate": [1, 2], "level": 0}]
)
def test_bad_gains_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"shape|level"):
        paired_gain([1.0, 2.0], **options)


# --- Holm


def test_holm_matches_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_the_values_and_bonferroni(values: list[float]) -> None:
    adjusted = np.array(holm(values))
    assert (adjusted >= np.array(values)).all()
    assert (adjusted <= np.minimum(1, len(values) * np.array(values)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(values, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("values", [[0.5, np.nan], [-0.1], [1.5]])
def test_holm_refuses_what_is_no_p_value(values: list[float]) -> None:
    with pytest.raises(ValueError, match="p-values"):
        holm(values)


# --- verdict, shape and the reported λ*

AXIS = np.linspace(0, 1, 9)


def searched(curve: np.ndarray, *, noise: float = 0.1, seeds: int = 5) -> Selection:
    rng = np.random.default_rng(0)
    return select(AXIS, curve[:, None] + rng.normal(size=seeds) + noise * rng.normal(size=(len(AXIS), seeds)))


RISING, FALLING, FLAT = searched(AXIS), searched(-AXIS), searched(0 * AXIS)
PEAKED = searched(1 - 4 * (AXIS - 0.4) ** 2)
FALLING_LATE = searched(np.where(AXIS <= 0.25, 0.0, 0.25 - AXIS), noise=0.05)


@pytest.mark.parametrize(("selection", "shape"), [(RISING, "rising"), (PEAKED, "inverted-u")])
def test_confirmed_gain_means_align(selection: Selection, shape: str) -> None:
    concluded = conclude(selection, made(0.1))
    assert (concluded.verdict, concluded.shape) == ("align", shape)
    assert concluded.lambda_star == selection.lambda_star > 0
    assert concluded.gain.mean == 0.1


def test_confirmed_gain_of_a_curve_that_falls_in_the_end_makes_it_an_inverted_u() -> None:
    """The search alone could not tell its peak from λ = 0; fresh seeds could."""
    low_peak = searched(np.where(AXIS <= 0.25, 0.2 * AXIS, 0.3 - AXIS), noise=0.1)
    assert (low_peak.shape, conclude(low_peak, made(0.0)).shape) == ("falling", "falling")
    assert conclude(low_peak, made(0.1)).shape == "inverted-u"


def test_gain_that_the_study_does_not_bear_is_indifferent() -> None:
    concluded = conclude(RISING, made(0.1), adjusted_p=0.2)
    assert (concluded.verdict, concluded.shape) == ("indifferent", "rising")


@pytest.mark.parametrize("selection", [FALLING, FALLING_LATE])
def test_falling_curve_without_a_gain_means_avoid_and_no_alignment(selection: Selection) -> None:
    concluded = conclude(selection, made(0.002))
    assert (concluded.verdict, concluded.shape) == ("avoid", "falling")
    assert (concluded.lambda_star, concluded.lambda_1se, concluded.interval[0]) == (0, 0, 0)
    assert (concluded.gain.mean, concluded.gain.interval) == (0, (0, 0))


def test_unconfirmed_peak_is_neither_avoided_nor_aligned() -> None:
    """Its interval leaves out 0, so that not aligning is not shown to be the answer."""
    concluded = conclude(searched(1 - 9 * (AXIS - 0.3) ** 2), made(0.0))
    assert (concluded.verdict, concluded.shape) == ("indifferent", "inverted-u")
    assert concluded.lambda_star > 0


def test_confirmed_loss_means_avoid_with_the_shape_that_contradicts_it() -> None:
    concluded = conclude(PEAKED, made(-0.1))
    assert (concluded.verdict, concluded.shape, concluded.lambda_star) == ("avoid", "inverted-u", 0)
    assert concluded.interval[0] == 0


def test_flat_curve_is_indifferent() -> None:
    concluded = conclude(FLAT, made(0.004))
    assert (concluded.verdict, concluded.shape) == ("indifferent", "flat")


@given(st.floats(-2, 2), st.floats(-4, 4), st.floats(-0.02, 0.02), st.floats(0, 1), st.integers(0, 50))
@settings(max_examples=60)
def test_no_answer_contradicts_itself(slope: float, bend: float, gain: float, adjusted: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    curve = slope * AXIS - bend * AXIS**2
    selection = select(AXIS, curve[:, None] + rng.normal(size=(9, 3)))
    concluded = conclude(selection, made(gain if selection.lambda_star else 0.0), adjusted_p=adjusted)
    low, high = concluded.interval
    assert low <= concluded.lambda_star <= high
    if concluded.verdict == "align":
        assert concluded.shape in ("rising", "inverted-u")
        assert concluded.lambda_star > 0
        assert concluded.gain.mean > 0
    if concluded.verdict == "avoid":
        assert concluded.shape == "falling" or gain < 0
        assert concluded.lambda_star == concluded.gain.mean == 0


# --- the strategy


def test_nothing_confirmed_recommends_none() -> None:
    choice = choose_strategy({"shared": gains(0.004, 0.002), "to_1": gains(0.003, 0)})
    assert choice.strategy == "none"


def test_opposed_encoders_recommend_the_one_sided_strategy() -> None:
    """Measured on spoken reviews: a shared strength lifts text and drops audio, one-sided keeps audio as it was."""
    choice = choose_strategy(
        {
            "shared": gains(0.029, -0.037),
            "to_1": gains(0.037, 0),
            "to_2": gains(0, -0.02),
            "per_encoder": gains(0.037, 0),
        }
    )
    assert choice.strategy == "to_1"


def test_pair_that_gains_together_recommends_the_shared_strength() -> None:
    """Measured on leaves: one-sided keeps only a third of the shared gain."""
    choice = choose_strategy(
        {
            "shared": gains(0.03, 0.035),
            "to_1": gains(0.01, 0),
            "to_2": gains(0, 0.011),
            "per_encoder": gains(0.01, 0.011),
        }
    )
    assert choice.strategy == "shared"
    assert set(choice.adjusted_p) == {"shared", "to_1", "to_2", "per_encoder"}


def test_simpler_strategy_wins_within_a_standard_error() -> None:
    near = {"shared": gains(0.03, 0.03), "per_encoder": gains(0.032, 0.032)}
    assert choose_strategy(near).strategy == "shared"
    far = near | {"per_encoder": gains(0.05, 0.05)}
    assert choose_strategy(far).strategy == "per_encoder"


def test_strategies_compared_share_one_error_rate() -> None:
    """A gain that is significant alone need not be among four."""
    lucky = gains(0.013, 0.013)
    assert choose_strategy({"shared": lucky}).strategy == "shared"
    others = {"to_1": gains(0, 0), "to_2": gains(0, 0), "per_encoder": gains(0, 0)}
    assert choose_strategy({"shared": lucky, **others}).strategy == "none"


def test_single_seed_recommends_none() -> None:
    alone = replace(made(0.1), p_value=1.0, seeds=1, interval=(np.nan, np.nan), standard_error=np.nan)
    assert choose_strategy({"shared": StrategyGains(gain_1=alone, gain_2=alone, gain_mean=alone)}).strategy == "none"


def test_strategies_are_held_to_the_correction_of_the_whole_study() -> None:
    clear = {"shared": gains(0.02, 0.02)}
    assert choose_strategy(clear, adjusted_p={"shared": 0.01}).strategy == "shared"
    assert choose_strategy(clear, adjusted_p={"shared": 0.2}).strategy == "none"


@pytest.mark.parametrize("candidates", [{}, {"both": gains(0.1, 0.1)}])
def test_unknown_strategies_are_refused(candidates: dict[str, StrategyGains]) -> None:
    with pytest.raises(ValueError, match="none, shared, to_1, to_2, per_encoder"):
        choose_strategy(candidates)


# --- gains that are too small to matter


def test_a_gain_is_too_small_where_its_interval_lies_within_the_smallest_one_of_interest() -> None:
    assert made(0.001, 0.001).is_too_small(0.005)
    assert made(-0.001, 0.001).is_too_small(0.005)
    assert not made(0.001, 0.005).is_too_small(0.005)  # it may be more
    assert not made(0.1, 0.001).is_too_small(0.005)
    assert not made(0.0, 0.0001).is_too_small(0.0)  # every gain is of interest
    assert not paired_gain([0.5], [0.5]).is_too_small(0.005)  # of one seed nothing is known


def test_what_is_too_small_is_neither_aligned_for_nor_avoided() -> None:
    tiny = made(0.002, 0.0005)
    assert conclude(RISING, tiny).verdict == "align"
    assert conclude(RISING, tiny, smallest_gain=0.005).verdict == "indifferent"
    assert conclude(PEAKED, made(-0.002, 0.0005), smallest_gain=0.005).verdict == "indifferent"
    assert conclude(RISING, made(0.004, 0.001), smallest_gain=0.005).verdict == "align"  # it may be 0.6 points


def test_no_strategy_is_chosen_for_what_is_too_small() -> None:
    small = {"shared": gains(0.002, 0.002, 0.0004)}
    assert choose_strategy(small).strategy == "shared"
    choice = choose_strategy(small, smallest_gain=0.005)
    assert (choice.strategy, choice.reason) == ("none", "the confirmed gain of shared is too small to matter")
    large = {**small, "to_2": gains(0.0, 0.02, 0.002)}
    assert choose_strategy(large, smallest_gain=0.005).strategy == "to_2"


def test_two_strengths_are_not_chosen_for_an_encoder_that_loses_by_its_own() -> None:
    """One side alone gains more; that its gain happens not to be confirmed is no reason to pull the other too."""
    candidates = {"to_2": gains(0.0, 0.03, 0.03), "per_encoder": gains(-0.002, 0.03, 0.001)}
    assert choose_strategy(candidates).strategy == "none"


# --- gains over random splits


def test_random_splits_are_covered_where_they_share_rows() -> None:
    """The mean of a sample from all that is left in each split: its own luck is common to all splits of the data."""
    rng = np.random.default_rng(0)
    corrected, plain = [], []
    for _ in range(400):
        rows = rng.normal(0.2, 1, 120)  # gains by row, of which a split tests on 30 and trains on 90
        changes = np.array([rng.permutation(rows)[:30].mean() for _ in range(10)])
        corrected.append(corrected_gain(np.zeros(10), changes, ratio=30 / 90))
        plain.append(paired_gain(np.zeros(10), changes))
    covered, too_often = (
        np.mean([gain.interval[0] <= 0.2 <= gain.interval[1] for gain in told]) for told in (corrected, plain)
    )
    assert covered >= 0.87
    assert too_often < 0.75


def test_the_corrected_gain_is_that_of_the_paper() -> None:
    first, second = np.random.default_rng(1).normal([[0.0], [0.4]], size=(2, 10))
    change = second - first
    gain = corrected_gain(first, second, ratio=0.25)
    statistic = change.mean() / np.sqrt((1 / 10 + 0.25) * change.var(ddof=1))
    assert gain.p_value == pytest.approx(2 * stats.t.sf(abs(statistic), 9))
    assert (gain.splits, gain.units) == (10, None)
    with pytest.raises(ValueError, match="ratio"):
        corrected_gain(first, second, ratio=0.0)


def test_a_curve_that_falls_is_not_avoided_where_a_gain_is_in_sight() -> None:
    """Its interval lies above 0, though it is not confirmed among so many claims."""
    selection = FALLING_LATE
    assert conclude(selection, made(0.002), adjusted_p=0.8).verdict == "avoid"
    assert conclude(selection, made(0.015), adjusted_p=0.8).verdict == "indifferent"
