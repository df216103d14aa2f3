"""`align-study COMMAND …`, or `python -m study COMMAND …`: every command of the project under one name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from study.cli.process import run_as_process
from trainables.output import OptionParser

COMMANDS = {  # name: where it lives, what it does
    "run": ("study.run", "run a study, or resume it; --dry-run prints what it will take"),
    "select": ("study.select", "λ* from trainings that are done already: a table, Optuna, MLflow or Ray Tune"),
    "profile": ("study.profile", "PID profiles of every pair, before any training"),
    "report": ("study.report", "write a study's report again, offline; --claims checks the papers' claims"),
    "status": ("study.status", "list studies: progress, failures, best shared λ so far"),
    "submit": ("study.submit", "run a study as a job of a Ray cluster"),
    "datasets": ("trainables.datasets.__main__", "list the datasets and where their files go"),
    "keys": ("study.config.__main__", "document every key of a study file"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Hand the rest of the line to the command that it begins with; its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in COMMANDS:
        return int(import_module(COMMANDS[given[0]][0]).main(given[1:]))
    options = _overview()
    options.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    options.add_argument(
        "--print-completion", choices=("bash", "zsh", "tcsh"), action=_PrintCompletion, metavar="SHELL",
        help="print a completion script for SHELL (bash, zsh, tcsh)",
    )  # fmt: skip
    options.parse_args(given)
    raise AssertionError("a command was named, and none was found")


class _PrintCompletion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        shell = str(_[1])
        import shtab

        print(shtab.complete(_complete(), shell=shell))
        parser.exit()


def _overview() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<10}{what}" for name, (_, what) in COMMANDS.items())
    return OptionParser(
        prog="align-study",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"How strongly should two modalities be aligned?\n\ncommands, each with its own --help:\n{listed}",
        epilog="example: align-study run --space search_spaces/digits.yaml\n"
        'completion: eval "$(align-study --print-completion bash)"',
    )


def _complete() -> argparse.ArgumentParser:
    """All commands with all their options in one parser, which only the completion needs."""
    options = _overview()
    commands = options.add_subparsers()
    for name, (module, what) in COMMANDS.items():
        own = import_module(module).parser()
        commands.add_parser(name, parents=[own], conflict_handler="resolve", help=what)
    return options


def command() -> NoReturn:
    """What `align-study` runs."""
    run_as_process(main)


if __name__ == "__main__":
    command()
