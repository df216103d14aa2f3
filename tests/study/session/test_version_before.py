"""What the version before has written, read by this one: a record, a study that it began, a model that it served.

`version_before/` holds the journal of a whole study of that version, and the MLflow model of its first encoder.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from study.cells.trials import Asked
from study.config import StudyConfig
from study.search import Ledger, StudyRecord, close_storage, open_storage, read_studies
from study.search.record.notes import CELLS, CONFIGURATION, NOTES, profile_of
from study.session.opening import space_of
from study.session.publishing import recorded_report
from study.session.status import study_status
from tests.study import studies
from trainables.saving.export import load_encoder

WRITTEN = Path(__file__).parent / "version_before"
NAME, CELL = "before", "digits/left+right"
STUDY = studies.OF_THE_VERSION_BEFORE
PREDICTS = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
inputs = np.linspace(0, 1, 64, dtype=np.float32).reshape(2, 32)
print(json.dumps({name: values.tolist() for name, values in model.predict(inputs).items()}))
"""


def record(folder: Path) -> StudyRecord:
    """What lies in the journal of this folder."""
    opened = open_storage(folder=folder, read_only=True)
    try:
        (found,) = read_studies(opened, name=NAME)
        return found
    finally:
        close_storage(opened)


def trainings(found: StudyRecord) -> dict[tuple[str, str, int], Asked]:
    return {(cell, arm, one.number): one for (cell, arm), asked in found.trials.items() for one in asked}


def test_its_record_is_read_and_would_be_written_in_the_same_way(tmp_path: Path) -> None:
    shutil.copy(WRITTEN / "journal.log", tmp_path)
    found = record(tmp_path)
    notes = {note.key: note for note in (*NOTES, profile_of(CELL))}
    assert set(found.notes) <= set(notes)
    for key, value in found.notes.items():
        read = notes[key].among(found.notes)
        assert json.loads(json.dumps(notes[key].encode(read))) == value

    status = study_status(found, now=datetime.now())
    assert status is not None
    assert (status.ended, status.done, status.planned) == (True, 9, 9)

    config = StudyConfig.of_identity(CONFIGURATION.among(found.notes))
    cells = [cell.cell(config) for cell in CELLS.among(found.notes) or ()]
    ledger = Ledger(open_storage(folder=tmp_path), name=NAME, space=space_of(config))
    report = recorded_report(cells, ledger)
    ledger.close()
    assert report.status == "complete"
    assert report.trainings == 9
    assert [encoder.verdict for encoder in report.cells[0].encoders] == ["indifferent", "indifferent"]
    assert all(encoder.model for encoder in report.cells[0].encoders)


@pytest.mark.slow
def test_a_study_that_it_began_goes_on_to_the_same_end(tmp_path: Path) -> None:
    lines = (WRITTEN / "journal.log").read_text().splitlines(keepends=True)
    results = [place for place, line in enumerate(lines) if '"results:' in line]
    folder = tmp_path / "studies" / NAME / "optuna"
    folder.mkdir(parents=True)
    journal = folder / "journal.log"
    journal.write_text("".join(lines[: results[2] + 1]))  # killed after three of its trials had results
    begun = journal.read_text()
    assert 0 < sum(len(one.results) for one in trainings(record(folder)).values()) < 9
    (tmp_path / "before.yaml").write_text(STUDY)

    studies.run_space(tmp_path / "before.yaml", folder=tmp_path)

    assert journal.read_text().startswith(begun)
    shutil.copy(WRITTEN / "journal.log", tmp_path)
    whole, resumed = trainings(record(tmp_path)), trainings(record(folder))
    assert set(resumed) == set(whole)
    for place, one in whole.items():
        assert resumed[place].setting == one.setting
        for index, result in one.results.items():
            assert resumed[place].results[index].scores == pytest.approx(result.scores, abs=0.02)


@pytest.mark.parametrize("first", ["", "import trainables.saving.export, study.tracking"])
def test_a_model_that_it_served_is_served(first: str, tmp_path: Path) -> None:
    """In a process of its own, as by a server: it has the modules with it that it needs, or this version lends them."""
    with tarfile.open(WRITTEN / "served_model.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    ended = subprocess.run(
        [sys.executable, "-c", first + PREDICTS, str(tmp_path / "model")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    served = json.loads(ended.stdout.splitlines()[-1])

    (weights,) = (tmp_path / "model").glob("artifacts/*.pt")
    inputs = np.linspace(0, 1, 64, dtype=np.float32).reshape(2, 32)
    for name, values in load_encoder(weights).predict(inputs).items():  # which this version reads too
        np.testing.assert_allclose(served[name], values, rtol=1e-5, atol=1e-7)
