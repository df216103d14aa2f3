"""`python -m trainables.datasets`."""

import subprocess
import sys

import pytest

from trainables.datasets import DATASETS
from trainables.datasets.__main__ import main


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
