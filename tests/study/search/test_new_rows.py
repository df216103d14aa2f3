"""`replicates.splits: resampled` from the study file to the report: gains for new rows, or new people."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import numpy as np
import pytest
from optuna.storages import InMemoryStorage

from study.cells.building import build_cells
from study.config import StudyConfig, parse_config
from study.results.build import build_report
from study.results.model import Report, to_json
from study.results.model.schema import report_schema
from study.scheduling.coordinator import Coordinator
from study.search import Ledger
from study.search.record.notes import Run
from trainables.training.pack import Pack as Training

STUDY = """
study: rows
dataset: {{name: arrays, path: {path}, group: {group}}}
encoder: {{width: 8}}
training: {{epochs: 3, batch_size: 16}}
strength: {{initial: [0, 0.5, 2], refine: 0}}
alignment: {{one_sided: never}}
replicates: {{search: 3, confirm: 4, splits: {splits}}}
models: false
"""


def study(folder: Path, *, splits: str, people: int | None = None, rows: int = 240) -> StudyConfig:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, rows)
    arrays = {
        "audio": rng.normal(size=(rows, 6)) + y[:, None],
        "video": rng.normal(size=(rows, 5)) + y[:, None],
        "y": y,
    }
    if people:
        arrays["person"] = np.arange(rows) * people // rows
    np.savez(folder / "d.npz", **arrays)
    group = "person" if people else "null"
    return parse_config(STUDY.format(path=folder / "d.npz", splits=splits, group=group))


def trained(config: StudyConfig) -> Report:
    cells, datasets = build_cells(config)
    ledger = Ledger(InMemoryStorage(), name="rows", space={"strength": (0, 4)})
    coordinator = Coordinator(cells, ledger, pack_size=40)
    while (asked := coordinator.next_pack()) is not None:
        training = Training(asked.spec, datasets[asked.cell.data_key].pair(*asked.cell.pair))
        training.run()
        coordinator.complete(asked.id, training.results())
    return build_report(cells, ledger, {}, {}, run=Run(complete=True))


@pytest.mark.parametrize(("people", "unit", "units"), [(None, "rows", 60), (24, "groups", 6)])
def test_gains_count_the_rows_or_people_that_they_were_tested_on(
    people: int | None, unit: str, units: int, tmp_path: Path
) -> None:
    report = trained(study(tmp_path, splits="resampled", people=people))
    jsonschema.validate(to_json(report), report_schema())
    (alternative,) = report.cells[0].pair_choice.alternatives
    for gain in (*alternative.gains, alternative.gain_mean):
        assert gain is not None
        assert (gain.source, gain.units, gain.unit, gain.seeds) == ("confirm", units, unit, 4)


def test_gains_of_fixed_splits_are_for_their_own_rows(tmp_path: Path) -> None:
    report = trained(study(tmp_path, splits="fixed"))
    (alternative,) = report.cells[0].pair_choice.alternatives
    assert alternative.gain_mean is not None
    assert alternative.gain_mean.units is None
    assert "units" not in to_json(report)["cells"][0]["pair_choice"]["alternatives"][0]["gain_mean"]


def test_a_study_of_fixed_splits_is_the_one_of_the_version_before(tmp_path: Path) -> None:
    fixed, resampled = (study(tmp_path, splits=splits) for splits in ("fixed", "resampled"))
    assert "splits" not in fixed.identity["replicates"]
    assert resampled.identity["replicates"]["splits"] == "resampled"
    assert fixed.hash != resampled.hash
