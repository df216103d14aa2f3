"""Every page of documentation: what it names exists, its commands are understood and run as they are written.

Blocks of Python and shell run in the environment that a user has, in the order of `PAGES`, in a folder with the study
files on tiny overrides. The cheap ones run in the fast tests. `ELSEWHERE` says of every other command why it does not
run here.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from study.__main__ import COMMANDS
from study.config import load_config, parse_config, to_yaml
from trainables.datasets import DATASETS
from trainables.networks.encoders import ENCODERS
from trainables.objectives.alignment import ALIGNMENT_OBJECTIVES

ROOT = Path(__file__).parents[1]
PAGES = (  # in the order in which their blocks run: the first makes the studies that the others read
    "README.md",
    "study/README.md",
    "study/results/claims/README.md",
    "search_spaces/README.md",
    "study/pid/README.md",
    "study/theory/README.md",
    "study/selection/README.md",
    "trainables/README.md",
    "tests/bench/README.md",
    "infra/README.md",
    ".github/CONTRIBUTING.md",
)
CHEAP_PROGRAMS = ("study/pid/README.md", "study/theory/README.md", "study/selection/README.md", "trainables/README.md")
CHEAP_COMMANDS = ("python -m study.config", "python -m trainables.datasets", "python -m study.report --schema")
ELSEWHERE: Mapping[str, str] = {  # how a command begins: why it does not run here
    "git clone": "there is no address that a test could clone",
    "cd align-study": "belongs to the line before",
    "python -m venv": "belongs to the next line",
    "source .venv/bin/activate": "belongs to the next line",
    "pip install": "the tests run in what it installs; .ci/run runs it in a fresh environment",
    "pytest": "these are the tests",
    "ruff": ".ci/run runs it",
    "mypy": ".ci/run runs it",
    "lint-imports": ".ci/run runs it",
    "optuna-dashboard": "serves until it is stopped",
    "mkdir -p -m 700 infra/secrets": "tests/infra/test_commands.py runs it",
    "for name in postgres": "tests/infra/test_commands.py runs it",
    "echo align >": "tests/infra/test_commands.py runs it",
    'python -c "import secrets': "tests/infra/test_commands.py runs it",
    "(umask 077": "tests/infra/test_commands.py runs it",
    "python -m study.report digits --out s3://": "needs a bucket; tests/study/faults/test_bucket.py has one",
    "ray start": "needs free ports, or several machines; tests/infra/test_commands.py runs what one machine can",
    "curl -s http://127.0.0.1:8080/metrics": "reads what a study shows while it runs; tests/study/cluster does that",
    "python -m study.run --space search_spaces/digits.yaml --address": "needs a cluster; tests/infra runs one of them",
    "python -m study.submit": "needs a cluster; tests/study/test_submit.py has one",
    "python -m study.status --storage": "needs the cluster's database; tests/study/test_status.py has one",
    "export": "holds secrets of a cluster, which are left out on the page",
    "docker": "needs Docker and a registry",
    "curl -fs http://127.0.0.1:5000": "needs the services that Docker starts",
    "psql": "needs the services that Docker starts",
    "printf": "writes secrets for an account in the cloud",
    "chmod 600 infra/secrets/cluster.env": "belongs to the line before",
    "ray up": "needs an account in the cloud",
    "ray dashboard": "needs an account in the cloud",
    "helm": "needs Kubernetes",
    "kubectl": "needs Kubernetes",
    "sky": "needs an account in the cloud",
}
TINY = [
    "training.epochs=2", "strength.initial=[0, 1]", "strength.refine=0", "replicates.search=2", "replicates.confirm=2",
    "pid.estimator=broja", "pid.bootstrap=20", "alignment.one_sided=never",
]  # fmt: skip
OWN = ["trainer.options.epochs=1", "strength.initial=[0, 1]", "strength.refine=0", "replicates={search: 2, confirm: 2}"]
MODULES = {module.removesuffix(".__main__"): module for module, _ in COMMANDS.values()}
Command = str  # one line of a shell, or a part of it between `&&`


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), flags=re.M | re.S)


def prose(page: str) -> str:
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.M | re.S)


def commands_of(block: str) -> Iterator[Command]:
    """Of a block of shell, without comments and without what a command reads from the lines below it."""
    block = re.sub(r"(<<'(\w+)')\n.*?\n\2$", r"\1", block, flags=re.M | re.S)
    for line in block.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s+)#\s.*$", "", line).strip()
        yield from (part.strip() for part in ([line] if line.startswith("(") else line.split("&&")) if part.strip())


def shown_commands(page: str) -> Iterator[list[str]]:
    """Every command of the project that a page shows, in blocks and in sentences, as its words."""
    lines = [command for block in blocks(page, "bash") for command in commands_of(block)]
    lines += [" ".join(text.split()) for text in re.findall(r"`((?:python -m|align-study) [^`]+)`", prose(page))]
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "-m"] and words[2] in MODULES:
            yield words
        elif words[:1] == ["align-study"] and len(words) > 1 and words[1] in COMMANDS:
            yield ["python", "-m", COMMANDS[words[1]][0].removesuffix(".__main__"), *words[2:]]


def benches() -> list[list[str]]:
    """Every command of `tests/bench` that a page shows, as its words after `python`."""
    shown = {text for page in PAGES for text in re.findall(r"`python (tests/bench/[^`]+)`", prose(page))}
    return [shlex.split(text) for text in sorted(shown)]


def cheap(command: Command) -> bool:
    return command.startswith(CHEAP_COMMANDS) and "--contents" not in command  # of files that another block makes


def elsewhere(command: Command) -> bool:
    return any(command.startswith(beginning) for beginning in ELSEWHERE)


def environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def succeed(words: Sequence[str], folder: Path) -> None:
    ended = subprocess.run(
        words, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False, timeout=600
    )
    assert ended.returncode == 0, f"{words}\n{ended.stdout}\n{ended.stderr}"


def test_no_page_is_forgotten() -> None:
    folders = ("study", "trainables", "search_spaces", "tests", "infra", ".github")
    there = {path for folder in folders for path in (ROOT / folder).rglob("README.md")}

    assert {str(path.relative_to(ROOT)) for path in there} <= set(PAGES)
    assert all((ROOT / page).is_file() for page in PAGES)


def test_the_first_page_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES)
def test_no_line_of_prose_is_far_wider_than_its_neighbours(page: str) -> None:
    assert [line for line in prose(page).splitlines() if len(line) > 125 and not line.startswith("|")] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_heading_that_is_named_exists(page: str) -> None:
    text = text_of(page)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    for link in links:
        name, _, heading = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if heading:
            assert heading in headings(target), link
    named = [word for words in shown_commands(page) for word in words if word.endswith(".yaml")]
    named += re.findall(r"`((?:search_spaces|study|trainables|tests|infra)/[\w./]+\.\w+)`", text)
    named += [words[0] for words in benches()]
    given = ("FILE.yaml", "infra/secrets/")
    assert [name for name in named if not name.startswith(given) and not (ROOT / name).exists()] == []


def headings(page: Path) -> set[str]:
    """The anchors that a page of Markdown has: words of its headings, joined by dashes."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_command_is_understood() -> None:
    shown = [words for page in PAGES for words in shown_commands(page)]

    assert {words[2] for words in shown_commands("README.md")} == set(MODULES)
    for words in shown:
        parser = importlib.import_module(MODULES[words[2]]).parser()
        required = [] if "--space" in words or "[NAME" in words else REQUIRED.get(words[2], [])
        parser.parse_args([*required, *(word for word in words[3:] if word not in ("[NAME", "…]"))])


REQUIRED = {
    "study.run": ["--space", "x"],
    "study.profile": ["--space", "x"],
    "study.submit": ["--space", "x", "--address", "y"],
}


@pytest.mark.parametrize(("page", "text"), [(page, text) for page in PAGES for text in blocks(page, "yaml")])
def test_every_study_file_is_valid(page: str, text: str) -> None:
    parse_config(text, source=page)


@pytest.mark.parametrize("package", ["study", "trainables"])
def test_every_room_is_in_the_table_once(package: str) -> None:
    """Folders at any depth, and the modules that lie in none."""
    folders = {f"{path.parent.relative_to(ROOT / package)}/" for path in (ROOT / package).rglob("*/__init__.py")}
    modules = {path.name for path in (ROOT / package).glob("*.py")} - {"__init__.py"}

    assert sorted(rooms(package)) == sorted(folders | modules)


@pytest.mark.parametrize("package", ["study", "trainables"])
def test_rooms_are_in_the_order_of_their_imports(package: str) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract.get("containers") == [package])
    rank = {name.strip(): place for place, layer in enumerate(layers) for name in layer.split("|")}
    places = [rank[re.sub(r"\.py$|/.*$", "", room)] for room in rooms(package)]

    assert places == sorted(places)


def rooms(package: str) -> list[str]:
    """What the table of a package's page lists, from top to bottom: `run.py`, `search/`, `search/record/`."""
    _, _, table = text_of(f"{package}/README.md").partition("\n## The rooms\n")
    return re.findall(r"^\| `([^`]+)` \|", table.partition("\n## ")[0], flags=re.M)


def test_every_study_file_and_bench_is_explained() -> None:
    spaces, bench = text_of("search_spaces/README.md"), text_of("tests/bench/README.md")

    assert [path.name for path in (ROOT / "search_spaces").glob("*.yaml") if f"]({path.name})" not in spaces] == []
    assert [path.name for path in (ROOT / "tests" / "bench").glob("*.py") if f"`{path.name}`" not in bench] == []


def test_every_dataset_encoder_and_objective_is_listed() -> None:
    page = text_of("trainables/README.md")

    assert [name for name in (*DATASETS, *ENCODERS, *ALIGNMENT_OBJECTIVES) if f"`{name}`" not in page] == []


def test_every_reason_not_to_run_a_command_is_one_of_a_command() -> None:
    commands = [command for page in PAGES for block in blocks(page, "bash") for command in commands_of(block)]

    assert [start for start in ELSEWHERE if not any(command.startswith(start) for command in commands)] == []
    assert [start for start in CHEAP_COMMANDS if not any(command.startswith(start) for command in commands)] == []


@pytest.mark.parametrize(
    "command",
    sorted({line for page in PAGES for block in blocks(page, "bash") for line in commands_of(block) if cheap(line)}),
)
def test_a_cheap_command_runs(command: Command, tmp_path: Path) -> None:
    succeed(["bash", "-c", command], tmp_path)


@pytest.mark.parametrize("page", CHEAP_PROGRAMS)
def test_the_cheap_programs_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, which has imported torch already."""
    monkeypatch.chdir(tmp_path)
    texts = blocks(page, "python")
    assert texts
    for text in texts:
        exec(compile(text, page, "exec"), {})


@pytest.mark.slow  # whole studies
@pytest.mark.timeout(1200)
def test_the_blocks_run_one_after_another(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "search_spaces", tmp_path / "search_spaces")
    for space in (tmp_path / "search_spaces").glob("*.yaml"):
        shrink(space)
    for page in PAGES:
        for language, text in re.findall(r"^```(bash|python)\n(.*?)^```$", text_of(page), flags=re.M | re.S):
            if language == "bash":
                for command in commands_of(text):
                    if not cheap(command) and not elsewhere(command):
                        succeed(["bash", "-c", command], tmp_path)
            elif page not in CHEAP_PROGRAMS:
                succeed([sys.executable, "-c", text], tmp_path)
    for study in ("digits", "mine"):
        assert (tmp_path / "studies" / study / "report.html").is_file()


def shrink(space: Path) -> None:
    """Make a study of seconds of it: two strengths, two seeds, one cell where it has many."""
    tiny = {"digits": TINY, "linear": [*TINY, "models=false", "dataset.redundancy=0"], "own_training": OWN}
    config = load_config(space, overrides=tiny.get(space.stem, [*TINY, "models=false"]))
    space.write_text(to_yaml(config), encoding="utf-8")


@pytest.mark.slow  # imports what the benches import
def test_the_options_of_every_bench_are_understood(tmp_path: Path) -> None:
    """They run for minutes or hours: here each gets as far as its options."""
    shown = benches()
    assert len(shown) >= 10
    each = """
import argparse, json, runpy, sys

class Understood(Exception): pass

parse = argparse.ArgumentParser.parse_args
def stop(parser, *given):
    parse(parser, *given)
    raise Understood

argparse.ArgumentParser.parse_args = stop
root = sys.argv[1]
for words in json.loads(sys.argv[2]):
    path = f"{root}/{words[0]}"
    sys.argv, sys.path[0] = [path, *words[1:]], f"{root}/tests/bench"
    try:
        runpy.run_path(path, run_name="__main__")
    except Understood:
        continue
    raise SystemExit(f"{words}: did not ask for its options")
"""
    succeed([sys.executable, "-c", each, str(ROOT), json.dumps(shown)], tmp_path)
