"""Packs whose training fails on a real Ray: what the log, the report and `study.status` say of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from study.cells.building import build_cells
from study.cluster.failures import last_exception
from study.cluster.pool import Cluster
from study.cluster.searcher import PackSearcher
from study.cluster.tuner import train as train_packs
from study.config import parse_config
from study.scheduling.coordinator import Coordinator
from study.search import Ledger, close_storage, open_storage
from study.search.record.events import EventLog
from study.search.record.notes import CELLS, CONFIGURATION, RecordedCell
from study.status import main
from trainables.saving.place import Place

STUDY = """
study: broken
dataset: {name: digits}
pairs: [[left, right], [left, fourier]]
encoder: {width: 2}
training: {epochs: 1, batch_size: 512}
alignment: {one_sided: never}
strength: {initial: [0, 1], refine: 0}
replicates: {search: 2, confirm: 0}
resources: {workers: 2, pack: 4}
"""
REASON = "ValueError: unknown encoder kind 'nonsense'"


@pytest.mark.slow
def test_a_training_that_raises_says_what_wherever_one_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parse_config(STUDY)
    (broken, sound), datasets = build_cells(config)
    encoder = replace(broken.encoders[0], kind="nonsense")  # which only its worker finds out
    cells = (replace(broken, encoders=(encoder, broken.encoders[1])), sound)
    folder = tmp_path / "broken"
    opened = open_storage(folder=folder / "optuna")
    ledger = Ledger(opened, name="broken", space={"strength": (0.0, 4.0)})
    ledger.set_note(CELLS, [RecordedCell.of(cell) for cell in cells])
    ledger.set_note(CONFIGURATION, config.identity)
    coordinator = Coordinator(cells, ledger, pack_size=4)
    with Cluster(config.resources) as cluster:
        cluster.share_data(datasets)
        train_packs(
            cluster,
            coordinator,
            checkpoints=Place(str(folder)).below("packs"),
            events=EventLog(folder, study="broken"),
        )
    close_storage(opened)

    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    told: dict[str, list[Any]] = {}
    for event in events:
        told.setdefault(event["event"], []).append(event.get("reason"))
    assert len(told["pack_retried"]) == 2
    assert {*told["pack_retried"], *told["pack_failed"]} == {told["pack_failed"][0]}
    assert told["pack_failed"][0].startswith(REASON)
    assert len(told["pack_done"]) == 1
    assert REASON in coordinator.errors[broken.id]
    assert main(["--json", "--out", str(tmp_path)]) == 0
    (status,) = json.loads(capsys.readouterr().out)
    assert status["failed_cells"] == dict(coordinator.errors)
    assert main(["--out", str(tmp_path)]) == 0
    assert REASON in " ".join(capsys.readouterr().out.split())


def test_a_pack_that_tune_gives_up_early_gets_another_trial(tmp_path: Path) -> None:
    """Of a process that dies while a trial is handed over to it Tune hears twice, and then tries no more."""
    config = parse_config(STUDY)
    cells, _ = build_cells(config)
    opened = open_storage(folder=tmp_path / "optuna")
    ledger = Ledger(opened, name="broken", space={"strength": (0.0, 4.0)})
    coordinator = Coordinator(cells, ledger, pack_size=4)
    said: list[str] = []
    searcher = PackSearcher(
        coordinator,
        checkpoints=Place(str(tmp_path)),
        threads=1,
        gpus=0,
        resources=config.resources,
        retries=2,
        has_room=lambda *_: True,
        events=EventLog(tmp_path, study="broken"),
        metrics=None,
        say=said.append,
    )

    def suggested(trial: str) -> str:
        suggestion = searcher.suggest(trial)
        assert isinstance(suggestion, dict)
        return str(suggestion["spec"])

    def lost(trial: str) -> None:
        searcher.on_trial_complete(trial, error=True)
        searcher.on_trial_failure(trial, "its node went away")

    first, _ = suggested("1"), suggested("2")
    assert searcher.suggest("3") is None
    for trial, node in (("1", "a"), ("1", "a"), ("2", "b")):
        result = {"iterations_since_restore": 1, "node_ip": node, "lacks": "torch is a build without CUDA"}
        searcher.on_trial_result(trial, result)
    lacking = "has no GPU to train on (torch is a build without CUDA); what it trains, it trains on the CPU, far slower"
    assert said == [f"node a {lacking}", f"node b {lacking}"]
    said.clear()
    searcher.on_trial_retry("1", "its node went away")
    lost("1")
    assert suggested("4") == first
    assert len(said) == 2
    assert not coordinator.errors
    lost("4")
    close_storage(opened)
    (error,) = coordinator.errors.values()
    assert "failed 3 times (its node went away)" in error


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('Traceback (most recent call last):\n  File "a.py", line 1\n    f()\nValueError: no\n', "ValueError: no"),
        ("Traceback:\n  x\ntorch.OutOfMemoryError: first\nsecond line of it\n", "torch.OutOfMemoryError: first"),
        (
            "Failure # 1\nThe actor died unexpectedly.\n\tpid: 7\nThe worker was killed (SIGKILL).",
            "The worker was killed (SIGKILL).",
        ),
        ("KeyError: 1\n\nThe above was the cause:\n\nStopIteration\n", "StopIteration"),
        ("OSError: postgresql://u:hunter2@h/d is gone", "OSError: postgresql://…@h/d is gone"),
        ("ValueError: \x1b[31mred", "ValueError:  [31mred"),
        ("", "of an unknown cause"),
        ("E: " + 1000 * "x", "E: " + 296 * "x" + "…"),
    ],
)
def test_the_line_that_names_the_exception(text: str, line: str) -> None:
    assert last_exception(text) == line
