"""The joint probe of a pair in plain words: what both representations tell together, and what alignment does to it."""

from __future__ import annotations

from study.results.model import CellResult, CurvePoint, JointChange, JointResult
from study.results.text.amounts import (
    as_told,
    common_metric,
    curve_text,
    gain_unit,
    gain_with_interval,
    score_text,
    strength_text,
    strength_with_interval,
    strongest,
)

TOGETHER = "together"  # what the third curve is called beside the names of both encoders


def joint_metric(cell: CellResult) -> str:
    """The score that the probe is told in: the one of both encoders, or the mean of two."""
    return common_metric(cell.metric(0), cell.metric(1))


def joint_sentence(cell: CellResult) -> str:
    """What both know together, at λ = 0 and where the pair is advised to be aligned, or over the curve; "" without a
    probe. A change is told as one where its interval lies on one side of 0.
    """
    joint = cell.joint
    if joint is None:
        return ""
    if joint.change is not None:
        return _of_advised(joint.change, joint_metric(cell))
    return _of_curve(joint, joint_metric(cell))


def _of_advised(change: JointChange, metric: str) -> str:
    strengths = list(dict.fromkeys(strength_text(one) for one in change.strengths or () if one))
    before, after = (score_text(value, metric) for value in (change.at_zero, change.at_advised))
    at = f"at λ* = {' and '.join(strengths)}"
    gain = change.gain
    if gain is None or gain.mean is None:
        return ""
    if gain.interval is None or gain.interval[0] <= 0 <= gain.interval[1]:
        told = f"What both know together stays about the same: {before} at λ = 0, {after} {at}"
    else:
        verb = "falls" if as_told(_difference(change), metric) < 0 else "rises"
        told = f"What both know together {verb} from {before} at λ = 0 to {after} {at}"
    split = ", in validation" if gain.source == "search" else ""
    return f"{told} ({gain_with_interval(gain, metric)} {gain_unit(metric)}{split}), by a ridge probe."


def _difference(change: JointChange) -> float:
    """How the mean score changes from λ = 0 to the advised strengths; 0 where either is not known."""
    if change.at_zero is None or change.at_advised is None:
        return 0.0
    return change.at_advised - change.at_zero


def _of_curve(joint: JointResult, metric: str) -> str:
    end = strongest(joint)
    before, after = (score_text(_mean(joint.curve, at), metric) for at in (0.0, end))
    if joint.lambda_star is None or not end:
        return ""
    shape = curve_text(joint, metric)
    known = f"λ* ≈ {strength_with_interval(joint)}{f', the curve is {shape}' if shape else ''}"
    ends = f"{before} at λ = 0, {after} at λ = {strength_text(end)}, in validation"
    return f"What both know together, by a ridge probe: {known} ({ends})."


def _mean(curve: tuple[CurvePoint, ...], strength: float) -> float | None:
    return next((point.mean for point in curve if point.strength == strength), None)
