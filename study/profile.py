"""`python -m study.profile --space FILE.yaml`: PID profiles of every pair, before any training."""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from study.cells.building import build_cells, data_notes
from study.cells.cell import Cell
from study.cells.profiles import CellForecast, forecast_cells, profile_cells
from study.cli.options import add_out, add_stand_in, add_study_file
from study.cli.process import run_as_process
from study.config import ConfigError, load_config
from study.pid import COMPONENTS, PIDProfile
from study.results.model import CellResult, to_json
from study.results.profiles import forecast_json, profiled
from study.search.record.private import make_folder


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m study.profile",
        description="Split the information of every pair about its target into redundancy (R), unique information of "
        "each modality (U1, U2) and synergy (S), in bits, with 90 %% intervals and the level that chance reaches.",
        epilog="example: python -m study.profile --space search_spaces/digits.yaml",
    )
    add_study_file(options)
    add_stand_in(options)
    add_out(options)
    options.add_argument("--json", action="store_true", help="print the profiles as JSON")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 2 bad input."""
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")
    start = time.monotonic()
    try:
        config = load_config(given.space, overrides=given.overrides, stand_in=given.stand_in)
        cells, datasets = build_cells(config)
        for line in data_notes(datasets):
            print(line, file=sys.stderr)
        profiles, forecasts = profile_cells(cells, datasets), forecast_cells(cells, datasets)
        folder = given.out / config.study
        results = [profiled(cell, profiles[cell.id], forecasts[cell.id]) for cell in cells]
        value = {
            cell.id: {**to_json(result.pid), "forecast": forecast_json(result.forecast)}
            for cell, result in zip(cells, results, strict=True)
        }
        written = _write(results, value, folder)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(value, indent=1))
        return 0
    for line in [*table(cells, profiles), "", *forecast_table(cells, forecasts)]:
        print(line)
    print(f"{len(cells)} pairs in {time.monotonic() - start:.1f} s; {', '.join(map(str, written))}")
    return 0


def table(cells: Sequence[Cell], profiles: Mapping[str, PIDProfile]) -> list[str]:
    """The profiles as lines of text: value, interval, and a mark on every component that chance may explain."""
    heads = ("redundancy", "unique 1", "unique 2", "synergy")
    lines = [f"{'bits [90 %]':<34}" + "".join(f"{head:<23}" for head in heads) + "dominant"]
    for cell in cells:
        profile = profiles[cell.id]
        texts = []
        for name in COMPONENTS:
            low, high = profile.interval[name]
            mark = "" if profile.significant[name] else " ~"
            texts.append(f"{f'{profile[name]:.3f} [{low:.3f}, {high:.3f}]{mark}':<23}")
        lines.append(f"{cell.label:<34}" + "".join(texts) + profile.dominant)
        if len(profile.spread) > 1:
            ranges = [[values[name] for values in profile.spread.values()] for name in COMPONENTS]
            told = "".join(f"{f'{min(found):.3f} … {max(found):.3f}':<23}" for found in ranges)
            lines.append(f"{'  at ' + ', '.join(profile.spread) + ' bins':<34}{told}")
        if cell.exact_profile is not None:
            exact = "".join(f"{cell.exact_profile[name]:<23.3f}" for name in COMPONENTS)
            lines.append(f"{'  exact':<34}{exact}")
    if any("~" in line for line in lines):
        lines.append("~ not distinguishable from a target shuffled at random")
    return lines


def forecast_table(cells: Sequence[Cell], forecasts: Mapping[str, CellForecast]) -> list[str]:
    """The linear forecasts as lines of text."""
    lines = ["linear forecast (strengths in the theory's units: read their order, not their size)"]
    for cell in cells:
        linear, together = forecasts[cell.id].linear, forecasts[cell.id].together
        for encoder in linear.encoders:
            critical = ", ".join(f"{value:.2g}" for value in encoder.critical_strengths[:4])
            loses = f"drops a direction that predicts at {critical}" if critical else "keeps all that predicts"
            lines.append(f"  {cell.label}: {encoder.modality} best near {encoder.best_strength:.2g}, {loses}")
        for name, at in zip(cell.pair, together.crossings, strict=True) if together else ():
            loses = "loses nothing" if at is None else f"loses half of what it loses by λ = {at:.2g}"
            lines.append(f"  {cell.label}: {name}, if linear, {loses} in this study")
    return lines


def _write(results: Sequence[CellResult], value: Mapping[str, Any], folder: Path) -> list[Path]:
    from study.results.figures.drawing import draw

    try:
        make_folder(folder)
        target = folder / "profile.json"
        target.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
        draw(results, folder / "profile")
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}; choose another folder with --out") from None
    return [target, folder / "profile"]


if __name__ == "__main__":
    run_as_process(main)
