from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from study.report import words
from study.report.doubts import caveats


def _cell(strategy: str = "shared", **changes: Any) -> dict[str, Any]:
    """Vision and text at λ* = 0.6, text gaining 1.4 points."""
    gain = {
        "mean": 0.014,
        "interval": [0.006, 0.022],
        "p_value": 0.001,
        "p_adjusted": 0.003,
        "seeds": 10,
        "source": "confirm",
    }
    none = {"mean": 0.001, "interval": [-0.004, 0.006], "p_value": 0.7, "seeds": 10, "source": "confirm"}
    curve = [{"strength": 0.0, "mean": 0.8, "seeds": 5}, {"strength": 4.0, "mean": 0.75, "seeds": 5}]
    answer = {"lambda_star": 0.6, "interval": [0.3, 1.1], "curve": curve, "flags": []}
    choice = {"strategy": strategy, "lambda_star": 0.6, "interval": [0.3, 1.1], "strengths": [0.6, 0.6]}
    return {
        "dataset": "mosei",
        "pair": ["vision", "text"],
        "encoders": [
            {**answer, "modality": "vision", "verdict": "indifferent", "shape": "flat", "gain_over_zero": none},
            {**answer, "modality": "text", "verdict": "align", "shape": "rising", "gain_over_zero": gain},
        ],
        "pair_choice": choice | changes,
    }  # fmt: skip


def test_a_shared_strength_is_told_with_both_effects() -> None:
    assert words.cell_sentence(_cell()) == (
        "Align vision and text at λ ≈ 0.6 [0.3, 1.1]: vision is indifferent, text gains 1.4 points [0.6, 2.2]."
    )


def test_a_one_sided_strength_names_the_side_that_stays() -> None:
    sentence = words.cell_sentence(_cell("to_2", strengths=[0.0, 0.9]))
    assert sentence == (
        "Align text to vision only, at λ ≈ 0.9, and leave vision untouched: text gains 1.4 points [0.6, 2.2]."
    )


def test_two_strengths_are_told_apart() -> None:
    sentence = words.cell_sentence(_cell("per_encoder", strengths=[0.2, 1.5]))
    assert sentence.startswith("Align vision at λ ≈ 0.2 and text at λ ≈ 1.5, each on its own side:")


def test_the_gains_told_are_those_of_the_chosen_strategy() -> None:
    gains = [None, {"mean": 0.031, "interval": [0.02, 0.04]}]
    sentence = words.cell_sentence(_cell(alternatives=[{"strategy": "shared", "gains": gains}]))
    assert "vision was not measured, text gains 3.1 points [2.0, 4.0]" in sentence


def test_a_loss_is_told_as_a_loss() -> None:
    gains = [{"mean": -0.02, "interval": [-0.03, -0.01]}, {"mean": 0.031, "interval": [0.02, 0.04]}]
    sentence = words.cell_sentence(_cell(alternatives=[{"strategy": "shared", "gains": gains}]))
    assert "vision loses 2.0 points [1.0, 3.0]" in sentence


def test_not_aligning_says_what_alignment_would_cost() -> None:
    cell = _cell("none")
    cell["encoders"][0]["verdict"] = "avoid"
    assert words.cell_sentence(cell) == (
        "Do not align vision and text: vision loses 5.0 points by λ = 4, "
        "text alone would gain 1.4 points [0.6, 2.2] at λ ≈ 0.6."
    )


def test_two_indifferent_encoders_are_told_once() -> None:
    cell = _cell("none")
    cell["encoders"][1]["verdict"] = "indifferent"
    assert words.cell_sentence(cell).endswith("no strength makes a difference that this study can measure.")


def test_gains_from_the_seeds_of_the_search_are_marked() -> None:
    cell = _cell()
    cell["encoders"][1]["gain_over_zero"]["source"] = "search"
    assert words.cell_sentence(cell).endswith("Not confirmed on fresh seeds yet.")
    assert "10 search seeds" in words.encoder_sentence(cell, 1)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({}, "no answer yet."),
        ({"error": "worker died"}, "because its search failed (worker died)."),
        ({"counts": {"trainings": 9, "diverged": 9}}, "because every training diverged."),
    ],
)
def test_a_cell_without_an_answer_says_why(extra: dict[str, Any], reason: str) -> None:
    assert words.cell_sentence({"dataset": "d", "pair": ["a", "b"], **extra}).endswith(reason)


def test_an_encoder_is_told_with_its_evidence() -> None:
    assert words.encoder_sentence(_cell(), 1) == (
        "text wants to be aligned; λ* ≈ 0.6 [0.3, 1.1], the curve rises with λ. "
        "At λ* it gets +1.4 [+0.6, +2.2] points over λ = 0 (10 fresh seeds, p = 0.003 after Holm)."
    )


def test_an_encoder_at_zero_is_not_compared_with_itself() -> None:
    cell = _cell()
    cell["encoders"][0] |= {"lambda_star": 0.0, "verdict": "avoid", "shape": "falling"}
    assert "over λ = 0" not in words.encoder_sentence(cell, 0)


def test_a_peak_that_was_not_borne_out_is_told_with_its_test() -> None:
    cell = _cell()
    searched = {"lambda_star": 0.15, "gain_over_zero": {"mean": 0.002, "interval": [-0.002, 0.006]}}
    cell["encoders"][0] |= {"lambda_star": 0.0, "verdict": "avoid", "shape": "falling", "searched": searched}
    assert "At λ = 0.15, where the searched curve is highest, it gets +0.2 [−0.2, +0.6] points over λ = 0" in (
        words.encoder_sentence(cell, 0)
    )


@pytest.mark.parametrize(("mean", "told"), [(0.005, "about 24 seeds"), (0.0005, ""), (-0.01, "")])
def test_what_it_would_take_to_confirm_a_gain_is_said_where_it_is_within_reach(mean: float, told: str) -> None:
    """A gain of 0.005 with sd 0.0086 over seeds: (2.8 · 0.0086 / 0.005)² seeds for a power of 0.8."""
    cell = _cell()
    gain = {"mean": mean, "interval": [mean - 0.005, mean + 0.005], "seeds": 10, "p_value": 0.1}
    cell["encoders"][0] |= {"verdict": "indifferent", "gain_over_zero": gain}
    lines = [line for line in caveats(cell) if "confirmed by about" in line]
    assert ([told] if told else []) == [told for line in lines if told and told in line]
    assert bool(lines) == bool(told)


def test_a_search_that_its_confirmation_contradicts_is_doubted() -> None:
    cell = _cell()
    cell["encoders"][0] |= {"verdict": "avoid", "shape": "rising", "lambda_star": 0.0}
    assert any("the two splits differ" in line for line in caveats(cell))


def test_what_a_search_learnt_from_is_named_with_what_it_spared() -> None:
    earlier = [{"study": "mosi", "label": "vision + text", "lambda_star": 0.6}]
    cell = _cell() | {"transfer": {"from": earlier, "spared": 20}}
    assert words.learnt_text(cell).endswith("mosi (vision + text, λ* 0.6); 20 trainings spared")
    assert words.learnt_text(_cell()) == ""


def test_scores_that_are_no_accuracy_keep_their_own_unit() -> None:
    cell = _cell() | {"metrics": ["r2", "loss_of_x"]}
    assert "text gains 0.014 of loss_of_x [0.006, 0.022]" in words.cell_sentence(cell)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"flags": ["edge"]}, "widen strength.range"),
        ({"flags": ["undertrained"]}, "raise training.epochs"),
        ({"flags": ["diverged"]}, "lower training.learning_rate"),
        ({"flags": ["few_seeds"]}, "raise replicates.search"),
        ({"flags": ["of_a_later_version"]}, "of a later version"),
        ({"gain_over_zero": {"mean": 0.01, "seeds": 3}}, "only 3 confirming seeds"),
        ({"interval": [0.1, 3.9]}, "only known to lie between 0.1 and 3.9"),
    ],
)
def test_what_would_change_the_answer_is_said(change: dict[str, Any], told: str) -> None:
    cell = _cell()
    cell["encoders"][1] |= change
    assert [line for line in caveats(cell) if told in line and line.startswith("text: ")]


def test_nothing_is_said_where_nothing_would_change_the_answer() -> None:
    assert caveats(_cell()) == []


def test_diverged_trainings_are_counted() -> None:
    assert "3 of 45 trainings diverged" in " ".join(caveats(_cell() | {"counts": {"diverged": 3, "trainings": 45}}))


@pytest.mark.parametrize("name", ["digits_report", "synthetic_report", "partial_report", "hostile_report"])
def test_every_sentence_is_one_line_that_ends_in_a_full_stop(example: ModuleType, name: str) -> None:
    for cell in getattr(example, name)()["cells"]:
        told = [
            words.cell_sentence(cell),
            *(words.encoder_sentence(cell, index) for index in (0, 1)),
            *caveats(cell),
        ]
        assert all(line.endswith(".") and "\n" not in line and "None" not in line for line in told)


def test_a_generated_pair_is_told_with_its_exact_profile() -> None:
    exact = {"redundancy": 0.39, "unique_1": 0.14, "unique_2": 0.29, "synergy": 0.85}
    cell = _cell() | {"pid": {**exact, "redundancy": 0.35, "units": "bits", "exact": exact}}
    told = words.profile_text(cell)
    assert told.startswith("redundancy 0.35, ")
    assert told.endswith("bits; exact, in the same order: 0.39, 0.14, 0.29, 0.85")


def test_the_generators_feature_count_is_not_taken_for_information() -> None:
    """With no shared feature at all the exact profile has 0.39 bits of redundancy, and synergy is its largest part."""
    cell = _cell() | {"dataset": "synthetic", "variant": {"redundancy": 0}}
    cell["pid"] = {"redundancy": 0.39, "unique_1": 0.14, "unique_2": 0.29, "synergy": 0.85}
    assert "0 of the label's 8 features are in both is a count, not the redundancy in bits" in words.profile_text(cell)
