"""One training of the user's function at λ = 0, for so many seconds: what a dry run learns of it."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from study.cells.cell import Cell, Job
from study.cells.trials import Arm, Setting
from study.config import ConfigError
from study.search.design import nuisance_settings
from trainables.functions.code import Code
from trainables.saving.scratch import scratch
from trainables.trainer import Training

_START_SECONDS = 600.0  # in which a process that imports the function's modules must have begun to train
_GRACE_SECONDS = 10.0  # beyond what it was given, for a function that is slow to answer
_ADVANCE_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One training, as far as it came: `seconds` in training, after `start` seconds for its process and its imports.

    `epochs` of `total` are what it reported, 0 where it reported none; `peak_bytes` is the memory of its process;
    `diverged` says that it returned a score that is not finite.
    """

    start: float
    seconds: float
    ended: bool
    epochs: float = 0.0
    total: float = 0.0
    peak_bytes: int = 0
    diverged: bool = False

    @property
    def whole(self) -> float | None:
        """Seconds of a whole training; None where it neither ended nor said how far it was."""
        if self.ended:
            return self.seconds
        if self.epochs > 0 and self.total > 0:
            return self.seconds * max(1.0, self.total / self.epochs)
        return None

    @property
    def at_least(self) -> float:
        """Seconds of a whole training, or those that it took without an end."""
        return self.seconds if self.whole is None else self.whole


@dataclass(frozen=True, kw_only=True)
class FunctionSpeed:
    """How fast a function trains, as `study.scheduling.speed.Speed` has it for packs: every training takes as long."""

    start: float
    each: float

    def seconds(self, cell: Cell, arm: Arm, n_replicas: int) -> float:
        """Seconds of so many trainings, one after another."""
        del cell, arm
        return self.each * n_replicas


def try_once(cell: Cell, code: Code, *, seconds: float, threads: int, device: str) -> Attempt:
    """Train once at λ = 0 with the first hyperparameters, in a process of its own that is ended after so many seconds.

    Raises:
        ConfigError: the function raised, returned what is no score, or its process died.
    """
    nothing = Setting(strength_1=0.0, strength_2=0.0, nuisance=nuisance_settings(cell)[0].nuisance)
    job = cell.job("shared", [(nothing, 0)])
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    begun = time.time()
    # Not a daemon, which may have no children: loaders of data have some, and they end with its group.
    process = context.Process(target=_train, args=(there, job, code, begun, seconds, threads, device))
    process.start()
    there.close()
    last: Attempt | None = None
    until = time.monotonic() + _START_SECONDS
    try:
        while here.poll(max(0.0, until - time.monotonic())):
            told = here.recv()
            if isinstance(told, str):
                raise ConfigError(told)
            if last is None:
                until = time.monotonic() + seconds + _GRACE_SECONDS
            last = told
            if last.ended or last.seconds >= seconds:
                break
    except EOFError:
        process.join()
        raise ConfigError(
            f"the process of the trial died (exit code {process.exitcode}), perhaps for want of memory; run "
            "trainer.call on its own to see why"
        ) from None
    finally:
        _end(process)
        here.close()
    if last is None:
        raise ConfigError(f"trainer.call did not begin within {_START_SECONDS:.0f} s; see what its file imports")
    return last


def _end(process: SpawnProcess) -> None:
    """End a process and all that it has started; of a group that it has not made yet it is alone."""
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _train(
    told: Connection, job: Job, code: Code, begun: float, seconds: float, threads: int, device: str
) -> None:  # pragma: no cover - in a process of its own
    """Train, and tell every moment how far it is: an `Attempt`, or what is wrong in one line."""
    os.setsid()
    os.dup2(2, 1)  # what it prints is not what the command prints, which may be JSON
    import torch

    from trainables.functions.errors import UserError
    from trainables.functions.loading import load
    from trainables.functions.running import FunctionTrainer
    from trainables.functions.spec import FunctionSpec
    from trainables.saving.place import Place
    from trainables.trainer import Context, RefusedError

    assert isinstance(job, FunctionSpec)
    torch.set_num_threads(threads)
    try:
        load(code)
        start, clock = time.time() - begun, time.monotonic()
        with scratch() as folder:
            context = Context(shared=lambda: code, place=Place(str(folder)), device=device)
            training = FunctionTrainer().begin(job, context)
            while not training.done and time.monotonic() - clock < seconds:
                progress = training.advance(min(_ADVANCE_SECONDS, seconds))
                told.send(
                    Attempt(
                        start=start,
                        seconds=time.monotonic() - clock,
                        ended=training.done,
                        epochs=progress.epochs,
                        total=progress.total,
                        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                        diverged=_has_diverged(training),
                    )
                )
    except BrokenPipeError:  # the command was killed: nobody else ends what the function has started
        os.killpg(os.getpgrp(), signal.SIGKILL)
    except RefusedError as error:
        told.send(str(error))
    except UserError as error:
        print(error.lines, file=sys.stderr, flush=True)
        told.send(f"{job.call} raised {error}")


def _has_diverged(training: Training) -> bool:  # pragma: no cover - in a process of its own
    return training.done and any(result.status == "diverged" for result in training.results())


def seconds_given(value: float | None, *, default: float = 60.0) -> float:
    """The seconds of `--try`.

    Raises:
        ConfigError: they are none.
    """
    given = default if value is None else value
    if not (given > 0 and math.isfinite(given)):
        raise ConfigError(f"--try is {given:g}; give the seconds that the function is tried for, as --try 60")
    return given
