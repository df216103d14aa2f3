"""The name `run`: a function from a notebook, a module for the command, and both in one process."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from study.api import Results
from study.cli.display import Display
from study.scheduling.coordinator import Progress
from tests.study.results import example

IN_ANY_ORDER = {
    "the function alone": "from study import run; functions = [run]",
    "the function through the package": "import study; functions = [study.run]",
    "the function, then the module": """
from study import run
import study, study.run as command
from study.run import main
assert command.main is main
functions = [run, study.run, command]
""",
    "the module, then the function": """
import study, study.run as command
from study import run
assert command.main(["--space", "none.yaml"]) == 2
functions = [run, study.run, command]
""",
}
LOOKS_LIKE_THE_FUNCTION = """
import inspect, pydoc
from study import api
from study.config import ConfigError

for function in functions:
    assert inspect.signature(function) == inspect.signature(api.run)
    page = pydoc.render_doc(function, renderer=pydoc.plaintext)
    assert "run(space: " in page and "Run, resume or extend a study" in page and "folder of all studies" in page
    try:
        function({"study": "x"}, progress=False)
    except ConfigError as error:
        assert "dataset" in str(error)
    else:
        raise AssertionError
print(len(functions))
"""


PROGRESS = Progress(
    done=1, planned=4, diverged=0, in_flight=0.0, latest="left + right", work_done=0.0, work_ended=0.0, work_left=4.0
)


@pytest.fixture(scope="module")
def results() -> Results:
    return Results(example.digits_report(), Path("studies/digits"))


def test_a_notebook_shows_sentences_curves_and_a_table_whose_styles_hold_for_nothing_else(results: Results) -> None:
    shown = results._repr_html_()
    assert shown.count("<svg") == 6
    assert results.sentences[0][:40] in shown
    assert '<table class="answer">' in shown
    rules = re.findall(r"(?m)^([^{}]+)\{", shown[shown.index("<style>") + 7 : shown.index("</style>")])
    assert rules
    assert all(part.strip().startswith(".align-study") for rule in rules for part in rule.split(","))
    assert "<script" not in Results(example.hostile_report(), Path())._repr_html_()


def test_a_decision_and_a_plot_of_each_pair(results: Results) -> None:
    assert list(results.decision) == ["digits, left + right", "digits, left + fourier", "digits, right + fourier"]
    advised = results.decision["digits, left + fourier"]
    assert (advised.strategy, advised.strengths) == ("to_2", (0.0, 1.9))
    for pair in (1, "digits, left + fourier", ("left", "fourier")):
        drawn = results.plot(pair)
        assert [axes.get_title("left").partition(":")[0] for axes in drawn.axes] == ["left", "fourier"]
    with pytest.raises(KeyError, match="'digits, left \\+ right'"):
        results.plot("left + nothing")


def test_a_notebook_without_ipywidgets_has_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar of rich would warn at every refresh that ipywidgets is missing."""
    console = Console(file=io.StringIO(), force_jupyter=True)
    monkeypatch.setattr("study.cli.display.find_spec", lambda _: None)
    found: list[object] = []
    monkeypatch.setattr(console, "print", lambda line, **_: found.append(line))
    with Display(console) as display:
        display.update(PROGRESS)
    assert found == ["1 of 4 trainings, starting, left + right"]


def ended(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)


def test_run_is_called_read_about_and_completed_as_a_function_in_whichever_order_it_is_imported() -> None:
    for imports in IN_ANY_ORDER.values():
        told = ended("-c", imports + LOOKS_LIKE_THE_FUNCTION)
        assert told.returncode == 0, told.stderr


def test_the_function_alone_brings_nothing_of_the_command() -> None:
    told = ended("-c", "import sys; from study import load_report, run; print('study.run' in sys.modules)")
    assert told.stdout == "False\n", told.stderr


def test_the_command_is_run_by_its_name() -> None:
    told = ended("-m", "study.run", "--help")
    assert told.stdout.startswith("usage: python -m study.run"), told.stderr
    assert told.stderr == ""  # a module that had been imported already would warn
