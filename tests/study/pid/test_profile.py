"""Which component a profile calls dominant: decided by intervals, not by the largest number."""

import pytest

from study.pid import COMPONENTS, PIDProfile


def _profile(intervals, *, significant=COMPONENTS):
    return PIDProfile(
        **{name: sum(intervals[name]) / 2 for name in COMPONENTS},
        estimator="posterior",
        gap=0.0,
        interval=intervals,
        null=dict.fromkeys(COMPONENTS, 0.01),
        significant={name: name in significant for name in COMPONENTS},
    )


LOW = (0.0, 0.05)


def test_component_whose_interval_is_above_all_others_dominates():
    profile = _profile({"redundancy": LOW, "unique_1": (0.3, 0.4), "unique_2": (0.1, 0.2), "synergy": LOW})
    assert profile.dominant == "unique_1"


def test_overlapping_intervals_are_mixed_however_far_the_values_are_apart():
    profile = _profile({"redundancy": (0.2, 0.9), "unique_1": (0.1, 0.25), "unique_2": LOW, "synergy": LOW})
    assert profile.dominant == "mixed"


def test_insignificant_components_cannot_dominate():
    intervals = {"redundancy": (0.2, 0.3), "unique_1": LOW, "unique_2": LOW, "synergy": LOW}
    assert _profile(intervals, significant=()).dominant == "none"
    assert _profile(intervals, significant=("unique_1",)).dominant == "mixed"


def test_only_components_can_be_asked_for():
    with pytest.raises(KeyError):
        _profile(dict.fromkeys(COMPONENTS, LOW))["gap"]
