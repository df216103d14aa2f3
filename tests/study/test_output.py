"""What commands print where it cannot be shown, is not read or cannot be written; and how they end then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from study.__main__ import COMMANDS
from tests.study import studies
from tests.study.results import example
from trainables.output import CLOSED, UNWRITTEN

MODULES = {name: module.removesuffix(".__main__") for name, (module, _) in COMMANDS.items()}
LIGHT = ("datasets", "status")
SLOW = pytest.mark.slow  # seconds of imports for each
NARROW = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "cp437"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""},
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a study was run to its end."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(studies.SMALLEST)
    rows = [f"{strength},{seed},{0.5 + strength / 9 + seed / 99}" for strength in range(4) for seed in range(3)]
    (folder / "runs.csv").write_text("\n".join(["strength,seed,score", *rows]))
    studies.run_space(folder / "tiny.yaml", folder=folder)
    return folder


def shown(
    folder: Path, name: str, *options: str, sink: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command, in a shell if its output goes to a `sink`; its own exit code."""
    words = [sys.executable, "-m", MODULES[name], *options]
    return subprocess.run(
        ["bash", "-c", f'"$@" {sink}; exit ${{PIPESTATUS[0]}}', "-", *words],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, capture_output=True, text=True,
        encoding="latin-1", check=False,
    )  # fmt: skip


def quick(name: str) -> list[str]:
    """Options with which a command says something within a second or two, in a folder with a finished study."""
    return {
        "run": ["--space", "tiny.yaml"], "report": ["tiny"], "profile": ["--space", "tiny.yaml"],
        "submit": ["--help"], "select": ["runs.csv"],
    }.get(name, [])  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize("environment", NARROW, ids=str)
def test_signs_that_the_output_cannot_hold_are_spelt(finished: Path, environment: dict[str, str]) -> None:
    ended = shown(finished, "status", **environment)

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "lambda of each pair" in ended.stdout


@pytest.mark.timeout(600)
def test_a_finished_study_is_shown_where_only_ascii_is(finished: Path) -> None:
    ended = shown(finished, "run", "--space", "tiny.yaml", PYTHONIOENCODING="ascii")

    assert ended.returncode == 0, ended.stderr
    assert "lambda* [90 %]" in ended.stdout
    told, _, browse = ended.stdout.partition("browse: ")
    assert "?" not in told
    assert browse.count("?") == 1  # of the address


@pytest.mark.slow  # every command, one after the other
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown_where_only_ascii_is(finished: Path, name: str) -> None:
    ended = shown(finished, name, *quick(name), PYTHONIOENCODING="ascii")

    assert ended.returncode == 0, ended.stderr


@pytest.mark.timeout(600)
def test_json_is_the_same_whatever_the_output_can_hold(finished: Path) -> None:
    wide = subprocess.run(
        [sys.executable, "-m", "study.run", "--space", "tiny.yaml", "--json"],
        cwd=finished, env={**os.environ, "PYTHONIOENCODING": "utf-8"}, capture_output=True, check=True,
    ).stdout  # fmt: skip
    narrow = shown(finished, "run", "--space", "tiny.yaml", "--json", PYTHONIOENCODING="ascii").stdout

    assert narrow.isascii()
    assert json.loads(narrow) == json.loads(wide.decode("utf-8"))


def test_the_names_of_a_decision_are_the_same_whatever_the_output_can_hold(tmp_path: Path) -> None:
    """It is to be pasted: a name that is spelt would be another one."""
    report = example.digits_report()
    names = ["größe", "音"]
    report["cells"][0]["pair"] = names
    for encoder, name in zip(report["cells"][0]["encoders"], names, strict=True):
        encoder["modality"] = name
    (tmp_path / "studies" / "digits").mkdir(parents=True)
    (tmp_path / "studies" / "digits" / "report.json").write_text(json.dumps(report))
    (tmp_path / "studies" / "digits" / "config.yaml").write_text("study: digits\ndataset: {name: digits}\n")

    ended = shown(tmp_path, "report", "digits", "--config", PYTHONIOENCODING="ascii")

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.isascii()
    assert yaml.safe_load(ended.stdout)["pairs"][0]["pair"] == names
    assert list(yaml.safe_load(ended.stdout)["pairs"][0]["encoders"]) == names


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in LIGHT else SLOW) for name in COMMANDS])
def test_a_pipe_that_nobody_reads_ends_a_command_quietly(finished: Path, name: str) -> None:
    ended = shown(finished, name, *quick(name), sink="| true")

    assert ended.returncode == CLOSED
    assert [line for line in ended.stderr.splitlines() if not line.startswith("reading data")] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in LIGHT else SLOW) for name in COMMANDS])
def test_an_output_that_cannot_be_written_is_said_in_a_line(finished: Path, name: str) -> None:
    ended = shown(finished, name, *quick(name), sink="> /dev/full")

    assert ended.returncode == UNWRITTEN
    assert ended.stderr.splitlines()[-1].startswith("error: cannot write the output: No space left on device")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("sink", ["2> /dev/full", "2>&-", ">&-", "< /dev/null", "> /dev/null 2>&1"])
def test_a_place_for_lines_that_is_none_changes_no_exit_code(tmp_path: Path, sink: str) -> None:
    assert shown(tmp_path, "datasets", sink=sink).returncode == 0
    assert shown(tmp_path, "datasets", "no-such-set", sink=sink).returncode == 2


def test_the_one_command_is_told_the_same() -> None:
    words = [sys.executable, "-m", "study", "datasets"]
    full = subprocess.run(["bash", "-c", '"$@" > /dev/full', "-", *words], capture_output=True, text=True, check=False)

    assert full.returncode == UNWRITTEN
    assert full.stderr.count("\n") == 1


@pytest.mark.slow  # a whole study
@pytest.mark.timeout(600)
def test_a_study_goes_on_when_nobody_reads_its_progress_any_more(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(studies.SMALLEST)
    ended = shown(tmp_path, "run", "--space", "tiny.yaml", sink="2>&1 | head -1")

    assert ended.returncode == CLOSED
    assert (tmp_path / "studies" / "tiny" / "report.json").is_file()
    assert ended.stdout.startswith("reading data")
    assert ended.stderr == ""
