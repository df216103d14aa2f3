"""The seam between what Ray Tune drives and what trains: a trainer turns a job into replicate results.

Whoever adds a kind of trainer writes a module with a job (frozen data), a `Training` and a `Trainer`, and a line in
`trainables.tune.TRAINERS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from trainables.saving.place import Place
from trainables.spec import ReplicateResult

WARM = "warm"  # key of a trial's configuration that has no job, and only makes its process ready


class Job(Protocol):
    """What one trial of Ray Tune is asked to train, as frozen data."""

    @property
    def hash(self) -> str:
        """Identity: equal jobs train the same."""

    def to_json(self) -> dict[str, Any]:
        """Plain containers; `trainer` names the line of `trainables.tune.TRAINERS` that reads them."""


J = TypeVar("J", bound=Job)


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where a job is trained. `shared` fetches what all jobs of its kind read, and the driver has stored once: a
    dataset for packs, code for functions. `place` is where checkpoints lie, and the trained encoders, if it `keeps`
    any; `drawn` are the places of the replicas that a report draws; `checkpoint_seconds` is the time between two
    checkpoints.
    """

    shared: Callable[[], object]
    place: Place
    device: str = "cpu"
    keeps: bool = False
    drawn: tuple[int, ...] = ()
    checkpoint_seconds: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training is: so many epochs of `total`, which is 0 where nobody knows."""

    epochs: float = 0
    total: float = 0


class TooLargeError(RuntimeError):
    """A job that does not fit into memory; half of it may."""


class RefusedError(ValueError):
    """A job that comes to nothing however often it is tried, and why, in one line."""


class TimedOutError(RuntimeError):
    """A job that took longer than its study allows."""


class Training(Protocol):
    """One job at work. Its trainer's `begin` computes nothing yet: `load` or the first `advance` does."""

    @property
    def done(self) -> bool:
        """Whether there are results."""

    def advance(self, seconds: float) -> Progress:
        """Train for about that long, or to the end.

        Raises:
            TooLargeError: it does not fit into memory.
            RefusedError: another attempt would end alike.
        """

    def results(self) -> tuple[ReplicateResult, ...]:
        """What each replicate came to, in the job's order, once it is done."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that a new training of this job needs to go on, whole or not at all."""

    def load(self, path: str | os.PathLike[str]) -> Progress:
        """Go on from what `save` wrote.

        Raises:
            CheckpointError: the file is torn, or of another job; whoever catches it begins a new training.
        """

    def keep(self) -> None:
        """Write the trained encoders to the context's place, where it keeps any."""

    def close(self) -> bool:
        """Free all that it holds; False where something of it goes on that only the end of the process ends."""


class Trainer(Protocol[J]):
    """One way of training jobs of one kind."""

    def read(self, value: Mapping[str, Any]) -> J:
        """The job that `Job.to_json` was called on."""

    def begin(self, job: J, context: Context) -> Training:
        """The job, ready to be trained."""


def checkpoint_file(job: str) -> str:
    """What the checkpoint of a job, by its hash, is called in a place."""
    return f"{job}.pt"


def forget(place: Place, job: str) -> None:
    """Remove what the training of a job, by its hash, has left to be gone on from: its results are on record.

    Raises:
        OSError: the place does not let it.
    """
    place.remove(checkpoint_file(job))
    place.remove_folder(job)
