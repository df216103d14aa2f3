"""The trainer that calls a user's function: a call is a replicate, which runs in a thread of the worker's own process.

A thread, as Tune has one for its own function trainables: the process may be told meanwhile to report, to save and to
end, and what the function has imported and cached stays for the next call. What a thread cannot be is ended from
outside. So a call that hangs ends with its process: see `FunctionTraining.close`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.code.tracebacks import in_one_line, own_traceback
from trainables.functions.answers import read_answer
from trainables.functions.code import Code
from trainables.functions.errors import FunctionError, UserError
from trainables.functions.loading import load, own_modules
from trainables.functions.reports import Reports
from trainables.functions.spec import FunctionSpec
from trainables.functions.trial import Trial
from trainables.saving.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from trainables.saving.export import encoder_file
from trainables.saving.folders import KeptFolder, kept_folder
from trainables.saving.kept import save_kept
from trainables.spec import LARGEST_SCORE, ReplicateResult
from trainables.trainer import Context, Progress

_LAST_WORD_SECONDS = 0.2  # for a call that is asked to end, to do so at its next report
# A GPU that several trials share, and libraries that would take all of its memory at their start.
_SHARE_GPU = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


class FunctionTrainer:
    """Calls the function whose code the context shares."""

    def read(self, value: Mapping[str, Any]) -> FunctionSpec:
        """The call that `FunctionSpec.to_json` was called on."""
        return FunctionSpec.from_json(value)

    def begin(self, job: FunctionSpec, context: Context) -> FunctionTraining:
        """The call, which begins with the first `advance`."""
        return FunctionTraining(job, context)


class FunctionTraining:
    """One call of a user's function at work.

    Its own checkpoint holds what it has reported and what it came to; what it needs to go on is for the function to
    save, in the folder of its trial. The learning curve of a call that was killed lacks what it reported after its last
    checkpoint and does not report again.
    """

    def __init__(self, spec: FunctionSpec, context: Context) -> None:
        self._spec, self._context = spec, context
        self._reports = Reports()
        self._result: ReplicateResult | None = None
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._is_closed = False
        self._synced = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether the function has returned."""
        return self._result is not None

    def advance(self, seconds: float) -> Progress:
        """Let it train for so long, or to its end.

        Raises:
            UserError: the function raised; it goes on from its folder when it is tried again.
            FunctionError: there is no such function, or what it returned are no scores.
        """
        if self._result is None:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="trial", daemon=True)
                self._thread.start()
            self._over.wait(seconds)
            if self._error is not None:
                error, self._error = self._error, None
                raise error from None
        return self._reports.progress

    def results(self) -> tuple[ReplicateResult, ...]:
        """What it came to.

        Raises:
            RuntimeError: it has not returned.
        """
        if self._result is None:
            raise RuntimeError("the function has not returned; advance() it to its end")
        return (self._result,)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was reported and, at the end, what it came to."""
        result = self._result and json.dumps(self._result.to_json())
        state = {"spec": self._spec.hash, "code": self._spec.code, "reports": self._reports.to_json(), "result": result}
        write_checkpoint(state, path)

    def load(self, path: str | os.PathLike[str]) -> Progress:
        """Go on from what `save` wrote.

        Raises:
            CheckpointError: the file is torn, or of another call, or the function's code has changed since.
        """
        state = read_checkpoint(path, device=torch.device("cpu"))
        if (state.get("spec"), state.get("code")) != (self._spec.hash, self._spec.code):
            raise CheckpointError("the checkpoint is of another call or of other code; start this one over")
        try:
            self._reports = Reports.from_json(state["reports"])
            result = state["result"]
            self._result = None if result is None else ReplicateResult.from_json(json.loads(result))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint is incomplete ({error}); start the call over") from error
        return self._reports.progress

    def keep(self) -> None:
        """Nothing: `Trial.keep` has written what the function keeps."""

    def close(self) -> bool:
        """Free what the call has left in memory, on the GPU too; False where it goes on, and only the end of the
        process ends it.

        A call that reports is ended at its next report. Models are often parts of cycles, of a trainer and its
        callbacks, say, which keep their memory until the collector finds them (huggingface/transformers#13019).
        """
        self._is_closed = True
        if self._thread is not None:
            self._thread.join(_LAST_WORD_SECONDS)
            if self._thread.is_alive():
                return False
            self._thread = None
            free_memory()
        return True

    def _run(self) -> None:
        try:
            self._result = self._called()
        except FunctionError as error:
            self._error = FunctionError(str(error))  # without its traceback, which would keep the call's memory
        except _EndedError:
            pass
        except UserError as error:
            self._error = UserError(*error.args)
        except Exception as error:  # noqa: BLE001 - of a place, or of Ray
            self._error = RuntimeError(f"{type(error).__name__}: {error}")
        finally:
            self._over.set()

    def _called(self) -> ReplicateResult:
        for name, value in _SHARE_GPU.items():
            os.environ.setdefault(name, value)
        spec, context = self._spec, self._context
        code = context.shared()
        if not isinstance(code, Code):
            raise TypeError(f"functions are called from their code, given {type(code).__name__}")
        function = load(code)
        _forget_start()
        with kept_folder(context.place, spec.hash, code.hash) as folder:
            self._reports.go_on(folder.path.with_suffix(".reports"))

            def on_report(epoch: float, *, of: float | None, scores: tuple[float, float] | None) -> None:
                self._note(folder, epoch, of=of, scores=scores)

            def on_keep(encoder: int, model: object) -> None:
                self._keep(code, encoder, model)

            trial = Trial(spec, folder=folder.path, device=context.device, on_report=on_report, on_keep=on_keep)
            _seed(spec.replica.seed)
            try:
                returned = function(trial)
            except FunctionError as error:  # of ours, on his way
                raise FunctionError(_with_place(error)) from None
            except _EndedError:
                raise
            except BaseException as error:  # noqa: BLE001 - sys.exit is one, too
                raise UserError(in_one_line(error), own_traceback(error)) from None
        answer = read_answer(returned, pair=spec.pair, maximise=spec.maximise, call=spec.call)
        diverged = not all(abs(score) <= LARGEST_SCORE for score in answer.scores)
        return ReplicateResult(
            status="diverged" if diverged else "ok",
            scores=(float("nan"), float("nan")) if diverged else answer.scores,
            curve=self._reports.curve,
            extras=answer.extras,
            one_score=answer.one_score,
            kept=self._kept(),
        )

    def _note(self, folder: KeptFolder, epoch: float, *, of: float | None, scores: tuple[float, float] | None) -> None:
        if self._is_closed:
            raise _EndedError
        self._reports.add(epoch, of=of, scores=scores)
        if time.monotonic() - self._synced > self._context.checkpoint_seconds:
            with contextlib.suppress(OSError):  # a bucket that is away costs the checkpoint, not the training
                folder.sync()
            self._synced = time.monotonic()

    def _kept(self) -> tuple[int, ...]:
        """The encoders that are kept, by this call or by one that was killed before it."""
        if not self._context.keeps:
            return ()
        there = []
        for encoder in range(len(self._spec.pair)):
            with contextlib.suppress(FileNotFoundError):
                self._context.place.read(encoder_file(self._spec.hash, encoder), Path.stat)
                there.append(encoder)
        return tuple(there)

    def _keep(self, code: Code, encoder: int, model: object) -> None:
        if not self._context.keeps:
            return
        name, modules = self._spec.pair[encoder], own_modules(code)
        try:
            self._context.place.write(
                encoder_file(self._spec.hash, encoder),
                lambda path: save_kept(model, path, modality=name, by_value=modules),
            )
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it holds has its own way of refusing
            raise FunctionError(
                f"trial.keep cannot keep {type(model).__name__} as the encoder of {name}: {in_one_line(error)}; "
                "keep what can be pickled, as a torch module of its own"
            ) from None


class _EndedError(BaseException):
    """The call is to end: nobody waits for it any more. Not an Exception, which functions like to catch."""


def free_memory() -> None:
    """Collect what nothing refers to any more, and give back what torch has reserved of the GPU for it."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


@functools.cache  # once a process
def _forget_start() -> None:
    """Let the collector look no more, after each call, at what imports have made once for all: 0.1 s of each."""
    gc.collect()
    gc.freeze()


def _seed(seed: int) -> None:
    """Seed what a function may use without seeding it, so that it depends on its seed and not on the calls before."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _with_place(error: FunctionError) -> str:
    return in_one_line(error).removeprefix("trainables.functions.errors.").removeprefix("FunctionError: ")
