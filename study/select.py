"""`python -m study.select FILE`: λ* from trainings that somebody else has run."""

from __future__ import annotations

import argparse
import inspect
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from study.api import select
from study.cli.options import folder
from study.cli.process import printer, run_as_process
from study.config import ConfigError
from trainables.output import OptionParser, complain, json_text

if TYPE_CHECKING:
    from study.outside.trials import Trials

__all__ = ["main", "parser", "select"]


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = OptionParser(
        prog="python -m study.select",
        usage="python -m study.select [FILE] [options]",
        description="Find λ*, or another best value, from trainings done already. It only reads.",
        epilog="example: python -m study.select runs.csv --score val_acc --seed seed",
    )
    sources = options.add_argument_group("where the trainings are, one of")
    sources.add_argument("table", nargs="?", type=Path, metavar="FILE", help="CSV, TSV or Parquet")
    sources.add_argument("--optuna", metavar="URL", help="sqlite:///FILE, postgresql://USER@HOST/DB, or a journal")
    sources.add_argument("--mlflow", metavar="URI", help="sqlite:///FILE, http://HOST:PORT or the folder mlruns")
    sources.add_argument("--tune", metavar="DIR", type=Path, help="folder of a run of Ray Tune")
    options.add_argument("--study", metavar="NAME", help="of --optuna (default: the only one)")
    options.add_argument("--experiment", metavar="NAME", help="of --mlflow (default: the only one)")
    columns = options.add_argument_group("which column, parameter or metric is what")
    columns.add_argument("--strength", metavar="COL", help="the strength, or another hyperparameter")
    columns.add_argument("--score", metavar="COL", help="the score")
    columns.add_argument("--seed", metavar="COL", help="the seed; the same seeds at several strengths tell most")
    columns.add_argument("--encoder", metavar="COL", help="an answer for each of its values")
    columns.add_argument("--split", metavar="COL", help="search on its `validation`, confirm on its `test`")
    columns.add_argument("--ignore", metavar="COL", action="append", default=[], help="a column that sets nothing")
    direction = options.add_mutually_exclusive_group()
    direction.add_argument("--minimise", action="store_true", help="lower scores are better (default: by its name)")
    direction.add_argument("--maximise", action="store_true", help="higher scores are better")
    options.add_argument("--log", action="store_true", help="the strengths lie on a logarithmic scale")
    options.add_argument("--name", metavar="TEXT", help='what is chosen, if not λ: "weight decay"')
    options.add_argument("--out", type=folder, metavar="DIR", help="write figures (PNG, SVG) and a page, select.html")
    options.add_argument("--json", action="store_true", help="print JSON: an encoder's fields of report.json, and more")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 2 bad input."""
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")
    try:
        trials = _read(given)
        from study.outside.notebook import Answer
        from study.outside.reading import answer_trials
        from study.outside.trials import Asked

        asked = Asked(
            strength=given.strength,
            score=given.score,
            seed=given.seed,
            encoder=given.encoder,
            split=given.split,
            minimise=True if given.minimise else False if given.maximise else None,
            log=given.log,
            name=given.name,
            ignored=tuple(given.ignore),
        )
        answer = Answer(answer_trials(trials, asked))
        written = []
        if given.out is not None:
            from study.outside.drawing import write_answers

            written = write_answers(answer.results, given.out)
    except ConfigError as error:
        complain(f"error: {error}")
        return 2
    if given.json:
        print(json_text(answer.data, indent=1))
    else:
        printer().print(repr(answer), markup=False, highlight=False)
        if written:
            print(f"page: {written[-1]}")
    return 0


def _read(given: argparse.Namespace) -> Trials:
    from study.outside import files, stores

    sources = [name for name in ("table", "optuna", "mlflow", "tune") if getattr(given, name) is not None]
    if len(sources) != 1:
        what = "nothing to read was given" if not sources else f"{len(sources)} sources were given"
        raise ConfigError(f"{what}; give one of FILE, --optuna URL, --mlflow URI and --tune DIR")
    for option, source in (("study", "optuna"), ("experiment", "mlflow")):
        if getattr(given, option) is not None and sources != [source]:
            raise ConfigError(f"--{option} belongs to --{source}; leave it out, or give --{source}")
    if given.table is not None:
        return files.read_table(given.table)
    if given.tune is not None:
        return files.read_tune(given.tune)
    if given.optuna is not None:
        return stores.read_optuna(given.optuna, study=given.study)
    return stores.read_mlflow(given.mlflow, experiment=given.experiment)


class _Command(ModuleType):
    """A module that is called like the function `select` of the package, in whose place an import has put it."""

    __call__ = staticmethod(select)
    __signature__ = inspect.signature(select)


if __name__ != "__main__":
    sys.modules[__name__].__class__ = _Command

if __name__ == "__main__":
    run_as_process(main)
