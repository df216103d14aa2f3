"""Trials as a table or a store has them, and which of its columns are what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from study.config import ConfigError
from study.results.names import one_line

_STRENGTH = re.compile(r"(^|[_.\W])(lambda|lam|λ|strength)|align|(^|_)weight$|(^|_)alpha$|(^|_)coef", re.I)
_SEED = re.compile(r"(^|_)(seed|replicate|repeat|rep|run_seed|fold|random_?state)$", re.I)
_MAY_BE_SEED = re.compile(r"^(run|run_?(id|number|index|no)|repetition|trial_?seed|split_?seed|cv)$", re.I)
_ENCODER = re.compile(r"^(encoder|modality)$", re.I)
_SPLIT = re.compile(r"^(split|subset|eval_split)$", re.I)
_SCORES = (  # better names first
    r"^(mean_)?(score|value|objective|target|metric)$",
    r"^(val|valid|validation|dev|eval)[_./ -]?.*(acc|f1|auc|score|r2|map|recall|precision|bleu|ndcg|mrr)",
    r"acc|(^|_)f1|auc|score|(^|_)r2|recall|precision|bleu|ndcg",
    r"^(val|valid|validation|dev|eval)[_./ -]?.*(loss|error|err|rmse|mse|mae|nll|perplexity|ppl|wer|cer)",
    r"loss|error|rmse|(^|_)mse|(^|_)mae|nll|perplexity|(^|_)ppl|(^|_)wer|(^|_)cer",
)
_LOWER = re.compile(r"loss|err(or)?($|_)|rmse|mse|mae|nll|perplexity|ppl|(^|_)wer|(^|_)cer", re.I)
# Columns of a table that are no hyperparameters by their names.
_NO_SETTING = re.compile(
    r"loss|acc|score|auc|f1|r2|rmse|mse|mae|error|time|duration|date|epoch|step|iter|trial|number|index|(^|_)id$|"
    r"uuid|path|name|status|state|host|pid|node|commit|user|memory|checkpoint|done|unnamed|metric|recall|precision|"
    r"replicate|^cell$|^dataset$",
    re.I,
)
_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_FEWEST_COUNTED = 4  # rows: of fewer, seeds 0, 1, 2 of one strength may look like a count
_NOTHING = ("", "-", "NA", "N/A", "n/a", "#N/A", "None", "null", "NULL", "<NA>")
COLUMNS = ("strength", "score", "seed", "encoder", "split")  # fields of `Asked` that name one
SEARCHED = ("validation", "valid", "val", "dev", "eval", "search")
CONFIRMED = ("test", "confirm", "confirmation", "holdout", "held-out")


@dataclass(frozen=True, kw_only=True, eq=False)
class Trials:
    """Trials of one source.

    `frame` has a row per trial that ended; `parameters` and `scores` name its columns where the source knows them
    apart, else None; `minimise` is known of some; `logarithmic` names parameters that were sought on such a scale;
    `left_out` counts trials that are not in the frame.
    """

    source: str
    frame: pd.DataFrame
    parameters: tuple[str, ...] | None = None
    scores: tuple[str, ...] | None = None
    minimise: bool | None = None
    logarithmic: frozenset[str] = frozenset()
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user said of the columns; None is to be guessed. `minimise` None: as the score's name says."""

    strength: str | None = None
    score: str | None = None
    seed: str | None = None
    encoder: str | None = None
    split: str | None = None
    minimise: bool | None = None
    log: bool = False
    name: str | None = None
    ignored: tuple[str, ...] = ()


def check_asked(asked: Asked) -> None:
    """Refuse what is of another type: from Python anything may be given.

    Raises:
        ConfigError: a switch is neither true nor false, or a name is no text.
    """
    for option in ("minimise", "log"):
        value = getattr(asked, option)
        if not isinstance(value, bool | np.bool_) and not (value is None and option == "minimise"):
            raise ConfigError(f"{option} is {one_line(repr(value))[:60]}; give True or False")
    for option in (*COLUMNS, "name"):
        value = getattr(asked, option)
        if value is not None and not isinstance(value, str):
            what = "a name" if option == "name" else "the name of a column"
            raise ConfigError(f"{option} is {one_line(repr(value))[:60]}; give {what}, as text")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column is what; `others` are the other hyperparameters."""

    strength: str
    score: str
    seed: str | None
    encoder: str | None
    split: str | None
    others: tuple[str, ...]
    minimise: bool
    log: bool
    name: str
    remarks: tuple[str, ...]

    @property
    def took(self) -> dict[str, str]:
        """The columns by what they were taken for."""
        named = {"strength": self.strength, "score": self.score, "seed": self.seed, "encoder": self.encoder}
        return {role: column for role, column in {**named, "split": self.split}.items() if column is not None}


def choose_columns(trials: Trials, asked: Asked) -> Columns:
    """The columns that were asked for, and the obvious ones where nothing was said.

    Raises:
        ConfigError: a column that was named is not there, or none is obvious.
    """
    names = [str(name) for name in trials.frame.columns]
    if not len(trials.frame):
        raise ConfigError(f"{trials.source} holds no trial that has ended{_why(trials)}")
    for option in COLUMNS:
        column = getattr(asked, option)
        if column is not None and column not in names:
            raise ConfigError(f"--{option} {column}: there is no such column in {trials.source}; it has {_some(names)}")
    unknown = [name for name in asked.ignored if name not in names]
    if unknown:
        raise ConfigError(f"--ignore {unknown[0]}: there is no such column in {trials.source}; it has {_some(names)}")
    free = [name for name in names if name not in (asked.strength, asked.score, *asked.ignored)]
    seed = asked.seed or _only(name for name in free if _SEED.search(name))
    remarks = []
    if seed is None and not any(_SEED.search(name) for name in free):
        seed = _only(name for name in free if _MAY_BE_SEED.search(name) and _comes_back(trials.frame[name]))
        if seed is not None:
            remarks.append(f"{seed} is taken for the seed; ignore it if it is none")
    if seed is not None and _counts_trials(trials.frame, seed):
        remarks.append(
            f"{seed} counts the trials, one value each, and is not taken for a seed: no two trainings share one, so "
            "that nothing can be paired; train the same seeds at every strength"
        )
        free, seed = [name for name in free if name != seed], None
    encoder = asked.encoder or _only(name for name in free if _ENCODER.search(name))
    split = asked.split or _only(name for name in free if _SPLIT.search(name) and _is_split(trials.frame[name]))
    free = [name for name in free if name not in (seed, encoder, split)]
    score = asked.score or _score(trials, free)
    strength = asked.strength or _strength(trials, [name for name in free if name != score])
    if strength == score:
        raise ConfigError(f"--strength and --score are both {strength}; name two columns")
    minimise, assumed = _direction(trials, asked, score)
    remarks += assumed
    known = trials.parameters
    others = tuple(
        name
        for name in free
        if name not in (strength, score) and (name in known if known is not None else not _NO_SETTING.search(name))
    )
    log = asked.log or strength in trials.logarithmic
    if log and not asked.log:
        remarks.append(f"{strength} was sought on a logarithmic scale, and is smoothed on one")
    return Columns(
        strength=strength, score=score, seed=seed, encoder=encoder, split=split, others=others, minimise=minimise,
        log=log, name=one_line(asked.name or "").strip() or "λ", remarks=tuple(remarks),
    )  # fmt: skip


def _direction(trials: Trials, asked: Asked, score: str) -> tuple[bool, list[str]]:
    if asked.minimise is not None:
        return asked.minimise, []
    if trials.minimise is not None:
        return trials.minimise, []
    if _LOWER.search(score):
        return True, [
            f"{score} is taken for a score of which lower is better; --maximise, or minimise=False, if it is not so"
        ]
    return False, []


def _score(trials: Trials, names: Sequence[str]) -> str:
    possible = [name for name in names if trials.scores is None or name in trials.scores]
    for pattern in _SCORES:
        matching = [name for name in possible if re.search(pattern, name, re.I) and may_be_numbers(trials.frame[name])]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise ConfigError(f"several columns may be the score: {_some(matching)}; name one with --score")
        if unread := [name for name in possible if re.search(pattern, name, re.I)]:
            raise _unread(trials, unread[0], "score")
    if trials.scores is not None and len(possible) == 1:
        return possible[0]
    raise ConfigError(
        f"no column of {trials.source} is obviously the score; name one of {_some(possible)} with --score"
    )


def _strength(trials: Trials, names: Sequence[str]) -> str:
    known = trials.parameters
    possible = [name for name in names if known is None or name in known]
    possible = [name for name in possible if may_be_numbers(trials.frame[name])]
    matching = [name for name in possible if _STRENGTH.search(name)]
    varying = [name for name in matching or possible if trials.frame[name].nunique() > 1]
    settings = [name for name in varying if known is not None or not _NO_SETTING.search(name)]
    if len(settings) == 1:
        return settings[0]
    if matching and len(matching) == 1:
        return matching[0]
    if unread := [name for name in names if _STRENGTH.search(name) and not may_be_numbers(trials.frame[name])]:
        raise _unread(trials, unread[0], "strength")
    told = _some(settings or possible)
    if not (settings or possible):
        raise ConfigError(
            f"no column of {trials.source} ({_some([str(name) for name in trials.frame.columns])}) holds numbers that "
            "may be strengths; add one, and name it with --strength"
        )
    raise ConfigError(f"no column of {trials.source} is obviously the strength; name one of {told} with --strength")


def _unread(trials: Trials, column: str, role: str) -> ConfigError:
    """The error of a column that by its name is what is sought, and holds no number."""
    values = trials.frame[column]
    given = one_line(values[~blank(values)].iloc[0])[:40]
    return ConfigError(
        f"column {column} of {trials.source} looks like the {role} and holds {given!r}{decimal_comma(given)}; write "
        f"its numbers as 0.5, or name another column with --{role}"
    )


def _comes_back(values: pd.Series) -> bool:
    """Whether a column has few whole numbers, each in several rows, as seeds have that are used at every strength."""
    numbers = to_numbers(values)
    if not np.all(np.isfinite(numbers)) or np.any(numbers != np.round(numbers)):
        return False
    counts = np.unique(numbers, return_counts=True)[1]
    return len(counts) > 1 and bool(np.all(counts > 1))


def _counts_trials(frame: pd.DataFrame, column: str) -> bool:
    """Whether a column is no more than the trial's own number: as the store or a column `number` has it, or 0, 1, 2, …
    (or from 1) down the rows.
    """
    values = to_numbers(frame[column])
    if len(values) < _FEWEST_COUNTED or not np.all(np.isfinite(values)):
        return False
    known = [to_numbers(frame[name]) for name in ("number", "trial", "trial_id") if name in frame and name != column]
    counted = [*known, np.arange(len(values)), np.arange(1, len(values) + 1)]
    return any(np.array_equal(values, numbers) for numbers in counted)


def may_be_numbers(values: pd.Series) -> bool:
    """Whether a column holds a number, or a text of one, or nothing yet: what else it holds is a mistake to be told."""
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        return False
    known = values[~blank(values)]
    return not len(known) or bool(np.any(~np.isnan(to_numbers(known)) | (known.astype(str).str.lower() == "nan")))


def decimal_comma(given: str) -> str:
    """What there is to say of a text that is a number with a decimal comma; "" of any other."""
    return ", a number with a decimal comma, which is not read here" if _COMMA.fullmatch(given.strip()) else ""


def blank(values: pd.Series) -> pd.Series:
    """Where a column holds nothing: a null, or a text of spaces. NaN in a column of numbers is nothing too."""
    if pd.api.types.is_numeric_dtype(values):
        return values.isna()
    return values.map(lambda value: value.strip() in _NOTHING if isinstance(value, str) else bool(pd.isna(value)))


def to_numbers(values: pd.Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A column as floats, NaN where it holds something else."""
    # Which pandas would count in nanoseconds:
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        return np.full(len(values), np.nan)
    return pd.to_numeric(values.map(lambda v: v.strip() if isinstance(v, str) else v), errors="coerce").to_numpy(float)


def _is_split(values: pd.Series) -> bool:
    known = {str(value).strip().lower() for value in values.dropna().unique()[:20]}
    return bool(known & set(SEARCHED) or known & set(CONFIRMED))


def _only(names: Iterable[str]) -> str | None:
    found = list(names)
    return found[0] if len(found) == 1 else None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (" …" if len(names) > 12 else "") if names else "none"


def _why(trials: Trials) -> str:
    told = ", ".join(f"{count} {why}" for why, count in trials.left_out.items())
    return f" ({told})" if told else ""
