"""Answers as numbers by name, as tables and MLflow have them: the names of report.json, joined by underscores."""

from __future__ import annotations

from study.results.model import AdvisedResult, GainResult, SubjectResult
from study.results.model.answers import Limits


def answer_numbers(answer: SubjectResult, *, suffix: str = "") -> dict[str, float | None]:
    """λ* of a subject and the gain that is told of it, with intervals: `lambda_star`, `lambda_star_low`, …, `gain`,
    `gain_strength`, and of that gain `p_value` (uncorrected) and `p_adjusted` (after Holm).

    `suffix` follows each quantity's own name: `_1` makes `lambda_star_1` and `lambda_star_1_low`.
    """
    gain = answer.told_gain
    return {
        **with_limits(f"lambda_star{suffix}", answer.lambda_star, answer.interval),
        **with_limits(f"gain{suffix}", gain.mean, gain.interval),
        f"gain_strength{suffix}": gain.strength,
        f"p_value{suffix}": gain.p_value,
        f"p_adjusted{suffix}": gain.p_adjusted,
    }


def advised_numbers(advised: AdvisedResult) -> dict[str, float | None]:
    """What a pair is advised to do: `advised_strength` with its interval, `advised_strength_1` and `_2` of each
    encoder, `advised_gain` with its interval, `advised_p_value` and `advised_p_adjusted`.
    """
    gain, (first, second) = advised.gain or GainResult(), advised.strengths or (None, None)
    return {
        **with_limits("advised_strength", advised.strength, advised.interval),
        "advised_strength_1": first,
        "advised_strength_2": second,
        **with_limits("advised_gain", gain.mean, gain.interval),
        "advised_p_value": gain.p_value,
        "advised_p_adjusted": gain.p_adjusted,
    }


def with_limits(name: str, value: float | None, interval: Limits | None) -> dict[str, float | None]:
    """A value under `name`, the limits of its interval under `name_low` and `name_high`."""
    low, high = interval or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
