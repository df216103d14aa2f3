"""What a user's function is called with: what to train, and where it reports and keeps things."""

from __future__ import annotations

import math
import numbers
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from trainables.functions.answers import read_report
from trainables.functions.errors import FunctionError
from trainables.functions.spec import FunctionSpec, Phase, Value
from trainables.spec import Split


class Listener(Protocol):
    """Who hears of a trial's reports; it may raise, to end the call."""

    def __call__(self, epoch: float, *, of: float | None, scores: tuple[float, float] | None) -> None:
        """Take one in."""


class Named(dict[str, Any]):
    """Values by name, which says what there is where one is not."""

    def __init__(self, values: Mapping[str, Any], *, what: str) -> None:
        super().__init__(values)
        self._what = what

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"no {self._what} {name!r}; the study has {', '.join(map(repr, self)) or 'none'}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as a dictionary of the library, which `torch.load` takes with `weights_only`, and libraries without
        this project.
        """
        return OrderedDict, (), None, None, iter(self.items())


class Trial:
    """One training that the study asks for.

    Attributes:
        pair: names of the two modalities, in the pair's order.
        strengths: the alignment strength of each, by name.
        seed: of all that is random, below 2^31; the same at every strength.
        split: what to score on: `valid` while searching, `test` when confirming.
        phase: `search`, `confirm` or, for encoders that are kept, `final`.
        replicate: which of the seeds of its phase this is, from 0.
        hyperparameters: by name, as the study file has them under search.nuisance.
        options: the study file's own, the same for all trials.
        folder: its own, empty at first, kept until its result is on record: a worker that takes the trial over, after
            its node or the study was killed, finds here what was saved.
        device: `cuda` or `cpu`.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        *,
        folder: Path,
        device: str,
        on_report: Listener,
        on_keep: Callable[[int, object], None],
    ) -> None:
        replica = spec.replica
        self.pair = spec.pair
        self.strengths: Mapping[str, float] = Named(
            dict(zip(spec.pair, (replica.strength_1, replica.strength_2), strict=True)), what="modality"
        )
        self.seed: int = replica.seed
        self.split: Split = spec.evaluate
        self.phase: Phase = spec.phase
        self.replicate: int = replica.replicate
        self.hyperparameters: Mapping[str, Value] = Named(replica.hyperparameters, what="hyperparameter")
        self.options: Mapping[str, Any] = Named(spec.options, what="option")
        self.folder = folder
        self.device = device
        self._maximise = spec.maximise
        self._on_report, self._on_keep = on_report, on_keep

    @property
    def strength(self) -> float:
        """The alignment strength, where it is the same for both encoders.

        Raises:
            FunctionError: it is not.
        """
        first, second = (self.strengths[name] for name in self.pair)
        if first != second:
            told = " and ".join(f"{name} {value:g}" for name, value in self.strengths.items())
            raise FunctionError(
                f"trial.strength was read where the encoders' strengths differ ({told}); "
                f"use trial.strengths[{self.pair[0]!r}] and trial.strengths[{self.pair[1]!r}], "
                "or set alignment.one_sided to never"
            )
        return first

    def report(self, epoch: float, *, of: float | None = None, scores: Mapping[str, Any] | None = None) -> None:
        """Tell how far the training is, `of` how many epochs in all, and the scores that it has reached.

        It draws the progress and the learning curve, and may be called at any time, or never. Of what is reported twice
        for an epoch the last counts. In a bucket, `folder` is copied there by it.

        Raises:
            FunctionError: an argument is no number, or scores are of neither encoder.
        """
        given: dict[str, object] = {"epoch": epoch} if of is None else {"epoch": epoch, "of": of}
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
                raise FunctionError(f"trial.report was given {name}={value!r}; it must be a finite number")
        read = None if scores is None else read_report(scores, pair=self.pair, maximise=self._maximise)
        self._on_report(float(epoch), of=None if of is None else float(of), scores=read)

    def keep(self, name: str, model: object) -> None:
        """Keep a trained encoder as it is now: a torch module, or whatever else can be pickled.

        It is written where the study keeps encoders (phase `final`), and costs nothing elsewhere.

        Raises:
            FunctionError: there is no encoder of this name, or the model cannot be pickled.
        """
        if name not in self.pair:
            raise FunctionError(f"trial.keep was given {name!r}; the encoders are {' and '.join(map(repr, self.pair))}")
        self._on_keep(self.pair.index(name), model)

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value:g}" for name, value in self.strengths.items())
        return f"Trial({told}, seed={self.seed}, split={self.split!r}, phase={self.phase!r})"
