"""Answers from a cell's records: λ* of both encoders and of the pair, their gains, and what each strategy gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.cells.cell import Cell
from study.cells.trials import (
    ENCODERS,
    ONE_SIDED,
    SUBJECTS,
    Arm,
    Asked,
    Setting,
    StrengthPair,
    Subject,
    Trials,
    has_one_score,
)
from study.search.confirming import begun_rounds, confirmed_groups, settled_strength, standing
from study.search.curves import ScoreCurve, confirmed_by_setting, curve, searched, select_curve
from study.search.rounds import has_answer
from study.selection import (
    SIZE,
    Confirmed,
    Gain,
    Selection,
    Strategy,
    StrategyChoice,
    StrategyGains,
    choose_strategy,
    holm,
    paired_gain,
    strengths_by_encoder,
)

Scores = NDArray[np.float64]
Claimant = Subject | Strategy


@dataclass(frozen=True, kw_only=True)
class SubjectAnswer:
    """One encoder, or the pair: its curve under an arm, what the search says of it, and its gain at its own λ*."""

    curve: ScoreCurve
    selection: Selection
    lambda_star: float
    gain: Gain
    source: str
    arm: Arm = "shared"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The strategy chosen for a pair, its strengths, and the p-values of all its claims as corrected for the study.

    `p_needed` is the uncorrected p-value with which one claim more of the study would be confirmed; `smallest_gain` is
    what a gain must not be shown to lie below, in the score's unit.
    """

    choice: StrategyChoice
    strengths: StrengthPair
    adjusted_p: Mapping[Claimant, float]
    p_needed: float
    smallest_gain: float = 0.0


class Decided(NamedTuple):
    """An encoder's answer as the decision for its pair leaves it: the corrected p-value of its gain, and its gain at
    the strength that it is to be trained at; None where it is not to be aligned.
    """

    answer: SubjectAnswer
    adjusted_p: float
    used: Gain | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of a cell: of each subject, and what every strategy that its records can judge would give.

    With `one_score` that is the one answer of the pair, thrice.
    """

    subjects: Mapping[Subject, SubjectAnswer]
    candidates: Mapping[Strategy, StrategyGains]
    strengths: Mapping[Strategy, StrengthPair]
    sources: Mapping[Strategy, str]  # whether a strategy was judged on fresh seeds or on those of the search
    one_score: bool = False


_ARMS: Mapping[Subject, Literal["to_1", "to_2"]] = dict(
    zip(ENCODERS, ONE_SIDED, strict=True)
)  # that pull an encoder alone


def evaluate(cell: Cell, ledger: Trials) -> Answer:
    """The answer of a cell that has a curve."""
    groups = confirmed_groups(ledger.trials(cell.id, "confirm"))
    groups = {strengths: groups[strengths] for strengths in standing(groups)}
    scores = confirmed_by_setting(groups, ratio=cell.confirming_ratio, past=cell.past)
    subjects: dict[Subject, SubjectAnswer] = {}
    one_score = has_one_score(cell.id, ledger)
    for subject in SUBJECTS[-1:] if one_score else SUBJECTS:
        shared = curve(ledger.trials(cell.id, "shared"), subject)
        selection = select_curve(cell, shared)
        alike = [first for first, second in scores[subject] if first == second]
        star = settled_strength(selection, alike, extended=bool(begun_rounds(cell)))
        gain, source = shared_gain(shared, scores[subject], star)
        subjects[subject] = SubjectAnswer(curve=shared, selection=selection, lambda_star=star, gain=gain, source=source)
    if one_score:
        subjects = dict.fromkeys(SUBJECTS, subjects["pair"])
    one_sided = {arm: _one_sided_strengths(cell, ledger, arm, scores) for arm in ONE_SIDED}
    candidates, strengths, sources = _strategies(subjects, scores, one_sided)
    return Answer(subjects=subjects, candidates=candidates, strengths=strengths, sources=sources, one_score=one_score)


def as_decided(cell: Cell, ledger: Trials, answer: Answer, subject: Subject, decision: Decision) -> Decided:
    """The answer for an encoder where the decision would use it.

    One that is to be aligned on its own side is judged by its one-sided curve, and not by what one strength for both
    would do to it; its gain there is the claim of the strategy. So is one whose gain on its own side is confirmed,
    though its pair is to be left alone or has a simpler strategy: nobody may be told that nothing is worth having.
    """
    strategy, arm = decision.choice.strategy, _ARMS[subject]
    own_is_told = strategy in (arm, "per_encoder") or (strategy != "shared" and _is_claimed(answer, decision, arm))
    if own_is_told and (own := _one_sided(cell, ledger, answer, subject)):
        claimed = decision.adjusted_p[arm]
        return Decided(own, claimed, own.gain)
    is_pulled = strategy == "shared" and decision.strengths[0]
    used = _gain_of(answer.candidates["shared"], subject) if is_pulled else None
    return Decided(answer.subjects[subject], decision.adjusted_p[subject], used)


def _is_claimed(answer: Answer, decision: Decision, arm: Strategy) -> bool:
    """Whether a strategy's gain for the pair is confirmed, and not too small to matter."""
    if arm not in answer.candidates:
        return False
    gain = answer.candidates[arm].gain_mean
    return decision.adjusted_p[arm] <= SIZE and gain.mean > 0 and not gain.is_too_small(decision.smallest_gain)


def _one_sided(cell: Cell, ledger: Trials, answer: Answer, subject: Subject) -> SubjectAnswer | None:
    """The answer for an encoder by the curve of the arm that pulls it; None where that cannot be drawn."""
    arm = _ARMS[subject]
    own = curve(searched(cell, ledger, arm), subject)
    if not own.is_drawable:
        return None
    return SubjectAnswer(
        curve=own,
        selection=select_curve(cell, own),
        lambda_star=max(answer.strengths[arm]),
        gain=_gain_of(answer.candidates[arm], subject),
        source=answer.sources[arm],
        arm=arm,
    )


def _gain_of(gains: StrategyGains, subject: Subject) -> Gain:
    return (gains.gain_1, gains.gain_2)[ENCODERS.index(subject)]


def decide(answers: Mapping[str, Answer], *, smallest_gain: float = 0.0) -> dict[str, Decision]:
    """The decision for each pair of a study, by cell id: what its report says and its encoders are trained for.

    The claims of all pairs are corrected together, so it takes the answers of all of them. `smallest_gain` is as
    `choose_strategy` has it.
    """
    adjusted = adjusted_p_values(answers)
    claims = [p for (cell, claimant), p in adjusted.items() if claimant not in _echoes(answers[cell])]
    needed = p_needed(claims)
    decisions = {}
    for cell, answer in answers.items():
        own = {claimant: adjusted[cell, claimant] for claimant in (*SUBJECTS, *answer.candidates)}
        choice = choose_strategy(
            answer.candidates,
            adjusted_p={name: own[name] for name in answer.candidates},
            smallest_gain=smallest_gain,
        )
        decisions[cell] = Decision(
            choice=choice,
            strengths=answer.strengths[choice.strategy],
            adjusted_p=own,
            p_needed=needed,
            smallest_gain=smallest_gain,
        )
    return decisions


def _echoes(answer: Answer) -> Sequence[Claimant]:
    """Whose claims are no more than those of the strategy `shared`."""
    return SUBJECTS if answer.one_score else SUBJECTS[-1:]


def p_needed(adjusted: Sequence[float]) -> float:
    """Holm's next step: a claim competes with those that are not confirmed, and no more with those that are."""
    return SIZE / max(1, sum(p_value > SIZE for p_value in adjusted))


def recommended_settings(cells: Sequence[Cell], ledger: Trials) -> dict[str, tuple[Setting, Setting]]:
    """The confirmed setting that each encoder of each confirmed cell should be trained with, by what is decided."""
    answers = {cell.id: evaluate(cell, ledger) for cell in cells if has_answer(cell, ledger)}
    smallest_gain = cells[0].config.search.smallest_gain if cells else 0.0
    recommended = {
        cell: encoder_settings(ledger.trials(cell, "confirm"), decision)
        for cell, decision in decide(answers, smallest_gain=smallest_gain).items()
    }
    return {cell: settings for cell, settings in recommended.items() if settings}


def encoder_settings(confirmed: Iterable[Asked], decision: Decision) -> tuple[Setting, Setting] | None:
    """The setting of each encoder by a decision; None where its strengths were not confirmed."""
    settings = {strengths: group[-1].setting for strengths, group in confirmed_groups(confirmed).items()}
    one, two = map(settings.get, strengths_by_encoder(decision.choice.strategy, decision.strengths))
    return (one, two) if one and two else None


def _one_sided_strengths(
    cell: Cell,
    ledger: Trials,
    arm: Literal["to_1", "to_2"],
    confirmed: Mapping[Subject, Mapping[StrengthPair, Confirmed]],
) -> StrengthPair | None:
    """The confirmed strengths of a strategy that pulls one encoder; None where there are none.

    Of several, as the search was extended after a confirmation, those that stand for λ* by now.
    """
    place = ONE_SIDED.index(arm)
    own = {pair[place]: pair for pair in confirmed["pair"] if pair[place] and not pair[1 - place]}
    if len(own) > 1:
        searched_curve = curve(searched(cell, ledger, arm), ENCODERS[place])
        star = settled_strength(select_curve(cell, searched_curve), own, extended=True)
        return own[min(own, key=lambda strength: abs(strength - star))]
    return next(iter(own.values()), None)


def shared_gain(searched: ScoreCurve, confirmed: Mapping[StrengthPair, Confirmed], strength: float) -> tuple[Gain, str]:
    """The gain of a shared strength over λ = 0: confirmed, or else between the searched strengths nearest to them."""
    if (strength, strength) in confirmed and (0.0, 0.0) in confirmed:
        return confirmed[strength, strength].over(confirmed[0.0, 0.0]), "confirm"
    rows = [searched.scores[int(np.abs(searched.strengths - value).argmin())] for value in (0.0, strength)]
    return paired_gain(rows[0], rows[1]), "search"


def _strategies(
    subjects: Mapping[Subject, SubjectAnswer],
    confirmed: Mapping[Subject, Mapping[StrengthPair, Confirmed]],
    one_sided: Mapping[Literal["to_1", "to_2"], StrengthPair | None],
) -> tuple[dict[Strategy, StrategyGains], dict[Strategy, StrengthPair], dict[Strategy, str]]:
    """Gains of each strategy, its strengths, and on which seeds: one-sided ones where they were confirmed."""
    star = subjects["pair"].lambda_star
    strengths: dict[Strategy, StrengthPair] = {"none": (0.0, 0.0), "shared": (star, star)}
    judged = [shared_gain(subjects[subject].curve, confirmed[subject], star) for subject in SUBJECTS]
    gains = [gain for gain, _ in judged]
    sources: dict[Strategy, str] = {"shared": judged[-1][1]}
    candidates: dict[Strategy, StrategyGains] = {
        "shared": StrategyGains(gain_1=gains[0], gain_2=gains[1], gain_mean=gains[2])
    }
    first, second = confirmed["encoder_1"], confirmed["encoder_2"]
    to_1, to_2 = one_sided["to_1"], one_sided["to_2"]
    zero = (0.0, 0.0)
    trained: dict[Strategy, tuple[StrengthPair, StrengthPair]] = {}  # which trainings stand for each encoder
    if to_1:
        trained["to_1"], strengths["to_1"] = (to_1, zero), to_1
    if to_2:
        trained["to_2"], strengths["to_2"] = (zero, to_2), to_2
    if to_1 and to_2:
        trained["per_encoder"], strengths["per_encoder"] = (to_1, to_2), (to_1[0], to_2[1])
    for strategy, (of_1, of_2) in trained.items():
        sources[strategy] = "confirm"
        before, after = first[zero].joined(second[zero]), first[of_1].joined(second[of_2])
        candidates[strategy] = StrategyGains(
            gain_1=first[of_1].over(first[zero]),
            gain_2=second[of_2].over(second[zero]),
            gain_mean=after.over(before),
        )
    return candidates, strengths, sources


def adjusted_p_values(answers: Mapping[str, Answer]) -> dict[tuple[str, Claimant], float]:
    """Holm-adjusted p-values of all gains that the study claims: of both encoders and of every strategy, in every cell.

    The pair as one stands or falls with the strategy `shared`, whose gain is its own; so do its encoders where one
    score stands for both.
    """
    gains: dict[tuple[str, Claimant], Gain] = {}
    for cell, answer in answers.items():
        if not answer.one_score:
            gains |= {(cell, subject): answer.subjects[subject].gain for subject in ENCODERS}
        gains |= {(cell, strategy): candidate.gain_mean for strategy, candidate in answer.candidates.items()}
    adjusted = dict(zip(gains, holm([gain.p_value for gain in gains.values()]), strict=True))
    echoed = {(cell, subject): adjusted[cell, "shared"] for cell, one in answers.items() for subject in _echoes(one)}
    return adjusted | echoed
