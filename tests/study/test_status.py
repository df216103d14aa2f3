"""What a storage says of its studies while they run, when they have ended, and from a database."""

from __future__ import annotations

import json
import math
import random
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from study.cells.building import build_cells
from study.cells.trials import Setting
from study.config import parse_config
from study.scheduling.coordinator import Coordinator
from study.scheduling.packs import PlannedPack
from study.search import Ledger, close_storage, open_storage, read_studies
from study.search.record.notes import CELLS, CONFIGURATION, RUN, RecordedCell, Run
from study.search.record.storage import Storage
from study.session.status import CellStatus, StudyStatus, study_status
from study.status import main
from trainables.spec import ReplicateResult

STUDY = """
study: half
dataset: {name: digits}
pairs: [[left, right], [left, fourier]]
strength: {initial: [0, 1, 2], refine: 0}
replicates: {search: 3, confirm: 2}
"""


def fill(storage: Storage, folder: Path, *, name: str = "half") -> None:
    """A study with two of three strengths of its first cell done, one training of them diverged."""
    config = parse_config(STUDY)
    cells, _ = build_cells(config)
    opened = open_storage(storage, folder=folder)
    ledger = Ledger(opened, name=name, space={"strength": (0.0, 4.0)})
    ledger.set_note(CELLS, [RecordedCell.of(cell) for cell in cells])
    ledger.set_note(CONFIGURATION, config.identity)
    settings = [Setting(strength_1=value, strength_2=value) for value in (0.0, 1.0, 2.0)]
    for asked in ledger.ask(cells[0].id, "shared", round_=0, settings=settings, replicates=range(3))[:2]:
        score = 0.5 + asked.setting.strength_1 / 10
        sound = ReplicateResult(status="ok", scores=(score, score), losses=(1.0, 1.0), alignment={}, curve=())
        results = {
            0: sound,
            2: sound,
            1: ReplicateResult(
                status="diverged" if asked.slot else "ok",
                scores=(float("nan") if asked.slot else score,) * 2,
                losses=(1.0, 1.0),
                alignment={},
                curve=(),
            ),
        }
        ledger.record(cells[0].id, asked, results)
    close_storage(opened)


BOTH_WAYS = """
study: whole
dataset: {name: digits}
pairs: [[left, right], [left, fourier]]
alignment: {one_sided: auto}
strength: {initial: [0, 0.5, 1, 2, 4], refine: 2, per_round: 1}
replicates: {search: 3, confirm: %d}
search: {stop_interval: %s}
"""


@pytest.mark.parametrize(
    ("confirm", "stop", "outcome"),
    [
        (4, 0, "useful"),
        (4, 0, "useless"),
        (4, 3.9, "useful"),
        (0, 0, "useful"),
        (0, 3.9, "useful"),
        (4, 0, "diverged"),
        (4, 0, "failed"),
    ],
)
def test_the_total_is_the_one_that_the_study_itself_shows(
    confirm: int, stop: float, outcome: str, tmp_path: Path
) -> None:
    """After every pack of a study whose one-sided arms go on or not, whose searches end early, or have no answer."""
    config = parse_config(BOTH_WAYS % (confirm, stop))
    cells, _ = build_cells(config)
    opened = open_storage(Storage(), folder=tmp_path)
    ledger = Ledger(opened, name="whole", space={"strength": (0.0, 4.0)})
    ledger.set_note(CELLS, [RecordedCell.of(cell) for cell in cells])
    ledger.set_note(CONFIGURATION, config.identity)
    order, noise = random.Random(0), np.random.default_rng(0)
    coordinator = Coordinator(cells, ledger, pack_size=8)
    out: list[PlannedPack] = []
    moments, totals = 0, set()

    def compare() -> None:
        (record,) = read_studies(opened, name="whole")
        found = study_status(record, now=datetime.now())
        progress = coordinator.progress
        assert found is not None
        assert (found.done, found.planned) == (progress.done, progress.planned)
        totals.add(progress.planned)

    compare()
    while not coordinator.finished:
        while (pack := coordinator.next_pack()) is not None:
            out.append(pack)
        pack = out.pop(order.randrange(len(out)))
        if outcome == "failed" and moments == 7:
            coordinator.fail(pack.id, "the disk is full")
            out = [other for other in out if other.cell.id != pack.cell.id]
        else:
            coordinator.complete(pack.id, [_result(asked.setting, outcome, noise) for asked, _ in pack.members])
        compare()
        moments += 1
    assert moments > 3
    assert outcome == "failed" or confirm == 0 or len(totals) > 1  # it does change on the way


def _result(setting: Setting, outcome: str, noise: np.random.Generator) -> ReplicateResult:
    """A training whose score rises with its encoder's strength, or does not, or that diverges above 0."""
    strengths = (setting.strength_1, setting.strength_2)
    if outcome == "diverged" and max(strengths) > 0:
        return ReplicateResult(status="diverged", scores=(math.nan,) * 2, losses=(1.0, 1.0), alignment={}, curve=())
    slope = 0.02 if outcome == "useful" else 0.0
    one, two = (
        0.5 + slope * own - slope * other / 2 + 0.002 * noise.normal() for own, other in (strengths, strengths[::-1])
    )
    return ReplicateResult(status="ok", scores=(one, two), losses=(1.0, 1.0), alignment={}, curve=())


def status(capsys: pytest.CaptureFixture[str], *options: str) -> list[dict[str, Any]]:
    assert main([*options, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_a_study_at_work_shows_how_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(Storage(), tmp_path / "half" / "optuna")
    before = (tmp_path / "half" / "optuna" / "journal.log").read_bytes()

    (found,) = status(capsys, "--out", str(tmp_path))

    assert (found["study"], found["ended"], found["done"], found["diverged"]) == ("half", False, 6, 1)
    assert found["planned"] > 12
    assert 0 <= found["last_result_seconds"] < 60
    first, second = found["cells"]
    assert first["interval"][0] <= first["lambda_star"] <= first["interval"][1]
    assert (second["done"], second["lambda_star"]) == (0, None)
    assert (tmp_path / "half" / "optuna" / "journal.log").read_bytes() == before


def test_a_record_says_how_many_trainings_it_holds(tmp_path: Path) -> None:
    """Of its own study, though others lie beside it."""
    for name in ("half", "half-2"):
        fill(Storage(), tmp_path, name=name)
    for name, count in (("half", 6), ("half-2", 6), ("fresh", 0)):
        ledger = Ledger(open_storage(Storage(), folder=tmp_path), name=name, space={"strength": (0.0, 4.0)})
        assert ledger.trained == count
        ledger.close()


def test_the_table_is_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(Storage(), tmp_path / "half" / "optuna")

    assert main(["--out", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert "half" in listed
    assert "λ of each pair (?: so far)" in listed
    assert "1.8?" in listed
    assert "90 %" not in listed  # an interval stands beside each pair alone
    assert main(["half", "--out", str(tmp_path)]) == 0
    alone = capsys.readouterr().out
    assert "left + fourier" in alone
    assert "best shared λ [90 %]" in alone


def test_a_study_without_a_result_has_no_age(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = parse_config(STUDY)
    cells, _ = build_cells(config)
    opened = open_storage(Storage(), folder=tmp_path / "half" / "optuna")
    ledger = Ledger(opened, name="half", space={"strength": (0.0, 4.0)})
    ledger.set_note(CELLS, [RecordedCell.of(cell) for cell in cells])
    ledger.set_note(CONFIGURATION, config.identity)

    for options in ([], ["half"]):
        assert main([*options, "--out", str(tmp_path)]) == 0
        shown = capsys.readouterr().out
        assert "none yet" in shown
        assert "ago" not in shown


def test_a_database_file_is_read_and_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"sqlite:///{tmp_path / 'record.db'}"
    fill(Storage(address), tmp_path)
    before = (tmp_path / "record.db").read_bytes()

    assert [found["study"] for found in status(capsys, "--storage", address)] == ["half"]
    assert (tmp_path / "record.db").read_bytes() == before


@pytest.mark.parametrize(("note", "value"), [("configuration", {"newer": 5}), ("cells", [{"id": "x"}]), ("run", "odd")])
def test_a_record_of_another_version_does_not_hide_the_others(
    note: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("half", "newer"):
        fill(Storage(), tmp_path / name / "optuna", name=name)
    opened = open_storage(Storage(), folder=tmp_path / "newer" / "optuna")
    notes = opened.get_study_id_from_name("newer")
    if note == "configuration":
        value = {**opened.get_study_user_attrs(notes)["configuration"], **value}
    opened.set_study_user_attr(notes, note, value)
    assert main(["--out", str(tmp_path), "--json"]) == 0
    said = capsys.readouterr()
    assert [found["study"] for found in json.loads(said.out)] == ["half"]
    assert said.err.startswith("newer: its record is of another version (")
    assert said.err.count("\n") == 1


def test_all_studies_of_a_database_are_listed(
    postgres: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    address = postgres.database("status")
    for name in ("half", "other"):
        fill(Storage(address), tmp_path, name=name)

    assert [found["study"] for found in status(capsys, "--storage", address)] == ["half", "other"]
    assert [found["study"] for found in status(capsys, "other", "--storage", address)] == ["other"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nothing"], "there is no study nothing"),
        (["--storage", "postgresql://a:hunter2@b/c"], "process list"),
        (["--storage", "postgresql://align@127.0.0.1:9/x"], "cannot open the storage"),
        (["--storage", "mysql://b/c"], "known kind"),
        (["--storage", "sqlite:///nope.db"], "there is no file nope.db"),
        (["--storage", "sqlite:///nope.db?timeout=3"], "there is no file nope.db"),
        (["--storage", "sqlite:///none/nope.db"], "there is no file none/nope.db"),
        (["half", "--storage", "sqlite:///:memory:"], "there is no file :memory:"),
        (["--out", "/dev/null"], "--out /dev/null is a file; give the folder"),
        (["--out", "x" * 300], "…: File name too long; give the folder"),
        (["--out", "nowhere"], "--out nowhere is not there; give the folder"),
        (["half", "--out", "studies"], "there is no study half in studies"),
    ],
)
def test_mistakes_are_one_line(
    options: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--out", str(tmp_path), *options]) == 2
    assert not list(tmp_path.iterdir())
    error = capsys.readouterr().err
    assert said in error
    assert "hunter2" not in error
    assert error.count("\n") == 1


def test_strengths_are_said_as_everywhere_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No exponents; and two strengths that are equal are not one for both."""
    told = StudyStatus(
        study="large", ended=True, done=1, planned=1, diverged=0, failed_cells={}, last_result_seconds=1.0,
        cells=tuple(
            CellStatus(
                cell="a + b", done=1, planned=1, diverged=0, lambda_star=333.0, interval=(0.00002, 1204.0), **advised
            )
            for advised in cast(
                "list[dict[str, Any]]",
                [
                    {}, {"strategy": "shared", "strengths": (333.0, 333.0)},
                    {"strategy": "per_encoder", "strengths": (250.0, 250.0)},
                ],
            )
        ),
    )  # fmt: skip
    monkeypatch.setattr("study.session.status.read_statuses", lambda *_, **__: [told])
    assert main([]) == 0
    assert main(["large"]) == 0
    shown = capsys.readouterr().out
    assert "333?, 333, 250/250" in shown
    assert "333 [0.00002, 1204]" in shown


def test_where_no_study_has_begun_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0  # the usual folder need not be there before the first study
    assert capsys.readouterr().err == "no study in studies has begun\n"
    (tmp_path / "empty").mkdir()
    assert main(["--out", "empty", "--json"]) == 0
    said = capsys.readouterr()
    assert (json.loads(said.out), said.err) == ([], "no study in empty has begun\n")


def test_an_ended_study_is_said_to_have_ended_pair_by_pair_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(Storage(), tmp_path / "half" / "optuna")
    opened = open_storage(Storage(), folder=tmp_path / "half" / "optuna")
    ledger = Ledger(opened, name="half", space={"strength": (0.0, 4.0)})
    ledger.set_note(RUN, Run(complete=True))
    ledger.close()

    assert main(["half", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "ended" in shown
    assert "ago" not in shown
