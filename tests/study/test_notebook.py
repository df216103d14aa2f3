"""The name `run`: a function from a notebook, a module for the command, and both in one process."""

from __future__ import annotations

import subprocess
import sys

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
    assert "run(space: " in page and "Run or resume a study" in page and "folder of all studies" in page
    try:
        function({"study": "x"}, progress=False)
    except ConfigError as error:
        assert "dataset" in str(error)
    else:
        raise AssertionError
print(len(functions))
"""


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
