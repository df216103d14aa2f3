"""What a trial computes on: the share of a GPU that it was given, or a CPU."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

_CONTEXT_BYTES = 2**29  # of a process on a GPU before its first tensor, at most; not measured here


@dataclass(frozen=True, kw_only=True)
class Device:
    """A kind of device, as torch names it, and why it is not the GPU that was to be had, in words; "" where it is."""

    name: str = "cpu"
    lacks: str = ""


def take_device(gpus: float, *, cuda: Any = torch.cuda) -> Device:
    """What a trial computes on that holds so many GPUs, at least a share of one.

    A trial that holds none leaves those alone that its process can see. Ray lets a process see the GPUs that its trial
    was given, and what the user lets it see stands, so that the first one is the trial's. Of a GPU that several trials
    share, each may fill its share of the memory, less what CUDA itself takes in its process: one that asks for more
    fails, and is halved, not its neighbours.

    `cuda` is torch's module of that name.
    """
    if gpus <= 0:
        return Device()
    if not cuda.is_available():
        return Device(lacks=_why())
    if gpus < 1:
        taken = _CONTEXT_BYTES / cuda.get_device_properties(0).total_memory
        cuda.set_per_process_memory_fraction(max(gpus / 2, gpus - taken), 0)
    return Device(name="cuda")


def _why() -> str:
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES is {visible!r}"
    return "torch finds no GPU, although Ray has one; see nvidia-smi there"
