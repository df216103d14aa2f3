"""What trainings of others say: of seeds and of none, other hyperparameters, splits, luck; and hostile tables."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from matplotlib.figure import Figure

from study import select
from study.config import ConfigError
from study.results.model import Report
from study.select import main
from tests.study.outside.stores import PEAK, SEEDS, STRENGTHS, mean, optuna_study, planted
from tests.study.results import example

Captured = pytest.CaptureFixture[str]


def test_trainings_without_seeds_are_not_paired_and_say_so() -> None:
    frame = planted(1)
    answer = select(frame["lambda"], frame["val_acc"])

    low, high = answer.interval or (9.0, 9.0)
    assert low <= PEAK <= high
    assert answer.result.paired is False
    assert answer.result.gain_over_zero is not None
    assert answer.result.gain_over_zero.seeds == 0
    assert "not known which trainings share a seed" in repr(answer)


def test_a_seed_at_every_strength_sharpens_the_answer() -> None:
    """Offsets of seeds ten times the noise: without pairing they drown the curve."""
    rng = np.random.default_rng(0)
    offsets = np.tile(np.linspace(-0.15, 0.15, SEEDS), len(STRENGTHS))
    strengths, seeds = np.repeat(STRENGTHS, SEEDS), np.tile(np.arange(SEEDS), len(STRENGTHS))
    scores = np.array([mean(strength) for strength in strengths]) + offsets + rng.normal(0, 0.01, len(seeds))

    paired, unpaired = select(strengths, scores, seeds), select(strengths, scores)

    assert paired.result.expected_regret is not None
    assert unpaired.result.expected_regret is not None
    assert paired.result.expected_regret < 0.5 * unpaired.result.expected_regret


def test_columns_of_seeds_and_rows_of_seeds_are_one() -> None:
    frame = planted(2)
    table = frame.pivot_table(index="lambda", columns="seed", values="val_acc")

    by_rows = select(frame["lambda"], frame["val_acc"], frame["seed"]).result
    by_columns = select(table.index.to_numpy(), table.to_numpy()).result

    assert by_rows.lambda_star == by_columns.lambda_star
    assert by_rows.interval == by_columns.interval


def test_the_scores_of_a_report_give_the_strengths_of_its_search() -> None:
    report = example.digits_report()
    scores = np.array([point["scores"] for point in report["cells"][0]["encoders"][0]["curve"]], float)
    strengths = [point["strength"] for point in report["cells"][0]["encoders"][0]["curve"]]

    answers = select(Report.from_json(report)).results
    alone = select(strengths, scores).result

    assert [one.modality for one in answers] == ["left", "right", "left", "fourier", "right", "fourier"]
    assert answers[0].lambda_star == alone.lambda_star
    assert answers[0].interval == alone.interval


def test_two_hundred_trials_of_one_seed_are_answered_in_seconds(tmp_path: Path, capsys: Captured) -> None:
    rng = np.random.default_rng(3)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kind = {"align_weight": optuna.distributions.FloatDistribution(0, 4)}
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/o.db", direction="maximize")
    strengths = np.where(rng.random(200) < 0.5, np.abs(rng.normal(PEAK, 0.2, 200)), rng.uniform(0, 4, 200))
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={"align_weight": at}, distributions=kind, value=mean(at) + rng.normal(0, 0.01)
            )
            for at in strengths
        ]
    )

    started = time.process_time()
    assert main(["--optuna", f"sqlite:///{tmp_path}/o.db", "--json"]) == 0
    assert time.process_time() - started <= 5
    told = json.loads(capsys.readouterr().out)
    assert told["interval"][0] <= PEAK <= told["interval"][1]
    assert told["counts"] == {"trainings": 200, "used": 200, "diverged": 0}
    assert len(told["next"]) == 5
    assert told["best_trial"]["luck"] > 0.01  # the best of 200 is more than one sd above what it is


def test_the_best_trial_is_lucky_and_its_setting_is_told_without_the_luck() -> None:
    held = 0
    for draw in range(20):
        frame = planted(draw)
        best = select(frame["lambda"], frame["val_acc"]).result.best_trial
        assert best is not None
        assert best.interval is not None
        assert best.luck is not None
        assert best.luck > 0
        assert best.strength is not None
        held += best.interval[0] <= mean(best.strength) <= best.interval[1]

    assert held >= 13


def test_a_flat_curve_is_not_told_to_be_worth_aligning() -> None:
    verdicts = []
    for draw in range(20):
        rng = np.random.default_rng(draw)
        verdicts.append(select(np.repeat(STRENGTHS, SEEDS), rng.normal(0.7, 0.01, len(STRENGTHS) * SEEDS)).verdict)

    assert verdicts.count("indifferent") >= 18


def test_other_hyperparameters_tried_alike_are_held_at_their_best() -> None:
    """With the better rate the planted curve; with the worse one, that hides it, 0.1 below and rising."""
    frame = planted(0).assign(lr=0.1)
    worse = frame.assign(lr=0.001, val_acc=frame["val_acc"] - 0.1 + 0.02 * frame["lambda"])

    result = select(pd.concat([frame, worse])).result

    assert result.lambda_star == select(planted(0)).lambda_star
    assert result.counts.set_aside == len(worse)
    (rate,) = result.others
    assert (rate.name, rate.role) == ("lr", "nuisance")


def test_other_hyperparameters_drawn_at_random_are_what_the_answer_depends_on() -> None:
    frame = planted(0)
    rates = np.random.default_rng(0).uniform(size=len(frame))
    frame = frame.assign(lr=rates, val_acc=frame["val_acc"] + 0.15 * rates, layers=2)

    answer = select(frame)

    roles = {one.name: one.role for one in answer.result.others}
    assert roles == {"lr": "varies", "layers": "fixed"}
    lr = next(one for one in answer.result.others if one.name == "lr")
    assert lr.correlation is not None
    assert lr.correlation > 0.5
    assert "depends on them" in repr(answer)


def test_a_split_to_confirm_on_is_what_the_gain_rests_on() -> None:
    frame = planted(0).assign(split="validation")
    test = planted(0).assign(split="test", val_acc=0.5)  # nothing is gained there
    same, fresh = pd.concat([frame, test]), pd.concat([frame, test.assign(seed=test["seed"] + 100)])

    answers = [select(one).result for one in (frame, same, fresh)]

    assert [one.gain_over_zero and one.gain_over_zero.source for one in answers] == ["search", "split", "confirm"]
    assert len({one.searched and one.searched.lambda_star for one in answers}) == 1
    assert [one.verdict for one in answers] == ["align", "indifferent", "indifferent"]


def test_an_encoder_column_gives_an_answer_each_and_corrects_for_all() -> None:
    frames = [planted(0).assign(encoder="text"), planted(1).assign(encoder="vision")]
    answer = select(pd.concat(frames))

    assert list(answer.frame["encoder"]) == ["text", "vision"]
    assert [one.lambda_star for one in answer.results] == [select(frame).lambda_star for frame in frames]
    assert set(answer.data) == {"encoders"}
    gains = [one.gain_over_zero for one in answer.results]
    assert all(g and g.p_adjusted and g.p_value and g.p_adjusted >= g.p_value for g in gains)
    with pytest.raises(ValueError, match="text, vision"):
        _ = answer.lambda_star


def test_a_loss_is_minimised_by_its_name_and_told_as_it_was_given() -> None:
    frame = planted(0).rename(columns={"val_acc": "val_loss"})
    frame["val_loss"] = -frame["val_loss"]
    told, same = select(frame).result, select(planted(0)).result

    assert told.minimise
    assert told.lambda_star == same.lambda_star
    assert told.best_trial is not None
    assert same.best_trial is not None
    assert told.best_trial.score == pytest.approx(-(same.best_trial.score or 0))
    assert told.curve[0].mean == pytest.approx(-(same.curve[0].mean or 0))
    assert any("lower is better" in remark for remark in told.remarks)


def test_without_zero_gains_are_over_the_smallest_strength() -> None:
    frame = planted(0)
    answer = select(frame[frame["lambda"] > 0])

    assert answer.result.relative_to == 0.1
    assert "no training has λ = 0" in repr(answer)


def test_duplicates_missing_and_diverged_trainings_are_counted(tmp_path: Path, capsys: Captured) -> None:
    frame = planted(0).astype(object)
    extra = frame.iloc[:3].copy()
    lost, blown = frame.iloc[[4]].assign(val_acc="", seed=90), frame.iloc[[5]].assign(val_acc="nan", seed=91)
    pd.concat([frame, extra, lost, blown]).to_csv(tmp_path / "runs.csv", index=False)

    assert main([str(tmp_path / "runs.csv"), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts == {"trainings": 33, "used": 28, "duplicates": 3, "missing": 1, "diverged": 1}


def test_the_answer_is_drawn_and_written(tmp_path: Path, capsys: Captured) -> None:
    planted(0).rename(columns={"lambda": "wd"}).to_csv(tmp_path / "runs.csv", index=False)

    assert main([str(tmp_path / "runs.csv"), "--name", "<b>decay</b>", "--out", str(tmp_path / "out")]) == 0
    assert str(tmp_path / "out" / "select.html") in capsys.readouterr().out.replace("\n", "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["01-curve.png", "01-curve.svg", "select.html"]
    page = (tmp_path / "out" / "select.html").read_text()
    assert "<svg" in page
    assert "<b>decay" not in page
    assert "&lt;b&gt;decay" in page


def test_a_notebook_sees_the_answer() -> None:
    answer = select(planted(0))

    assert isinstance(answer.figure(), Figure)
    assert "λ*" in answer._repr_html_()
    assert len(answer.scores) == len(STRENGTHS) * SEEDS


HOSTILE = {
    "text in scores": ("lambda,seed,acc\n0,0,0.5\n1,0,good\n", "'good'"),
    "text in strengths": ("lambda,seed,acc\n0,0,0.5\nhigh,0,0.5\n", "'high'"),
    "one strength": ("lambda,seed,acc\n1,0,0.5\n1,1,0.6\n", "at least 2"),
    "one row": ("lambda,seed,acc\n1,0,0.5\n", "at least 2"),
    "no rows": ("lambda,seed,acc\n", "no rows"),
    "nothing": ("", "cannot read"),
    "negative strengths": ("lambda,seed,acc\n-1,0,0.5\n1,0,0.6\n", "at least 0"),
    "infinite strengths": ("lambda,seed,acc\ninf,0,0.5\n1,0,0.6\n", "finite"),
    "only diverged": ("lambda,seed,acc\n0,0,nan\n1,0,inf\n", "diverged"),
    "no scores": ("lambda,seed,acc\n0,0,\n1,0,\n", "no row"),
    "no score column": ("lambda,seed,colour\n0,0,red\n", "--score"),
    "several scores": ("lambda,left_acc,right_acc\n0,1,1\n1,1,1\n", "--score"),
    "no strength column": ("seed,acc\n0,0.5\n1,0.6\n", "--strength"),
    "two columns of a name": ("lambda,seed,acc,acc\n0,0,1,1\n1,0,2,1\n", "two columns 'acc'"),
    "an unknown split": ("lambda,split,acc\n0,train,1\n1,test,1\n", "validation"),
    "ragged": ("lambda,seed,acc\n0,0,0.5\n0,0,0.5,0.6,0.7\n", "cannot read"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_table_is_one_line(kind: str, tmp_path: Path, capsys: Captured) -> None:
    text, told = HOSTILE[kind]
    (tmp_path / "runs.csv").write_text(text)

    assert main([str(tmp_path / "runs.csv")]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert told in line


@pytest.mark.parametrize("out", ["s3://b/p", "s3:/b/p", "~/answers", ""])
def test_a_folder_that_is_none_is_refused_and_not_made(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["runs.csv", "--out", out])
    assert ended.value.code == 2
    assert "error: argument --out" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bytes_that_are_no_table_are_one_line(tmp_path: Path, capsys: Captured) -> None:
    for name in ("runs.csv", "runs.parquet", "runs.csv.gz"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 9)
        assert main([str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("option", ["--strength", "--score", "--seed", "--encoder", "--split", "--ignore"])
def test_an_unknown_column_is_named_beside_those_there_are(option: str, tmp_path: Path, capsys: Captured) -> None:
    planted(0).to_csv(tmp_path / "runs.csv", index=False)

    assert main([str(tmp_path / "runs.csv"), option, "nowhere"]) == 2
    line = capsys.readouterr().err
    assert "nowhere" in line
    assert "lambda, seed, val_acc" in line


def test_constant_scores_are_flat(tmp_path: Path, capsys: Captured) -> None:
    planted(0).assign(val_acc=0.5).to_csv(tmp_path / "runs.csv", index=False)

    assert main([str(tmp_path / "runs.csv"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["shape"]) == ("indifferent", "flat")


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\(3,\)"):
        select([0, 1, 2], [0.5, 0.6])
    with pytest.raises(ConfigError, match="without scores"):
        select([0, 1, 2])
    with pytest.raises(ConfigError, match="seeds have shape"):
        select([0, 1, 2], [0.5, 0.6, 0.7], [1])


@pytest.mark.parametrize("factor", [1e-30, 1e-12, 1e12, 1e99])
def test_scores_of_any_size_are_answered_alike_and_in_a_line(factor: float) -> None:
    frame = planted(1)
    alike = select(frame.assign(val_acc=frame["val_acc"] * factor))

    assert alike.lambda_star == select(frame).lambda_star
    assert max(map(len, repr(alike).split())) < 30


def test_a_score_that_is_as_good_as_infinite_diverged() -> None:
    """MLflow's databases hold the largest number there is for infinity."""
    frame = planted(1)
    as_inf, as_largest = (
        select(frame.assign(loss=[bad if place % 7 == 0 else score for place, score in enumerate(frame["val_acc"])])
               .drop(columns="val_acc"), minimise=False)
        for bad in (np.inf, 1.7976931348623157e308)
    )  # fmt: skip

    assert as_inf.result.counts.diverged == as_largest.result.counts.diverged == -(-len(frame) // 7)
    assert as_inf.lambda_star == as_largest.lambda_star


@pytest.mark.parametrize(
    ("written", "told"), [("60.1%", "'60.1%'; write"), ("0,601", "'0,601', a number with a decimal comma")]
)
def test_a_score_that_is_no_number_is_named_with_what_it_holds(written: str, told: str) -> None:
    frame = planted(1)
    with pytest.raises(ConfigError, match=f"column val_acc of the frame looks like the score and holds {told}"):
        select(frame.assign(val_acc=written))


@pytest.mark.parametrize(
    ("column", "options"), [("lambda", []), ("lambda", ["--strength", "lambda"]), ("val_acc", ["--score", "val_acc"])]
)
def test_decimal_commas_are_named_wherever_they_stand(
    column: str, options: list[str], tmp_path: Path, capsys: Captured
) -> None:
    frame = planted(1).astype(str)
    path = tmp_path / "runs.csv"
    frame.assign(**{column: frame[column].str.replace(".", ",")}).to_csv(path, sep=";", index=False)
    assert main([str(path), *options]) == 2
    told = capsys.readouterr().err
    assert "a number with a decimal comma" in told
    assert told.count("\n") == 1


def test_a_seed_that_counts_the_trials_is_no_seed(tmp_path: Path, capsys: Captured) -> None:
    """As Optuna's `suggest_int("seed", …)` by `trial.number`, and as a column that counts the rows."""
    frame = planted(1)
    counted = frame.assign(seed=range(len(frame)))
    answer = select(counted)
    assert not answer.result.paired
    assert "seed" not in answer.result.took
    assert "seed counts the trials" in repr(answer)
    assert answer.interval == select(frame.drop(columns="seed")).interval
    optuna_study(counted, f"sqlite:///{tmp_path / 'o.db'}")
    assert main(["--optuna", f"sqlite:///{tmp_path / 'o.db'}"]) == 0
    assert "seed counts the trials" in capsys.readouterr().out


def test_runs_that_come_back_at_every_strength_are_seeds_and_row_numbers_are_not() -> None:
    frame = planted(1)
    by_run = select(frame.rename(columns={"seed": "run"}))
    assert by_run.result.took["seed"] == "run"
    assert "run is taken for the seed" in repr(by_run)
    assert by_run.interval == select(frame).interval
    assert "seed" not in select(frame.drop(columns="seed").assign(run=range(len(frame)))).result.took


def test_a_learning_rate_has_no_zero_to_be_tried() -> None:
    frame = planted(1).query("`lambda` > 0")
    assert "whether none at all would be better" in repr(select(frame))
    assert "none at all" not in repr(select(frame, log=True, name="learning rate"))


def test_a_table_without_strengths_is_told_what_it_lacks() -> None:
    with pytest.raises(ValueError, match=r"no column of the frame \(seed, val_acc\) holds numbers"):
        select(planted(1)[["seed", "val_acc"]])


def test_a_strength_within_one_standard_error_is_told_as_a_strength() -> None:
    assert re.search(r"; λ = [\d.]+ is within one standard error of the best", repr(select(planted(1))))


def test_whole_seeds_are_the_same_however_they_are_written() -> None:
    frame = planted(1).astype(str)
    mixed = frame.assign(seed=[f"{seed}.0" if place % 2 else seed for place, seed in enumerate(frame["seed"])])

    assert select(mixed).interval == select(planted(1)).interval


@pytest.mark.parametrize("marker", ["N/A", "n/a", "-", "NULL"])
def test_what_people_write_for_nothing_is_nothing(marker: str) -> None:
    frame = planted(1).astype(object)
    frame.loc[0, "val_acc"] = marker

    assert select(frame).result.counts.missing == 1


def test_mistakes_in_what_python_gives_are_told_in_a_line() -> None:
    frame = planted(1)
    numbered = frame.set_axis([0, 1, 2], axis=1)

    assert select(numbered, strength="0", seed="1", score="2").interval == select(frame).interval
    with pytest.raises(ConfigError, match="two columns '1'"):
        select(frame.set_axis([1, "1", "score"], axis=1))
    with pytest.raises(ConfigError, match="arrays of numbers"):
        select(["a", "b"], [1, 2])
    with pytest.raises(ConfigError, match=r"read_csv"):
        select("runs.csv")  # type: ignore[arg-type]
    assert "a b" in repr(select(frame, name="a\nb"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"minimise": "yes"}, "minimise is 'yes'; give True or False"),
        ({"log": "no"}, "log is 'no'; give True or False"),
        ({"name": 3}, "name is 3; give a name, as text"),
        ({"score": ["val_acc"]}, "score is .*; give the name of a column, as text"),
        ({"scores": [1.0, 2.0]}, "scores= was given beside a frame"),
        ({"seeds": [1, 2]}, "seeds= was given beside a frame"),
    ],
)
def test_arguments_of_another_kind_are_refused_beside_a_frame(arguments: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        select(planted(1), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["strength", "score", "seed", "encoder", "split"])
def test_columns_are_refused_beside_arrays_and_a_report(role: str) -> None:
    named = {role: "lambda"}
    with pytest.raises(ConfigError, match=f"{role}= names a column of a frame, and arrays were given"):
        select([0.0, 1.0], [1.0, 2.0], **named)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"{role}= was given beside a report"):
        select(Report.from_json(example.digits_report()), **named)  # type: ignore[arg-type]


def test_a_score_that_is_not_a_number_diverged_and_a_masked_one_is_missing() -> None:
    frame = planted(1)
    scores = frame["val_acc"].to_numpy(copy=True)
    scores[0] = np.nan
    masked = np.ma.masked_array(scores, np.arange(len(scores)) == 5)

    counts = select(frame["lambda"], masked, frame["seed"]).result.counts

    assert (counts.diverged, counts.missing) == (1, 1)


def test_columns_of_two_levels_and_dates_are_read_or_refused() -> None:
    frame = planted(1)
    assert select(pd.concat({"run": frame}, axis=1), strength="run_lambda", score="run_val_acc").result.paired
    with pytest.raises(ConfigError, match="looks like the strength and holds '1970"):
        select(frame.assign(**{"lambda": pd.to_datetime(frame["seed"])}))


def test_names_of_several_lines_stand_in_one(tmp_path: Path, capsys: Captured) -> None:
    renamed = planted(1).rename(columns={"lambda": "λ\nof us", "val_acc": "val\nacc"})
    renamed.to_csv(tmp_path / "odd.csv", index=False)
    assert main([str(tmp_path / "odd.csv")]) == 0
    assert "strength = λ of us, score = val acc" in " ".join(capsys.readouterr().out.split())


def test_nothing_is_told_of_confirming_where_there_is_no_split() -> None:
    flat = select([0.0, 1.0, 2.0], np.full((3, 4), 0.5))
    assert "12 trainings, 12 used. Taken" in repr(flat)


def test_an_option_that_is_misspelt_is_told_the_one_meant(capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main(["runs.csv", "--sed", "seed"])
    assert "did you mean --seed?" in capsys.readouterr().err
