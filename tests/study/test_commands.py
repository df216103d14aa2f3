"""What all commands share: help on one screen, completion, colours; and the documentation of the study file."""

from __future__ import annotations

import importlib
import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from study.__main__ import COMMANDS, main
from study.config import StudyConfig
from study.config.reference import reference
from study.results.model import Report
from study.results.text.summary import summary
from tests.study.results import example
from trainables.datasets import DATASETS

Captured = pytest.CaptureFixture[str]
COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-7]|4[0-7]|9[0-7]|38;|48;)[0-9;]*m")


def helped(command: Callable[[list[str]], int], capsys: Captured, *names: str) -> str:
    with pytest.raises(SystemExit) as ended:
        command([*names, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen_and_shows_an_example(name: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = helped(main, capsys, name)

    assert len(text.splitlines()) <= 30
    assert text.count("example: python -m ") == 1
    assert "%%" not in text


def test_the_example_of_each_command_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    for module, _ in COMMANDS.values():
        parser = importlib.import_module(module).parser()
        example = parser.epilog.removeprefix("example: python -m ").partition("|")[0].split()
        assert example[0] == module.removesuffix(".__main__")
        parser.parse_args(example[1:])


def test_the_one_command_lists_all_others(capsys: Captured) -> None:
    text = helped(main, capsys)

    assert all(f"  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("given", [[], ["trian"]])
def test_an_unknown_command_is_bad_input(given: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main(given)

    assert ended.value.code == 2
    assert "align-study: error" in capsys.readouterr().err


def test_a_command_gets_the_rest_of_the_line_and_its_exit_code_comes_back(capsys: Captured) -> None:
    assert main(["datasets", "no_such_dataset"]) == 2
    assert "no_such_dataset" in capsys.readouterr().err


def test_completion_knows_every_command_and_option(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "bash"])
    script = capsys.readouterr().out

    assert ended.value.code == 0
    assert all(name in script for name in COMMANDS)
    assert "--price-per-gpu-hour" in script
    probe = (
        'source /dev/stdin; COMP_WORDS=(align-study run --sp); COMP_CWORD=2; _shtab_align_study; echo "${COMPREPLY[@]}"'
    )
    completed = subprocess.run(["bash", "-c", probe], input=script, capture_output=True, text=True, check=False)
    assert "--space" in completed.stdout, completed.stderr


def test_datasets_as_json_hold_what_the_listing_says(capsys: Captured) -> None:
    assert main(["datasets", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}

    assert listed["digits"]["modalities"] == {"left": [32], "right": [32], "fourier": [40]}
    assert listed["digits"]["file"] is None
    assert listed["mosei"]["file"]["path"].endswith("mosei_senti_data.pkl")


@pytest.mark.parametrize(
    ("terminal", "no_color", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_are_for_terminals_and_no_color_is_honoured(
    terminal: bool, no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal)
    console.print(summary(Report.from_json(example.digits_report())))
    console.print("[red]red[/]")

    assert bool(COLOUR.search(shown.getvalue())) == coloured
    assert terminal or "\x1b" not in shown.getvalue()


def test_every_key_of_a_study_file_is_documented() -> None:
    rows = [line.strip("| ").split(" | ") for line in reference().splitlines() if line.startswith("| `")]

    assert len(rows) > len(StudyConfig.model_fields)
    assert [row[0] for row in rows if len(row) < 4 or not row[-1]] == []


def test_the_reference_names_every_key_with_its_default() -> None:
    text = reference()

    for key, field in StudyConfig.model_fields.items():
        assert f"| `{key}` |" in text
        for inner in getattr(field.annotation, "model_fields", {}):
            assert f"| `{inner}` |" in text
    assert "| `refine` | whole number ≥ 0 and ≤ 10,000 | `8` |" in text
    assert "| `sampler` | `posterior`, `gp`, `tpe`, `qmc`, `grid` | `posterior` |" in text


def test_the_reference_names_every_option_of_every_dataset() -> None:
    text = reference()

    for name, dataset in DATASETS.items():
        _, _, section = text.partition(f"## `dataset` with `name: {name}`\n")
        for key, option in dataset.options.items():
            assert f"| `{key}` | {option.allowed} |" in section.partition("\n## ")[0]
    assert "| `imputation` | one of none, zero, mean, median | `none` | What replaces missing values. |" in text


def test_the_reference_is_a_table_that_markdown_can_read() -> None:
    tables = [line for line in reference().splitlines() if line.startswith("|")]

    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in tables)


def test_every_search_space_uses_documented_keys_only() -> None:
    for space in sorted(Path(__file__).parents[2].glob("search_spaces/*.yaml")):
        keys = re.findall(r"^(\w+):", space.read_text(encoding="utf-8"), flags=re.M)
        assert set(keys) <= set(StudyConfig.model_fields)
