"""Every block of the README: commands are understood, study files valid; and all of it run, on tiny overrides."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.__main__ import COMMANDS
from study.config import parse_config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = {module.removesuffix(".__main__"): module for module, _ in COMMANDS.values()}
TINY = [
    "training.epochs=2", "strength.initial=[0, 1]", "strength.refine=0", "replicates.search=2", "replicates.confirm=2",
    "pid.estimator=broja", "pid.bootstrap=20", "alignment.one_sided=never",
]  # fmt: skip
ELSEWHERE = ("--address", "--storage")  # a cluster and its database


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.M | re.S)


def commands() -> Iterator[list[str]]:
    """Every command of the project that the README shows, in blocks and in sentences, as its words."""
    lines = [part for block in blocks("bash") for line in block.splitlines() for part in line.split("&&")]
    lines += re.findall(r"`((?:python -m|align-study) [^`]+)`", README)
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "-m"] and words[2] in MODULES:
            yield words
        elif words[:1] == ["align-study"] and len(words) > 1 and words[1] in COMMANDS:
            yield ["python", "-m", COMMANDS[words[1]][0].removesuffix(".__main__"), *words[2:]]


def test_no_line_of_prose_is_far_wider_than_its_neighbours() -> None:
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.M | re.S).splitlines()
    assert [line for line in prose if len(line) > 125 and not line.startswith("|")] == []


def test_every_command_is_understood() -> None:
    shown = list(commands())

    assert {words[2] for words in shown} == set(MODULES)
    for words in shown:
        parser = importlib.import_module(MODULES[words[2]]).parser()
        required = {"study.run": ["--space", "x"], "study.profile": ["--space", "x"]}.get(words[2], [])
        required = ["--space", "x", "--address", "y"] if words[2] == "study.submit" else required
        given = [word for word in words[3:] if word not in ("[NAME", "…]")]
        parser.parse_args([*required, *given])


def test_every_file_that_is_named_exists() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", README)
    named += [word for words in commands() for word in words if word.endswith(".yaml") and word != "FILE.yaml"]
    named += re.findall(r"python (tests/bench/\w+\.py)", README) + re.findall(r"`(search_spaces/\w+\.yaml)`", README)

    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_study_file_is_valid(text: str) -> None:
    parse_config(text)


@pytest.mark.parametrize("text", blocks("python"))
def test_every_program_compiles(text: str) -> None:
    compile(text, "README.md", "exec")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_blocks_run_one_after_another(tmp_path: Path) -> None:
    """In the README's order: data, studies, commands, encoders, notebook; studies on tiny overrides of their files."""
    shutil.copytree(ROOT / "search_spaces", tmp_path / "search_spaces")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}  # as a user has it
    environment = {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for space in (tmp_path / "search_spaces").glob("*.yaml"):
        _shrink(space)
    ran = 0
    for words in _programs():
        ended = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, f"{words}\n{ended.stdout}\n{ended.stderr}"
        ran += 1
    assert ran >= 5
    assert (tmp_path / "studies/digits/report.html").is_file()
    assert (tmp_path / "studies/mine/report.html").is_file()


def _programs() -> Iterator[list[str]]:
    """What the interpreter is given for each block of Python, and each command that needs nothing but this machine."""
    for language, text in re.findall(r"^```(bash|python)\n(.*?)^```$", README, flags=re.M | re.S):
        if language == "python":
            yield ["-c", text]
            continue
        for program in (part.strip() for line in text.splitlines() for part in line.split("&&")):
            if program.startswith("python -m ") and not any(word in program for word in ELSEWHERE):
                yield shlex.split(program, comments=True)[1:]


def _shrink(space: Path) -> None:
    from study.config import load_config, to_yaml

    try:
        config = load_config(space, overrides=TINY)
    except ValueError:  # a range that the tiny strengths do not fit; no block of the README runs it
        return
    space.write_text(to_yaml(config), encoding="utf-8")
