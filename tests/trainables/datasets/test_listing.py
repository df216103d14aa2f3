"""`python -m trainables.datasets`."""

import json
import subprocess
import sys

import numpy as np
import pytest

from trainables.datasets import DATASETS, cells
from trainables.datasets.__main__ import example, main
from trainables.spec import DatasetSpec


def test_every_set_is_listed_with_what_a_user_needs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for name, dataset in DATASETS.items():
        assert f"{name}: {dataset.description}" in printed
        assert " ".join(dataset.licence.split()) in printed
        assert all(modality in printed for modality in dataset.shapes)
        if dataset.origin is not None:
            assert dataset.origin in printed
            assert f"{dataset.options['path'].default}: not there (try --stand-in)" in printed


@pytest.mark.parametrize("name", DATASETS)
def test_a_named_set_explains_its_options(capsys, name):
    assert main([name]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for key, option in DATASETS[name].options.items():
        assert f"{key}: {option.doc}; {option.allowed}" in printed


@pytest.mark.parametrize("name", DATASETS)
def test_its_example_is_one_that_a_study_file_may_have(name):
    import yaml

    given = yaml.safe_load(example(name, DATASETS[name]))
    options = {key: value for key, value in given.items() if key != "name"}
    several = any(option.cells for option in DATASETS[name].options.values())
    assert len(cells(DatasetSpec(name=given["name"], options=options))) == (2 if several else 1)


class TestContents:
    def test_of_a_file_are_told_by_the_names_to_use(self, capsys, tmp_path):
        np.savez(tmp_path / "d.npz", audio=np.zeros((8, 3)), y=np.zeros(8))
        assert main(["--contents", str(tmp_path / "d.npz")]) == 0
        assert capsys.readouterr().out == "audio  8 x 3\ny      8\n"
        (tmp_path / "d.csv").write_text("a,b\n1,2\n")
        assert main(["--contents", str(tmp_path / "d.csv"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"a": [1], "b": [1]}

    @pytest.mark.parametrize("name", ["gone.npz", "d.npz", "d.h5", "empty", ""])
    def test_that_cannot_be_read_are_one_line_and_exit_2(self, capsys, tmp_path, name):
        (tmp_path / "d.npz").write_bytes(b"no")
        (tmp_path / "d.h5").write_bytes(b"no")
        (tmp_path / "empty").mkdir()
        assert main(["--contents", str(tmp_path / name) if name else ""]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1


def test_files_are_found_and_read(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mosi_data.pkl").write_bytes(b"cos\nsystem\n.")
    assert main(["mosi"]) == 0
    assert "data/mosi_data.pkl: there, 12 bytes" in capsys.readouterr().out
    assert main(["mosi", "--read"]) == 0
    assert "there, but not usable" in capsys.readouterr().out


def test_an_unknown_set_is_one_line_and_exit_2(capsys):
    assert main(["mosey"]) == 2
    assert capsys.readouterr().err.startswith("unknown dataset 'mosey'; did you mean")


def test_it_is_a_command_that_needs_no_torch():
    code = "import sys; from trainables.datasets.__main__ import main; main([]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
