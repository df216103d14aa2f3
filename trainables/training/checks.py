"""What of a pack's spec cannot be trained, told before anything is."""

from __future__ import annotations

from typing import get_args

import torch

from trainables.objectives.alignment import ALIGNMENT_OBJECTIVES
from trainables.spec import Direction, Keep, PackSpec, Precision, Schedule, TrainingSpec
from trainables.training.optim import OPTIMISERS


def check(spec: PackSpec, device: torch.device) -> None:
    """Refuse what no data make possible on a device.

    Raises:
        ValueError: the spec asks for it.
    """
    if not spec.replicas:
        raise ValueError("a pack needs at least one replica, given none")
    for name, value in (("epochs", spec.training.epochs), ("batch_size", spec.training.batch_size)):
        if value < 1:
            raise ValueError(f"{name} is {value}; give at least 1")
    for name, given, known in (
        ("alignment objective", spec.alignment.objective, ALIGNMENT_OBJECTIVES),
        ("direction", spec.alignment.direction, get_args(Direction)),
        ("precision", spec.training.precision, get_args(Precision)),
        ("keep", spec.training.keep, get_args(Keep)),
        ("schedule", spec.training.schedule, get_args(Schedule)),
        ("optimiser", spec.training.optimiser, OPTIMISERS),
    ):
        if given not in known:
            raise ValueError(f"unknown {name} {given!r}; known are {', '.join(known)}")
    if spec.training.keep == "best" and "valid" in spec.fit and spec.rows == "fixed":
        raise ValueError("keep: best chooses by the validation rows, so they cannot be trained on; fit train alone")
    _check_recipe(spec.training)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device} was asked for, and this machine has no CUDA GPU; use cpu")
    if spec.training.precision == "tf32" and device.type != "cuda":
        raise ValueError(f"precision tf32 exists on CUDA GPUs only, the device is {device}; use float32 or bf16")


def _check_recipe(training: TrainingSpec) -> None:
    if training.patience is not None and training.keep != "best":
        raise ValueError(f"patience waits for a better epoch, and keep is {training.keep}; give keep: best")
    if training.patience is not None and training.patience < 1:
        raise ValueError(f"patience is {training.patience} epochs; give at least 1")
    if not 0 <= training.warmup < training.epochs:
        raise ValueError(
            f"warmup is {training.warmup:g} epochs of {training.epochs}; give 0 or more, and less than all of them"
        )
