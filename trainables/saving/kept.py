"""A model of the user's own as one file, and back.

Its weights alone would not do: only his code knows what they mean. So the file holds the whole object, pickled, with
the classes of his own files by value, so that it opens where those files are not. To look at what the file says of it
runs no code; to open the model does.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import cloudpickle
import torch

from trainables.saving.checkpoint import CheckpointError, read_checkpoint, write_checkpoint

FORMAT = "own-1"


@dataclass(frozen=True, kw_only=True)
class KeptModel:
    """A model that a function has kept as the encoder of `modality`, of the class `kind`, by its full name."""

    modality: str
    kind: str
    library: Literal["torch", "other"]
    path: Path

    def open(self) -> Any:
        """The model, on the CPU where it is torch's. This runs code of the file: open only what you trust.

        Raises:
            CheckpointError: the file is torn, or needs a library that is not here.
        """
        state = _read(self.path)
        try:
            content = io.BytesIO(bytes(state["pickled"].numpy().tobytes()))
            return torch.load(content, map_location="cpu", weights_only=False, pickle_module=pickle)
        except (ImportError, AttributeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"the model in {self.path} cannot be opened here: {error}") from error


def save_kept(
    model: object, path: str | os.PathLike[str], *, modality: str, by_value: Sequence[ModuleType] = ()
) -> None:
    """Write a model whole or not at all, with what it uses of the modules `by_value`.

    Raises:
        Exception: the model cannot be pickled, for whatever reason it gives.
    """
    content = io.BytesIO()
    for module in by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        torch.save(model, content, pickle_module=cloudpickle)
    finally:
        for module in by_value:
            cloudpickle.unregister_pickle_by_value(module)
    state = {
        "format": FORMAT,
        "modality": modality,
        "kind": f"{type(model).__module__}.{type(model).__qualname__}",
        "library": "torch" if isinstance(model, torch.nn.Module) else "other",
        "pickled": torch.frombuffer(content.getbuffer(), dtype=torch.uint8),
    }
    write_checkpoint(state, path)


def read_kept(path: str | os.PathLike[str]) -> KeptModel:
    """What a file says of its model, which stays closed.

    Raises:
        CheckpointError: the file is torn, or is something else.
        OSError: it cannot be opened.
    """
    state = _read(path)
    return KeptModel(modality=state["modality"], kind=state["kind"], library=state["library"], path=Path(path))


def is_kept(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a model of the user's own; an encoder of a pack is not.

    Raises:
        CheckpointError: the file is torn.
        OSError: it cannot be opened.
    """
    return read_checkpoint(path, device=torch.device("cpu")).get("format") == FORMAT


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    state = read_checkpoint(path, device=torch.device("cpu"))
    if state.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no model of format {FORMAT}")
    return state
