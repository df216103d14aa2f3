"""Trials as scores by strength and seed, one table for each encoder; what is left out is counted."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from study.config import ConfigError
from study.outside.trials import CONFIRMED, SEARCHED, Columns, Trials, blank, decimal_comma, to_numbers
from study.results.model import OtherHyperparameter, TrainingCounts
from study.results.names import natural_names, one_line
from study.search.tables import Tried, best_by_strength, score_table
from trainables.spec import LARGEST_SCORE

Setting = tuple[str, ...]
_PAIRED = 0.5  # share of scores that must be of seeds trained at two strengths or more
_CROSSED = 2 / 3  # share of trainings that must be of settings which were tried at every strength
_WHOLE = re.compile(r"([+-]?\d{1,15})\.0*")  # as pandas writes a whole number of a column that has gaps
_LONGEST = 24  # characters of a value shown


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Scores (S, R) at ascending strengths (S,), higher is better; `diverged` (S, R). `seeds` (R,) names the columns;
    None where no seed stands at several strengths, so that columns mean nothing.
    """

    strengths: NDArray[np.float64]
    scores: NDArray[np.float64]
    diverged: NDArray[np.bool_]
    seeds: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class EncoderTable:
    """The trainings of one encoder: searched on, and on the split to confirm on where there is one.

    `is_fresh`: no seed of `confirmed` is one of `searched`.
    """

    encoder: str | None
    searched: Scores
    confirmed: Scores | None
    is_fresh: bool
    counts: TrainingCounts
    others: tuple[OtherHyperparameter, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    strength: float
    score: float | None  # None: diverged
    seed: str
    setting: Setting


@dataclass(frozen=True, kw_only=True, eq=False)
class _Parsed:
    """The rows of one encoder that have a score, column by column; `parts`: `search`, `confirm` or "" (neither)."""

    frame: pd.DataFrame
    strengths: NDArray[np.float64]
    scores: list[float | None]
    seeds: list[str]
    parts: list[str]

    def rows(self, varying: Sequence[str], part: str) -> list[_Row]:
        """The rows of a part, their setting by the columns `varying`."""
        settings: list[Setting] = [()] * len(self.frame)
        if varying:
            settings = list(zip(*(_texts(self.frame, name) for name in varying), strict=True))
        every = zip(self.strengths, self.scores, self.seeds, settings, self.parts, strict=True)
        return [_Row(float(at), score, seed, how) for at, score, seed, how, own in every if own == part]


def encoder_tables(trials: Trials, columns: Columns) -> tuple[EncoderTable, ...]:
    """The table of each encoder, or the only one, in the order of their names.

    Raises:
        ConfigError: a cell holds what cannot be there, or nothing is left.
    """
    frame = trials.frame.reset_index(drop=True)
    twice = frame.map(str).duplicated().to_numpy() & (trials.parameters is None)  # of a store two equal trials are two
    gone = (blank(frame[columns.strength]) | blank(frame[columns.score])).to_numpy(bool)
    if np.all(gone | twice):
        raise ConfigError(f"{trials.source}: no row has a {columns.strength} and a {columns.score}")
    groups = np.array(_texts(frame, columns.encoder), object)
    tables = []
    for name in natural_order(set(groups[~gone & ~twice])):
        mine = groups == name
        counts = Counter[str](trials.left_out)
        counts["trainings"] = int(mine.sum()) + sum(trials.left_out.values())
        counts["duplicates"] = int((mine & twice).sum())
        counts["missing"] = int((mine & gone & ~twice).sum())
        tables.append(_table(_parsed(frame[mine & ~gone & ~twice], columns), columns, name or None, counts))
    return tuple(tables)


def _parsed(frame: pd.DataFrame, columns: Columns) -> _Parsed:
    return _Parsed(
        frame=frame,
        strengths=_strengths(frame, columns),
        scores=_scores(frame, columns),
        seeds=_texts(frame, columns.seed),
        parts=_parts(frame, columns),
    )


def natural_order(names: set[str]) -> list[str]:
    """Names in the order in which people count them."""
    listed = sorted(names)
    return [name for _, name in sorted(zip(natural_names(listed), listed, strict=True))]


def _strengths(frame: pd.DataFrame, columns: Columns) -> NDArray[np.float64]:
    values = to_numbers(frame[columns.strength])
    for index, value in enumerate(values):
        if not np.isfinite(value) or value < 0:
            given = one_line(frame[columns.strength].iloc[index])[:40]
            raise ConfigError(
                f"column {columns.strength} holds {given!r}{decimal_comma(given)} (row {index + 1} of those with a "
                "score); strengths must be finite numbers of at least 0, as 0.5: name another column with --strength, "
                "or give its exponential"
            )
    if columns.log and not np.any(values > 0):
        raise ConfigError(f"column {columns.strength} holds no strength above 0, which --log needs")
    return values


def _scores(frame: pd.DataFrame, columns: Columns) -> list[float | None]:
    values = to_numbers(frame[columns.score])
    scores: list[float | None] = []
    for index, value in enumerate(values):
        given = one_line(frame[columns.score].iloc[index]).strip()
        if not np.isfinite(value) and given.lower().lstrip("+-") not in ("nan", "inf", "infinity"):
            raise ConfigError(
                f"column {columns.score} holds {given[:40]!r}{decimal_comma(given)} (row {index + 1} of those with a "
                "score); scores must be numbers, as 0.5, or nan and inf for trainings that diverged: name another "
                "column with --score"
            )
        diverged = not abs(value) <= LARGEST_SCORE
        scores.append(None if diverged else -value if columns.minimise else value)
    if all(score is None for score in scores):
        raise ConfigError(
            f"column {columns.score} holds no finite score up to {LARGEST_SCORE:g}: every training diverged"
        )
    return scores


def _texts(frame: pd.DataFrame, column: str | None) -> list[str]:
    if column is None:
        return [""] * len(frame)
    empty = blank(frame[column])
    return ["" if gone else _plain(value) for gone, value in zip(empty, frame[column], strict=True)]


def _plain(value: object) -> str:
    """A value as text; 3.0 and 3 are one, also where they are text."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    told = one_line(value)
    whole = _WHOLE.fullmatch(told)
    return whole[1] if whole else told


def _parts(frame: pd.DataFrame, columns: Columns) -> list[str]:
    """`search`, `confirm` or "" (neither) for every row."""
    if columns.split is None:
        return ["search"] * len(frame)
    values = [value.strip().lower() for value in _texts(frame, columns.split)]
    known = {value: "search" if value in SEARCHED else "confirm" if value in CONFIRMED else "" for value in set(values)}
    if "search" not in known.values():
        told = ", ".join(sorted(known))
        raise ConfigError(
            f"column {columns.split} holds {told[:80]}; the split to search on must be called one of "
            f"{', '.join(SEARCHED[:3])}, the one to confirm on {CONFIRMED[0]}: leave --split out, or rename them"
        )
    return [known[value] for value in values]


def _table(parsed: _Parsed, columns: Columns, encoder: str | None, counts: Counter[str]) -> EncoderTable:
    counts["other_split"] = parsed.parts.count("")
    searching = parsed.frame[np.array(parsed.parts) == "search"]
    varying, fixed = _others(searching, columns)
    rows, confirming = parsed.rows(varying, "search"), parsed.rows(varying, "confirm")
    if not any(row.score is not None for row in rows):
        whose = f" of {encoder}" if encoder else ""
        raise ConfigError(f"column {columns.score} holds no finite score{whose} to search on: every training diverged")
    remarks: list[str] = []
    if columns.seed is not None and any(not row.seed for row in rows):
        remarks.append(f"some rows have no {columns.seed}: each is taken for a seed of its own")
    kept, role = _held(rows)
    counts["set_aside"] = len(rows) - len(kept)
    chosen = {(row.strength, row.setting) for row in kept}
    searched = _arranged(kept, counts)
    confirming = [row for row in confirming if role == "varies" or (row.strength, row.setting) in chosen]
    counts["diverged"] = sum(row.score is None for row in kept)
    counts["used"] = len(kept) - counts["diverged"]
    if columns.seed is not None and searched.seeds is None:
        remarks.append(f"hardly any value of {columns.seed} stands at two strengths, so that nothing can be paired")
    scores = np.array([np.nan if row.score is None else row.score for row in rows])
    return EncoderTable(
        encoder=encoder,
        searched=searched,
        confirmed=_arranged(confirming, Counter()) if confirming else None,
        is_fresh=not {row.seed for row in confirming} & {row.seed for row in kept},
        counts=TrainingCounts(**{name: count for name, count in counts.items() if count or name in _ALWAYS}),
        others=(*fixed, *(_described(searching, name, role, scores) for name in varying)),
        remarks=tuple(remarks),
    )


_ALWAYS = ("trainings", "used", "diverged")


def _others(frame: pd.DataFrame, columns: Columns) -> tuple[list[str], list[OtherHyperparameter]]:
    """The other hyperparameters that vary, and those that are of one value."""
    varying, fixed = [], []
    for name in columns.others:
        values = set(_texts(frame, name))
        if len(values) > 1:
            varying.append(name)
        elif values != {""}:
            fixed.append(OtherHyperparameter(name=name, role="fixed", values=next(iter(values))[:60]))
    return varying, fixed


def _held(rows: Sequence[_Row]) -> tuple[list[_Row], str]:
    """The rows of the best setting at each strength, and `nuisance`; or all of them, and `varies`, where settings were
    not tried alike at every strength, so that the best of many would stand beside the best of few.
    """
    by_strength: dict[float, set[Setting]] = defaultdict(set)
    for row in rows:
        by_strength[row.strength].add(row.setting)
    common = set.intersection(*by_strength.values()) if by_strength else set()
    crossed = [row for row in rows if row.setting in common]
    if len(crossed) < _CROSSED * len(rows) or len(by_strength) < 2:
        return list(rows), "varies"
    tried: dict[tuple[float, Setting], dict[int, float | None]] = defaultdict(dict)
    for row in crossed:
        own = tried[row.strength, row.setting]
        own[len(own)] = row.score
    best = {
        (one.strength, one.setting)
        for one in best_by_strength(Tried(strength=at, setting=how, scores=own) for (at, how), own in tried.items())
    }
    return [row for row in crossed if (row.strength, row.setting) in best], "nuisance"


def _described(frame: pd.DataFrame, name: str, role: str, scores: NDArray[np.float64]) -> OtherHyperparameter:
    values, correlation = to_numbers(frame[name]), None
    if np.all(np.isfinite(values)):
        told = f"{values.min():.3g} to {values.max():.3g}"
        known = np.isfinite(scores)
        if role == "varies" and known.sum() > 3 and np.ptp(values[known]) > 0 and np.ptp(scores[known]) > 0:
            correlation = float(stats.spearmanr(values[known], scores[known]).statistic)
    else:
        named = natural_order(set(_texts(frame, name)))
        told = ", ".join(value[:_LONGEST] or "none" for value in named[:6]) + (" …" if len(named) > 6 else "")
    return OtherHyperparameter(name=name, role=role, values=told, correlation=correlation)


def _arranged(rows: Sequence[_Row], counts: Counter[str]) -> Scores:
    """A row a strength, a column a seed where seeds stand at several strengths."""
    strengths = sorted({row.strength for row in rows})
    seeds = _paired_seeds(rows)
    if seeds is None:
        by_strength = {at: [row.score for row in rows if row.strength == at] for at in strengths}
        most = max(map(len, by_strength.values()))
        scores, diverged = score_table([dict(enumerate(by_strength[at])) for at in strengths], replicates=range(most))
        return Scores(strengths=np.array(strengths), scores=scores, diverged=diverged, seeds=None)
    cells: dict[tuple[float, str], list[float | None]] = defaultdict(list)
    for index, row in enumerate(rows):
        cells[row.strength, row.seed or f"row {index + 1}"].append(row.score)
    counts["averaged"] += sum(len(held) - 1 for held in cells.values())
    columns = [*seeds, *(f"row {index + 1}" for index, row in enumerate(rows) if not row.seed)]
    table = [
        {place: _mean(cells[at, seed]) for place, seed in enumerate(columns) if (at, seed) in cells} for at in strengths
    ]
    scores, diverged = score_table(table, replicates=range(len(columns)))
    return Scores(strengths=np.array(strengths), scores=scores, diverged=diverged, seeds=tuple(columns))


def _paired_seeds(rows: Sequence[_Row]) -> list[str] | None:
    """The seeds, if most scores are of seeds that were trained at several strengths."""
    places: Mapping[str, set[float]] = defaultdict(set)
    for row in rows:
        if row.seed:
            places[row.seed].add(row.strength)
    shared = sum(len(places.get(row.seed, ())) > 1 for row in rows)
    return natural_order(set(places)) if rows and shared >= _PAIRED * len(rows) else None


def _mean(held: Sequence[float | None]) -> float | None:
    known = [score for score in held if score is not None]
    return None if len(known) < len(held) else float(np.mean(known))
