"""The built-in trainer: a job is a pack, whose replicates train in lockstep."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from trainables.code.calls import SourceError
from trainables.datasets.base import MultimodalData, PairData
from trainables.saving.export import encoder_file, trained_encoders, training_hash
from trainables.spec import PackSpec, ReplicateResult
from trainables.trainer import Context, Progress, RefusedError, TooLargeError
from trainables.training.pack import Pack
from trainables.training.pictures import with_pictures


class PackTrainer:
    """Trains packs on the dataset that the context shares."""

    def read(self, value: Mapping[str, Any]) -> PackSpec:
        """The pack that `PackSpec.to_json` was called on."""
        return PackSpec.from_json(value)

    def begin(self, job: PackSpec, context: Context) -> PackTraining:
        """The pack, which is built once it trains."""
        return PackTraining(job, context)


class PackTraining:
    """A pack at work, an epoch at a time."""

    def __init__(self, spec: PackSpec, context: Context) -> None:
        self._spec, self._context = spec, context
        self._pack: Pack | None = None

    @property
    def done(self) -> bool:
        """Whether the last epoch is over."""
        return self._pack is not None and self._pack.done

    def advance(self, seconds: float) -> Progress:
        """Train for about that long, or to the end.

        Raises:
            TooLargeError: an allocation failed.
            RefusedError: code of the user's does not do what it has to.
            ValueError: the spec asks for what the data or the device cannot give.
        """
        with _fitting(), _refusing():
            pack = self._built()
            start = time.monotonic()
            while not pack.done and time.monotonic() - start < seconds:
                pack.run(1)
        return self._progress()

    def results(self) -> tuple[ReplicateResult, ...]:
        """What each replica came to."""
        pack = self._built()
        return with_pictures(pack.results(), pack, self._data(), drawn=self._context.drawn)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the pack's state, atomically."""
        with _fitting():
            self._built().save(path)

    def load(self, path: str | os.PathLike[str]) -> Progress:
        """Go on from what `save` wrote, bit for bit.

        Raises:
            CheckpointError: the file is torn, foreign or of another spec.
            TooLargeError: an allocation failed.
        """
        with _fitting():
            self._built().load(path)
        return self._progress()

    def keep(self) -> None:
        """Write both encoders of each replica beside the checkpoints."""
        pack, data = self._built(), self._data()
        for replica in range(len(self._spec.replicas)):
            training = training_hash(self._spec, replica)
            for modality, encoder in enumerate(trained_encoders(pack, data, replica)):
                self._context.place.write(encoder_file(training, modality), encoder.save)

    def close(self) -> bool:
        """Free the pack's memory."""
        self._pack = None
        return True

    def _progress(self) -> Progress:
        return Progress(epochs=self._built().epoch, total=self._spec.training.epochs)

    def _built(self) -> Pack:
        if self._pack is None:
            self._pack = Pack(self._spec, self._data(), device=self._context.device)
        return self._pack

    def _data(self) -> PairData:
        data = self._context.shared()
        if not isinstance(data, MultimodalData):
            raise TypeError(f"packs train on a dataset, given {type(data).__name__}")
        return data.pair(*self._spec.pair)


@contextmanager
def _refusing() -> Iterator[None]:
    """Code of the user's that is at fault, which it will be however often it is tried."""
    try:
        yield
    except SourceError as error:
        raise RefusedError(str(error)) from None


@contextmanager
def _fitting() -> Iterator[None]:
    """A failed allocation as what the driver understands."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TooLargeError("the pack does not fit into memory") from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or (as a plain RuntimeError of torch's allocator) on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )
