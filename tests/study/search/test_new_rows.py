"""`replicates.splits: resampled` from the study file to the report: gains for new rows, or new people."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import numpy as np
import pytest
from optuna.storages import InMemoryStorage

from study.cells.building import build_cells, data_notes
from study.config import ConfigError, StudyConfig, parse_config, to_yaml
from study.results.build import build_report
from study.results.model import Report, to_json
from study.results.model.schema import report_schema
from study.results.page.html import render
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
replicates: {{search: 3, confirm: 4, splits: {splits}, confirm_on: {confirm_on}}}
models: false
"""


def study(
    folder: Path, *, splits: str, people: int | None = None, rows: int = 240, confirm_on: str = "holdout"
) -> StudyConfig:
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
    return parse_config(STUDY.format(path=folder / "d.npz", splits=splits, group=group, confirm_on=confirm_on))


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


@pytest.mark.parametrize("people", [None, 24])
def test_gains_are_confirmed_on_new_splits_where_that_is_asked_for(people: int | None, tmp_path: Path) -> None:
    report = trained(study(tmp_path, splits="resampled", people=people, confirm_on="resampled"))
    jsonschema.validate(to_json(report), report_schema())
    (alternative,) = report.cells[0].pair_choice.alternatives
    gain = alternative.gain_mean
    assert gain is not None
    assert (gain.source, gain.seeds, gain.splits, gain.units, gain.is_for_new_rows) == ("confirm", 4, 4, None, True)
    page = render(report)
    assert "each of its seeds has a random split of all rows" in page
    assert "new rows of this population" in page


@pytest.mark.parametrize(
    ("splits", "people", "told"),
    [
        ("resampled", None, "new rows of this population"),
        ("resampled", 24, "new people, where rows are grouped by person"),
        ("fixed", None, "on new rows it does not tell"),
    ],
)
def test_the_page_says_what_a_gain_is_the_gain_of(splits: str, people: int | None, told: str, tmp_path: Path) -> None:
    page = render(trained(study(tmp_path, splits=splits, people=people)))
    assert told in page
    assert "The smallest gain of interest is 0.5 points" in page


def test_new_splits_of_fixed_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="confirm_on: resampled draws new splits, so it needs splits: resampled"):
        study(tmp_path, splits="fixed", confirm_on="resampled")


def test_a_smallest_gain_in_points_is_refused(tmp_path: Path) -> None:
    config = study(tmp_path, splits="fixed")
    with pytest.raises(ConfigError, match=r"0\.5 would be half of all .* half a point of accuracy is 0\.005"):
        parse_config(to_yaml(config), overrides=["search.smallest_gain=0.5"])


def test_a_given_split_that_is_drawn_anew_is_said_to_be(tmp_path: Path) -> None:
    config = study(tmp_path, splits="resampled")
    arrays = dict(np.load(tmp_path / "d.npz"))
    np.savez(tmp_path / "d.npz", **arrays, split=np.arange(240) % 3)
    _, given = build_cells(config)
    assert [line for line in data_notes(given, splits="resampled") if "name them as `group`" in line]
    assert not data_notes(given, splits="fixed")
    _, grouped = build_cells(study(tmp_path, splits="resampled", people=24))
    assert not data_notes(grouped, splits="resampled")


def test_few_people_to_test_on_are_said_before_anything_is_trained(tmp_path: Path) -> None:
    _, few = build_cells(study(tmp_path, splits="resampled", people=8))
    (line,) = data_notes(few, splits="resampled")
    assert "the test split has 2 groups, by which next to nothing can be told of new ones" in line
    assert not data_notes(few, splits="fixed")


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
