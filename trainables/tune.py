"""The Ray Tune class Trainable around a trainer: one trial trains one job, in steps of about a second.

The job's own checkpoint, named by its content hash, is what a trial continues from after its worker, its node or the
whole study was killed; Tune's own checkpoints are not used.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

import ray
import torch
from ray import tune

from trainables.functions.running import FunctionTrainer
from trainables.saving.checkpoint import CheckpointError
from trainables.saving.place import Place
from trainables.trainer import (
    WARM,
    Context,
    Job,
    Progress,
    RefusedError,
    TimedOutError,
    TooLargeError,
    Trainer,
    Training,
    checkpoint_file,
)
from trainables.training.device import take_device
from trainables.training.trainer import PackTrainer

TRAINERS: Mapping[str, Trainer[Any]] = {  # by what a job's JSON says of its `trainer`
    "pack": PackTrainer(),
    "function": FunctionTrainer(),
}
STEP_SECONDS = 1.0
CHECKPOINT_SECONDS = 5.0  # unless `checkpoint_seconds` of the configuration says otherwise
_LAST_WORD_SECONDS = 2.0  # in which Tune hears of a trial's end from a process that then ends itself


class JobTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains the job of `config`: `spec` (its JSON text), `data_key` (the name of what it reads, among what all trials
    share), `place` of checkpoints (the address of a `Place`), `threads`, `gpus` (how much of one is held), `keep` where
    the trained encoders are to be written beside the checkpoints, `drawn` (the places of replicas that a report draws),
    and `seconds_per_trial` where there is a limit.

    Results hold `epochs`, `total`, where there is no GPU to hold `lacks` (why, in words), and with the last one
    `results` (a JSON list of ReplicateResults). A job that does not fit into memory ends with `out_of_memory` instead:
    the driver halves it. One that would come to nothing on every attempt ends with `refused`, the reason in one line. A
    configuration that says `warm` has no job: its trial ends at once, and leaves a process that has imported what the
    next one needs.
    """

    def setup(self, config: dict[str, Any], shared: Mapping[str, object | ray.ObjectRef] | None = None) -> None:
        """Read the job.

        What is shared (datasets, code) and given as references stays in the node's object store: arrays are read there,
        and never copied where they are large.
        """
        if shared is not None:  # given once, by tune.with_parameters
            self._all_shared = shared
        torch.set_num_threads(max(1, int(config["threads"])))
        self._training: Training | None = None
        self._has_job = not config.get(WARM, False)
        if not self._has_job:
            return
        value = json.loads(config["spec"])
        self._trainer = TRAINERS[value.get("trainer", "pack")]
        self._job: Job = self._trainer.read(value)
        self._data_key = str(config["data_key"])
        device = take_device(float(config.get("gpus", 0.0)))
        self._lacks = device.lacks
        self._context = Context(
            shared=self._shared,
            place=Place(str(config["place"])),
            device=device.name,
            keeps=bool(config.get("keep", False)),
            drawn=tuple(map(int, config.get("drawn", ()))),
            checkpoint_seconds=float(config.get("checkpoint_seconds", CHECKPOINT_SECONDS)),
        )
        self._resumed_from: float = 0  # epoch of the checkpoint that it went on from
        self._begun = self._saved = time.monotonic()
        self._most_seconds = float(config.get("seconds_per_trial") or "inf")

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next job in the same process, which saves its start."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train for about a second, or to the end.

        Raises:
            TimedOutError: the job takes longer than `seconds_per_trial`.
        """
        if not self._has_job:
            return {**_told(Progress()), "done": True}
        try:
            training = self._training = self._training or self._begin()
            progress = training.advance(STEP_SECONDS)
            self._checkpoint(training)
        except TooLargeError:
            return self._end(out_of_memory=True)
        except RefusedError as error:
            return self._end(refused=str(error))
        told = {**_told(progress), "done": training.done, "resumed_from": self._resumed_from}
        if self._lacks:
            told["lacks"] = self._lacks
        if training.done:
            told["results"] = json.dumps([result.to_json() for result in training.results()])
            if self._context.keeps:
                training.keep()
            self.cleanup()  # the process may have no other job for a while
        elif (seconds := time.monotonic() - self._begun) > self._most_seconds:
            raise TimedOutError(
                f"the trial was ended after {seconds / 60:.3g} minutes at epoch {progress.epochs:g}; it may hang, or "
                f"resources.minutes_per_trial ({self._most_seconds / 60:g}) is too short for it"
            )
        return told

    def cleanup(self) -> None:
        """Free the training's memory before the actor is reused or ends.

        A call that hangs cannot be ended but with its process. Tune asks for this after a trial that failed, and reuses
        no such actor; so the process ends itself, with its memory, as soon as Tune has its answer.
        """
        training, self._training = self._training, None
        if training is not None and not training.close():
            end = threading.Timer(_LAST_WORD_SECONDS, os._exit, args=(1,))
            end.daemon = True
            end.start()

    def _begin(self) -> Training:
        training = self._trainer.begin(self._job, self._context)
        try:
            progress = self._context.place.read(checkpoint_file(self._job.hash), training.load)
            self._resumed_from = progress.epochs
        except FileNotFoundError:
            pass
        except (CheckpointError, OSError):  # torn by a crash while the file system wrote it: start this job over
            training.close()
            training = self._trainer.begin(self._job, self._context)
        return training

    def _checkpoint(self, training: Training) -> None:
        if training.done or time.monotonic() - self._saved > self._context.checkpoint_seconds:
            with contextlib.suppress(OSError):  # a full or absent disk costs the checkpoint, not the training
                self._context.place.write(checkpoint_file(self._job.hash), training.save)
            self._saved = time.monotonic()

    def _end(self, **why: bool | str) -> dict[str, Any]:
        self.cleanup()
        return {**_told(Progress()), "done": True, **why}

    def _shared(self) -> object:
        shared = self._all_shared[self._data_key]
        return ray.get(shared) if isinstance(shared, ray.ObjectRef) else shared


def _told(progress: Progress) -> dict[str, Any]:
    return {"epochs": progress.epochs, "total": progress.total}
