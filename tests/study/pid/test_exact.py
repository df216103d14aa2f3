"""The exact programme against published tables, against its own laws, and against tables that are none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from study.pid import COMPONENTS, broja
from study.pid.exact import decompose, information
from trainables.datasets.generated.gates import GATES, gate_table
from trainables.datasets.generated.synthetic import joint_table
from trainables.training.threads import one_thread

# nats R, U1, U2, S of the Boolean generator (Tjandrasuwita et al. 2025), by alternating I-projections, error 1e-3
SYNTHETIC_PROFILES = {
    0: (0.2728, 0.0941, 0.2005, 0.5914),
    1: (0.3367, 0.0302, 0.2821, 0.5098),
    2: (0.3632, 0.1303, 0.2444, 0.4209),
    3: (0.3839, 0.1096, 0.3878, 0.2776),
    4: (0.4706, 0.2445, 0.2627, 0.1810),
    5: (0.5914, 0.1237, 0.2953, 0.1484),
    6: (0.7490, 0.2227, 0.1316, 0.0555),
    7: (0.9717, 0, 0.1871, 0),
    8: (1.1588, 0, 0, 0),
}

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))


def _values(profile):
    return [profile[name] for name in COMPONENTS]


def _random_table(shape, *, seed, concentration=1.0):
    size = int(np.prod(shape))
    return np.random.default_rng(seed).dirichlet(np.full(size, concentration)).reshape(shape)


@st.composite
def tables(draw):
    """Joint tables from flat to sparse ones, in which most entries are tiny or zero."""
    shape, seed = draw(SHAPES), draw(st.integers(0, 2**20))
    table = _random_table(shape, seed=seed, concentration=draw(st.sampled_from([0.02, 0.3, 1.0])))
    if draw(st.booleans()):
        table = np.where(table > 0.5 / table.size, table, 0.0)
    return table / table.sum()


@pytest.mark.parametrize("gate", GATES)
def test_gates_have_the_published_profile(gate, gate_profiles):
    assert _values(broja(gate_table(gate))) == pytest.approx(gate_profiles[gate], abs=1e-4)


@pytest.mark.parametrize("redundancy", SYNTHETIC_PROFILES)
def test_boolean_generator_has_the_published_profile(redundancy):
    profile = broja(joint_table(redundancy))
    assert np.array(_values(profile)) * np.log(2) == pytest.approx(SYNTHETIC_PROFILES[redundancy], abs=1e-3)


def test_256_states_a_side_stay_in_memory_when_no_states_are_alike():
    """The redundant table of the generator is diagonal; this one is dense, and its states cannot be merged."""
    profile = broja(_random_table((96, 80, 4), seed=0))
    assert profile.gap < 1e-8
    assert profile.settings["converged"]


def test_entries_of_very_different_sizes_are_solved_as_well():
    """Some three in a thousand of such tables stall the solver's long steps, with a gap of up to 0.2 bits."""
    rng = np.random.default_rng(0)
    for _ in range(1500):
        exponents = rng.choice([10, 30, 111, 250]) * rng.random(rng.integers(1, 6, size=3))
        table = np.where(rng.random(exponents.shape) < 0.5, 10.0**-exponents, rng.random(exponents.shape))
        assert broja(table / table.sum()).gap < 1e-6


@settings(max_examples=60)
@given(tables())
def test_parts_are_not_negative_and_sum_to_the_informations(table):
    profile = broja(table)
    i1, i2 = (float(information(marginal[None])[0]) for marginal in (table.sum(axis=1), table.sum(axis=0)))
    i12 = float(information(table.reshape(1, -1, table.shape[2]))[0])
    assert min(_values(profile)) >= 0
    assert min(low for low, _ in profile.interval.values()) >= 0
    assert profile.redundancy + profile.unique_1 == pytest.approx(i1, abs=1e-9)
    assert profile.redundancy + profile.unique_2 == pytest.approx(i2, abs=1e-9)
    assert profile.total == pytest.approx(i12, abs=1e-9)
    assert profile.gap < 1e-6


@settings(max_examples=40)
@given(tables())
def test_swapping_the_modalities_swaps_the_unique_parts(table):
    profile, turned = broja(table), broja(table.swapaxes(0, 1))
    expected = [turned.redundancy, turned.unique_2, turned.unique_1, turned.synergy]
    assert _values(profile) == pytest.approx(expected, abs=profile.gap + turned.gap + 1e-9)


@settings(max_examples=30)
@given(tables(), st.integers(0, 2**20))
def test_order_of_states_and_classes_does_not_matter(table, seed):
    rng = np.random.default_rng(seed)
    shuffled = table[np.ix_(*(rng.permutation(size) for size in table.shape))]
    first, second = broja(table), broja(shuffled)
    assert _values(first) == pytest.approx(_values(second), abs=first.gap + second.gap + 1e-9)


def test_certificate_holds_against_the_known_optimum():
    """AND's optimum is .3113 bits; with loose tolerances the answer stays within what the certificate allows."""
    exact = broja(gate_table("and", 0.05), tolerance=1e-10).redundancy
    for tolerance in (1e-1, 1e-2, 1e-3):
        loose = broja(gate_table("and", 0.05), tolerance=tolerance)
        low, high = loose.interval["redundancy"]
        assert low - 1e-9 <= exact <= high + 1e-9


def test_gap_left_by_the_iteration_limit_is_reported():
    table = _random_table((12, 12, 4), seed=3)
    cut, full = broja(table, max_iterations=2), broja(table)
    assert cut.gap > 1e-4
    assert not cut.settings["converged"]
    assert cut.interval["synergy"][1] >= full.synergy
    assert abs(cut.synergy - full.synergy) <= cut.gap


def test_stack_gives_the_same_as_one_by_one():
    stack = np.stack([_random_table((6, 5, 3), seed=seed) for seed in range(7)])
    together = broja(stack)
    assert len(together) == 7
    for table, profile in zip(stack, together, strict=True):
        assert _values(profile) == pytest.approx(_values(broja(table)), abs=1e-7)


def test_a_part_that_is_none_is_not_negative_by_rounding():
    """X1 reads a state through noise that X2 reads as it is: without a limit, unique_1 is -4e-16."""

    def channel(size, noise):
        found = np.full((size, size), noise / (size - 1))
        np.fill_diagonal(found, 1 - noise)
        return found

    for states in range(2, 8):
        first, second = np.indices((states, states))
        clean = np.zeros((states, states, 2 * states - 1))
        clean[first, second, first + second] = 1 / states**2
        for flip in (0.05, 0.1, 0.2, 0.3, 0.4):
            noisy = clean @ channel(2 * states - 1, 0.1)
            profile = broja(np.einsum("aby,ac->cby", noisy, channel(states, flip)))
            assert 0 <= profile.unique_1 < 1e-6
            assert profile.interval["unique_1"][0] >= 0


def test_states_without_probability_change_nothing():
    table = _random_table((4, 3, 2), seed=5)
    padded = np.zeros((6, 5, 3))
    padded[1:5, :3, :2] = table
    assert _values(broja(padded)) == pytest.approx(_values(broja(table)), abs=1e-7)


def test_states_of_one_posterior_are_one_state():
    table = _random_table((4, 3, 2), seed=6)
    split = np.concatenate([0.3 * table, 0.7 * table])
    assert _values(broja(split)) == pytest.approx(_values(broja(table)), abs=1e-7)


def test_classes_that_modalities_share_with_certainty_leave_only_redundancy():
    table = np.zeros((5, 5, 5))
    table[np.arange(5), np.arange(5), np.arange(5)] = (0.4, 0.3, 0.2, 0.05, 0.05)
    assert _values(broja(table)) == pytest.approx([entropy([0.4, 0.3, 0.2, 0.05, 0.05], base=2), 0, 0, 0], abs=1e-6)


def test_tiny_probabilities_do_not_stall_the_solver():
    rng = np.random.default_rng(1)
    table = np.exp(rng.uniform(-30, 0, size=(10, 10, 3)))
    result = decompose((table / table.sum())[None], tolerance=1e-6)
    assert result.gap[0] < 1e-5


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (np.full((2, 2, 2), 0.2), "sums to 1.6"),
        (np.full((2, 2, 2), np.nan), "NaN"),
        (np.array([[[1.5, -0.5]]]), "negative"),
        (np.full((2, 4), 0.125), "shape"),
        (np.zeros((0, 2, 2)), "shape"),
        (np.zeros((2, 2, 2)), "sums to 0"),
        (np.stack([np.full((2, 2, 2), 0.125), np.full((2, 2, 2), 0.1)]), "sums to 0.8"),
        (np.full((2, 2, 2), np.inf), "infinite"),
    ],
)
def test_what_is_no_distribution_is_refused_in_one_line(table, words):
    with pytest.raises(ValueError, match=words) as caught:
        broja(table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("setting", [{"tolerance": 0.0}, {"tolerance": float("nan")}, {"max_iterations": 0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        broja(gate_table("and"), **setting)


@pytest.mark.parametrize("shape", [(8, 8, 4), (20, 20, 10)])
def test_a_profile_is_the_same_on_any_number_of_threads(shape: tuple[int, int, int]) -> None:
    p = np.random.default_rng(0).dirichlet(np.full(int(np.prod(shape)), 0.5)).reshape(shape)
    with one_thread():
        alone = broja(p)
    assert broja(p) == alone
