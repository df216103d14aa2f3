from __future__ import annotations

from typing import Any

import pytest
from scipy import stats

from study.results.model import CellResult, Report, from_json
from study.results.text.beforehand import learnt_text, profile_text
from study.results.text.doubts import caveats
from study.results.text.encoder import encoder_sentence
from study.results.text.pair import advice, advice_with_gain, cell_sentence, reason_text
from study.selection.looks import nominal_level
from tests.study.results import example


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


def read(cell: object) -> CellResult:
    """A cell as a report has it."""
    return from_json(CellResult, cell)


def test_a_shared_strength_is_told_with_both_effects() -> None:
    assert cell_sentence(read(_cell())) == (
        "Align vision and text at λ ≈ 0.6 [0.3, 1.1]: vision is indifferent, text gains 1.4 points [0.6, 2.2]."
    )


def test_a_one_sided_strength_names_the_side_that_stays() -> None:
    sentence = cell_sentence(read(_cell("to_2", strengths=[0.0, 0.9])))
    assert sentence == (
        "Align text to vision only, at λ ≈ 0.9, and leave vision untouched: text gains 1.4 points [0.6, 2.2]."
    )


def test_a_one_sided_strength_has_the_interval_of_its_own_side() -> None:
    """That of one strength for both is another search's, even where both come to the same strength."""
    cell = _cell("to_2", strengths=[0.0, 0.6], alternatives=[{"strategy": "to_2", "strengths": [0.0, 0.6]}])
    assert "at λ ≈ 0.6, and leave vision untouched" in cell_sentence(read(cell))
    cell["encoders"][1] |= {"arm": "to_2", "interval": [0.5, 0.7]}
    assert "at λ ≈ 0.6 [0.5, 0.7], and leave vision untouched" in cell_sentence(read(cell))


def test_one_strength_that_pulls_one_encoder_alone_is_not_told_as_one_for_both() -> None:
    told = read(_cell() | {"direction": "to_2"})
    assert cell_sentence(told) == (
        "Align text to vision only, at λ ≈ 0.6 [0.3, 1.1], and leave vision untouched: text gains 1.4 points "
        "[0.6, 2.2]."
    )
    assert advice(told) == "align text only, λ = 0.6 [0.3, 1.1]"


def test_seeds_that_are_missing_are_told_as_what_they_are() -> None:
    cell = _cell()
    cell["encoders"][1]["gain_over_zero"] = {"mean": 0.1, "seeds": 1, "source": "confirm"}
    assert "text: only 1 confirming seed: raise replicates.confirm." in caveats(read(cell))
    cell["encoders"][1]["gain_over_zero"] = {"mean": None, "seeds": 0, "source": "confirm"}
    (told,) = [line for line in caveats(read(cell)) if line.startswith("text: no confirming seed has a score")]
    assert "diverged" in told
    assert "replicates.confirm" not in told


def test_two_strengths_are_told_apart() -> None:
    sentence = cell_sentence(read(_cell("per_encoder", strengths=[0.2, 1.5])))
    assert sentence.startswith("Align vision at λ ≈ 0.2 and text at λ ≈ 1.5, each on its own side:")


def test_the_gains_told_are_those_of_the_chosen_strategy() -> None:
    gains = [None, {"mean": 0.031, "interval": [0.02, 0.04]}]
    sentence = cell_sentence(read(_cell(alternatives=[{"strategy": "shared", "gains": gains}])))
    assert "vision was not measured, text gains 3.1 points [2.0, 4.0]" in sentence


def test_a_loss_is_told_as_a_loss() -> None:
    gains = [{"mean": -0.02, "interval": [-0.03, -0.01]}, {"mean": 0.031, "interval": [0.02, 0.04]}]
    sentence = cell_sentence(read(_cell(alternatives=[{"strategy": "shared", "gains": gains}])))
    assert "vision loses 2.0 points [1.0, 3.0]" in sentence


def test_not_aligning_says_what_was_measured_where_it_would_be_used() -> None:
    """A loss on the test split is told with its strength; what the searched curve does is no number of the headline."""
    cell = _cell("none")
    loss: dict[str, Any] = {"mean": -0.02, "interval": [-0.03, -0.01], "p_value": 0.001, "source": "confirm"}
    cell["encoders"][0] |= {
        "verdict": "avoid", "shape": "falling", "lambda_star": 0.0,
        "searched": {"lambda_star": 0.4, "gain_over_zero": loss},
    }  # fmt: skip
    told = (
        "Do not align vision and text, as no strategy's gain for the pair is confirmed: vision {}, text alone would "
        "gain 1.4 points [0.6, 2.2] at λ ≈ 0.6."
    )
    assert cell_sentence(read(cell)) == told.format("loses 2.0 points [1.0, 3.0] at λ = 0.4")
    loss["p_adjusted"] = 0.4
    assert cell_sentence(read(cell)) == told.format("shows no confirmed gain (−2.0 [−3.0, −1.0] points at λ = 0.4)")
    cell["encoders"][0]["searched"] = {"lambda_star": 0.0}
    assert cell_sentence(read(cell)) == told.format("gets worse with λ by its validation curve")


def test_what_the_end_of_the_range_costs_is_a_remark_on_the_split_it_was_measured_on() -> None:
    cell = _cell("none")
    cell["encoders"][0] |= {"verdict": "avoid", "shape": "falling", "lambda_star": 0.0}
    assert encoder_sentence(read(cell), 0).endswith(
        "By the end of the range, λ = 4, it scores 5.0 points lower in validation than at λ = 0."
    )
    cell["encoders"][0]["shape"] = "flat"
    assert "end of the range" not in encoder_sentence(read(cell), 0)


def test_two_indifferent_encoders_are_told_once() -> None:
    cell = _cell("none")
    luck = {"mean": 0.002, "interval": [-0.006, 0.01], "p_value": 0.6, "seeds": 10, "source": "confirm"}
    for entry in cell["encoders"]:
        entry |= {"verdict": "indifferent", "shape": "flat", "gain_over_zero": luck}
    assert cell_sentence(read(cell)).endswith("no strength makes a difference that this study can measure.")
    cell["encoders"][1]["gain_over_zero"] = luck | {"interval": [0.001, 0.01]}
    assert cell_sentence(read(cell)).endswith("vision is indifferent, text is indifferent.")


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ("falling", "text shows no confirmed gain (its validation curve falls by the end of the range)."),
        ("rising", "text shows no confirmed gain (its validation curve rises with λ)."),
        ("inverted-u", "text peaks at λ ≈ 0.25 in validation."),
    ],
)
def test_a_curve_that_is_not_flat_is_a_difference(shape: str, told: str) -> None:
    """Told as the verdict has it: what a curve of an indifferent encoder does is no gain and no loss."""
    cell = _cell("none")
    cell["encoders"][1] |= {"verdict": "indifferent", "shape": shape, "searched": {"lambda_star": 0.25}}
    assert cell_sentence(read(cell)).endswith(told)


def test_a_gain_of_some_strategy_that_luck_does_not_explain_is_a_difference() -> None:
    cell = _cell("none")
    cell["encoders"][1] |= {"verdict": "indifferent", "shape": "flat"}
    gain = {"mean": -0.02, "interval": [-0.03, -0.01], "p_value": 0.002, "p_adjusted": 0.03, "seeds": 10}
    cell["pair_choice"]["alternatives"] = [
        {"strategy": "shared", "strengths": [0.6, 0.6], "gains": [gain, gain], "gain_mean": gain}
    ]
    assert cell_sentence(read(cell)).endswith(
        "vision is indifferent, text is indifferent. Closest comes “one λ for both” at λ = 0.6: −2.0 [−3.0, −1.0] "
        "points over λ = 0, p = 0.03 after Holm, near 0.05."
    )
    cell["pair_choice"]["alternatives"][0]["strengths"] = [0.0, 0.0]  # which is no alignment
    assert "Closest" not in cell_sentence(read(cell))


def test_a_gain_that_is_not_confirmed_is_not_told_as_one() -> None:
    """By the corrected p-value; where an encoder's gain is no claim, by what one claim more would need."""
    gain = {"mean": 0.01, "interval": [0.004, 0.016], "p_value": 0.02, "seeds": 10}
    tried = {"strategy": "shared", "strengths": [0.6, 0.6], "gains": [gain, gain | {"p_value": 0.004}]}
    cell = _cell(alternatives=[tried | {"gain_mean": gain | {"p_adjusted": 0.04, "p_needed": 0.005}}])
    assert (
        "vision shows no confirmed gain (+1.0 [+0.4, +1.6] points), text gains 1.0 points [0.4, 1.6]."
        in cell_sentence(read(cell))
    )


def test_the_reason_names_strategies_by_what_they_do() -> None:
    cell = read(_cell("to_2", reason="to_2 is simpler than per_encoder and within one standard error of its gain"))
    assert reason_text(cell) == (
        "“align text only” is simpler than “each its own λ” and within one standard error of its gain"
    )


def test_a_strategy_is_told_with_the_gain_and_the_p_of_the_pair_as_one() -> None:
    gain = {"mean": 0.01, "interval": [0.004, 0.016], "p_value": 0.001, "p_adjusted": 0.004, "seeds": 10}
    each = [gain | {"mean": 0.002, "interval": [-0.004, 0.008]}, gain | {"mean": 0.018, "interval": [0.012, 0.024]}]
    tried = {"strategy": "shared", "strengths": [0.6, 0.6], "gains": each, "gain_mean": gain}
    cell = _cell(alternatives=[tried])
    assert cell_sentence(read(cell)).endswith(
        "The pair as one: +1.0 [+0.4, +1.6] points over λ = 0, p = 0.004 after Holm."
    )
    assert advice_with_gain(read(cell)) == (
        "one λ for both, 0.6 [0.3, 1.1]: +1.0 [+0.4, +1.6] points over λ = 0, p = 0.004 after Holm"
    )
    mixed = cell | {"metrics": ["accuracy", "r2"]}
    assert "+0.010 [+0.004, +0.016] of the mean score" in cell_sentence(read(mixed))


def test_gains_from_the_seeds_of_the_search_are_marked() -> None:
    cell = _cell()
    cell["encoders"][1]["gain_over_zero"]["source"] = "search"
    assert cell_sentence(read(cell)).endswith("Not confirmed on fresh seeds yet.")
    assert "10 search seeds in validation" in encoder_sentence(read(cell), 1)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({}, "no answer yet."),
        ({"error": "worker died"}, "because its search failed (worker died)."),
        ({"counts": {"trainings": 9, "diverged": 9}}, "because every training diverged."),
    ],
)
def test_a_cell_without_an_answer_says_why(extra: dict[str, Any], reason: str) -> None:
    assert cell_sentence(read({"dataset": "d", "pair": ["a", "b"], **extra})).endswith(reason)


def test_an_encoder_is_told_with_its_evidence() -> None:
    assert encoder_sentence(read(_cell()), 1) == (
        "text gains from alignment; λ* ≈ 0.6 [0.3, 1.1], the curve rises with λ. "
        "At λ* it gets +1.4 [+0.6, +2.2] points over λ = 0 (10 fresh seeds, p = 0.003 after Holm)."
    )
    one_sided = _cell()
    one_sided["encoders"][1]["arm"] = "to_2"
    assert encoder_sentence(read(one_sided), 1).startswith("text gains when only it is pulled; λ* ≈ 0.6")


def test_an_encoder_at_zero_is_not_compared_with_itself() -> None:
    cell = _cell()
    cell["encoders"][0] |= {"lambda_star": 0.0, "verdict": "avoid", "shape": "falling"}
    assert "over λ = 0" not in encoder_sentence(read(cell), 0)


def test_a_peak_that_was_not_borne_out_is_told_with_its_test() -> None:
    cell = _cell()
    searched = {"lambda_star": 0.15, "gain_over_zero": {"mean": 0.002, "interval": [-0.002, 0.006]}}
    cell["encoders"][0] |= {"lambda_star": 0.0, "verdict": "avoid", "shape": "falling", "searched": searched}
    assert encoder_sentence(read(cell), 0).startswith(
        "vision is better left unaligned; λ* ≈ 0 [0.3, 1.1], as the curve falls with λ on the whole, and at λ = 0.15, "
        "where the searched curve is highest, it shows no confirmed gain: +0.2 [−0.2, +0.6] points over λ = 0"
    )


@pytest.mark.parametrize(
    ("mean", "needed", "told"),
    [
        (0.005, 0.05, "about 31 confirming seeds"),
        (0.005, 0.05 / 9, "about 49 confirming seeds"),
        (0.0005, 0.05, ""),
        (-0.01, 0.05, ""),
    ],
)
def test_what_it_would_take_to_confirm_a_gain_is_said_where_it_is_within_reach(
    mean: float, needed: float, told: str
) -> None:
    """A gain of 0.005 with sd 0.0086 over seeds; the power of 0.8 is that of the noncentral t distribution, at a second
    look at the gain.
    """
    cell = _cell()
    gain = {"mean": mean, "interval": [mean - 0.005, mean + 0.005], "seeds": 10, "p_value": 0.1, "p_adjusted": 0.5}
    cell["encoders"][0] |= {"verdict": "indifferent", "gain_over_zero": gain | {"p_needed": needed}}
    lines = [line for line in caveats(read(cell)) if "would show it with 80 %" in line]
    assert ([told] if told else []) == [told for line in lines if told and told in line]
    assert bool(lines) == bool(told)
    if told:
        seeds, effect = int(told.split()[1]), mean / (0.01 / (2 * 1.83) * 10**0.5)
        assert power(effect, seeds, nominal_level(needed, (10 / seeds,))) >= 0.795
        assert power(effect, seeds - 3, nominal_level(needed, (10 / (seeds - 3),))) < 0.805


def power(effect: float, seeds: int, level: float) -> float:
    """Of a paired t test for a gain of `effect` standard deviations."""
    limit = stats.t.ppf(1 - level / 2, seeds - 1)
    return float(stats.nct.sf(limit, seeds - 1, effect * seeds**0.5))


def test_how_many_seeds_would_do_is_not_said_where_the_correction_is_not_known() -> None:
    cell = _cell()
    gain = {"mean": 0.005, "interval": [0.0, 0.01], "seeds": 10, "p_value": 0.1, "p_adjusted": 0.5}
    cell["encoders"][0] |= {"verdict": "indifferent", "gain_over_zero": gain}
    assert not [line for line in caveats(read(cell)) if "would show it" in line]


def test_what_it_would_take_is_said_of_the_pair_too() -> None:
    gain = {"mean": 0.005, "interval": [0.0, 0.01], "seeds": 10, "p_value": 0.1, "p_adjusted": 0.5, "p_needed": 0.05}
    tried = {"strategy": "shared", "strengths": [0.6, 0.6], "gains": [None, None], "gain_mean": gain}
    cell = _cell("none", alternatives=[tried])
    assert caveats(read(cell)) == [
        "the pair as one, by “one λ for both”: the interval of its gain ends near 0: with other seeds it may hold 0, "
        "or not.",
        "the pair as one, by “one λ for both”: if the gain of +0.5 points is real, about 31 confirming seeds would "
        "show it with 80 % probability: raise replicates.confirm (the same command with --set replicates.confirm=31 "
        "trains those that are missing).",
    ]


def judged(**changes: Any) -> dict[str, Any]:
    """A cell whose strategy that comes closest gains 0.5 points, as `changes` say."""
    gain = {
        "mean": 0.005, "interval": [-0.004, 0.014], "seeds": 10, "p_value": 0.35, "p_adjusted": 0.7, "p_needed": 0.05,
        "source": "confirm", "units": 450, "unit": "rows", "units_share": 0.02,
    }  # fmt: skip
    tried = {"strategy": "shared", "strengths": [0.6, 0.6], "gains": [None, None], "gain_mean": gain | changes}
    return _cell("none", alternatives=[tried])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "confirming seeds would show it"),
        ({"units_share": 0.9}, "rows in the test split, where it has 450, would show it"),
        ({"units": 9, "unit": "groups", "units_share": 0.9}, "groups of rows (people, recordings …) in the test split"),
    ],
)
def test_it_is_said_whether_seeds_or_rows_or_people_are_missing(changes: dict[str, Any], told: str) -> None:
    (line,) = [line for line in caveats(read(judged(**changes))) if "80 % probability" in line]
    assert told in line
    assert ("these are what is missing, and not seeds" in line) == bool(changes)


def test_so_many_rows_would_do_as_are_said_to() -> None:
    """All of the variance is that of 450 rows: z of mean / error × √(rows / 450) must reach 1.96 + 0.84."""
    (line,) = [line for line in caveats(read(judged(units_share=1.0))) if "80 % probability" in line]
    rows = int(line.split("about ")[1].split()[0].replace(",", ""))
    error = 0.009 / 1.83
    assert 0.005 / error * (rows / 450) ** 0.5 == pytest.approx(1.96 + 0.84, rel=0.03)


def test_few_people_are_said_to_be_what_an_interval_is_wide_for() -> None:
    wide = judged(units=9, unit="groups", units_share=0.8)
    assert any(
        "its gain rests on 9 groups of test rows, whose luck is 80 % of the interval's variance: more groups" in line
        for line in caveats(read(wide))
    )
    assert not any("groups" in line for line in caveats(read(judged(units=60, unit="groups", units_share=0.1))))


def test_gains_of_one_split_are_said_to_hold_for_it_alone() -> None:
    fixed = judged(units=None, unit=None, units_share=None)
    (line,) = [line for line in caveats(read(fixed)) if "share one split" in line]
    assert "do not tell what is to be expected on other rows" in line
    assert not any("share one split" in line for line in caveats(read(judged())))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"p_adjusted": 0.06}, "p = 0.06 after Holm lies near 0.05, where the answer turns"),
        ({"interval": [0.0005, 0.0195]}, "the interval of its gain ends near 0"),
        ({"mean": 0.0, "interval": [-0.0049, 0.0049], "smallest_gain": 0.005}, "near the smallest gain of interest"),
        ({}, ""),
        ({"interval": [-0.02, 0.03], "smallest_gain": 0.005}, ""),
    ],
)
def test_an_answer_at_a_threshold_is_said_to_be(changes: dict[str, Any], told: str) -> None:
    lines = [line for line in caveats(read(judged(**changes))) if "near" in line]
    assert bool(lines) == bool(told)
    assert all(told in line for line in lines)


def test_a_gain_that_is_too_small_to_matter_is_told_so_with_its_numbers() -> None:
    small = {"mean": 0.002, "interval": [0.001, 0.003], "p_value": 0.001, "p_adjusted": 0.004, "smallest_gain": 0.005}
    cell = judged(**small)
    cell["encoders"][0] |= {"gain_over_zero": small | {"seeds": 10, "source": "confirm"}}
    sentence = cell_sentence(read(cell))
    assert sentence.startswith(
        "Do not align vision and text, as what the pair would gain is confirmed, and too small to matter: vision "
        "changes too little to matter (+0.2 [+0.1, +0.3] points at λ = 0.6)"
    )
    assert "+0.2 [+0.1, +0.3] points over λ = 0, p = 0.004 after Holm, too small to matter." in sentence
    assert "too small to matter" in encoder_sentence(read(cell), 0)
    assert "too small to matter" in advice_with_gain(read(cell))


def test_a_confirmed_gain_that_may_be_too_small_is_advised_with_that_word() -> None:
    gain = {"mean": 0.004, "interval": [0.002, 0.006], "p_value": 0.001, "p_adjusted": 0.004, "smallest_gain": 0.005}
    cell = judged(**gain)
    cell["pair_choice"]["strategy"] = "shared"
    assert advice_with_gain(read(cell)).endswith("which may be too small to matter (less than 0.5 points)")


def test_splits_that_disagree_on_the_score_are_doubted_with_what_chance_would_give() -> None:
    """Only where they are further apart than chance would bring them."""
    cell = _cell() | {"rows": {"train": 180, "valid": 45, "test": 75}}
    cell["encoders"][0]["baseline"] = {"mean": 0.67, "sd": 0.01, "split": "test"}
    (line,) = caveats(read(cell))
    assert line.startswith(
        "vision: at λ = 0 it scores 80.0 % in validation and 67.0 % on the test split, 13.0 points apart (two random "
        "splits of 45 and 75 rows are within 12.4 in nine of ten cases)"
    )
    cell["encoders"][0]["baseline"]["mean"] = 0.7
    assert caveats(read(cell)) == []


def test_splits_that_disagree_on_what_alignment_does_are_doubted() -> None:
    """−5.0 points in validation at λ = 4, and +0.9 on the test split."""
    cell = _cell()
    gain = {"mean": 0.009, "interval": [0.0, 0.018], "p_value": 0.2, "seeds": 10, "source": "confirm"}
    tried = {"strategy": "shared", "strengths": [4.0, 4.0], "gains": [gain, gain | {"mean": -0.045}]}
    cell["pair_choice"]["alternatives"] = [tried]
    assert caveats(read(cell)) == [
        "vision: at λ = 4 alignment changes its score by −5.0 in validation and by +0.9 points on the test split: "
        "what holds for the rows of one split does not hold for the other's."
    ]
    tried["gains"] = [one | {"source": "search"} for one in (gain, gain)]
    assert caveats(read(cell)) == []


def test_a_search_that_its_confirmation_contradicts_is_doubted() -> None:
    cell = _cell()
    cell["encoders"][0] |= {"verdict": "avoid", "shape": "rising", "lambda_star": 0.0}
    assert any("the two splits differ" in line for line in caveats(read(cell)))


def test_what_a_search_learnt_from_is_named_with_what_it_spared() -> None:
    earlier = [{"study": "mosi", "label": "vision + text", "lambda_star": 0.6}]
    cell = _cell() | {"transfer": {"from": earlier, "spared": 20}}
    assert learnt_text(read(cell)).endswith("mosi (vision + text, λ* 0.6); 20 trainings spared")
    assert learnt_text(read(_cell())) == ""


def test_scores_that_are_no_accuracy_keep_their_own_unit() -> None:
    cell = _cell() | {"metrics": ["r2", "loss_of_x"]}
    assert "text gains 0.014 of loss_of_x [0.006, 0.022]" in cell_sentence(read(cell))


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
    assert [line for line in caveats(read(cell)) if told in line and line.startswith("text: ")]


def test_nothing_is_said_where_nothing_would_change_the_answer() -> None:
    assert caveats(read(_cell())) == []


def test_diverged_trainings_are_counted() -> None:
    assert "3 of 45 trainings diverged" in " ".join(
        caveats(read(_cell() | {"counts": {"diverged": 3, "trainings": 45}}))
    )


@pytest.mark.parametrize("name", ["digits_report", "synthetic_report", "partial_report", "hostile_report"])
def test_every_sentence_is_one_line_that_ends_in_a_full_stop(name: str) -> None:
    for cell in Report.from_json(getattr(example, name)()).cells:
        told = [cell_sentence(cell), *(encoder_sentence(cell, index) for index in (0, 1)), *caveats(cell)]
        assert all(line.endswith(".") and "\n" not in line and "None" not in line for line in told)


def test_a_generated_pair_is_told_with_its_exact_profile() -> None:
    exact = {"redundancy": 0.39, "unique_1": 0.14, "unique_2": 0.29, "synergy": 0.85}
    cell = _cell() | {"pid": {**exact, "redundancy": 0.35, "units": "bits", "exact": exact}}
    told = profile_text(read(cell))
    assert told.startswith("redundancy 0.35, ")
    assert told.endswith("bits; exact, in the same order: 0.39, 0.14, 0.29, 0.85")


def test_the_generators_feature_count_is_not_taken_for_information() -> None:
    """With no shared feature at all the exact profile has 0.39 bits of redundancy, and synergy is its largest part."""
    cell = _cell() | {"dataset": "synthetic", "variant": {"redundancy": 0}}
    cell["pid"] = {"redundancy": 0.39, "unique_1": 0.14, "unique_2": 0.29, "synergy": 0.85}
    assert "0 of the label's 8 features are in both is a count, not the redundancy in bits" in profile_text(read(cell))
