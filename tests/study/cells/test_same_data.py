"""A study goes on from the data that it began with, and gives the same answers in any unit of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.cells.building import build_cells
from study.cells.same_data import check_same, digests
from study.config import ConfigError, load_config
from study.report import main as report
from study.run import main as run
from study.search import Ledger, open_storage
from study.search.record.notes import CELLS, CONFIGURATION, DATA, RUN, RecordedCell, Run
from tests.study import studies

N = 300
STUDY = """
study: tiny
dataset: {name: arrays, path: d.npz, group: g, metric: r2}
pid: {estimator: broja, bootstrap: 20}
encoder: {width: 4}
training: {epochs: 4, batch_size: 64}
alignment: {one_sided: never}
strength: {initial: [0, 1, 4], refine: 0}
replicates: {search: 3, confirm: 3}
models: false
"""
UNTRAINED = 1  # exit code of a report without an answer, which is all that these records have
PAIR = "pairs: [[a, v]]\n"


def arrays(**changes: Any) -> dict[str, Any]:
    """The arrays of the study; y is real and in large units."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(N, 2))
    a, v = rng.normal(size=(N, 5)) + z[:, :1], rng.normal(size=(N, 4)) + z[:, :1]
    return {"a": a, "v": v, "w": v[:, :2] + 1, "y": z.sum(axis=1), "g": np.arange(N) // 2} | changes


def save(folder: Path, values: Mapping[str, Any]) -> None:
    np.savez(folder / "d.npz", **values)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: the data, the study file and the record of a study that has begun and trained nothing."""
    save(tmp_path, arrays())
    (tmp_path / "tiny.yaml").write_text(STUDY + PAIR)
    monkeypatch.chdir(tmp_path)
    begin()
    return tmp_path


def begin(*, digests_kept: bool = True, ended: bool = False) -> None:
    """Write the record anew, as a driver does before it trains; the version before kept no digests."""
    config = load_config(Path("tiny.yaml"))
    cells, loaded = build_cells(config)
    folder = Path("studies/tiny")
    shutil.rmtree(folder, ignore_errors=True)
    ledger = Ledger(open_storage(folder=folder / "optuna"), name="tiny", space={"strength": (0.0, 10.0)})
    if digests_kept:
        ledger.set_note(DATA, digests(cells, loaded))
    ledger.set_note(CELLS, [RecordedCell.of(cell) for cell in cells])
    ledger.set_note(CONFIGURATION, config.identity)
    if ended:
        ledger.set_note(RUN, Run(complete=True))
    ledger.close()


def said(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err.removeprefix("reading data …\n")
    assert error.count("\n") == 1, error
    return error


def with_one_value_moved(array: np.ndarray) -> np.ndarray:
    moved = array.copy()
    moved[7] += 1e-9
    return moved


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"a": np.random.default_rng(1).normal(size=(N, 5))}, "modality a"),
        ({"v": with_one_value_moved(arrays()["v"])}, "modality v"),
        ({"a": arrays()["a"] * 1000}, "modality a"),
        ({"y": arrays()["y"] * 2}, "target of a, target of v"),
        ({"g": np.arange(N) // 3}, "groups"),
        ({"split": np.arange(N) % 3, "g": np.arange(N)}, "split"),
    ],
    ids=["noise", "one value", "unit", "target", "groups", "split"],
)
def test_data_that_changed_are_one_line_to_resume_and_to_rebuild(
    here: Path, changes: dict[str, Any], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save(here, arrays(**changes))
    for command in (lambda: run(["--space", "tiny.yaml"]), lambda: report(["tiny"])):
        assert command() == 2
        *before, line = capsys.readouterr().err.splitlines()
        assert all(one.startswith(("reading data", "note: d: rows are split by group g")) for one in before)
        assert "the data of the study tiny changed after it began" in line
        assert part in line
    assert not (here / "studies/tiny/report.json").exists()
    save(here, arrays())  # undone: all is as it was
    assert report(["tiny"]) == UNTRAINED


@pytest.mark.parametrize(
    "override",
    [
        "dataset.task=auto",
        "dataset.split_seed=0",
        "dataset.standardise=true",
        "dataset.target=y",
        "dataset.modalities=[a, v, w]",
        "dataset.modalities={a: a, v: v, w: w}",
        "dataset.path=./d.npz",
        "dataset.path=HERE/d.npz",
        "pairs=[[a, v], [a, w], [v, w]]",
        "encoder={width: 4, kind: mlp, layers: 2}",
        "encoders={v: {width: 4}}",
    ],
)
def test_a_default_that_is_written_out_is_the_same_study(
    here: Path, override: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It goes on as the record spells it: under one hash, its data compared with those that it began with."""
    (here / "tiny.yaml").write_text(STUDY)
    begin(ended=True)
    assert report(["tiny"]) == UNTRAINED
    before = json.loads((here / "studies/tiny/report.json").read_text())["config_hash"]
    given = ["--space", "tiny.yaml", "--set", override.replace("HERE", str(here))]
    assert run(given) == UNTRAINED
    assert json.loads((here / "studies/tiny/report.json").read_text())["config_hash"] == before
    assert run(["--space", "tiny.yaml"]) == report(["tiny"]) == UNTRAINED
    capsys.readouterr()
    save(here, arrays(a=-arrays()["a"]))
    assert run(given) == 2
    assert "modality a" in said(capsys)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("dataset.task=regression", "dataset.task: (none) -> regression"),
        ("dataset.split_seed=1", "dataset.split_seed: (none) -> 1"),
        ("dataset.standardise=false", "dataset.standardise: (none) -> False"),
        ("dataset.modalities=[v, a, w]", "dataset.modalities: (none) -> ['v', 'a', 'w']"),
        ("dataset.path=e.npz", "dataset.path: d.npz -> e.npz"),
        ("encoder.width=5", "encoder.width: 4 -> 5"),
        ("encoders={v: {width: 8}}", "encoders.v.width"),
    ],
)
def test_what_asks_for_something_else_is_another_configuration(
    here: Path, override: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "tiny.yaml").write_text(STUDY + "alignment: {one_sided: never, projector: linear}\n")
    text = (here / "tiny.yaml").read_text().replace("alignment: {one_sided: never}\n", "")
    (here / "tiny.yaml").write_text(text)
    shutil.copy(here / "d.npz", here / "e.npz")
    begin()
    assert run(["--space", "tiny.yaml", "--set", override]) == 2
    line = said(capsys)
    assert "started with another configuration" in line
    assert told in line


@pytest.mark.usefixtures("here")
def test_fewer_pairs_are_not_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tiny.yaml").write_text(STUDY)  # all pairs
    begin()
    assert run(["--space", "tiny.yaml", "--set", "pairs=[[a, v]]"]) == 2
    assert "has more pairs on record (pairs: all -> [['a', 'v']])" in said(capsys)


def test_what_no_pair_reads_may_change(here: Path) -> None:
    begin(ended=True)
    save(here, arrays(w=np.zeros((N, 9))))
    assert run(["--space", "tiny.yaml"]) == UNTRAINED
    assert report(["tiny"]) == UNTRAINED


def test_a_report_is_rebuilt_from_the_record_where_the_data_are_not(here: Path) -> None:
    (here / "d.npz").unlink()
    assert report(["tiny"]) == UNTRAINED


def test_a_modality_that_is_gone_is_a_change(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = arrays()
    values["b"] = values.pop("a")
    save(here, values)
    assert report(["tiny"]) == 2
    assert "modality a" in said(capsys)


def test_pairs_that_come_with_new_arrays_are_a_change(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "tiny.yaml").write_text(STUDY)
    begin()
    save(here, arrays(u=-arrays()["a"]))
    assert run(["--space", "tiny.yaml"]) == 2
    assert "other pairs: arrays/a+u" in said(capsys)


def test_a_record_of_the_version_before_is_read_and_compared_from_then_on(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(digests_kept=False, ended=True)
    assert report(["tiny"]) == UNTRAINED
    capsys.readouterr()
    assert run(["--space", "tiny.yaml"]) == UNTRAINED
    assert "kept no digest of the data" in capsys.readouterr().err
    save(here, arrays(a=-arrays()["a"]))
    assert run(["--space", "tiny.yaml"]) == 2
    assert "modality a" in said(capsys)


@pytest.mark.usefixtures("here")
def test_a_study_half_trained_in_the_targets_own_unit_is_not_gone_on_from(capsys: pytest.CaptureFixture[str]) -> None:
    begin(digests_kept=False)
    assert run(["--space", "tiny.yaml"]) == 2
    assert "real targets in the data's own unit" in said(capsys)
    assert report(["tiny"]) == UNTRAINED


def test_generated_data_are_compared_too(here: Path) -> None:
    (here / "tiny.yaml").write_text("study: tiny\ndataset: {name: gaussian, classes: 0, rows: 400}\n")
    begin()
    assert report(["tiny"]) == UNTRAINED
    config = load_config(Path("tiny.yaml"))
    cells, loaded = build_cells(config)
    known = digests(cells, loaded)
    other = {key: replace(data, split=np.roll(data.split, 1)) for key, data in loaded.items()}
    check_same(known, digests(cells, loaded), cells, study="tiny", remedy="")
    with pytest.raises(ConfigError, match="gaussian: split"):
        check_same(known, digests(cells, other), cells, study="tiny", remedy="")


def answers(folder: Path, *, unit: float = 1.0) -> list[Any]:
    """All numbers and words of the cells' answers; errors, which are told in the target's unit, in one of so much.

    Without the accuracy of signs, for which it matters where 0 is.
    """
    cells = json.loads((folder / "studies/tiny/report.json").read_text())["cells"]
    encoders = [encoder for cell in cells for encoder in cell["encoders"]]
    for encoder in encoders:
        encoder["scores"] = [score for score in encoder["scores"] if score["score"] != "sign_accuracy"]
        errors = [score for score in encoder["scores"] if score["score"] in ("rmse", "mae")]
        assert len(errors) == 2
        for error in errors:
            error |= {key: error[key] / unit for key in ("at_zero", "at_star") if error[key] is not None}
    return [[cell[key] for key in ("pair", "encoders", "strategy", "pid", "forecast") if key in cell] for cell in cells]


def assert_alike(one: Any, other: Any, where: str = "") -> None:
    if isinstance(one, dict):
        assert set(one) == set(other), where
        for key in one:
            assert_alike(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for index, (first, second) in enumerate(zip(one, other, strict=True)):
            assert_alike(first, second, f"{where}[{index}]")
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=1e-6, abs=1e-6), where
    else:
        assert one == other, where


@pytest.mark.slow  # three runs of whole studies
def test_every_answer_is_the_same_in_any_unit(tmp_path: Path) -> None:
    """λ*, scores, verdict, profile and forecast, with the target times 80,000 and modalities from 1e-30 to 1e25."""
    values, units = arrays(), 10.0 ** np.array([-30, -12, 0, 9, 25])
    changes = {"y": values["y"] * 8e4 + 2.5e5, "a": values["a"] * units - 3 * units, "v": values["v"] * 1e-12}
    here, there = (studies.TinyStudy(tmp_path / name, text=STUDY + PAIR) for name in ("here", "there"))
    for study, given in ((here, values), (there, arrays(**changes))):
        save(study.folder, given)
        study.finish()
    assert_alike(answers(here.folder), answers(there.folder, unit=8e4))
    save(here.folder, arrays(**changes))
    again = here.run()
    assert again.returncode == 2
    assert "modality a, target of a, modality v, target of v" in again.stderr
