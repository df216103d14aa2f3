"""`python -m study.profile --space FILE.yaml`: PID profiles of every pair, before any training."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Sequence

from study.cli.options import add_out, add_stand_in, add_study_file, add_volume
from study.cli.process import run_as_process, show
from study.config.folder import StudyFolder
from trainables.output import OptionParser, complain


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = OptionParser(
        prog="python -m study.profile",
        description="Split what every pair tells about its target into redundancy (R), unique information of each "
        "modality (U1, U2) and synergy (S), in bits, with 90 % intervals and the level that chance reaches.",
        epilog="example: python -m study.profile --space search_spaces/digits.yaml",
    )
    add_study_file(options)
    add_stand_in(options)
    add_out(options)
    options.add_argument("--json", action="store_true", help="print the profiles as JSON")
    add_volume(options)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 2 bad input."""
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")
    # Seconds of imports, which --help need not wait for.
    from rich.console import Console

    from study.cells.building import build_cells, data_notes
    from study.cells.profiles import forecast_cells, profile_cells
    from study.cli.display import Display
    from study.config import ConfigError, load_config
    from study.results.profiles import profiled
    from study.session.profiles import forecast_table, profile_table, profiles_as_json, write_profiles

    start = time.monotonic()
    try:
        config = load_config(given.space, overrides=given.overrides, stand_in=given.stand_in)
        if config.dataset is None:
            raise ConfigError("a profile needs data, and the study file names no dataset; add one beside trainer")
        with Display(Console(stderr=True, quiet=given.quiet), verbose=given.verbose) as display:
            display.stage("reading data")
            cells, datasets = build_cells(config)
            for line in data_notes(datasets):
                display.say(line)
            display.stage("computing profiles")
            profiles, forecasts = profile_cells(cells, datasets), forecast_cells(cells, datasets)
        results = [profiled(cell, profiles[cell.id], forecasts[cell.id]) for cell in cells]
        value = profiles_as_json(results)
        written = write_profiles(results, value, StudyFolder(given.out / config.study))
    except ConfigError as error:
        complain(f"error: {error}")
        return 2
    if given.json:
        print(json.dumps(value, indent=1))
        return 0
    for line in [*profile_table(cells, profiles), "", *forecast_table(cells, forecasts)]:
        show(line)
    pairs = "1 pair" if len(cells) == 1 else f"{len(cells)} pairs"
    show(f"{pairs} in {time.monotonic() - start:.1f} s; {', '.join(map(str, written))}")
    return 0


if __name__ == "__main__":
    run_as_process(main)
