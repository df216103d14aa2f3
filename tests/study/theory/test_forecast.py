"""The forecast of a pair: known populations, invariances, the real sets, and input that cannot be forecast."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from study.theory import forecast
from trainables.datasets.base import DataError, Modality, PairData, Target
from trainables.datasets.generated.linear import load_linear, population

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
LINEAR = {"redundancy": 0.2, "correlation": 0.8, "latents": 2, "features": 12, "noise": 0.3, "rows": 6000, "seed": 0}


def linear_pair(**options):
    return load_linear(LINEAR | options).pair("first", "second")


def with_values(pair, values, index=0, **changed):
    modality = dataclasses.replace(pair.modalities[index], values=values, **changed)
    modalities = (modality, pair.modalities[1]) if index == 0 else (pair.modalities[0], modality)
    return dataclasses.replace(pair, modalities=modalities)


def test_forecast_of_the_linear_family_finds_its_critical_strength():
    law = population(LINEAR)
    power = 2 * law.latents * (1 + LINEAR["noise"] ** 2)  # of the target; the forecast scales it to 1
    for encoder in forecast(linear_pair(rows=40_000), k=2).encoders:
        (critical,) = encoder.critical_strengths
        assert critical == pytest.approx(law.critical_strength / power, rel=0.15)
        r2_own, r2_shared = ((1 - np.array(encoder.risk))[[0, -1]]) * power / law.latents
        assert (r2_own, r2_shared) == (pytest.approx(0.8, abs=0.05), pytest.approx(0.2, abs=0.05))
        assert encoder.best_strength < critical
        assert encoder.held_out[-1] == pytest.approx(encoder.risk[-1], abs=0.04)


def test_a_fully_redundant_pair_has_nothing_to_lose():
    found = forecast(linear_pair(redundancy=1.0), k=2, strengths=(0.0, 0.1, 1.0, 10.0, np.inf))
    for encoder in found.encoders:
        assert encoder.critical_strengths == ()
        assert encoder.best_strength == 1.0  # the middle of what was given
        assert np.ptp(encoder.risk) < 0.02


def test_alignment_is_forecast_to_help_where_few_rows_find_the_shared_direction():
    # one shared direction makes the target and both modalities are noisy, wide and few: the other one shows where it is
    rng = np.random.default_rng(0)
    rows, d = 1200, 60
    s = rng.standard_normal((rows, 1))
    x_1, x_2 = (np.hstack([s, rng.standard_normal((rows, d))]).astype(np.float32) for _ in "12")
    y = (s + 3 * rng.standard_normal((rows, 1))).astype(np.float32)
    target = Target(values=y, kind="real", metric="r2")
    split = np.repeat([0, 1], [200, 1000]).astype(np.int8)
    modalities = Modality(name="a", values=x_1), Modality(name="b", values=x_2)
    pair = PairData(dataset="few", modalities=modalities, targets=(target, target), split=split)
    for encoder in forecast(pair, k=1).encoders:
        assert encoder.best_strength > 0
        assert encoder.gain > 2 * encoder.gain_error > 0
        assert np.all(np.diff(encoder.risk) > -1e-9)


def test_swapping_the_modalities_swaps_the_forecast():
    pair = linear_pair(rows=1000)
    swapped = dataclasses.replace(pair, modalities=pair.modalities[::-1], targets=pair.targets[::-1])
    here, there = forecast(pair, k=2), forecast(swapped, k=2)
    assert there.correlations == pytest.approx(here.correlations)
    for one, same in zip(here.encoders, there.encoders[::-1], strict=True):
        assert one.modality == same.modality
        assert one.risk == pytest.approx(same.risk)
        assert one.held_out == pytest.approx(same.held_out)
        assert one.critical_strengths == pytest.approx(same.critical_strengths)


def test_units_of_features_and_targets_do_not_matter():
    pair = linear_pair(rows=1000)
    scaled = with_values(pair, pair.modalities[0].values * np.geomspace(0.01, 100, 12, dtype=np.float32) + 7)
    target = dataclasses.replace(pair.targets[0], values=pair.targets[0].values * 50 - 3)
    scaled = dataclasses.replace(scaled, targets=(target, pair.targets[1]))
    for one, same in zip(forecast(pair, k=2).encoders, forecast(scaled, k=2).encoders, strict=True):
        assert one.risk == pytest.approx(same.risk, abs=1e-4)
        assert one.critical_strengths == pytest.approx(same.critical_strengths, rel=1e-3)


def test_a_series_enters_as_its_mean_over_real_steps_and_an_image_as_its_pixels():
    pair = linear_pair(rows=1000)
    flat = pair.modalities[0].values
    series = np.repeat(flat[:, None], 5, axis=1)
    series[:, :3] += np.array([1.0, -1.0, 0.0], dtype=np.float32)[:, None]
    series[:, 3:] = 1e6
    mask = np.arange(5) < np.full((len(flat), 1), 3)
    expected = forecast(pair, k=2).encoders[0]
    for values, changed in ((series, {"mask": mask}), (flat.reshape(-1, 2, 3, 2), {})):
        found = forecast(with_values(pair, values, **changed), k=2).encoders[0]
        assert found.risk == pytest.approx(expected.risk, abs=1e-5)


def test_constant_columns_are_dropped_and_outliers_of_other_rows_cannot_decide():
    pair = linear_pair(rows=1000)
    values = pair.modalities[0].values
    rare = np.zeros((len(values), 2), dtype=np.float32) + np.float32(0.1)
    rare[pair.rows("train")[0], 0] += 1e-3
    rare[pair.rows("valid")[:20], 0] += 5
    found = forecast(with_values(pair, np.hstack([values, rare])), k=2)
    assert found.shrinkage[0].rank == 13
    assert min(found.encoders[0].held_out) < min(forecast(pair, k=2).encoders[0].held_out) + 0.05


@pytest.mark.parametrize(("rows", "features"), [(300, 900), (900, 500)])
def test_wide_modalities_are_cut_shrunk_and_say_so(rows, features):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((rows, 8)) @ rng.standard_normal((8, features)) + rng.standard_normal((rows, features))
    pair = linear_pair(rows=rows)
    found = forecast(with_values(pair, values.astype(np.float32)), k=2)
    effect = found.shrinkage[0]
    assert effect.features == features
    assert 0.5 < effect.kept <= 1
    assert effect.rank <= min(384, len(pair.rows("train")) - 1)
    assert 0 < effect.intensity < 1
    assert effect.condition_after < 1e4
    assert effect.condition_before is None or effect.condition_before > effect.condition_after
    assert max(found.correlations) < 1
    assert np.isfinite(found.encoders[0].held_out).all()


@pytest.mark.parametrize("seed", range(6))
def test_shares_lie_between_nothing_and_all(seed):
    """All variance kept, all of the target explained: rounding must not make more of either."""
    rng = np.random.default_rng(seed)
    pair = linear_pair(rows=600)
    wide = rng.standard_normal((600, 6)) @ rng.standard_normal((6, 500)) * 10.0 ** rng.uniform(-3, 3)
    pair = with_values(pair, wide)
    target = dataclasses.replace(pair.targets[0], values=wide[:, :2].astype(np.float64))
    found = forecast(dataclasses.replace(pair, targets=(target, pair.targets[1])), k=6)
    for effect, encoder in zip(found.shrinkage, found.encoders, strict=True):
        assert 0 < effect.kept <= 1
        assert 0 <= min(encoder.risk) <= max(encoder.risk) <= 1
        assert all(0 < crossing.lost <= 1 for crossing in encoder.crossings)
    assert found.shrinkage[0].kept > 1 - 1e-9


def test_classes_are_predicted_as_one_hot_columns():
    pair = linear_pair(rows=2000)
    classes = (pair.targets[0].values[:, -1] > 0).astype(np.int64)
    target = Target(values=classes, kind="classes", n_classes=3)  # the third does not occur
    found = forecast(dataclasses.replace(pair, targets=(target, target)), k=2)
    assert 0.3 < found.encoders[0].risk[0] < 0.7
    as_sign = Target(values=(2.0 * classes - 1).astype(np.float32), kind="real", metric="r2")
    same = forecast(dataclasses.replace(pair, targets=(as_sign, as_sign)), k=2)
    assert found.encoders[1].risk == pytest.approx(same.encoders[1].risk)


def test_a_width_beyond_the_modality_is_its_rank():
    pair = linear_pair(rows=1000)
    assert forecast(pair, k=64).encoders[0].risk == pytest.approx(forecast(pair, k=12).encoders[0].risk)


def test_the_given_strengths_are_used_and_limits_allowed():
    encoder = forecast(linear_pair(rows=1000), k=2, strengths=(4.0, 0.0, np.inf, 0.1)).encoders[0]
    assert encoder.strengths == (4.0, 0.0, np.inf, 0.1)
    assert encoder.risk[1] <= encoder.risk[3] < encoder.risk[0] <= encoder.risk[2] + 1e-12


def test_a_forecast_is_plain_data():
    text = json.dumps(dataclasses.asdict(forecast(linear_pair(rows=400), k=2)), allow_nan=False)
    assert json.loads(text)["encoders"][0]["modality"] == "first"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: with_values(p, np.ones_like(p.modalities[0].values)), "'first' does not vary"),
        (lambda p: with_values(p, np.full_like(p.modalities[1].values, np.nan), 1), "'second' has values that are not"),
        (lambda p: dataclasses.replace(p, split=np.zeros_like(p.split)), "0 valid rows"),
        (lambda p: dataclasses.replace(p, split=np.ones_like(p.split)), "0 training"),
        (
            lambda p: dataclasses.replace(
                p, targets=(Target(values=np.zeros(len(p.split), np.int64), kind="classes", n_classes=2),) * 2
            ),
            "target of 'first' does not vary",
        ),
    ],
)
def test_data_that_cannot_be_forecast_is_one_clear_line(change, message):
    with pytest.raises(DataError, match=message) as caught:
        forecast(change(linear_pair(rows=400)), k=2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("options", "message"), [({"k": 0}, "k is 0"), ({"k": 1, "strengths": [-1.0]}, "from 0 to")])
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        forecast(linear_pair(rows=400), **options)


@pytest.mark.parametrize(
    ("name", "pair", "k", "harm"),
    [("houston2013", ("hsi", "lidar"), 16, (True, False)), ("mfeat", ("fou", "mor"), 8, (True, False))],
)
def test_real_pairs_are_forecast_to_lose_own_information(name, pair, k, harm):
    path = DATA / name / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path} is not here; the real sets are not part of the repository")
    arrays = np.load(path, allow_pickle=False)
    target = Target(values=arrays["y"].astype(np.int64), kind="classes", n_classes=int(arrays["y"].max()) + 1)
    modalities = Modality(name=pair[0], values=arrays[pair[0]]), Modality(name=pair[1], values=arrays[pair[1]])
    found = forecast(
        PairData(dataset=name, modalities=modalities, targets=(target, target), split=arrays["split"]), k=k
    )
    assert tuple(bool(encoder.critical_strengths) for encoder in found.encoders) == harm
    for encoder in found.encoders:
        assert np.all(np.diff(encoder.risk) > -1e-8)
        assert 0 < encoder.risk[0] < 1
