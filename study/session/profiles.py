"""Profiles and forecasts of a study that need not be run: as JSON, as files, as lines of text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from study.cells.cell import Cell
from study.cells.profiles import CellForecast
from study.config import ConfigError
from study.config.folder import StudyFolder
from study.pid import COMPONENTS, PIDProfile
from study.results.model import CellResult, to_json
from study.results.names import one_line
from study.results.profiles import forecast_json
from study.search.record.private import make_folder


def profiles_as_json(results: Sequence[CellResult]) -> dict[str, dict[str, Any]]:
    """Each cell's profile (bits), with the exact one where that is known and the forecast, by cell id."""
    return {cell.identity: {**to_json(cell.pid), "forecast": forecast_json(cell.forecast)} for cell in results}


def write_profiles(results: Sequence[CellResult], value: Mapping[str, Any], folder: StudyFolder) -> list[Path]:
    """Write the profiles of a study's cells and their figures into its folder; the file and the folder that it wrote.

    Args:
        results: of the study's cells.
        value: as `profiles_as_json` gave it.
        folder: of the study; made if it is missing.

    Raises:
        ConfigError: it cannot be written.
    """
    from study.results.figures.drawing import draw

    try:
        make_folder(folder.path)
        folder.profile.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
        draw(results, folder.profile_figures)
    except OSError as error:
        raise ConfigError(f"cannot write {folder.path}: {error.strerror}; choose another folder with --out") from None
    return [folder.profile, folder.profile_figures]


def profile_table(cells: Sequence[Cell], profiles: Mapping[str, PIDProfile]) -> list[str]:
    """The profiles as lines of text: value, interval, and a mark on every component that chance may explain."""
    lines, pair = [], None
    for cell in cells:
        profile = profiles[cell.id]
        heads = dict(zip(COMPONENTS, ("redundancy", *map(_unique_to, cell.pair), "synergy"), strict=True))
        if cell.pair != pair:  # whose names the heads have
            pair = cell.pair
            lines.append(f"{'bits [90 %]':<34}" + "".join(f"{head:<23}" for head in heads.values()) + "dominant")
        texts = []
        for name in COMPONENTS:
            low, high = profile.interval[name]
            mark = "" if profile.significant[name] else " ~"
            texts.append(f"{f'{profile[name]:.3f} [{low:.3f}, {high:.3f}]{mark}':<23}")
        lines.append(f"{cell.label:<34}" + "".join(texts) + heads.get(profile.dominant, profile.dominant))
        if len(profile.spread) > 1:
            ranges = [[values[name] for values in profile.spread.values()] for name in COMPONENTS]
            told = "".join(f"{f'{min(widths):.3f} … {max(widths):.3f}':<23}" for widths in ranges)
            lines.append(f"{'  at ' + ', '.join(profile.spread) + ' bins':<34}{told}")
        if cell.exact_profile is not None:
            exact = "".join(f"{cell.exact_profile[name]:<23.3f}" for name in COMPONENTS)
            lines.append(f"{'  exact':<34}{exact}")
    if any("~" in line for line in lines):
        lines.append("~ not distinguishable from a target shuffled at random")
    return lines


def _unique_to(modality: str) -> str:
    """The name of a modality's unique information as the head of a column, cut where the column ends."""
    head = f"unique to {one_line(modality)}"
    return head if len(head) < 23 else f"{head[:21]}…"


def forecast_table(cells: Sequence[Cell], forecasts: Mapping[str, CellForecast]) -> list[str]:
    """The linear forecasts as lines of text."""
    lines = ["linear forecast (strengths in the theory's units: read their order, not their size)"]
    for cell in cells:
        linear, together = forecasts[cell.id].linear, forecasts[cell.id].together
        for encoder in linear.encoders:
            critical = ", ".join(f"{value:.2g}" for value in encoder.critical_strengths[:4])
            lost = f"gives up a direction that predicts the target at {critical}"
            loses = lost if critical else "gives up no direction that predicts the target"
            lines.append(f"  {cell.label}: {encoder.modality} best near {encoder.best_strength:.2g}, {loses}")
        for name, at in zip(cell.pair, together.crossings, strict=True) if together else ():
            loses = "loses nothing" if at is None else f"loses half of what it loses by λ = {at:.2g}"
            lines.append(f"  {cell.label}: {name}, if linear, {loses} in this study")
    return lines
