"""A study's journal, damaged in every way: a beginning of what was written is read, and can be written on."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study import report, status
from study.cells.trials import Asked, Setting
from study.config import ConfigError
from study.search import Ledger, open_storage
from study.search.record.notes import PACK_SIZE, Note
from trainables.spec import ReplicateResult

SPACE = {"strength": (0.0, 4.0)}
STRENGTHS = (0.0, 1.0, 2.0, 4.0)


def result(score: float) -> ReplicateResult:
    return ReplicateResult(
        status="ok",
        scores=(score, score / 3),
        losses=(1.0, 1.0),
        alignment={"cka": 0.5},
        curve=((1.0, score, 0, 1, 1),),
    )


def fill(folder: Path) -> list[Asked]:
    """Ask for and record four trials; what is on record then."""
    ledger = opened(folder)
    settings_ = [Setting(strength_1=value, strength_2=value) for value in STRENGTHS]
    for asked in ledger.ask("a", "shared", round_=0, settings=settings_, replicates=range(2)):
        for index in asked.missing:
            ledger.record("a", asked, {index: result(asked.setting.strength_1 / 10 + index)})
    return trials(folder)


def opened(folder: Path, said: list[str] | None = None) -> Ledger:
    told = [] if said is None else said
    return Ledger(open_storage(folder=folder, say=told.append), name="study", space=SPACE)


def trials(folder: Path, said: list[str] | None = None) -> list[Asked]:
    return list(opened(folder, said).trials("a", "shared"))


def without_sums(journal: bytes) -> bytes:
    """As the version before wrote it."""
    rows = [json.loads(line) for line in journal.splitlines()]
    return b"".join(
        json.dumps({k: v for k, v in row.items() if k != "sum"}, separators=(",", ":")).encode() + b"\n" for row in rows
    )


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound journal."""
    folder = tmp_path_factory.mktemp("sound")
    fill(folder)
    return (folder / "journal.log").read_bytes()


@pytest.fixture(scope="module")
def states(journal: bytes, tmp_path_factory: pytest.TempPathFactory) -> list[list[Asked]]:
    """What is on record after each line of the sound journal."""
    lines = journal.splitlines(keepends=True)
    found = []
    for count in range(len(lines) + 1):
        folder = tmp_path_factory.mktemp("prefix")
        (folder / "journal.log").write_bytes(b"".join(lines[:count]))
        found.append(trials(folder))
    return found


COMPLETE_BUT_NONSENSE = {
    "trial of nowhere": b'{"op_code":8,"worker_id":"w","trial_id":77,"user_attr":{"a":1}}',
    "garbage": b"!!garbage!!",
    "not text": b"\xff\xfe\x00\x81",
    "zeros": b"\x00" * 4096,
    "empty line": b"",
    "object": b"{}",
    "null": b"null",
    "number": b"17",
    "list": b"[]",
    "string": b'"op_code"',
    "half a line": b'{"op_code":8,"worker_id":"w","trial_id":0,"user_at',
    "unknown operation": b'{"op_code":99,"worker_id":"w"}',
    "operation as a word": b'{"op_code":"8","worker_id":"w"}',
    "operation true": b'{"op_code":true,"worker_id":"w"}',
    "nothing but the operation": b'{"op_code":8}',
    "no attribute": b'{"op_code":8,"worker_id":"w","trial_id":0}',
    "attribute null": b'{"op_code":8,"worker_id":"w","trial_id":0,"user_attr":null}',
    "round null": b'{"op_code":8,"worker_id":"w","trial_id":0,"user_attr":{"round":null}}',
    "result null": b'{"op_code":8,"worker_id":"w","trial_id":0,"user_attr":{"results:1":null}}',
    "result of nothing": b'{"op_code":8,"worker_id":"w","trial_id":0,"user_attr":{"results:1":{"1":{}}}}',
    "unhashable trial": b'{"op_code":8,"worker_id":"w","trial_id":[],"user_attr":{"a":1}}',
    "configuration null": b'{"op_code":2,"worker_id":"w","study_id":0,"user_attr":{"configuration":null}}',
    "cells a number": b'{"op_code":2,"worker_id":"w","study_id":0,"user_attr":{"cells":5}}',
    "trial not a number": b'{"op_code":8,"worker_id":"w","trial_id":NaN,"user_attr":{"a":1}}',
    "trial before the first": b'{"op_code":8,"worker_id":"w","trial_id":-1,"user_attr":{"a":1}}',
    "study before the first": b'{"op_code":2,"worker_id":"w","study_id":-1,"user_attr":{"a":1}}',
    "two attributes": b'{"op_code":8,"worker_id":"w","trial_id":0,"user_attr":{"a":1,"b":2}}',
    "carriage return": b"\r",
    "study without a name": b'{"op_code":0,"worker_id":"w","study_name":null,"directions":[2]}',
    "directions of nothing": b'{"op_code":0,"worker_id":"w","study_name":"s/a/b","directions":[7]}',
    "trial without a start": b'{"op_code":4,"worker_id":"w","study_id":0}',
    "trial of odd parameters": b'{"op_code":4,"worker_id":"w","study_id":1,"datetime_start":null,'
    b'"params":{"strength":1},"distributions":{"strength":"{}"}}',
    "trial without a strength": b'{"op_code":4,"worker_id":"w","study_id":1,"datetime_start":null,"params":{},'
    b'"distributions":{},"user_attrs":{"round":0,"slot":7,"replicates":[0]}}',
    "state of nothing": b'{"op_code":6,"worker_id":"w","trial_id":0,"state":1,"values":["x"]}',
    "brackets": b"[" * 100_000,
    "digits": b"1" * 10_000,
}


@pytest.mark.parametrize(
    ("place", "checked"),
    [("end", True), ("middle", True), ("start", True), ("middle", False)],
    ids=["at the end", "in the middle", "at the start", "in one of the version before"],
)
@pytest.mark.parametrize("line", COMPLETE_BUT_NONSENSE.values(), ids=COMPLETE_BUT_NONSENSE.keys())
def test_a_complete_line_of_nonsense_is_set_aside_and_the_study_goes_on(
    line: bytes, place: str, checked: bool, journal: bytes, states: list[list[Asked]], tmp_path: Path
) -> None:
    lines = (journal if checked else without_sums(journal)).splitlines(keepends=True)
    at = {"end": len(lines), "middle": 9, "start": 0}[place]
    path = tmp_path / "journal.log"
    path.write_bytes(b"".join([*lines[:at], line + b"\n", *lines[at:]]))

    said: list[str] = []
    assert trials(tmp_path, said) == states[at]
    (told,) = said
    assert told.startswith(f"{path}: line {at + 1} is damaged (")
    assert "\n" not in told
    assert f"the {at} lines before are kept" in told
    assert "set aside in journal.log.damaged-1" in told
    assert ("after it, of which" in told) == (at < len(lines))
    assert (tmp_path / "journal.log.damaged-1").read_bytes() == b"".join([line + b"\n", *lines[at:]])

    assert fill(tmp_path) == states[-1]
    again: list[str] = []
    assert trials(tmp_path, again) == states[-1]
    assert again == []


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_happens_to_the_bytes_a_beginning_is_read_and_the_rest_is_kept_aside(
    data: st.DataObject, journal: bytes, states: list[list[Asked]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "journal.log"
    start = data.draw(st.integers(0, len(journal) - 1), label="from")
    stop = start + data.draw(st.one_of(st.integers(0, 3), st.integers(0, len(journal))), label="bytes")
    lines = journal.splitlines(keepends=True)
    middle = data.draw(
        st.one_of(
            st.binary(max_size=20),
            st.just(b"\x00" * (min(stop, len(journal)) - start)),
            st.just(b"\n"),
            st.integers(0, 9).map(lambda digit: str(digit).encode()),
            st.sampled_from(lines),
            st.just(journal[start:stop] * 2),
        ),
        label="instead",
    )
    damaged = journal[:start] + middle + journal[stop:]
    path.write_bytes(damaged)

    said: list[str] = []
    found = trials(folder, said)

    assert found in states
    kept = path.read_bytes()
    aside = [other.read_bytes() for other in folder.glob("journal.log.damaged-*")]
    assert len(said) == (len(aside) or not damaged) <= 1  # an emptied file leaves nothing to set aside
    if aside:
        assert damaged.endswith(aside[0])
        assert b"\n" in damaged[: len(damaged) - len(aside[0])][-1:] or damaged == aside[0]
    else:  # nothing but a line that was being written is gone
        torn = damaged[damaged.rfind(b"\n") + 1 :]
        assert damaged in (kept[: len(damaged)], kept[: len(damaged) - len(torn)] + torn)
    assert fill(folder) == states[-1]


@pytest.mark.parametrize("change", ["digit", "gone", "twice", "swapped"])
def test_what_no_reader_of_json_sees_is_seen(
    change: str, journal: bytes, states: list[list[Asked]], tmp_path: Path
) -> None:
    lines = journal.splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b'"results:0"' in line)
    changed = {
        "digit": [*lines[:at], lines[at].replace(b'"scores":[0.0', b'"scores":[9.0'), *lines[at + 1 :]],
        "gone": [*lines[:at], *lines[at + 1 :]],
        "twice": [*lines[: at + 1], *lines[at:]],
        "swapped": [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
    }[change]
    assert changed != lines
    (tmp_path / "journal.log").write_bytes(b"".join(changed))

    said: list[str] = []
    found = trials(tmp_path, said)

    bad = at + 1 if change != "twice" else at + 2
    assert f"line {bad} is damaged (its checksum does not fit" in said[0]
    assert found == states[bad - 1]


def test_a_last_line_that_lacks_its_end_alone_is_kept(
    journal: bytes, states: list[list[Asked]], tmp_path: Path
) -> None:
    (tmp_path / "journal.log").write_bytes(journal.rstrip(b"\n"))
    said: list[str] = []
    assert trials(tmp_path, said) == states[-1]
    assert said == []
    assert (tmp_path / "journal.log").read_bytes() == journal


@pytest.mark.parametrize("editor", ["ends of lines", "byte order mark"])
def test_what_an_editor_changes_by_itself_is_no_damage(
    editor: str, journal: bytes, states: list[list[Asked]], tmp_path: Path
) -> None:
    saved = journal.replace(b"\n", b"\r\n") if editor == "ends of lines" else b"\xef\xbb\xbf" + journal
    (tmp_path / "journal.log").write_bytes(saved)
    said: list[str] = []
    assert trials(tmp_path, said) == states[-1]
    assert said == []


def test_a_journal_of_the_version_before_is_read_and_written_on(
    journal: bytes, states: list[list[Asked]], tmp_path: Path
) -> None:
    old = without_sums(b"".join(journal.splitlines(keepends=True)[:10]))
    (tmp_path / "journal.log").write_bytes(old)
    assert trials(tmp_path) == states[10]
    assert fill(tmp_path) == states[-1]
    said: list[str] = []
    assert trials(tmp_path, said) == states[-1]
    assert said == []
    assert (tmp_path / "journal.log").read_bytes().startswith(old)


def test_another_program_may_add_to_the_journal(tmp_path: Path) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    whole = fill(tmp_path)
    other = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
    study = optuna.load_study(study_name="study/a/shared", storage=other)
    study.set_user_attr("note", "as a dashboard does")
    study.enqueue_trial({"strength": 3.0})
    said: list[str] = []
    assert trials(tmp_path, said) == whole
    assert said == []


def test_two_that_write_in_turn_do_not_take_each_other_for_damage(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    notes: list[Note[int]] = [Note(key=f"note {number}", kind=int) for number in range(6)]
    for (number, note), ledger in zip(enumerate(notes), itertools.cycle((first, second)), strict=False):
        ledger.set_note(note, number)
    said: list[str] = []
    reread = opened(tmp_path, said)
    assert [reread.note(note) for note in notes] == list(range(6))
    assert said == []


def test_damage_under_a_study_that_runs_ends_it_with_one_line(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b"garbage\n")
    with pytest.raises(ConfigError, match=r"journal\.log: line 2 is damaged .* run the same command again"):
        ledger.set_note(PACK_SIZE, 1)
    said: list[str] = []
    assert opened(tmp_path, said).note(PACK_SIZE) is None
    assert "it and 1 after it, of which 1 can be read, are set aside" in said[0]


def test_who_only_reads_changes_nothing_and_says_what_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path / "s/optuna")
    path = tmp_path / "s/optuna/journal.log"
    damaged = path.read_bytes() + b"null\n{}\n"
    path.write_bytes(damaged)
    said: list[str] = []
    open_storage(folder=path.parent, read_only=True, say=said.append)
    count = damaged.count(b"\n")
    assert said == [
        f"{path}: line {count - 1} is damaged (it is no JSON object); "
        "it and 1 after it, of which 1 can be read, are left out"
    ]
    assert path.read_bytes() == damaged
    assert [entry.name for entry in path.parent.iterdir()] == ["journal.log"]


def test_a_damaged_study_does_not_hide_the_others_from_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        fill(tmp_path / name / "optuna")
    (tmp_path / "a/optuna/journal.log").write_bytes(b"\x00\x00\n")
    assert status.main(["--out", str(tmp_path)]) == 0
    err = capsys.readouterr().err
    assert "a/optuna/journal.log: line 1 is damaged" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("tail", "told"),
    [
        (b"\x00" * 700, "line {next} is damaged (it is no JSON object); it is left out"),
        (b'{"op_code":8,"wor' + b"\x00" * 90, "line {next} is damaged (it is no JSON object); it is left out"),
        (b"garbage", "line {next} is damaged (it is no JSON object); it is left out"),
        (b"", None),
        (b'{"op_code":8,"wor', None),
    ],
    ids=["zeros", "a line that ends in zeros", "garbage", "nothing", "a torn line"],
)
@pytest.mark.parametrize("lines", [0, 9], ids=["whole file", "behind sound lines"])
def test_what_a_reader_is_told_of_the_end_is_what_the_writer_sets_aside(
    lines: int, tail: bytes, told: str | None, journal: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "s/optuna/journal.log"
    path.parent.mkdir(parents=True)
    sound = b"".join(journal.splitlines(keepends=True)[:lines])
    path.write_bytes(sound + tail)
    if not sound + tail:
        told = "is empty: its study was ended as it began, or its record is lost"

    read: list[str] = []
    open_storage(folder=path.parent, read_only=True, say=read.append)
    assert [line.removeprefix(str(path)).lstrip(": ") for line in read] == (
        [told.format(next=lines + 1)] if told else []
    )
    assert path.read_bytes() == sound + tail

    written: list[str] = []
    open_storage(folder=path.parent, say=written.append)
    assert len(written) == len(read)
    assert path.read_bytes() == sound
    assert len(list(path.parent.glob("*.damaged-*"))) == bool(told and tail)


@pytest.mark.parametrize("lost", [b"", b"\x00" * 300], ids=["empty", "zeros"])
def test_a_record_that_is_lost_is_said_by_status_and_report(
    lost: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "a/optuna")
    (tmp_path / "a/optuna/journal.log").write_bytes(lost)

    assert status.main(["--out", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    assert "a/optuna/journal.log" in told
    assert ("is empty" if not lost else "line 1 is damaged") in told
    assert told.count("\n") == 1
    assert report.main(["a", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert told.strip() in error
    assert "run the study again with study.run" in error
    assert (tmp_path / "a/optuna/journal.log").read_bytes() == lost


def test_a_record_that_was_never_there_is_nothing_to_tell(tmp_path: Path) -> None:
    said: list[str] = []
    opened(tmp_path / "new", said)
    assert said == []


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_no_file_is_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to("nowhere/at/all"),
    }[kind]()
    with pytest.raises(ConfigError, match="is no file; a study's record belongs there"):
        open_storage(folder=tmp_path)


def test_a_kill_while_the_damage_is_set_aside_loses_nothing(
    journal: bytes, states: list[list[Asked]], tmp_path: Path
) -> None:
    damaged = journal + b"null\n"
    (tmp_path / "journal.log").write_bytes(damaged)
    script = """
        import os, signal, sys
        from pathlib import Path
        from study.search import open_storage

        os.truncate = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        open_storage(folder=Path(sys.argv[1]))
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], check=False)
    assert ended.returncode == -9
    assert (tmp_path / "journal.log").read_bytes() == damaged

    said: list[str] = []
    assert trials(tmp_path, said) == states[-1]
    assert "journal.log.damaged-2" in said[0]
