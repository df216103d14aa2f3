"""The folder of all studies in a bucket of a real S3-compatible server."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import study.session.bucket
from study.cli.options import folder_or_bucket
from study.config import ConfigError, parse_config
from study.config.folder import out_of
from study.session.bucket import at_hand, check_record
from trainables.saving.place import Place

TEXT = "study: mine\ndataset: {name: digits}\npairs: [[left, right]]\n"
CARD = '<article class="study">{}</article>'


def text_of(place: Place, name: str, folder: Path) -> str:
    place.download(name, folder / "downloaded")
    return (folder / "downloaded").read_text()


def silent(line: str) -> None:
    raise AssertionError(line)


@pytest.fixture
def place(bucket: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    place = Place(f"{bucket}/{request.node.name}")
    yield place
    for name in place.tree():
        place.remove(name)


def test_what_a_study_writes_is_in_the_bucket_and_there_again_the_next_time(place: Place, tmp_path: Path) -> None:
    with at_hand(place, ["mine"], say=silent) as home:
        out, spelt = home.folder, home.spelt
        assert list(out.iterdir()) == []
        (out / "mine" / "models").mkdir(parents=True)
        (out / "mine" / "models" / "a.pt").write_bytes(b"weights")
        (out / "mine" / "report.json").write_text("{}")
        (out / "mine" / "events.jsonl").write_text("1\n")
        (out / "mine" / ".written.json").write_text("{}")
        (out / "mine" / ".lock").touch()
        (out / "mine" / "report.html.12.tmp").write_text("half")
        (out / "mine" / "packs").mkdir()
        (out / "mine" / "packs" / "b.pt").write_bytes(b"in flight")
        assert spelt(f"report: {out}/mine/report.html") == f"report: {place}/mine/report.html"
    written = {"mine/models/a.pt", "mine/report.json", "mine/events.jsonl", "mine/.written.json"}
    assert place.tree().keys() == written

    with at_hand(place, ["mine"], say=silent) as home:
        out = home.folder
        assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == written
        with (out / "mine" / "events.jsonl").open("a") as log:
            log.write("2\n")
        (out / "mine" / "report.json").unlink()
    assert place.tree().keys() == written - {"mine/report.json"}
    assert text_of(place, "mine/events.jsonl", tmp_path) == "1\n2\n"


def test_a_reader_gets_the_files_of_the_studies_that_it_names(place: Place, tmp_path: Path) -> None:
    (tmp_path / "any").write_text("{}")
    for name in ("mine/report.json", "mine/models/a.pt", "other/report.json", "other/card.html"):
        place.upload(tmp_path / "any", name)
    before = place.tree()

    for studies, expected in (
        (["mine"], {"mine/report.json", "other/card.html"}),
        ([], {"mine/report.json", "other/report.json", "other/card.html"}),
    ):
        with at_hand(place, studies, say=silent, writes=False) as home:
            out = home.folder
            assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == expected
            (out / "mine" / "report.json").write_text("of this machine alone")
    assert place.tree() == before


def test_studies_that_end_at_once_are_both_on_the_page_over_all(place: Place, tmp_path: Path) -> None:
    with at_hand(place, ["a"], say=silent) as first, at_hand(place, ["b"], say=silent) as second:
        for out, name in ((first.folder, "a"), (second.folder, "b")):
            (out / name).mkdir()
            (out / name / "card.html").write_text(CARD.format(name))
            (out / name / "report.json").write_text("{}")
    page = text_of(place, "index.html", tmp_path)
    assert CARD.format("a") in page
    assert CARD.format("b") in page


def test_files_are_uploaded_while_a_study_runs(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study.session.bucket, "PUSH_SECONDS", 0.05)
    with at_hand(place, ["mine"], say=silent) as home:
        out = home.folder
        (out / "mine").mkdir()
        for text in ("first", "second"):
            (out / "mine" / "report.html").write_text(text)
            until = time.monotonic() + 20
            while not place.tree() or text_of(place, "mine/report.html", tmp_path) != text:
                assert time.monotonic() < until, "it was not uploaded"
                time.sleep(0.05)


def test_an_error_of_the_study_names_the_bucket_and_what_there_is_is_kept(place: Place) -> None:
    def study_that_fails() -> None:
        with at_hand(place, ["mine"], say=silent) as home:
            out = home.folder
            (out / "mine").mkdir()
            (out / "mine" / "events.jsonl").write_text("1\n")
            raise ConfigError(f"cannot use {out}/mine")

    with pytest.raises(ConfigError, match=f"cannot use {place}/mine"):
        study_that_fails()
    assert place.tree().keys() == {"mine/events.jsonl"}


@pytest.mark.parametrize("writes", [True, False])
def test_a_bucket_that_is_not_there_is_said_in_a_line(bucket: str, writes: bool) -> None:
    assert bucket
    with pytest.raises(ConfigError, match=r"s3://not-there/x\b.*AWS_ACCESS_KEY_ID") as caught:  # noqa: SIM117
        with at_hand(Place("s3://not-there/x"), ["mine"], say=silent, writes=writes):
            raise AssertionError
    assert "\n" not in str(caught.value)


def test_the_record_lies_in_postgresql() -> None:
    place = Place("s3://b/p")
    for storage in ("journal", "sqlite:////tmp/align.db"):
        config = parse_config(f"{TEXT}storage: {storage}\n", source="text")
        with pytest.raises(ConfigError, match=r"in s3://b/p keeps its record in PostgreSQL.*storage: postgresql://"):
            check_record(config, place)
        check_record(config, Path("studies"))
    check_record(parse_config(TEXT + "storage: postgresql://me@host/align\n", source="text"), place)


def test_a_copy_is_brought_up_to_date_and_files_outside_of_it_are_nobodys(place: Place, tmp_path: Path) -> None:
    (tmp_path / "any").write_text("1\n")
    outside = Place(place.address.rpartition("/")[0])
    place.upload(tmp_path / "any", "mine/events.jsonl")
    for odd in ("../card.html", "mine/../../ESCAPED"):
        place.upload(tmp_path / "any", odd)
    before = outside.tree()

    with at_hand(place, ["mine"], say=silent) as home:
        assert not (home.folder.parent / "card.html").exists()
        assert not (home.folder.parent / "ESCAPED").exists()
        (tmp_path / "any").write_text("1\n2\n")
        place.upload(tmp_path / "any", "mine/events.jsonl")  # by the machine that had the study until now
        home.fetch()
        assert (home.folder / "mine" / "events.jsonl").read_text() == "1\n2\n"
        (home.folder / "mine" / "report.json").write_text("{}")
        home.push()
        assert "mine/report.json" in place.tree()
    assert before.keys() <= outside.tree().keys()
    for name in outside.tree():
        outside.remove(name)


@pytest.mark.parametrize("name", ["/home/me/mine", "..", "a/b"])
def test_a_path_is_no_name_of_a_study_in_a_bucket(name: str) -> None:
    with pytest.raises(ConfigError, match="is no name of a study in s3://b/p"):  # noqa: SIM117
        with at_hand(Place("s3://b/p"), [name], say=silent):
            raise AssertionError


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("gs://b/p", "gs://.* is not known; give a folder or s3://BUCKET/PREFIX"),
        ("s3://", "is not known"),
        ("s3:///p", "is not known"),
        ("s3://b?region=x", "is not known"),
        ("s3://b/my studies", "is not known"),
        ("s3://b/p%zz", "is not known"),
        ("s3://b:9000/p", "is not known"),
        ("s3://b/../c", "is not known"),
        ("s3:/b/p", "is not known"),
        (Path("s3://b/p"), "is not known"),
        ("S3:b", "is not known"),
        ("s3//b/p", "is not known"),
        ("s3:KEY:HIDDEN", "is not known"),
        ("", "has no name"),
        (" ", "has no name"),
        ("~/studies", "~ is not expanded"),
        ("s3://KEY:HIDDEN@b/p", "keys, and an @, do not belong in an address"),
    ],
)
def test_addresses_that_are_none_of_a_bucket(given: str | Path, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        out_of(given)
    assert "HIDDEN" not in str(caught.value)
    if isinstance(given, str):
        with pytest.raises(argparse.ArgumentTypeError, match=told):
            folder_or_bucket(given)


def test_a_folder_or_a_bucket() -> None:
    assert out_of("a/b") == Path("a/b")
    assert folder_or_bucket("C:/a b") == Path("C:/a b")
    assert out_of("s3://b/p/") == Place("s3://b/p")
