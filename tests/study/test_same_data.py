"""A study goes on from the data that it began with, and gives the same answers in any unit of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from study.report.__main__ import main as report
from study.run import main as run

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


def arrays(**changes: Any) -> dict[str, Any]:
    """The arrays of the study; y is real and in large units."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(N, 2))
    a, v = rng.normal(size=(N, 5)) + z[:, :1], rng.normal(size=(N, 4)) + z[:, :1]
    return {"a": a, "v": v, "w": v[:, :2] + 1, "y": z.sum(axis=1), "g": np.arange(N) // 2} | changes


def save(folder: Path, values: Mapping[str, Any]) -> None:
    np.savez(folder / "d.npz", **values)


@pytest.fixture(scope="module")
def ended(studies: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the study has ended, with its data and its study file."""
    folder = tmp_path_factory.mktemp("ended")
    save(folder, arrays())
    study = studies.TinyStudy(folder, text=STUDY + "pairs: [[a, v]]\n")
    study.finish()
    return folder


@pytest.fixture
def here(ended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working folder."""
    folder = tmp_path / "copy"
    shutil.copytree(ended, folder)
    monkeypatch.chdir(folder)
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def notes(folder: Path) -> Path:
    return folder / "studies/tiny/optuna/journal.log"


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
    before = notes(here).read_bytes(), (here / "studies/tiny/report.json").read_bytes()
    for command in (lambda: run(["--space", "tiny.yaml"]), lambda: report(["tiny"])):
        assert command() == 2
        line = said(capsys)
        assert "the data of the study tiny changed after it began" in line
        assert part in line
    assert (here / "studies/tiny/report.json").read_bytes() == before[1]
    save(here, arrays())  # undone: all is as it was
    assert run(["--space", "tiny.yaml"]) == 0
    assert report(["tiny"]) == 0


def test_what_no_pair_reads_may_change(here: Path) -> None:
    save(here, arrays(w=np.zeros((N, 9))))
    assert run(["--space", "tiny.yaml"]) == 0
    assert report(["tiny"]) == 0


def test_a_report_is_rebuilt_from_the_record_where_the_data_are_not(here: Path) -> None:
    (here / "d.npz").unlink()
    assert report(["tiny"]) == 0


def test_a_modality_that_is_gone_is_a_change(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = arrays()
    values["b"] = values.pop("a")
    save(here, values)
    assert report(["tiny"]) == 2
    assert "modality a" in said(capsys)


def without_digests(folder: Path, **changes: Any) -> None:
    """Make the record one of the version before, which kept no digests."""
    lines = notes(folder).read_text().splitlines()
    kept = [line for line in lines if list(json.loads(line).get("user_attr", {})) != ["data"]]
    assert len(kept) == len(lines) - 1
    if not changes.get("complete", True):
        kept = [line for line in kept if list(json.loads(line).get("user_attr", {})) != ["run"]]
    notes(folder).write_text("\n".join(kept) + "\n")


def test_a_record_of_the_version_before_is_read_and_compared_from_then_on(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_digests(here)
    assert report(["tiny"]) == 0
    capsys.readouterr()
    assert run(["--space", "tiny.yaml"]) == 0
    assert "kept no digest of the data" in capsys.readouterr().err
    save(here, arrays(a=-arrays()["a"]))
    assert run(["--space", "tiny.yaml"]) == 2
    assert "modality a" in said(capsys)


def test_a_study_half_trained_in_the_targets_own_unit_is_not_gone_on_from(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_digests(here, complete=False)
    assert run(["--space", "tiny.yaml"]) == 2
    assert "real targets in the data's own unit" in said(capsys)
    assert report(["tiny"]) == 0


def answers(folder: Path) -> list[Any]:
    """All numbers and words of the cells' answers."""
    cells = json.loads((folder / "studies/tiny/report.json").read_text())["cells"]
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


def test_every_answer_is_the_same_in_any_unit(ended: Path, studies: ModuleType, tmp_path: Path) -> None:
    """λ*, scores, verdict, profile and forecast, with the target times 80,000 and modalities from 1e-30 to 1e25."""
    here = arrays()
    units = 10.0 ** np.array([-30, -12, 0, 9, 25])
    save(tmp_path, arrays(y=here["y"] * 8e4 + 2.5e5, a=here["a"] * units - 3 * units, v=here["v"] * 1e-12))
    studies.TinyStudy(tmp_path, text=STUDY + "pairs: [[a, v]]\n").finish()
    assert_alike(answers(ended), answers(tmp_path))
