"""What an operator asks of a storage: which studies run, wait or were stopped, whose they are, what they have cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from study.cells.building import build_cells
from study.cluster.shares import Standing
from study.config import parse_config
from study.config.folder import StudyFolder
from study.search import Ledger, close_storage, open_storage
from study.search.record.locks import FileLock, held
from study.search.record.notes import CELLS, CONFIGURATION, HELD, OWNER, Held, RecordedCell
from study.search.record.storage import Storage
from study.session.account import Account
from study.session.status import StudyStatus, in_queue
from study.status import main

STUDY = """
study: {name}
trainer: {{call: train.py:train}}
pairs: [[image, text]]
strength: {{initial: [0, 1, 2], refine: 0}}
replicates: {{search: 2, confirm: 2}}
"""


def begin(out: Path, name: str, storage: Storage, *, gpus: float, hours: float) -> None:
    """A study that has begun, and whose packs have held their places for so long."""
    (out / "train.py").write_text("def train(trial):\n    return {'score': 1.0}\n")
    config = parse_config(STUDY.format(name=name), folder=out)
    cells, _ = build_cells(config, code="0" * 16)
    folder = StudyFolder(out / name)
    folder.path.mkdir(parents=True, exist_ok=True)
    opened = open_storage(storage, folder=folder.record)
    ledger = Ledger(opened, name=name, space={"strength": (0.0, 4.0)})
    ledger.set_note(OWNER, "ann@lab")
    ledger.set_note(CELLS, [RecordedCell.of(cell) for cell in cells])
    ledger.set_note(CONFIGURATION, config.identity)
    for _ in range(2):  # the second run goes on with the account of the first
        with Account(ledger, gpus=gpus) as account:
            account.add(hours * 1800)
    close_storage(opened)


def status(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, dict[str, Any]]:
    assert main([*options, "--json"]) == 0
    return {one["study"]: one for one in json.loads(capsys.readouterr().out)}


def test_a_folder_of_studies_says_who_runs_whose_it_is_and_what_it_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, gpus in (("busy", 0.25), ("idle", 0.0)):
        begin(tmp_path, name, Storage(), gpus=gpus, hours=8.0)

    with FileLock(StudyFolder(tmp_path / "busy").lock, busy="").held():
        told = status(capsys, "--out", str(tmp_path), "--price-per-gpu-hour", "1.5")
        assert {name: one["state"] for name, one in told.items()} == {"busy": "runs", "idle": "stopped"}
        assert {one["owner"] for one in told.values()} == {"ann@lab"}
        assert [one["worker_hours"] for one in told.values()] == pytest.approx([8.0, 8.0])
        assert [one["gpu_hours"] for one in told.values()] == pytest.approx([2.0, 0.0])
        assert [one["cost"] for one in told.values()] == pytest.approx([3.0, 0.0])

        assert main(["--out", str(tmp_path), "--price-per-gpu-hour", "1.5"]) == 0
        said = capsys.readouterr().out
        assert "busy: runs, 8.00 worker-hours, 2.00 GPU-hours, cost 3.00, of ann@lab" in said
        assert "idle: stopped, 8.00 worker-hours, cost 0.00, of ann@lab" in said

    assert status(capsys, "--out", str(tmp_path))["busy"]["state"] == "stopped"


def test_a_study_in_a_database_file_is_seen_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = Storage(f"sqlite:///{tmp_path}/all.db")
    begin(tmp_path, "one", storage, gpus=0.0, hours=1.0)

    with held(storage, "one", folder=tmp_path / "one"):
        assert status(capsys, "--storage", storage.given)["one"]["state"] == "runs"
    assert status(capsys, "--storage", storage.given)["one"]["state"] == "stopped"


def test_a_study_in_postgresql_is_seen_to_run(
    postgres: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(postgres.database("account"))
    begin(tmp_path, "one", storage, gpus=0.0, hours=1.0)

    with held(storage, "one", folder=tmp_path / "one"):
        assert status(capsys, "--storage", storage.given)["one"]["state"] == "runs"
    assert status(capsys, "--storage", storage.given)["one"]["state"] == "stopped"


@pytest.mark.parametrize("price", ["-1", "nan", "inf"])
def test_a_price_that_is_none_is_refused(price: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--price-per-gpu-hour", price]) == 2
    assert "--price-per-gpu-hour is" in capsys.readouterr().err


def test_a_record_of_the_version_before_has_no_account(tmp_path: Path) -> None:
    opened = open_storage(Storage(), folder=tmp_path)
    ledger = Ledger(opened, name="old", space={"strength": (0.0, 4.0)})
    assert ledger.note(HELD) is None
    with Account(ledger, gpus=1.0) as account:
        account.add(60.0)
    assert ledger.note(HELD) == Held(worker_seconds=60.0, gpu_seconds=60.0)
    close_storage(opened)


def test_the_queue_says_who_holds_places_and_how_many_wait_before_a_study() -> None:
    known = [
        StudyStatus(
            study=name, ended=name == "ended", done=0, planned=9, diverged=0, failed_cells={}, last_result_seconds=None,
            cells=(), state="ended" if name == "ended" else "runs",
        )
        for name in ("first", "second", "third", "elsewhere", "ended")
    ]  # fmt: skip
    places = {"first": 2, "second": 0, "third": 0, "ended": 1}
    standings = [
        Standing(study=name, weight=1.0, held=held, wanted=5, allowed=held, due=0.5) for name, held in places.items()
    ]
    told = {one.study: (one.state, one.held, one.wanted, one.ahead) for one in in_queue(known, standings)}
    assert told == {
        "first": ("runs", 2, 5, 0),
        "second": ("waits", 0, 5, 0),
        "third": ("waits", 0, 5, 1),
        "elsewhere": ("runs", None, None, None),
        "ended": ("ended", None, None, None),
    }
