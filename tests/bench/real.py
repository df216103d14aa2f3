"""Whole studies of real pairs, and what each one recommends: strategy, strengths and the evidence for them.

    python tests/bench/real.py                # every study whose data are at hand
    python tests/bench/real.py digits mosi752
    python tests/bench/real.py --one-sided    # what `alignment.one_sided: auto` finds beside what `always` finds

Digits ship with scikit-learn and `synthetic` is generated; the others are read from `shared/data` beside the checkout
and left out where it is absent. The settings are those that `tests/bench/tabulate_curves.py` makes its curves with.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from study.cells.building import build_cells
from study.cli.display import Display
from study.config import StudyConfig, load_config, parse_config
from study.results.build import build_report
from study.results.model import CellResult, GainResult, Report
from study.results.text import amounts
from study.results.text.pair import cell_sentence
from study.results.text.summary import summary
from study.scheduling.coordinator import Coordinator
from study.search import Ledger, open_storage
from study.search.record.notes import Run
from study.session.running import run_study
from study.tracking import Tracker
from trainables.spec import ReplicateResult
from trainables.training.pack import Pack as Training

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
SPACES = ROOT / "search_spaces"

_COMMON = """
strength: {range: [0, 4], initial: [0, 0.1, 0.25, 0.5, 0.6, 0.75, 1, 2, 4], refine: 8}
replicates: {search: 5, confirm: 10}
"""
# Widths and epochs at which every encoder has learnt what it can; 2 layers throughout.
_SHARED: Mapping[str, tuple[str, str]] = {
    "leaves": (
        "leaves100/leaves100.npz",
        """
        encoder: {kind: mlp, layers: 2, width: 64}
        training: {epochs: 60, batch_size: 64, learning_rate: 2e-3, temperature: 0.1}
        """,
    ),
    "mosi752": (
        "mosi752/mosi752.npz",
        """
        encoder: {kind: mlp, layers: 2, width: 32}
        training: {epochs: 30, batch_size: 64, learning_rate: 1e-3, temperature: 0.1}
        """,
    ),
    "avdigits": (
        "avdigits/avdigits.npz",
        """
        encoder: {kind: mlp, layers: 2, width: 32}
        training: {epochs: 20, batch_size: 64, learning_rate: 1e-3, temperature: 0.1}
        """,
    ),
    "speakers": (
        "avdigits/avdigits.npz",
        """
        encoder: {kind: mlp, layers: 2, width: 32}
        training: {epochs: 20, batch_size: 64, learning_rate: 1e-3, temperature: 0.1}
        """,
    ),
    "mfeat": (
        "mfeat/mfeat.npz",
        """
        pairs: [[fou, mor], [zer, mor], [fac, pix]]
        encoder: {kind: mlp, layers: 2, width: 32}
        training: {epochs: 30, batch_size: 64, learning_rate: 2e-3, temperature: 0.1}
        """,
    ),
    "houston": (
        "houston2013/houston2013.npz",
        """
        encoder: {kind: mlp, layers: 2, width: 32}
        training: {epochs: 40, batch_size: 64, learning_rate: 2e-3, temperature: 0.1}
        """,
    ),
}
# mosi752: the split of the file has five videos to validate on, which differ from the rest; this one is balanced.
# speakers: avdigits for voices that were never heard.
_OPTIONS: Mapping[str, str] = {
    "avdigits": ", modalities: [image, audio]",
    "speakers": ", modalities: [image, audio], group: speaker",
    "mosi752": ", group: video",
}


def configurations() -> dict[str, StudyConfig]:
    """Every study whose data are at hand, by name."""
    found = {name: load_config(SPACES / f"{name}.yaml") for name in ("digits", "synthetic")}
    for name, (path, settings) in _SHARED.items():
        if (SHARED / path).exists():
            lines = [line.strip() for line in settings.strip().splitlines()]
            dataset = f"dataset: {{name: arrays, path: {SHARED / path}{_OPTIONS.get(name, '')}}}"
            found[name] = parse_config("\n".join([f"study: {name}", dataset, *lines, _COMMON]), source=name)
    return found


def configuration(name: str) -> StudyConfig:
    """The study of this name; ends the command with a line where there is none."""
    found = configurations()
    if name not in found:
        raise SystemExit(f"no data set {name} is at hand; choose from {', '.join(found)}")
    return found[name]


def evidence(report: Report) -> list[str]:
    """For each pair the recommendation in words, then what each strategy would have given."""
    lines = []
    for cell in report.cells:
        choice = cell.pair_choice
        lines.append(f"{cell.title}: strategy {choice.strategy} {choice.strengths} ({choice.reason})")
        lines.append(f"  {cell_sentence(cell)}")
        for other in choice.alternatives:
            gains = [
                amounts.gain_with_interval(gain or GainResult(), cell.metric(i)) for i, gain in enumerate(other.gains)
            ]
            told = ", ".join(f"{name} {gain}" for name, gain in zip(cell.names, gains, strict=True))
            strengths = ", ".join(map(amounts.strength_text, other.strengths or ()))
            lines.append(
                f"  {other.strategy} ({strengths}): {told}; p {amounts.p_text(other.gain_mean or GainResult())}"
            )
    return lines


def alone(config: StudyConfig, folder: Path, known: dict[Any, ReplicateResult]) -> Report:
    """The report of a study trained in this process; `known` holds every training so far and takes the new ones.

    A training is the same in every study of these data, so that of two that differ in what they search the second one
    only trains what the first one has not.
    """
    cells, datasets = build_cells(config)
    space = {"strength": config.strength.range}
    ledger = Ledger(open_storage(folder=folder), name=config.study, space=space)
    coordinator = Coordinator(cells, ledger, pack_size=40)
    while (pack := coordinator.next_pack()) is not None:
        spec = pack.spec
        keys = [(pack.cell.id, spec.alignment.direction, spec.evaluate, replica) for replica in spec.replicas]
        new = tuple(replica for replica, key in zip(spec.replicas, keys, strict=True) if key not in known)
        if new:
            training = Training(replace(spec, replicas=new), datasets[pack.cell.data_key].pair(*pack.cell.pair))
            training.run()
            known |= zip((key for key in keys if key not in known), training.results(), strict=True)
        coordinator.complete(pack.id, [known[key] for key in keys])
    report = build_report(cells, ledger, {}, {}, run=Run(complete=True))
    ledger.close()
    return report


def beside(configs: Mapping[str, StudyConfig]) -> None:
    """Print for every pair what `auto` and `always` recommend, with how many trainings."""
    print("| pair | `never` | `auto` | `always` | trainings |\n|---|---|---|---|---|", flush=True)
    for config in configs.values():
        known: dict[Any, ReplicateResult] = {}
        cells = []
        for way in ("always", "auto", "never"):
            alignment = config.alignment.model_copy(update={"one_sided": way})
            changed = config.model_copy(update={"alignment": alignment, "models": False})
            with tempfile.TemporaryDirectory() as scratch:
                cells.append(alone(changed, Path(scratch), known).cells)
        for always, auto, never in zip(*cells, strict=True):
            told = [_told(cell) for cell in (never, auto, always)]
            counts = " / ".join(str(cell.counts.trainings) for cell in (never, auto, always))
            print(f"| {always.title} | {' | '.join(told)} | {counts} |", flush=True)


def _told(cell: CellResult) -> str:
    choice = cell.pair_choice
    chosen = [one for one in choice.alternatives if one.strategy == choice.strategy]
    strengths = ", ".join(map(amounts.strength_text, choice.strengths or ()))
    gains = [
        f"{amounts.gain_with_interval(gain, cell.metric(index))} (p {amounts.p_text(one.gain_mean or GainResult())})"
        for one in chosen
        for index, gain in enumerate(one.gains)
        if gain and gain.mean
    ]
    return f"`{choice.strategy}`" + (f" {strengths}: {'; '.join(gains)}" if chosen else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="STUDY", help="digits, synthetic, leaves, mosi752, …")
    parser.add_argument("--out", type=Path, help="keep the studies here (a temporary folder)")
    parser.add_argument("--one-sided", action="store_true", help="set `auto` beside `always`, pair by pair")
    options = parser.parse_args()
    configs = configurations()
    if missing := [name for name in options.names if name not in configs]:
        parser.error(f"no data for {', '.join(missing)}; at hand are {', '.join(configs)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if options.one_sided:
        beside({name: configs[name] for name in options.names or configs})
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch)
        for name in options.names or configs:
            begin = time.monotonic()
            with Display(Console(stderr=True, quiet=True)) as display:
                report = run_study(
                    configs[name],
                    out=folder,
                    tracker=Tracker(f"sqlite:///{(folder / 'mlflow.db').resolve()}", say=display.say),
                    display=display,
                    started=begin,
                )
            Console().print(summary(report))
            print("\n".join(["", *evidence(report)]))
            print(f"\n{report.trainings} trainings, {time.monotonic() - begin:.0f} s\n")


if __name__ == "__main__":
    main()
