"""Every score against scikit-learn and SciPy, at the edges where they are not defined, and what rows add to each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk
from torch import Tensor

from trainables.metrics.jackknife import MOST_BLOCKS, deal, pseudo_values
from trainables.metrics.scores import SCORES, scores_of, turned

N = 90
Kinds = dict[str, tuple[Tensor, Tensor]]


def quarters(values: NDArray[np.float64]) -> Tensor:
    """Multiples of 1/4, so that many tie and none by rounding."""
    return torch.from_numpy(np.round(4 * values) / 4)


@pytest.fixture(scope="module")
def data() -> Kinds:
    """Outputs of three replicas and targets, by kind."""
    rng = np.random.default_rng(0)
    two, four = rng.integers(0, 2, N), rng.integers(0, 4, N)
    labels = (rng.random((N, 3)) < 0.3).astype(np.float64)
    real = np.round(rng.normal(size=(N, 2)), 1)
    return {
        "two": (quarters(rng.normal(size=(3, N, 2)) + np.eye(2)[two]), torch.from_numpy(two)),
        "four": (quarters(rng.normal(size=(3, N, 4)) + 1.5 * np.eye(4)[four]), torch.from_numpy(four)),
        "labels": (quarters(rng.normal(size=(3, N, 3)) + labels), torch.from_numpy(labels)),
        "real": (quarters(rng.normal(size=(3, N, 2)) + real), torch.from_numpy(real)),
    }


def of_classes(outputs: NDArray[np.float64], target: NDArray[np.int64]) -> dict[str, float]:
    likely, said = torch.from_numpy(outputs).softmax(-1).numpy(), outputs.argmax(-1)
    odds = np.log(likely / (1 - likely)).round(6)
    columns = [1] if outputs.shape[1] == 2 else range(outputs.shape[1])
    return {
        "accuracy": sk.accuracy_score(target, said),
        "balanced_accuracy": sk.balanced_accuracy_score(target, said),
        "macro_f1": sk.f1_score(target, said, average="macro"),
        "log_loss": sk.log_loss(target, likely),
        "auroc": np.mean([sk.roc_auc_score(target == c, odds[:, c]) for c in columns]),
        "average_precision": np.mean([sk.average_precision_score(target == c, odds[:, c]) for c in columns]),
    }


def of_labels(outputs: NDArray[np.float64], target: NDArray[np.float64]) -> dict[str, float]:
    each = list(zip(outputs.T, target.T, strict=True))
    return {
        "accuracy": ((outputs > 0) == target).mean(),
        "balanced_accuracy": np.mean([sk.balanced_accuracy_score(y, out > 0) for out, y in each]),
        "macro_f1": sk.f1_score(target, outputs > 0, average="macro"),
        "log_loss": np.mean([sk.log_loss(y, 1 / (1 + np.exp(-out))) for out, y in each]),
        "auroc": sk.roc_auc_score(target, outputs),
        "average_precision": sk.average_precision_score(target, outputs),
    }


def of_numbers(outputs: NDArray[np.float64], target: NDArray[np.float64]) -> dict[str, float]:
    each = list(zip(outputs.T, target.T, strict=True))

    def lin(out: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        shared = 2 * np.cov(out, y, bias=True)[0, 1]
        return float(shared / (out.var() + y.var() + (out.mean() - y.mean()) ** 2))

    return {
        "r2": sk.r2_score(target, outputs),
        "rmse": sk.root_mean_squared_error(target, outputs),
        "mae": sk.mean_absolute_error(target, outputs),
        "pearson": np.mean([stats.pearsonr(out, y)[0] for out, y in each]),
        "spearman": np.mean([stats.spearmanr(out, y)[0] for out, y in each]),
        "concordance": np.mean([lin(out, y) for out, y in each]),
        "sign_accuracy": ((outputs > 0) == (target > 0)).mean(),
    }


@pytest.mark.parametrize(
    ("kind", "known"), [("two", of_classes), ("four", of_classes), ("labels", of_labels), ("real", of_numbers)]
)
def test_scores_are_those_of_scikit_learn_and_scipy(data: Kinds, kind: str, known) -> None:  # type: ignore[no-untyped-def]
    outputs, target = data[kind]
    expected = [known(one.numpy(), target.numpy()) for one in outputs]
    assert set(expected[0]) == set(scores_of({"labels": "multi_label", "real": "real"}.get(kind, "classes")))  # type: ignore[arg-type]
    for name in expected[0]:
        measured = SCORES[name].measure(outputs, target)
        assert measured.tolist() == pytest.approx([one[name] for one in expected], abs=1e-9), name


def named(data: Kinds) -> Iterator[tuple[str, Tensor, Tensor]]:
    for kind, (outputs, target) in data.items():
        for name in scores_of({"labels": "multi_label", "real": "real"}.get(kind, "classes")):  # type: ignore[arg-type]
            yield name, outputs, target


def test_targets_may_differ_between_replicas_which_score_as_alone(data: Kinds) -> None:
    for name, outputs, target in named(data):
        rolled = torch.stack([target.roll(k, 0) for k in range(3)])
        alone = [SCORES[name].measure(outputs[k : k + 1], rolled[k]).item() for k in range(3)]
        assert SCORES[name].measure(outputs, rolled).tolist() == pytest.approx(alone, abs=1e-12), name


def test_many_replicas_come_in_pieces_that_change_nothing(data: Kinds, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [SCORES[name].measure(outputs, target) for name, outputs, target in named(data)]
    monkeypatch.setattr("trainables.metrics.scores._PIECE_VALUES", 1)
    for (name, outputs, target), expected in zip(named(data), whole, strict=True):
        torch.testing.assert_close(SCORES[name].measure(outputs, target), expected, msg=name)


def test_what_rows_add_is_the_score_on_average_and_spreads_as_leaving_them_out_does(data: Kinds) -> None:
    for name, outputs, target in named(data):
        by_row, score = SCORES[name].by_row, SCORES[name].measure(outputs, target).double()
        left_out = pseudo_values(SCORES[name].measure, outputs, target, np.arange(N))
        assert left_out.mean(1).tolist() == pytest.approx(score.tolist(), abs=1e-9), name
        if by_row is None:
            assert name in ("average_precision", "spearman")
            continue
        added = by_row(outputs, target).double()
        assert added.mean(1).tolist() == pytest.approx(score.tolist(), abs=1e-9), name
        if name != "r2":  # whose total is taken as given
            ratio = added.std(1) / left_out.std(1)
            assert ((ratio > 0.9) & (ratio < 1.001)).all(), name
            for one, other in zip(added, left_out, strict=True):
                assert np.corrcoef(one, other)[0, 1] > 0.99, name  # but for terms of order 1/N


def test_blocks_estimate_the_spread_of_a_score_over_samples() -> None:
    """The truth is had by drawing test rows anew, many times: the grouped jackknife's error is that, to its noise."""
    rng = np.random.default_rng(1)

    def sample() -> tuple[Tensor, Tensor]:
        target = rng.normal(size=(300, 1))
        return torch.from_numpy(target + rng.normal(size=(1, 300, 1))), torch.from_numpy(target)

    measure, truth, estimates = SCORES["pearson"].measure, [], []
    for _ in range(60):
        outputs, target = sample()
        truth.append(measure(outputs, target).item())
        values = pseudo_values(measure, outputs, target, deal(300, None))
        estimates.append(float(values.std()) / np.sqrt(values.shape[1]))
    assert np.mean(estimates) == pytest.approx(np.std(truth, ddof=1), rel=0.25)


def test_groups_are_never_parted_and_blocks_are_nearly_equal() -> None:
    groups = np.repeat(np.arange(200), 1 + np.arange(200) % 5)
    blocks = deal(len(groups), groups)
    assert len(np.unique(blocks)) == MOST_BLOCKS
    assert all(len(set(blocks[groups == group])) == 1 for group in range(200))
    assert np.ptp(np.bincount(blocks)) <= 5
    assert sorted(np.bincount(deal(130, None)).tolist()) == [2] * 50 + [3] * 10


def test_a_constant_encoder_scores_as_chance_does() -> None:
    classes, labels = torch.arange(30) % 3, (torch.arange(60).view(30, 2) % 4 == 0).double()
    numbers = torch.arange(30.0).view(30, 1)
    assert SCORES["auroc"].measure(torch.full((2, 30, 3), 0.3), classes).tolist() == [0.5, 0.5]
    assert SCORES["auroc"].measure(torch.full((2, 30, 2), 0.3), labels).tolist() == [0.5, 0.5]
    prevalence = SCORES["average_precision"].measure(torch.zeros(1, 30, 3), classes).item()
    assert prevalence == pytest.approx(1 / 3)
    for name in ("pearson", "spearman", "concordance"):
        assert SCORES[name].measure(torch.full((2, 30, 1), 7.0), numbers).tolist() == [0, 0]
        by_row = SCORES[name].by_row
        assert by_row is None or by_row(torch.full((2, 30, 1), 7.0), numbers).mean(1).abs().max() < 1e-12


def test_classes_that_do_not_occur_are_left_out() -> None:
    target = torch.tensor([0, 0, 1, 1])  # and none of class 2
    outputs = torch.tensor([[[2.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 2, 0]]])
    for name in ("balanced_accuracy", "macro_f1", "auroc", "average_precision"):
        assert SCORES[name].measure(outputs, target).tolist() == [1], name
    one = torch.zeros(4, dtype=torch.long)  # nothing to order
    assert SCORES["auroc"].measure(outputs, one).tolist() == [0.5]
    assert SCORES["auroc"].by_row(outputs, one).tolist() == [[0.5] * 4]  # type: ignore[misc]


def test_confident_outputs_still_have_an_order() -> None:
    """Their probabilities would all be 1 or 0."""
    outputs = torch.tensor([[[900.0, 0, 0], [800, 0, 0], [0, 700, 0], [0, 0, 700]]])
    assert SCORES["auroc"].measure(outputs, torch.tensor([0, 1, 1, 2])).item() == pytest.approx((1 + 0.75 + 1) / 3)


def test_errors_are_called_negative_where_higher_is_better() -> None:
    assert [turned(name) for name in ("rmse", "accuracy", "mine.py:score")] == [
        "negative rmse",
        "accuracy",
        "mine.py:score",
    ]
