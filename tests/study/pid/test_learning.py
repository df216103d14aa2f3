"""What networks have not learned yet: curves with a known limit, and networks that may read a part of the rows only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.pid import COMPONENTS, broja, profile_pair
from study.pid.learning import SHARE, entropy, left_to_learn, widened
from study.pid.posteriors import cross_fitted, part_of
from trainables.datasets import load
from trainables.datasets.generated.gates import gate_table
from trainables.spec import DatasetSpec
from trainables.training.threads import one_thread

Y = np.arange(400) % 2


def _posterior(bits):
    """Posteriors (N, 2) of a fair bit whose mean log p(y | x) / p(y) is this."""
    right = 2.0 ** (bits - 1)
    return np.where(np.arange(2) == Y[:, None], right, 1 - right)


def _learned(limits, losses, share):
    """Posteriors of x1, x2 and both from a share of the rows, where losses fall like 1 / √n."""
    return [_posterior(limit - loss * share**-0.5) for limit, loss in zip(limits, losses, strict=True)]


def test_what_is_left_is_exact_where_the_loss_falls_like_the_square_root():
    limits, losses = (0.5, 0.8, 0.9), (0.1, 0.2, 0.0)
    left = left_to_learn(_learned(limits, losses, 1.0), _learned(limits, losses, SHARE), Y)
    assert left == pytest.approx(losses)


def test_nothing_is_left_where_a_part_of_the_rows_teaches_more():
    assert (left_to_learn([_posterior(0.5)] * 3, [_posterior(0.6)] * 3, Y) == 0).all()


def test_rows_that_only_all_networks_answered_do_not_count():
    full, part = _posterior(0.5), _posterior(0.3)
    part[::4] = np.nan  # and with them half of the zeros
    full[::4] = 0.5
    assert left_to_learn([full] * 3, [part] * 3, Y) == pytest.approx([0.2] * 3, abs=1e-9)


def test_networks_worse_than_chance_know_nothing_rather_than_less():
    assert (left_to_learn([_posterior(0.0)] * 3, [_posterior(-3.0)] * 3, Y) == 0).all()


CERTAIN = np.array([[0.2, 0.3, 0.0, 0.1]] * 2)


def test_nothing_left_nothing_widened():
    assert np.array_equal(widened(CERTAIN, CERTAIN[0], np.zeros(3), most=1.0), CERTAIN)


def test_what_is_missing_from_one_modality_may_be_redundant_or_its_own_but_not_the_others():
    low, high = widened(CERTAIN, CERTAIN[0], np.array([0.05, 0.0, 0.0]), most=1.0)
    assert low == pytest.approx([0.2, 0.3, 0.0, 0.05])
    assert high == pytest.approx([0.25, 0.35, 0.0, 0.1])


def test_sampling_and_learning_are_independent_errors():
    sampled = np.array([[0.17, 0.3, 0.0, 0.1], [0.23, 0.3, 0.0, 0.1]])
    low, high = widened(sampled, CERTAIN[0], np.array([0.04, 0.0, 0.0]), most=1.0)
    assert (low[0], high[0]) == pytest.approx((0.17, 0.25))


@given(st.lists(st.floats(0, 2), min_size=3, max_size=3), st.floats(0, 1))
def test_intervals_only_grow_and_stay_between_nothing_and_the_target(left, unsolved):
    low, high = widened(CERTAIN, CERTAIN[0], np.array(left), most=0.7, unsolved=unsolved)
    assert ((low >= 0) & (low <= CERTAIN[0])).all()
    assert ((high <= 0.7) & (high >= CERTAIN[1])).all()


@pytest.mark.parametrize("gate", ["and", "sum", "redundant", "redundant_and_unique1"])
def test_an_unsolved_programme_leaves_room_for_its_optimum(gate):
    """The joint law that is independent given y is a feasible table: its least information is too large."""
    table = gate_table(gate)
    best = broja(table)
    p_y = table.sum(axis=(0, 1))
    q = np.einsum("iy,jy,y->ijy", table.sum(axis=1) / p_y, table.sum(axis=0) / p_y, p_y)
    excess = broja(q).total - (best.redundancy + best.unique_1 + best.unique_2)
    found = np.array([best[name] for name in COMPONENTS]) + excess * np.array([-1, 1, 1, -1])
    low, high = widened(np.stack([found, found]), found, np.zeros(3), most=2.0, unsolved=min(found[1:3]))
    for name, lower, upper in zip(COMPONENTS, low, high, strict=True):
        assert lower - 1e-6 <= best[name] <= upper + 1e-6


def test_entropy_is_that_of_the_classes():
    assert entropy(np.arange(8) % 4) == pytest.approx(2.0)
    assert entropy(np.array([0, 0, 0, 2])) == pytest.approx(0.8113, abs=1e-4)


def test_a_part_has_its_share_of_every_class():
    y = np.repeat([0, 1, 2], [200, 100, 40])
    assert np.bincount(y[part_of(y, 0.25, seed=1)]).tolist() == [50, 25, 10]


def test_networks_of_a_part_never_read_the_other_rows():
    rng = np.random.default_rng(0)
    x = Y[:, None] + rng.normal(size=(len(Y), 3))
    chosen = part_of(Y, SHARE, seed=0)
    spoilt = np.where(chosen[:, None], x, 100.0)
    with one_thread():
        (clean,), (other,) = (cross_fitted([points], Y, 2, seed=0, share=SHARE) for points in (x, spoilt))
    answered = np.isfinite(clean[:, 0])
    assert 0.4 < answered.mean() < 0.6
    assert np.array_equal(clean[answered & chosen], other[answered & chosen])
    assert not np.array_equal(clean[answered & ~chosen], other[answered & ~chosen])


def test_the_interval_holds_what_the_networks_do_not_find():
    """Behind a frozen network they find much less than there is, and resampling the rows cannot tell."""
    options = {"redundancy": 6, "transform_depth": 2, "rows": 1500}
    data = load(DatasetSpec(name="synthetic", options=options)).pair("first", "second")
    profile = profile_pair(data, bootstrap=20, splits=("train",))
    assert profile.redundancy < data.exact_profile["redundancy"] - 0.15
    low, high = profile.interval["redundancy"]
    assert low <= data.exact_profile["redundancy"] <= high
    assert profile.significant["unique_2"]  # no chance, and yet perhaps redundant once the first is read better
    assert profile.interval["unique_2"][0] == 0
