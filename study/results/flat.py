"""Answers as numbers by name, as tables and MLflow have them."""

from __future__ import annotations

from study.results.model import GainResult, SubjectResult
from study.results.model.answers import Limits


def answer_numbers(answer: SubjectResult, *, suffix: str = "") -> dict[str, float | None]:
    """λ* and the gain over λ = 0 of a subject with their intervals: `lambda_star`, `lambda_star_low`, …, `gain_high`.

    `suffix` follows each quantity's own name: `_1` makes `lambda_star_1` and `lambda_star_1_low`.
    """
    gain = answer.gain_over_zero or GainResult()
    return {
        **with_limits(f"lambda_star{suffix}", answer.lambda_star, answer.interval),
        **with_limits(f"gain{suffix}", gain.mean, gain.interval),
    }


def with_limits(name: str, value: float | None, interval: Limits | None) -> dict[str, float | None]:
    """A value under `name`, the limits of its interval under `name_low` and `name_high`."""
    low, high = interval or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
