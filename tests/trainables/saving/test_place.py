"""A folder and a bucket, of a real S3-compatible server, keep files alike."""

import pytest
import torch

from trainables.saving.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from trainables.saving.place import Place


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    if request.param == "folder":
        return Place(str(tmp_path)).below("study")
    return Place(f"{request.getfixturevalue('bucket')}/{tmp_path.name}").below("study")


def text(path):
    return path.read_text()


def keep(content):
    return lambda path: path.write_text(content)


def test_what_was_kept_last_is_read(place):
    place.write("a", keep("one"))
    place.write("b", keep("other"))
    place.write("a", keep("two"))
    assert place.read("a", text) == "two"
    assert place.read("b", text) == "other"


def test_a_file_that_is_taken_or_removed_is_gone(place, tmp_path):
    for name in ("a", "b"):
        place.write(name, keep(name))
    place.take("a", tmp_path / "taken")
    place.remove("b")
    place.remove("never there")
    assert (tmp_path / "taken").read_text() == "a"
    for name in ("a", "b"):
        with pytest.raises(FileNotFoundError):
            place.read(name, text)
    with pytest.raises(FileNotFoundError):
        place.take("a", tmp_path / "again")


def test_a_file_that_could_not_be_saved_leaves_the_one_before(place):
    def fail(_):
        raise OSError("the disk is full")

    place.write("a", keep("one"))
    with pytest.raises(OSError, match="full"):
        place.write("a", fail)
    assert place.read("a", text) == "one"


def test_checkpoints_are_whole_or_said_to_be_torn(place):
    def read(path):
        return read_checkpoint(path, device=torch.device("cpu"))

    state = {"weights": torch.arange(3.0)}
    place.write("a.pt", lambda path: write_checkpoint(state, path))
    assert place.read("a.pt", read)["weights"].tolist() == [0, 1, 2]
    place.write("a.pt", lambda path: path.write_bytes(b"half of a checkpoint"))
    with pytest.raises(CheckpointError):
        place.read("a.pt", read)


@pytest.mark.usefixtures("bucket")
def test_whatever_is_wrong_with_a_place_is_an_os_error(tmp_path):
    for broken in (Place("s3://no-such-bucket/x"), Place(str(tmp_path / "no" / "folder"))):
        with pytest.raises(OSError, match=r"bucket|No such file"):
            broken.write("a", keep("one"))
        with pytest.raises(FileNotFoundError):
            broken.read("a", text)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"exists|directory"):
        Place(str(tmp_path / "file")).below("study")


def test_folders_are_cleared_by_name_unless_somebody_wrote_to_them_of_late(place):
    for name in ("0123456789abcdef", "other"):
        place.below(name).write("a", keep(name))
    place.write("a", keep("beside"))
    place.clear_folders("[0-9a-f]" * 16, untouched=3600)
    assert place.below("0123456789abcdef").read("a", text) == "0123456789abcdef"
    place.clear_folders("[0-9a-f]" * 16)
    with pytest.raises(FileNotFoundError):
        place.below("0123456789abcdef").read("a", text)
    assert place.below("other").read("a", text) == "other"
    assert place.read("a", text) == "beside"
