"""Schedules, optimisers and clipping: closed forms, and what torch.optim does on each replica alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from trainables.spec import OptimiserName, ReplicaSpec, TrainingSpec
from trainables.training.optim import OPTIMISERS, SGD, AdamW, Optimiser
from trainables.training.schedule import learning_rates


def rates(epochs: int, steps: int, **recipe: object) -> list[float]:
    training = TrainingSpec(epochs=epochs, **recipe)  # type: ignore[arg-type]
    return [rate for epoch in range(epochs) for rate in learning_rates(training, epoch=epoch, steps=steps)]


def test_a_constant_rate_is_one_exactly() -> None:
    assert rates(3, 4) == [1.0] * 12


def test_a_cosine_falls_from_one_by_its_formula() -> None:
    half = math.sqrt(0.5)
    assert rates(2, 2, schedule="cosine") == pytest.approx([1.0, (1 + half) / 2, 0.5, (1 - half) / 2])
    long = rates(10, 100, schedule="cosine")
    assert long == sorted(long, reverse=True)
    assert 0 < long[-1] < 1e-5
    assert sum(long) == pytest.approx(500, abs=1)  # half of all


def test_warmup_rises_evenly_and_the_schedule_follows() -> None:
    assert rates(3, 2, warmup=2) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert rates(2, 4, warmup=0.5) == pytest.approx([1 / 3, 2 / 3, *[1.0] * 6])
    warmed = rates(5, 2, warmup=1, schedule="cosine")
    assert warmed[:2] == pytest.approx([1 / 3, 2 / 3])
    assert warmed[2:] == pytest.approx(rates(4, 2, schedule="cosine"))


REPLICAS = (  # learning rate, weight decay, largest norm
    (0.1, 0.0, math.inf),
    (0.02, 0.3, 0.5),
    (0.5, 0.01, 3.0),
)


def of_all(name: str, flat: Tensor) -> Optimiser:
    learning_rate, weight_decay, clip_norm = torch.tensor(REPLICAS).T
    return OPTIMISERS[name](
        flat, groups=[3, 2], learning_rate=learning_rate, weight_decay=weight_decay, clip_norm=clip_norm
    )


@pytest.mark.parametrize("name", OPTIMISERS)
def test_each_replica_is_stepped_as_torch_does_it(name: OptimiserName) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(len(REPLICAS), 5, generator=generator)
    slopes = 3 * torch.randn(6, len(REPLICAS), 5, generator=generator)
    shares = [1.0, 0.25, 1.0, 0.5, 0.125, 1.0]
    flat = start.clone()
    optimiser = of_all(name, flat)
    for slope, share in zip(slopes, shares, strict=True):
        optimiser.step(slope.clone(), torch.zeros(len(REPLICAS)), share)
    for k, (learning_rate, weight_decay, clip_norm) in enumerate(REPLICAS):
        parts = [nn.Parameter(part.clone()) for part in start[k].split([3, 2])]
        plain: torch.optim.Optimizer
        if name == "sgd":
            plain = torch.optim.SGD(parts, lr=learning_rate, weight_decay=weight_decay, momentum=0.9)
        else:
            plain = torch.optim.AdamW(parts, lr=learning_rate, weight_decay=weight_decay)
        for slope, share in zip(slopes, shares, strict=True):
            plain.param_groups[0]["lr"] = learning_rate * share
            for part, own in zip(parts, slope[k].split([3, 2]), strict=True):
                part.grad = own.clone()
                nn.utils.clip_grad_norm_([part], clip_norm)
            plain.step()
        torch.testing.assert_close(flat[k], torch.cat([part.detach() for part in parts]), rtol=1e-5, atol=1e-6)


def test_two_steps_of_sgd_by_hand() -> None:
    flat = torch.tensor([[1.0, -2.0]])
    one = torch.ones(1)
    optimiser = SGD(flat, groups=[1, 1], learning_rate=0.5 * one, weight_decay=0.1 * one, clip_norm=math.inf * one)
    optimiser.step(torch.tensor([[2.0, 4.0]]), one)
    torch.testing.assert_close(flat, torch.tensor([[1 - 0.5 * 2.1, -2 - 0.5 * 3.8]]))  # the slope + 0.1 · the weight
    optimiser.step(torch.zeros(1, 2), one)
    moved = [0.9 * 2.1 + 0.1 * -0.05, 0.9 * 3.8 + 0.1 * -3.9]
    torch.testing.assert_close(flat, torch.tensor([[-0.05 - 0.5 * moved[0], -3.9 - 0.5 * moved[1]]]))


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_without_clipping_a_replica_that_blows_up_stands_still_as_well(name: str, odd: float) -> None:
    flat = torch.ones(3, 5)
    optimiser = of_all(name, flat)
    slope = torch.ones(3, 5)
    slope[0, 4] = odd
    for _ in range(2):
        optimiser.step(slope.clone(), torch.zeros(3))
    assert optimiser.frozen.tolist() == [True, False, False]
    assert torch.equal(flat[0], torch.ones(5))
    assert flat[1:].isfinite().all()
    assert (flat[1:] != 1).all()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_restored_optimiser_goes_on_bit_for_bit(name: str) -> None:
    one, other = torch.ones(3, 5), torch.zeros(3, 5)
    whole, again = of_all(name, one), of_all(name, other)
    slope = torch.linspace(-1, 1, 15).view(3, 5)
    whole.step(slope.clone(), torch.zeros(3), 0.5)
    again.load_state_dict(whole.state_dict())
    for optimiser in (whole, again):
        optimiser.step(slope.clone(), torch.zeros(3), 0.25)
    assert torch.equal(one, other)


def test_the_usual_optimiser_clips_at_eight() -> None:
    assert ReplicaSpec(strength_1=0.0, strength_2=0.0, seed=1).clip_norm == 8.0
    assert OPTIMISERS[TrainingSpec().optimiser] is AdamW
