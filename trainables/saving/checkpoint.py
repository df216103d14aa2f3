"""Checkpoint files that are whole or not there, and that can run no code when they are read."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch


class CheckpointError(RuntimeError):
    """A checkpoint is torn, foreign or of another pack; start over."""


def write_checkpoint(state: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write `state` (tensors and plain containers) so that whoever reads `path` sees the old file or the new, whole."""
    target = Path(path)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f"{target.name}.", delete=False) as file:
        try:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise


def read_checkpoint(path: str | os.PathLike[str], *, device: torch.device) -> dict[str, Any]:
    """What `write_checkpoint` wrote, with its tensors on `device`.

    Raises:
        CheckpointError: the file is torn or is something else.
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            state = torch.load(file, map_location=device, weights_only=True)
        except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{path} is not a whole checkpoint; start the pack over") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is not a checkpoint of a pack; start the pack over")
    return state
