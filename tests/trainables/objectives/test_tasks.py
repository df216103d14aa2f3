import math

import pytest
import torch
from torch.nn import functional

from trainables.objectives.tasks import TASK_LOSSES, task_loss_and_gradient


def test_uniform_logits_cost_log_c():
    loss = TASK_LOSSES["cross_entropy"](torch.zeros(3, 10, 4), torch.arange(10) % 4)
    torch.testing.assert_close(loss, torch.full((3,), math.log(4)))


@pytest.mark.parametrize("name", TASK_LOSSES)
def test_gradients_beside_the_value_are_those_of_autograd(name):
    outputs = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.arange(21).view(3, 7) % 4 if name == "cross_entropy" else torch.ones(3, 7, 4)
    loss = TASK_LOSSES[name](outputs, target)
    value, gradient = task_loss_and_gradient(name, outputs.detach(), target)
    torch.testing.assert_close(value, loss)
    torch.testing.assert_close(gradient, torch.autograd.grad(loss.sum(), outputs)[0])


def test_confident_outputs_cost_what_they_are_worth():
    outputs = torch.tensor([[[500.0, -500.0]]])
    for target, worth, pull in ((0, 0.0, [0.0, 0.0]), (1, 1000.0, [1.0, -1.0])):
        value, gradient = task_loss_and_gradient("cross_entropy", outputs, torch.tensor([[target]]))
        assert (value.item(), gradient.flatten().tolist()) == (worth, pull)


def test_classes_may_differ_between_replicas():
    outputs = torch.randn(3, 10, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.stack([torch.arange(10).roll(k) % 4 for k in range(3)])
    expected = torch.stack([functional.cross_entropy(o, t) for o, t in zip(outputs, targets, strict=True)])
    torch.testing.assert_close(TASK_LOSSES["cross_entropy"](outputs, targets), expected)


@pytest.mark.parametrize(("name", "expected"), [("l1", [1.5, 0.5]), ("mse", [2.5, 0.5])])
@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 2), (2, 2, 1)])
def test_errors_per_replica(name, expected, shape):
    outputs = torch.tensor([[[1.0], [0.0]], [[0.0], [1.0]]])
    target = torch.tensor([0.0, 2.0])
    target = target.expand(2, 2) if shape == (2, 2) else target
    target = target.view(1, 2, 1).expand(shape) if len(shape) == 3 else target.reshape(shape)
    torch.testing.assert_close(TASK_LOSSES[name](outputs, target), torch.tensor(expected))


@pytest.mark.parametrize("name", ["l1", "mse"])
def test_target_that_would_broadcast_is_refused(name):
    with pytest.raises(ValueError, match=r"give one of shape \(10, 3\) or \(2, 10, 3\)"):
        TASK_LOSSES[name](torch.zeros(2, 10, 3), torch.zeros(10, 1))
