"""A user's mistakes with his function: one line, exit 2 where nothing has trained, and never a traceback of ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from study.config import ConfigError, parse_config
from study.run import main
from tests.study.own_training.conftest import PLANTED, STUDY
from tests.study.studies import TinyStudy

Make = Callable[..., TinyStudy]
FUNCTION = "study: x\ntrainer: {call: own.py:train}\npairs: [[image, text]]\n"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("encoder: {width: 8}", "encoder belongs to the built-in training"),
        ("training: {epochs: 3}", "training belongs to the built-in training"),
        ("alignment: {objective: cosine}", "alignment.objective belongs to the built-in training"),
        ("replicates: {splits: resampled}", "replicates.splits belongs to the built-in training"),
        ("resources: {pack: 4}", "resources.pack belongs to the built-in training"),
        ("pid: {bootstrap: 50}", "pid needs data"),
        ("search: {nuisance: {strength_x: {log: [1, 2]}}}", "alignment strength has a section of its own"),
        ("search: {nuisance: {x: {choices: [1]}}}", "search.nuisance.x.choices"),
        ("search: {nuisance: {x: {choices: [1, a]}}}", "choices must all be numbers"),
        ("search: {nuisance: {x: {choices: [1, .nan]}}}", "lies between"),
        ("search: {nuisance: {x: {choices: [1, 1e300]}}}", "lies between"),
        ("search: {nuisance: {x: {choices: [1, [2]]}}}", "a choice is a number, a text, true or false"),
        ("search: {nuisance: {x: {choices: [1, 1.0]}}}", "choices must differ"),
        ("search: {nuisance: {x: {choices: [1, 2], log: [1, 2]}}}", "exactly one of"),
        ("search: {nuisance: {'a b': {choices: [1, 2]}}}", "search.nuisance"),
        ("resources: {minutes_per_trial: 0}", "resources.minutes_per_trial"),
    ],
)
def test_keys_that_mean_nothing_for_a_function_are_refused_in_a_line(more: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("(", r"\(")) as raised:
        parse_config(FUNCTION + more)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("study: x\ntrainer: {call: own.py:train}", "pairs must name the encoders"),
        ("study: x\ntrainer: {call: own.py:train}\npairs: all", "pairs must name the encoders"),
        ("study: x\ntrainer: {call: own.py}\npairs: [[a, b]]", "give FILE.py:NAME"),
        ("study: x\ntrainer: {call: own.py:train, option: {}}\npairs: [[a, b]]", "did you mean options"),
        ("study: x\ntrainer: {options: {}}\npairs: [[a, b]]", "the key trainer.call is missing"),
        ("study: x\npairs: [[a, b]]", "the key dataset is missing"),
        ("study: x\ndataset: {name: digits}\nresources: {minutes_per_trial: 3}", "trainer of your own"),
        ("study: x\ndataset: {name: digits}\nsearch: {nuisance: {width: {log: [1, 2]}}}", "'learning_rate'"),
        ("study: x\ndataset: {name: digits}\nsearch: {nuisance: {learning_rate: {choices: [1, 2]}}}", "log or linear"),
    ],
)
def test_what_is_missing_or_wrong_around_a_function_is_said_in_a_line(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_config(text)


def test_a_study_of_a_function_is_read_back_from_its_own_file_wherever_that_lies(tmp_path: Path) -> None:
    from study.config import to_yaml

    config = parse_config(FUNCTION, folder=tmp_path)
    assert config.trainer is not None
    assert config.trainer.file == tmp_path / "own.py"
    again = parse_config(to_yaml(config), folder=tmp_path / "elsewhere")
    assert again == config
    assert parse_config(FUNCTION, folder=tmp_path / "moved").hash == config.hash
    assert parse_config(FUNCTION.replace("own.py", "other.py"), folder=tmp_path).hash != config.hash
    assert parse_config(FUNCTION.replace("train}", "train, options: {a: 1}}"), folder=tmp_path).hash != config.hash


@pytest.mark.parametrize(
    ("files", "call", "told"),
    [
        ({}, "own.py:train", "there is no"),
        ({"own.py": "def other(trial): ..."}, "own.py:train", "own.py has no train"),
        ({"own.py": "import nosuchmodule\ndef train(trial): ..."}, "own.py:train", "No module named 'nosuchmodule'"),
        ({"own.py": "def train(trial:\n"}, "own.py:train", "own.py is not Python"),
        ({"own.py": "def train(): ..."}, "own.py:train", "it must take that alone"),
        ({"own.py": "train = 3"}, "own.py:train", "no function"),
    ],
)
def test_a_function_that_cannot_be_called_ends_a_command_before_anything_starts(
    files: dict[str, str], call: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "mine.yaml").write_text(f"study: x\ntrainer: {{call: {call}}}\npairs: [[image, text]]\n")

    for more in ([], ["--dry-run"]):
        assert main(["--space", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out"), *more]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1, said
        assert said[0].startswith("error: ")
        assert told in said[0]
    assert not (tmp_path / "out").exists()


def test_a_stand_in_is_refused_for_a_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text(FUNCTION)
    assert main(["--space", str(tmp_path / "mine.yaml"), "--stand-in", "small", "--dry-run"]) == 2
    assert "--stand-in is for the built-in training" in capsys.readouterr().err


def test_a_dry_run_trains_once_and_says_what_the_study_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "planted.py").write_text(PLANTED.read_text())
    space = tmp_path / "mine.yaml"

    def told(call: str, *more: str, options: str = "{}") -> tuple[int, str, str]:
        space.write_text(STUDY.format(call=call, options=options, refine=2, search=3, confirm=5, more=""))
        code = main(["--space", str(space), "--dry-run", "--workers", "1", *more])
        said = capsys.readouterr()
        return code, said.out, said.err

    code, out, _ = told("train", "--price-per-gpu-hour", "2")
    assert code == 0
    assert "36 trainings (26 to 41), 1 at once" in out
    assert re.search(r"one training at λ = 0: \d+ s, after \d+ s of start and imports", out)
    assert "cost: " in out

    options = f"{{epochs: 1000, log: {tmp_path}/log}}"
    code, out, _ = told("slowly", "--try", "2", options=options)
    assert code == 0
    assert "of 1000 epochs" in out

    code, out, err = told("nothing")
    assert (code, out) == (2, "")
    assert err.startswith("error: planted.py:nothing returned None; return scores by name")
    code, _, err = told("breaks")
    assert code == 2
    line = 1 + PLANTED.read_text().splitlines().index('    raise ValueError("no such layer")')
    told = f"error: planted.py:breaks raised ValueError: no such layer (planted.py, line {line}, in helper)"
    assert err.splitlines()[-1] == told
    assert "trainables" not in err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wrong_answer_ends_a_study_that_has_trained_nothing(own_study: Make) -> None:
    for call, said in (("nothing", "returned None"), ("misnamed", "is imgae that of image?")):
        ended = own_study(call, call).run()
        assert ended.returncode == 2
        errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert said in errors[0]
        assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_exception_is_shown_in_the_users_own_lines_and_gives_the_cell_up(own_study: Make) -> None:
    study = own_study("breaks")
    ended = study.run()
    assert ended.returncode == 1
    assert ended.stderr.count('raise ValueError("no such layer")') == 1  # once, however often it is tried
    shown = ended.stderr.split("Traceback")[1].split("ValueError: no such layer")[0]
    assert "site-packages" not in shown
    assert "trainables" not in shown
    (told,) = [line for line in ended.stderr.splitlines() if line.startswith("no answer for")]
    (cell,) = study.report()["cells"]
    for line in (told, cell["error"]):
        assert "its training failed 3 times (ValueError: no such layer (planted.py, line" in line
        assert "logs of Ray" not in line


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nan_is_a_training_that_diverged(own_study: Make) -> None:
    study = own_study("diverges", refine=0)
    (cell,) = study.finish()["cells"]
    assert cell["counts"]["diverged"] == 3
    assert cell["encoders"][0]["lambda_star"] is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_code_that_changed_is_said_when_it_is_resumed_and_in_the_report(own_study: Make) -> None:
    study = own_study(refine=0)
    assert study.run("--set", "replicates.confirm=0", "--set", "study=tiny").returncode == 0
    before = study.report()["cells"][0]["own_training"]["code"]
    planted = study.folder / "planted.py"
    planted.write_text(planted.read_text() + "\n# changed\n")
    extended = study.run("--set", "replicates.confirm=0")
    assert extended.returncode == 0
    assert study.report()["cells"][0]["own_training"]["code"] == before
    assert "planted.py:train has changed since 15 of the 15 trainings on record" in extended.stderr
