"""Names of scores in a study file: lines of the table, and functions of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from study.config.secrets import redacted
from trainables.code.calls import Call
from trainables.metrics.scores import SCORES

_OBJECT = "python:"  # how `trainables.sources.remembered` names a function that no file has


def is_own(name: str) -> bool:
    """Whether a score is a function of the user's."""
    return name.startswith(_OBJECT) or Call.read(name) is not None


def has_no_unit(score: object) -> bool:
    """Whether all scores that a study file names, if any, are shares or correlations: at most 1, in no unit."""
    return all(name in SCORES and SCORES[name].bounded for name in names_of(score))


def names_of(score: object) -> Iterable[str]:
    """The names that the key `score` holds, whether it is one for all modalities, one for each, or not there."""
    if isinstance(score, Mapping):
        return [str(name) for name in score.values()]
    return [] if score is None else [str(score)]


def located(name: str, folder: Path) -> str:
    """The score, of a file by its whole path; `folder` is that of the study file."""
    call = Call.read(name)
    return name if call is None else str(call.located(folder))


def _known(name: str) -> str:
    if name in SCORES or is_own(name):
        return name
    shown = redacted(name)
    if ".py" in name:
        raise ValueError(f"{shown!r} names no function; give FILE.py:NAME, as own_scores.py:within_ten")
    near = get_close_matches(name.lower().replace("-", "_").replace(" ", "_"), [*SCORES, *_ALSO], n=1)
    hint = f"; do you mean {_ALSO.get(near[0], near[0])}?" if near else ""
    raise ValueError(
        f"there is no score {shown!r}, choose one of {', '.join(SCORES)}, or FILE.py:name of your own{hint}"
    )


# What people call them elsewhere.
_ALSO = {
    "auc": "auroc", "roc_auc": "auroc", "f1": "macro_f1", "f1_macro": "macro_f1", "acc": "accuracy",
    "ap": "average_precision", "map": "average_precision", "cross_entropy": "log_loss", "nll": "log_loss",
    "mse": "rmse", "l1": "mae", "ccc": "concordance", "pearsonr": "pearson",
    "correlation": "pearson", "spearmanr": "spearman", "explained_variance": "r2",
}  # fmt: skip
ScoreName = Annotated[str, Field(max_length=4096), AfterValidator(_known)]
