import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from trainables.metrics.scores import SCORES, accuracy, r2, sign_accuracy


def test_accuracy():
    outputs = torch.tensor([[[2.0, 1.0], [0.0, 1.0]], [[2.0, 1.0], [1.0, 0.0]]])
    assert accuracy(outputs, torch.tensor([0, 1])).tolist() == [1, 0.5]
    assert accuracy(outputs, torch.tensor([[1, 1], [0, 0]])).tolist() == [0.5, 1]


def test_the_first_of_equal_outputs_counts():
    outputs = torch.tensor([[[1.0, 2.0, 2.0], [3.0, 0.0, 3.0], [0.0, 0.0, 0.0], [1.0, 0.0, 2.0]]])
    for target in torch.cartesian_prod(*[torch.arange(3)] * 4):
        assert accuracy(outputs, target).item() == (outputs.argmax(-1) == target).double().mean().item()


def test_sign_accuracy_counts_zero_as_negative():
    outputs = torch.tensor([[[0.5], [-0.5], [0.1], [0.0]]])
    target = torch.tensor([2.0, -1.0, 0.0, 0.0])
    assert sign_accuracy(outputs, target).tolist() == [0.75]
    assert sign_accuracy(outputs, target[:, None]).tolist() == [0.75]


def test_r2_is_sklearn_s():
    rng = np.random.default_rng(0)
    target, noise = rng.normal(size=(50, 3)), rng.normal(size=(2, 50, 3))
    target[:, 2] = 4.0  # constant, and missed
    outputs = target + noise * [[[0.3]], [[2.0]]]
    outputs[1, :, 2] = 4.0  # and hit
    actual = r2(torch.from_numpy(outputs), torch.from_numpy(target))
    assert actual.tolist() == pytest.approx([r2_score(target, o) for o in outputs])


def test_r2_of_the_mean_is_0():
    target = torch.tensor([1.0, 2.0, 6.0])
    assert r2(torch.full((1, 3, 1), 3.0), target).tolist() == [0]


@pytest.mark.parametrize("name", SCORES)
def test_diverged_replica_scores_nan_alone(name):
    outputs = torch.zeros(2, 3, 1)
    outputs[1, 2] = torch.nan
    scores = SCORES[name].measure(outputs, torch.tensor([0, 0, 0]))
    assert scores.isnan().tolist() == [False, True]


@pytest.mark.parametrize("name", ["sign_accuracy", "r2"])
def test_target_that_would_broadcast_is_refused(name):
    with pytest.raises(ValueError, match=r"give one of shape \(10, 3\)"):
        SCORES[name].measure(torch.zeros(2, 10, 3), torch.zeros(10))
