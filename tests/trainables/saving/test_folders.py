"""Folders that outlive their process, on disks and in a bucket of a real S3-compatible server."""

import multiprocessing
import os
import time

import pytest

from trainables.saving.folders import kept_folder
from trainables.saving.place import Place

JOB = "0123456789abcdef"


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    if request.param == "folder":
        return Place(str(tmp_path)).below("study")
    return Place(f"{request.getfixturevalue('bucket')}/{tmp_path.name}").below("study")


def content(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_it_is_empty_at_first_and_then_as_it_was_left(place):
    with kept_folder(place, JOB, "code") as kept:
        assert content(kept.path) == {}
        (kept.path / "deep").mkdir()
        (kept.path / "deep" / "model").write_text("one")
        (kept.path / "log").write_text("a")
        kept.sync()
        (kept.path / "deep" / "model").write_text("two, longer")
        (kept.path / "log").unlink()
        kept.sync()
    with kept_folder(place, JOB, "code") as kept:
        assert content(kept.path) == {"deep/model": "two, longer"}
    with kept_folder(place, JOB, "other") as kept:
        assert content(kept.path) == {}


def test_it_is_removed_with_all_its_parts(place):
    for part in ("code", "other"):
        with kept_folder(place, JOB, part) as kept:
            (kept.path / "model").write_text("one")
            kept.sync()
    place.write("stays", lambda path: path.write_text("x"))
    place.remove_folder(JOB)
    place.remove_folder("never-there")
    assert place.read("stays", lambda path: path.read_text()) == "x"
    with kept_folder(place, JOB, "code") as kept:
        assert content(kept.path) == {}


def test_only_what_has_changed_is_copied_to_a_bucket(tmp_path, bucket):
    place = Place(f"{bucket}/{tmp_path.name}")
    with kept_folder(place, JOB, "code") as kept:
        (kept.path / "large").write_text("x" * 1000)
        kept.sync()

        def objects():
            return {name for name, _ in place.below(JOB)._files()}

        before = objects()
        kept.sync()
        assert objects() == before
        (kept.path / "small").write_text("y")
        kept.sync()
        assert len(objects() - before) == 1
        assert before < objects()
    with kept_folder(place, JOB, "code") as kept:  # and what was fetched is not copied again
        there = objects()
        (kept.path / "third").write_text("z")
        kept.sync()
        assert there < objects()
        assert len(objects() - there) == 1


def test_what_was_half_copied_is_not_seen(tmp_path, bucket):
    place = Place(f"{bucket}/{tmp_path.name}")
    with kept_folder(place, JOB, "code") as kept:
        (kept.path / "model").write_text("one")
        kept.sync()
        (kept.path / "model").write_text("two, longer")
    with kept_folder(place, JOB, "code") as kept:
        assert content(kept.path) == {"model": "one"}
        for name, _ in place.below(JOB)._files():
            if not name.endswith(".json"):
                place.below(JOB).remove(name)  # as another process might, which has gone on
    with kept_folder(place, JOB, "code") as kept:
        assert content(kept.path) == {}


def hold(address, held):
    with kept_folder(Place(address), JOB, "code"):
        held.set()
        time.sleep(60)


def test_two_processes_never_share_it_and_the_end_of_one_frees_it(tmp_path):
    spawned = multiprocessing.get_context("spawn")
    held = spawned.Event()
    other = spawned.Process(target=hold, args=(str(tmp_path), held))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(TimeoutError, match="another process still trains in"), \
             kept_folder(Place(str(tmp_path)), JOB, "code", wait=0.2):  # fmt: skip
            pass
    finally:
        os.kill(other.pid, 9)
        other.join()
    with kept_folder(Place(str(tmp_path)), JOB, "code", wait=10) as kept:
        assert kept.path.is_dir()
