"""Why packs failed: Ray Tune tells its callbacks, not its searcher."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from study.cluster.searcher import PackSearcher
from study.config.secrets import redacted

_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(: .*)?")  # as the last lines of a traceback name it, not indented
_OURS = re.compile(r"^trainables\.[\w.]+: ")  # before what is said in a line already
_LONGEST = 300


class Failures(Callback):  # type: ignore[misc]
    """A callback that tells the searcher of every pack that failed, for the last time or to be tried again."""

    def __init__(self, searcher: PackSearcher) -> None:
        self._searcher = searcher

    def on_trial_recover(self, iteration: int, trials: Sequence[Trial], trial: Trial, **info: Any) -> None:
        """Tell of a pack whose worker died or raised; it goes on from its checkpoint."""
        del iteration, trials, info
        self._searcher.on_trial_retry(trial.trial_id, _reason(trial), _own_lines(trial))

    def on_trial_error(self, iteration: int, trials: Sequence[Trial], trial: Trial, **info: Any) -> None:
        """Tell of a pack that failed once too often."""
        del iteration, trials, info
        self._searcher.on_trial_failure(trial.trial_id, _reason(trial), _own_lines(trial))


def _reason(trial: Trial) -> str:
    try:
        return last_exception(Path(trial.error_file).read_text(encoding="utf-8", errors="replace"))
    except (OSError, TypeError):  # a full disk, on which Tune could not write it; or nothing to tell
        return "of an unknown cause"


def _own_lines(trial: Trial) -> str:
    """The lines of a traceback that are of the user's own function, without passwords; "" where it is another's."""
    try:  # `get_pickled_error` looks where Tune has not copied it yet
        error = pickle.loads(Path(trial.pickled_error_file).read_bytes())
    except Exception:  # noqa: BLE001  there is none, or what it needs to be read is not here
        return ""
    return redacted(str(getattr(getattr(error, "cause", error), "lines", "")))


def last_exception(text: str) -> str:
    """The line of a traceback that names its exception, or else its last one: on one line, without passwords."""
    lines = [line for line in text.splitlines() if line.strip()]
    named = [line for line in lines if _EXCEPTION.fullmatch(line)]
    last = (named or lines or ["of an unknown cause"])[-1]
    last = _OURS.sub("", last)
    shown = "".join(char if char.isprintable() else " " for char in redacted(last)).strip()
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
