"""Functions that are given as objects: of a script, with what they refer to there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import study.api
from study.cli.python_words import in_python
from study.config import ConfigError

SCRIPT = """
import logging
import os
import random
from study import StudyProgress, run

seen: list[StudyProgress] = []

OFFSET = 0.8

def curve(strength):
    return OFFSET - 0.06 * (strength - 1) ** 2

def train(trial):
    noise = random.Random(trial.seed).gauss(0, 0.02) + random.Random(f"{trial.seed} {trial.strength}").gauss(0, 0.004)
    return {"score": curve(trial.strength) + noise + trial.options["more"]}

if __name__ == "__main__":
    logging.basicConfig(filename="log.txt", format="%(levelname)s %(message)s")
    logging.getLogger("align_study").setLevel(logging.DEBUG)
    before = set(os.environ)
    results = run(
        train, study="mine", pairs=[("image", "text")], options={"more": 0.05},
        strength={"initial": (0, 0.5, 1, 2, 4), "refine": 0}, replicates={"search": 3, "confirm": 4}, progress=False,
        on_progress=seen.append,
    )
    of_ray = {"RAY_CLIENT_MODE", "RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED", "KMP_DUPLICATE_LIB_OK", "PYTHONBREAKPOINT"}
    assert set(os.environ) - before <= of_ray  # a run of Tune that follows would heed what this study has set for its
    assert logging.getLogger("ray.tune").level == 0
    phases = list(dict.fromkeys(one.phase for one in seen))
    trained = ["starting Ray", "training"] * ("training" in phases)
    assert phases == ["reading data", *trained, "writing the report", "done"], phases
    for one in seen:
        least, most = one.planned_range
        assert one.done <= one.planned and least <= one.planned <= most, one
    (cell,) = results.report.cells
    print(cell.encoders[0].interval, results.sentences[0])
    assert cell.encoders[0].interval[0] <= 1 <= cell.encoders[0].interval[1]
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_function_of_the_script_itself_is_a_study(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SCRIPT)
    for _ in range(2):  # and is known again
        ended = subprocess.run(
            [sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
        )
        assert ended.returncode == 0, ended.stderr
        assert "Align image and text at λ ≈" in ended.stdout
        assert ended.stderr == ""
    log = (tmp_path / "log.txt").read_text().splitlines()
    assert sum(line.startswith("INFO starting Ray on this machine") for line in log) == 1
    assert any(line.startswith("DEBUG pack done: pack ") for line in log)
    report = json.loads((tmp_path / "studies" / "mine" / "report.json").read_text())
    assert report["cells"][0]["own_training"]["call"] == "train"

    again = subprocess.run(
        [sys.executable, "-m", "study.run", "--space", "studies/mine/config.yaml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 2
    assert "was given from Python; run the study from there" in again.stderr


def trained(_: object) -> dict[str, float]:
    """A function that no test below calls."""
    raise AssertionError


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"pairs": [("a", "b")]}, "the key study is missing"),
        ({"study": "x"}, "pairs must name the encoders"),
        ({"study": "x", "pairs": [("a", "b")], "strengths": {}}, "there is no key strengths; allowed are study"),
        ({"study": "x", "pairs": [("a", "b")], "options": {"model": object()}}, "JSON serializable"),
        ({"study": "x", "pairs": [("a", "b")], "encoder": {}}, "there is no key encoder"),
    ],
)
def test_mistakes_in_the_keys_are_told_in_a_line(keys: dict[str, object], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        study.api.run(trained, out=tmp_path, progress=False, **keys)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_keys_beside_a_study_file_and_what_cannot_travel_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="given beside a study file"):
        study.api.run({"study": "x"}, study="y", progress=False)
    lock = __import__("threading").Lock()
    with pytest.raises(ConfigError, match="cannot travel to the workers"):
        study.api.run(
            lambda _: {"score": float(lock.locked())}, study="x", pairs=[("a", "b")], out=tmp_path, progress=False
        )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"overrides": ["replicates"]}, r"^overrides=\['replicates'\] is no assignment; write overrides=\['section"),
        ({"stand_in": "small"}, "^stand_in= is for the built-in training"),
        ({"address": "http://x"}, "address= is HOST:PORT"),
    ],
)
def test_mistakes_in_arguments_are_told_by_the_names_that_python_has(
    arguments: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        study.api.run(trained, study="x", pairs=[("a", "b")], out=tmp_path, progress=False, **arguments)
    assert "--" not in str(raised.value)


def test_what_a_command_is_told_in_stays_a_command() -> None:
    told = "give another --out; nothing is lost: python -m study.report x --sync writes it later"
    assert in_python(told) == told.replace("--out", "out=")
