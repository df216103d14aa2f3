"""What the papers claim, beside what studies here measured: reproduced, not reproduced, or not testable.

`CLAIMS` is the list; each line finds its evidence in the reports that bear on it. A claim is reproduced only where it
holds in all of them. Reports on stand-in data bear on nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from study.results.claims import evidence
from study.results.claims.evidence import Judge
from study.results.model import Report

Outcome = Literal["reproduced", "not reproduced", "not testable"]

_MOST_LINES = 4  # of evidence in a row of the table
_FANG, _THOREAU = "Fang et al. 2026", "Thoreau et al. 2025"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim, the test that decides it, and which study bears on it; `judge` finds the evidence in reports."""

    source: str
    text: str
    test: str
    needs: str
    judge: Judge


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a claim came out, with its evidence, one line each; without any it says what is needed."""

    claim: Claim
    outcome: Outcome
    evidence: tuple[str, ...]


def judge(reports: Sequence[Report]) -> tuple[Verdict, ...]:
    """Every claim's outcome by these reports."""
    real = [report for report in reports if not report.stand_in]
    verdicts = []
    for claim in CLAIMS:
        findings = list(claim.judge(real))
        held = sum(finding.holds for finding in findings)
        outcome: Outcome = "not testable"
        if findings:
            outcome = "reproduced" if held == len(findings) else "not reproduced"
        told = tuple(f"{'✓' if finding.holds else '✗'} {finding.evidence}" for finding in findings)
        verdicts.append(Verdict(claim=claim, outcome=outcome, evidence=told or (f"needs {claim.needs}",)))
    return tuple(verdicts)


def claims_table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as a Markdown table, a row per claim."""
    rows = [("paper", "claim", "here", "measured", "test"), ("---",) * 5]
    for verdict in verdicts:
        claim = verdict.claim
        rows.append((claim.source, claim.text, verdict.outcome, _told(verdict.evidence), claim.test))
    return "\n".join("| " + " | ".join(value.replace("|", "\\|") for value in row) + " |" for row in rows)


def _told(evidence: Sequence[str]) -> str:
    """The evidence on at most four lines, what speaks against the claim first."""
    if len(evidence) <= _MOST_LINES:
        return "<br>".join(evidence)
    ordered = sorted(evidence, key=lambda line: not line.startswith("✗"))
    held = sum(line.startswith("✓") for line in evidence)
    return "<br>".join([f"{held} of {len(evidence)} hold:", *ordered[: _MOST_LINES - 1], "…"])


_SHAPE_TEST = "the report's test of the curve's shape"
CLAIMS: tuple[Claim, ...] = (
    Claim(
        source=_FANG, text="RQ1: with R = 6 and 8 both encoders improve with λ and saturate", test=_SHAPE_TEST,
        needs="the synthetic study", judge=evidence.shape_of_redundancy((6, 8), "rising"),
    ),
    Claim(
        source=_FANG, text="RQ1: with R = 0 and 2 both encoders get worse with λ", test=_SHAPE_TEST,
        needs="the synthetic study", judge=evidence.shape_of_redundancy((0, 2), "falling"),
    ),
    Claim(
        source=_FANG, text="RQ1: with R = 4 the curve is an inverted U that peaks at λ = 0.4–0.6",
        test=f"{_SHAPE_TEST}; the 90 % interval of λ* meets 0.4–0.6", needs="the synthetic study",
        judge=evidence.shape_of_redundancy((4,), "inverted-u", (0.4, 0.6)),
    ),
    Claim(
        source=_FANG, text="RQ1: the best λ rises with redundancy", needs="the synthetic study",
        test="rank correlation of R and λ*, interval above 0", judge=evidence.more_redundancy_more_alignment,
    ),
    Claim(
        source=_FANG, text="alignment metrics always rise with λ",
        needs="any study",
        test="Kendall's τ of λ and each metric above 0, p < 0.05, for every pair", judge=evidence.metrics_rise,
    ),
    Claim(
        source=_FANG, text="RQ2: on real pairs an encoder gains where its information is redundant",
        test="rank correlation of R / (R + own U) and the gain at λ*, interval above 0, 5 encoders at least",
        needs="studies of real pairs", judge=evidence.unique_information_and_gain,
    ),
    Claim(
        source=_FANG, text="MOSEI, vision with text: text is an inverted U that peaks at λ = 0.75",
        test=f"{_SHAPE_TEST}; the 90 % interval of λ* holds 0.75", needs="the MOSEI file",
        judge=evidence.shape_of_encoder("mosei", "text", "vision", "inverted-u", (0.75, 0.75)),
    ),
    Claim(
        source=_FANG, text="MOSEI, vision with text: vision improves with λ and saturates", test=_SHAPE_TEST,
        needs="the MOSEI file", judge=evidence.shape_of_encoder("mosei", "vision", "text", "rising"),
    ),
    Claim(
        source=_FANG, text="AV-MNIST: the image encoder gets slightly worse", test=_SHAPE_TEST,
        needs="the AV-MNIST files", judge=evidence.shape_of_encoder("avmnist", "image", "audio", "falling"),
    ),
    Claim(
        source=_FANG, text="AV-MNIST: the audio encoder improves slightly", test=_SHAPE_TEST,
        needs="the AV-MNIST files", judge=evidence.shape_of_encoder("avmnist", "audio", "image", "rising"),
    ),
    Claim(
        source=_FANG, text="MUStARD, vision with audio: vision .54 → .62, audio .58 → .66",
        test="paired t test of the largest λ against 0, one-sided, p < 0.05", needs="the MUStARD file",
        judge=evidence.gains_by_the_end("mustard", ("vision", "audio")),
    ),
    Claim(
        source=_FANG, text="Table 1: the information profiles",
        test="every component inside the 90 % interval, read as nats or as bits", needs="MOSEI, AV-MNIST, MUStARD",
        judge=evidence.profiles_agree,
    ),
    Claim(
        source=_THOREAU, text="where modalities inform different targets, alignment loses information",
        test="linear family, r < ½: a paired loss of 5 % at least by the largest λ", needs="the linear study",
        judge=evidence.linear(loses=True),
    ),
    Claim(
        source=_THOREAU, text="redundant modalities lose nothing", test="linear family, r > ½: no such loss",
        needs="the linear study", judge=evidence.linear(loses=False),
    ),
    Claim(
        source=_THOREAU, text="what is lost follows from generalised eigenproblems",
        test="the expected crossing is inside the interval of the measured one", needs="the linear study",
        judge=evidence.crossings,
    ),
    Claim(
        source=_THOREAU, text="on real remote-sensing data alignment did not degrade the encoders",
        needs="the Houston study",
        test="Houston 2013: no paired loss at the largest λ against 0, one-sided t test, p < 0.05",
        judge=evidence.no_harm("houston"),
    ),
)  # fmt: skip
