"""What a trial computes on, with a module in the place of `torch.cuda` that says what it is asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from trainables.training.device import Device, take_device


class Cuda:
    def __init__(self, *, available: bool = True) -> None:
        self.available, self.fractions = available, list[tuple[float, int]]()

    def is_available(self) -> bool:
        return self.available

    def get_device_properties(self, device: int) -> SimpleNamespace:
        assert device == 0
        return SimpleNamespace(total_memory=2**33)

    def set_per_process_memory_fraction(self, fraction: float, device: int) -> None:
        self.fractions.append((fraction, device))


def test_a_trial_without_a_gpu_leaves_alone_what_its_process_sees() -> None:
    cuda = Cuda()
    assert take_device(0, cuda=cuda) == Device(name="cpu", lacks="")
    assert cuda.fractions == []


@pytest.mark.parametrize(
    ("gpus", "fractions"),
    [(0.1, [(0.05, 0)]), (0.25, [(0.1875, 0)]), (0.5, [(0.4375, 0)]), (1, []), (2, [])],
)
def test_a_share_of_a_gpu_is_a_share_of_its_memory(gpus: float, fractions: list[tuple[float, int]]) -> None:
    cuda = Cuda()
    assert take_device(gpus, cuda=cuda) == Device(name="cuda")
    assert cuda.fractions == fractions


@pytest.mark.parametrize(
    ("version", "visible", "told"),
    [
        (None, None, "is a build without CUDA"),
        ("13.0", "", "CUDA_VISIBLE_DEVICES is ''"),
        ("13.0", "-1", "CUDA_VISIBLE_DEVICES is '-1'"),
        ("13.0", "0", "torch finds no GPU"),
        ("13.0", "1", "torch finds no GPU"),
        ("13.0", None, "torch finds no GPU"),
    ],
)
def test_why_there_is_none(
    version: str | None, visible: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", version)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    device = take_device(0.5, cuda=Cuda(available=False))
    assert device.name == "cpu"
    assert told in device.lacks
