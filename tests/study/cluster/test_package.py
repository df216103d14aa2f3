"""What a job is sent of this machine: everything that its study file names, and nothing else."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from study.cluster.package import LEFT_BEHIND, is_left_behind, packaged
from study.config import ConfigError, load_config

OWN = """
study: mine
trainer: {call: code/own.py:train, folder: code}
pairs: [[image, text]]
"""
PACKS = """
study: mine
dataset: {name: arrays, path: data/rows.csv}
encoder: {width: 4}
encoders: {"a": {kind: module, factory: nets.py:make}}
score: {a: "../scores/own.py:within", b: r2}
"""


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, **content: str) -> None:
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_study_in_the_working_directory_goes_with_all_of_it(tmp_path: Path) -> None:
    write(tmp_path, **{"a/mine.yaml": OWN, "a/code/own.py": "def train(trial): ..."})
    space = tmp_path / "a" / "mine.yaml"

    with packaged(space, load_config(space), working=tmp_path, overrides=["seed=3"]) as package:
        assert package.folder == tmp_path
        assert package.space == "a/mine.yaml"
        assert package.overrides == ("seed=3",)


@pytest.mark.parametrize("folder", [True, False])
def test_a_study_elsewhere_goes_with_its_code_and_without_secrets(tmp_path: Path, folder: bool) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    write(
        there,
        **{
            "mine.yaml": OWN if folder else OWN.replace(", folder: code", ""),
            "code/own.py": "import beside\ndef train(trial): ...",
            "code/beside.py": "PEAK = 1",
            "code/table.txt": "1 2 3",
            "code/.env": "TOKEN=hunter2",
            "code/.git/config": "hunter2",
            "code/id.pem": "hunter2",
            "code/deep/server.key": "hunter2",
            "notes.txt": "not asked for",
        },
    )
    space = there / "mine.yaml"
    config = load_config(space, overrides=["strength.refine=2"])

    with packaged(space, config, working=here, overrides=["strength.refine=2"]) as package:
        assert not package.overrides
        sent = files(package.folder)
        again = load_config(package.folder / package.space)
        assert again.hash == config.hash
        assert again.strength.refine == 2
        assert again.trainer is not None
        assert again.trainer.file is not None
        assert again.trainer.file.is_relative_to(package.folder)
        assert again.trainer.file.is_file()
        assert (again.trainer.folder is not None) is folder
    code = {"mine.yaml", "code/trainer/own.py", "code/trainer/beside.py"}
    assert sent == (code | {"code/trainer/table.txt"} if folder else code)
    assert not package.folder.exists()


def test_encoders_scores_and_data_beside_the_working_directory_go_too(tmp_path: Path) -> None:
    work = tmp_path / "work"
    write(
        tmp_path,
        **{
            "studies of mine/mine.yaml": PACKS,
            "studies of mine/nets.py": "from blocks import block\ndef make(shape, width): ...",
            "studies of mine/blocks.py": "def block(): ...",
            "scores/own.py": "def within(targets, outputs): ...",
            "work/data/rows.csv": "a,b,y\n1,2,3\n",
            "work/data/more.csv": "not asked for",
        },
    )
    space = tmp_path / "studies of mine" / "mine.yaml"
    config = load_config(space)

    with packaged(space, config, working=work, overrides=()) as package:
        again = load_config(package.folder / package.space)
        assert again.hash == config.hash
        assert files(package.folder) == {
            "mine.yaml", "code/0/own.py", "code/1/nets.py", "code/1/blocks.py", "data/rows.csv",
        }  # fmt: skip


def test_what_does_not_exist_or_is_too_large_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, **{"there/mine.yaml": OWN, "work/data/rows.csv": "a,b,y\n" * 9, "there/packs.yaml": PACKS})
    space, packs = tmp_path / "there" / "mine.yaml", tmp_path / "there" / "packs.yaml"
    with (
        pytest.raises(ConfigError, match=r"code/own\.py, which does not exist"),
        packaged(space, load_config(space), working=tmp_path / "work", overrides=()),
    ):
        pass

    write(tmp_path, **{"there/nets.py": "def make(): ...", "scores/own.py": "def within(): ..."})
    monkeypatch.setattr("study.cluster.package._MOST_BYTES", 10)
    with (
        pytest.raises(ConfigError, match=r"dataset\.path is data/rows\.csv, which holds more .* absolute path"),
        packaged(packs, load_config(packs), working=tmp_path / "work", overrides=()),
    ):
        pass


@pytest.mark.parametrize("pattern", LEFT_BEHIND)
def test_what_is_left_behind_is_so_at_any_depth(pattern: str) -> None:
    name = pattern.replace("*", "my").rstrip("/")
    inside = f"{name}/file" if pattern.endswith("/") else name

    assert is_left_behind(PurePosixPath(inside))
    assert is_left_behind(PurePosixPath("deep/er") / inside)
    assert not is_left_behind(PurePosixPath("deep/model.py"))
