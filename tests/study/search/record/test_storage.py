"""Where a record may be kept, passwords that nobody sees, and a ledger over a real PostgreSQL that comes and goes."""

from __future__ import annotations

import json
import os
import string
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from study.cells.trials import Setting
from study.cluster.access import is_loopback
from study.config import ConfigError, parse_config
from study.config.secrets import encoded, expand, has_literal_password, redacted
from study.search import Ledger, close_storage, open_storage
from study.search.record.events import EventLog
from study.search.record.locks import PostgresLock, held
from study.search.record.notes import CONFIGURATION
from study.search.record.storage import Storage, check_option, file_system, first_line
from study.tracking import Tracker
from study.tracking.store import explain, resolve
from tests.study import servers
from trainables.spec import ReplicateResult

SPACE = {"strength": (0.0, 4.0)}
MINIMAL = "study: x\ndataset: {name: digits}\n"


def result(score: float) -> ReplicateResult:
    return ReplicateResult(status="ok", scores=(score, score), losses=(1.0, 1.0), alignment={}, curve=())


def shared(strength: float) -> Setting:
    return Setting(strength_1=strength, strength_2=strength)


@contextmanager
def writing(storage: Storage, folder: Path, *, name: str = "s", waits: list[str] | None = None) -> Iterator[Ledger]:
    with held(storage, name, folder=folder, on_wait=(waits if waits is not None else []).append) as renew:
        ledger = Ledger(open_storage(storage, folder=folder), name=name, space=SPACE, renew=renew)
        try:
            ledger.take_over()
            yield ledger
        finally:
            ledger.close()


@contextmanager
def raw(storage: Storage, folder: Path) -> Iterator[BaseStorage]:
    """Optuna's own storage, as somebody else might write to it."""
    opened = open_storage(storage, folder=folder)
    try:
        yield opened
    finally:
        close_storage(opened)


@given(st.text(min_size=1))
def test_a_password_of_any_characters_reaches_the_driver(secret: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if "\0" in secret or any(0xD800 <= ord(c) <= 0xDFFF for c in secret):
            return
        patch.setenv("SECRET", secret)
        assert make_url(expand("postgresql://me:${SECRET}@host/db")).password == secret


def test_a_reference_may_name_a_file_or_the_whole_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("a/b\n")
    monkeypatch.setenv("STORAGE", "postgres://me@host/db")

    assert expand(f"postgresql://me:${{file:{tmp_path}/secret}}@host/db") == "postgresql://me:a%2Fb@host/db"
    assert Storage("${STORAGE}").address == "postgresql+psycopg://me@host/db"


@pytest.mark.parametrize("given", ["postgresql://me:${NOT_SET}@host/db", "postgresql://me:${file:/nowhere}@host/db"])
def test_a_reference_that_leads_nowhere_is_named(given: str) -> None:
    with pytest.raises(ConfigError, match=r"storage: \$\{.*(not set|cannot be read)"):
        _ = Storage(given).address


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:hunter2@host/db",
        "postgresql://host/db?user=me&password=hunter2",
        "http://a:hunter2@b",
        "postgresql://me%3Ahunter2@host/db",
        "postgresql://me@host/db?pass%77ord=hunter2",
        "postgresql://me@host/db;password=hunter2",
        "postgresql://me@host/db?options=-c%20password%3Dhunter2",
    ],
)
def test_a_password_in_the_study_file_is_refused_and_never_shown(address: str) -> None:
    assert has_literal_password(address)
    with pytest.raises(ConfigError, match="storage") as caught:
        parse_config(MINIMAL + f"storage: {address}")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in redacted(f"cannot reach {address}, sorry")


PRINTABLE = st.text(st.sampled_from(string.printable)) | st.text(st.characters(exclude_categories=["C"]))
MARKS = ("Zq7", "Xw9")  # so that a piece of a password is recognised
ADDRESSES = (
    "postgresql://al:{}@host/db",
    "postgresql://al:{}@host:5432/db?sslmode=require",
    "postgresql://:{}@host/db",
)


def leaks(text: str) -> bool:
    return any(mark in text for mark in MARKS)


@pytest.mark.parametrize("address", ADDRESSES)
@settings(max_examples=40)
@given(password=PRINTABLE)
def test_all_between_the_scheme_and_the_last_at_sign_is_a_secret(address: str, password: str) -> None:
    given = address.format(password := f"{MARKS[0]}{password}{MARKS[1]}")
    assert has_literal_password(given)
    study = {"study": "x", "dataset": {"name": "digits"}}
    for wrong in (
        {**study, "storage": given},
        {**study, "storage": [given]},
        {**study, "resources": {"checkpoints": given.replace("postgresql", "s3")}},
        {**study, given: 1},
    ):
        with pytest.raises(ConfigError) as caught:
            parse_config(json.dumps(wrong))
        assert not leaks(str(caught.value))
    for override in (f"storage={json.dumps(given)}", f"storage.a={given}", given):
        with pytest.raises(ConfigError) as caught:
            parse_config(json.dumps(study), overrides=[override])
        assert not leaks(str(caught.value))
    with pytest.raises(ConfigError) as caught:
        check_option("--tracking-uri", given)
    assert not leaks(str(caught.value))
    for told in (f"cannot reach {given}, sorry", f"{given} and {given}", f"{'x' * 190} {given}"):
        assert not leaks(redacted(told))
        assert not leaks(explain(RuntimeError(told)))
        assert not leaks(first_line(RuntimeError(told.replace("\n", " "))))
    assert not leaks(Storage(given).label)


@given(password=PRINTABLE)
def test_a_driver_is_given_the_whole_password_and_the_right_host(password: str) -> None:
    password = password.replace("%", "")  # an address may be encoded already, and a bare % begins a code
    for address in (
        encoded(f"postgresql+psycopg://al:{password}@host:5432/db"),
        f"postgresql://al:{password}@host:5432/db",
    ):
        url = make_url(encoded(encoded(address)))
        assert (url.username, url.password or "", url.host, url.port, url.database) == (
            "al",
            password,
            "host",
            5432,
            "db",
        )
    with pytest.MonkeyPatch.context() as patch:
        if "\0" not in password:
            patch.setenv("STORAGE", f"postgresql://al:{password}@host:5432/db")
            wanted = {"user": "al", "host": "host", "port": "5432", "dbname": "db"}
            parts = psycopg.conninfo.conninfo_to_dict(Storage("${STORAGE}").address.replace("+psycopg", ""))
            assert parts == ({**wanted, "password": password} if password else wanted)


@pytest.mark.parametrize(
    "given",
    [
        "al:Zq7Xw9@host/db", "postgresql:al:Zq7@host", "postgresql:/al:Zq7@host/db", "host=db password=Zq7", "al:Zq7",
        "mysql://al:Zq7#Xw9@host/db", "postgresql://al:Zq7", "postgresql://al:Zq7/Xw9", "postgresql://host/db?password=#Zq7",
        "postgresql://host/db?user=al&password=@Zq7", "postgresql://al:Zq7@host@evil:x/db", "${DB}://al:Zq7#@host/db",
        "postgresql://al:${A}Zq7@host/db", "postgresql://al:Zq7 #Xw9@host/db", "postgres://al:Zq7 #Xw9@host/db",
        "mysql://al:Zq7 #Xw9@host/db", "postgresql+psycopg2://al:Zq7 #Xw9@host/db", "sqlite://al:Zq7@host", "oracle://Zq7",
        "postgres://al:1 #Zq7@host/db", "file://al:Zq7@host", "mysql://host/db?pw=Zq7", "POSTGRESQL://al:Zq7 #Xw9@host",
    ],
)  # fmt: skip
def test_what_comes_near_to_an_address_shows_no_password_either(given: str) -> None:
    for text, overrides in ((f"storage: {given}", []), ("", [f"storage={given}"])):
        with pytest.raises(ConfigError, match="storage") as caught:
            parse_config(MINIMAL + text, overrides=overrides)
        assert not leaks(str(caught.value))


@pytest.mark.parametrize("piece", ["12", "5432", "12/3", "12?x"])
def test_an_address_that_a_comment_cuts_is_refused_whatever_is_left_of_it(piece: str) -> None:
    given = f"storage: postgresql://al:{piece} #Zq7@host/db"
    with pytest.raises(ConfigError, match=r"line 3 has an address .* comment of YAML") as caught:
        parse_config(f"{MINIMAL}{given}\n")
    assert piece not in str(caught.value)
    assert not leaks(str(caught.value))
    with pytest.raises(ConfigError, match="comment of YAML") as caught:
        parse_config(MINIMAL, overrides=[given.replace(": ", "=", 1)])
    assert not leaks(str(caught.value))


@pytest.mark.parametrize(
    "text",
    [
        "storage: postgresql://al@host/db # ask ann@lab.org", "# storage: postgresql://al:12 #Zq7@host",
        "storage: sqlite:///studies.db # ask ann@lab.org",
    ],
)  # fmt: skip
def test_comments_with_an_at_sign_are_comments(text: str) -> None:
    parse_config(f"{MINIMAL}{text}\n")


def test_a_long_text_of_addresses_ends_at_once() -> None:
    with pytest.raises(ConfigError):
        parse_config("a: " + "postgresql://x " * 16_000 + "#")


@pytest.mark.parametrize(
    "name",
    ["PGPASSWORD", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "access_token",
     "client_secret", "api_key", "X-Amz-Signature", "Password"],
)  # fmt: skip
def test_a_secret_under_any_name_is_not_shown(name: str) -> None:
    for text in (f"{name}=hunter2", f"run with {name}='hunter2 too'", f"https://host/x?a=1&{name}=hunter2&b=2"):
        told = redacted(text)
        assert "hunter2" not in told
        assert name in told
    assert redacted("tokens 3, secrets none, seed=3 batch_size=4") == "tokens 3, secrets none, seed=3 batch_size=4"


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8265 is", "(http://h:80).", "'http://h:80'", "http://h:80: no", "http://[::1]:80/",
        "postgresql://${HOST}:${PORT}/db", "postgresql://a:1,b:2/db", "sqlite:////home/a:b@c", "file:///home/a:b@c",
    ],
)  # fmt: skip
def test_hosts_ports_and_files_are_shown(text: str) -> None:
    assert redacted(text) == text


def test_half_an_address_with_a_password_is_not_shown_wherever_it_stands() -> None:
    for key in ("encoder.kind", "training.epochs"):
        for scheme in ("postgres", "mysql", "sqlite"):
            with pytest.raises(ConfigError) as caught:
                parse_config(MINIMAL, overrides=[f"{key}={scheme}://al:Zq7 #Xw9@host/db"])
            assert not leaks(str(caught.value))


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://host/db", "postgresql://al@host:5432/db", "postgresql://al@[::1]:5432/db", "postgresql://al:${A}@host/db",
        "postgresql://al:${file:/a}@${HOST}:${PORT}/db?sslmode=require", "postgresql://al@a:1,b:2/db", "postgresql:///db?host=/tmp",
        "sqlite:////home/a:b@c/record.db", "${STORAGE}", "journal", "postgresql://host/db?options=a@b",
    ],
)  # fmt: skip
def test_addresses_without_a_password_are_taken(given: str) -> None:
    assert parse_config(MINIMAL + f"storage: {given}").storage == given


@pytest.mark.parametrize("key", ["encoder.kind", "pid.estimator", "study", "pairs", "training.epochs"])
def test_an_address_in_the_wrong_place_shows_no_password(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(MINIMAL, overrides=[f"{key}='postgresql://al:Zq7/#?Xw9@host/db'"])
    assert not leaks(str(caught.value))


@given(password=PRINTABLE)
def test_mlflow_is_given_the_whole_password_and_the_right_host(password: str) -> None:
    password = password.replace("%", "")  # as above
    for scheme in ("postgresql", "postgres", "mysql+pymysql", "mssql+pyodbc"):
        url = make_url(resolve(f"{scheme}://al:{password}@host:5432/db")[0])
        assert (url.password or "", url.host, url.port, url.database) == (password, "host", 5432, "db")


@pytest.mark.parametrize(
    "uri",
    [
        "databricks://al:Zq:7kWx@x", "http://al:Zq7/kWx#Xw9@127.0.0.1:9", "postgres://al:Zq7#X?Xw9@127.0.0.1:9/db",
        "postgresql://al:Zq7/Xw9@127.0.0.1:9/db", "sqlite://al:Zq7@host", "mysql://al:Zq7#Xw9@host/db", "http://al:Zq7",
        "oracle://al:Zq7/Xw9@host",
    ],
)  # fmt: skip
def test_a_tracking_address_that_does_not_answer_shows_no_piece_of_its_password(uri: str) -> None:
    tracker = Tracker(uri, deadline=1)
    told = f"{tracker.prepare().problem} {tracker.hint()}"
    assert "does not show all of the study" in told
    assert not [piece for piece in (*MARKS, "7kWx", "Zq") if piece.casefold() in told.casefold()]


def test_an_event_shows_no_password_however_deep_it_stands(tmp_path: Path) -> None:
    EventLog(tmp_path, study="x").emit("e", {"a": [{"b": "postgresql://al:Zq7#/?Xw9@host/db"}], "c": "http://a:Zq7/@b"})

    assert not leaks((tmp_path / "events.jsonl").read_text())


@pytest.mark.parametrize(
    "address", ["http://[x", "ray://127.0.0.1@elsewhere:1", "[", "a:b:c", "ray://x:y@[::2]:1", "@", ""]
)
def test_an_odd_address_is_elsewhere(address: str) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:6379", "ray://localhost:10001", "[::1]:6379", "ray://a:b@127.0.0.2:1", "local"]
)
def test_an_address_of_this_machine_is_recognised(address: str) -> None:
    assert is_loopback(address)


def test_a_secret_is_read_from_no_pipe_and_no_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(ValueError, match="cannot be read"):
            expand(f"postgresql://al:${{file:{path}}}@host/db")


def test_where_the_record_lies_is_no_part_of_what_the_study_is() -> None:
    assert parse_config(MINIMAL).hash == parse_config(MINIMAL + "storage: postgresql://host/db").hash


@pytest.mark.parametrize("address", ["mysql://host/db", "redis://host", "file.db", "sqlite:/x"])
def test_other_databases_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="journal, sqlite:///FILE or postgresql://"):
        parse_config(MINIMAL + f"storage: {address}")


def test_files_are_refused_on_network_file_systems_and_on_clusters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / {tmp_path}/share rw shared:1 - nfs4 host:/x rw\n")
    assert file_system(tmp_path / "share/a/b", mounts=mounts) == "nfs4"
    assert file_system(tmp_path / "shared", mounts=mounts) == "ext4"
    monkeypatch.setattr("study.search.record.storage.file_system", lambda path: file_system(path, mounts=mounts))

    for address in ("journal", f"sqlite:///{tmp_path}/share/x.db"):
        with pytest.raises(ConfigError, match=r"network file system \(nfs4\).*postgresql://"):
            Storage(address).check_file_system(tmp_path / "share")
        with pytest.raises(ConfigError, match=r"3 nodes.*postgresql://"):
            Storage(address).check_nodes(3)
        Storage(address).check_nodes(1)
    Storage("journal").check_file_system(tmp_path)
    Storage("postgresql://host/db").check_file_system(tmp_path / "share")
    Storage("postgresql://host/db").check_nodes(200)


def test_two_coordinators_of_one_sqlite_file_exclude_each_other(tmp_path: Path) -> None:
    storage = Storage(f"sqlite:///{tmp_path}/record.db")
    with (
        writing(storage, tmp_path / "a"),
        pytest.raises(ConfigError, match=r"s in sqlite.*is being run already \(process"),
        writing(storage, tmp_path / "b"),
    ):
        pass


class TestPostgres:
    @pytest.fixture
    def storage(self, postgres: Any, request: pytest.FixtureRequest) -> Storage:
        return Storage(postgres.database(f"t{abs(hash(request.node.name))}"))

    def test_the_record_is_that_of_a_journal(self, storage: Storage, tmp_path: Path) -> None:
        settings = [shared(value) for value in (0, 1, 3)]
        kept = []
        for place in (storage, Storage()):
            with writing(place, tmp_path) as ledger:
                for asked in ledger.ask("a", "shared", round_=0, settings=settings, replicates=range(2)):
                    ledger.record("a", asked, {0: result(asked.setting.strength_1)})
                ledger.set_note(CONFIGURATION, {"a": [1, None]})
            with writing(place, tmp_path) as ledger:
                for asked in ledger.trials("a", "shared"):
                    ledger.record("a", asked, {0: result(9), 1: result(float("nan"))})
                kept.append((ledger.trials("a", "shared"), ledger.note(CONFIGURATION)))
        assert repr(kept[0]) == repr(kept[1])

    def test_a_second_coordinator_is_refused_and_told_who_has_the_study(self, storage: Storage, tmp_path: Path) -> None:
        with writing(storage, tmp_path):
            with writing(storage, tmp_path, name="another"):
                pass
            with pytest.raises(ConfigError, match=r"being run already \(align-study .*:\d+, since 2"):
                PostgresLock(storage, "s").held().__enter__()
        with writing(storage, tmp_path):
            pass

    def test_wrong_passwords_hosts_and_databases_are_one_line_without_the_password(
        self, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WRONG", "hunter2")
        for address in (
            storage.given.replace("align@", "align:${WRONG}@"),
            "postgresql://align@127.0.0.1:9/x",
            storage.given + "-not-there",
        ):
            with (
                pytest.raises(ConfigError, match="cannot reach the storage") as caught,
                writing(Storage(address), tmp_path),
            ):
                pass
            assert "\n" not in str(caught.value)
            assert "hunter2" not in str(caught.value)

    def test_tables_are_made_once_by_many_at_the_same_time(self, storage: Storage, tmp_path: Path) -> None:
        problems: list[BaseException] = []

        def open_() -> None:
            try:
                close_storage(open_storage(storage, folder=tmp_path))
            except BaseException as error:  # noqa: BLE001
                problems.append(error)

        threads = [threading.Thread(target=open_) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []

    @pytest.mark.parametrize("crash", [False, True])
    def test_writing_waits_for_a_server_that_is_away_and_repeats_nothing(
        self, storage: Storage, postgres: Any, tmp_path: Path, crash: bool
    ) -> None:
        waits: list[str] = []
        with writing(storage, tmp_path, waits=waits) as ledger:
            first, *_ = ledger.ask("a", "shared", round_=0, settings=[shared(0)], replicates=range(2))
            ledger.record("a", first, {0: result(1)})
            postgres.stop(crash=crash)
            back = threading.Timer(1.5, postgres.start)
            back.start()
            start = time.monotonic()
            ledger.record("a", first, {1: result(2)})
            assert time.monotonic() - start > 1
            back.join()
            ledger.ask("a", "shared", round_=1, settings=[shared(1)], replicates=range(2))
        assert len(waits) == 1
        assert "does not answer" in waits[0]
        with writing(storage, tmp_path) as again:
            trials = again.trials("a", "shared")
            assert [(t.round, sorted(t.results)) for t in trials] == [(0, [0, 1]), (1, [])]

    def test_a_transaction_whose_answer_is_lost_is_not_written_twice(
        self, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with writing(storage, tmp_path) as ledger:
            create, lost = RDBStorage.create_new_trial, [True, True, False]

            def create_and_lose(*arguments: Any) -> int:
                number = create(*arguments)
                if lost.pop(0):
                    raise OperationalError("INSERT", {}, psycopg.OperationalError("the connection is lost"))
                return number

            monkeypatch.setattr(RDBStorage, "create_new_trial", create_and_lose)
            asked = ledger.ask("a", "shared", round_=0, settings=[shared(0), shared(1), shared(2)], replicates=range(1))
            for trial in asked:
                ledger.record("a", trial, {0: result(trial.setting.strength_1)})
        with writing(storage, tmp_path) as again:
            assert [t.results[0].scores[0] for t in again.trials("a", "shared")] == [0, 1, 2]

    def test_a_trial_that_was_made_twice_is_read_once_with_its_results(self, storage: Storage, tmp_path: Path) -> None:
        with writing(storage, tmp_path) as ledger:
            ledger.ask("a", "shared", round_=0, settings=[shared(1)], replicates=range(2))
        with raw(storage, tmp_path) as database:
            study = database.get_study_id_from_name("s/a/shared")
            number = database.create_new_trial(study, database.get_all_trials(study)[0])
            database.set_trial_user_attr(number, "results:0", {"0": result(5).to_json()})
        for _ in range(2):
            with writing(storage, tmp_path) as again:
                (trial,) = again.trials("a", "shared")
                assert trial.missing == (1,)
            with raw(storage, tmp_path) as database:
                trials = database.get_all_trials(database.get_study_id_from_name("s/a/shared"))
                assert [t.state.name for t in trials] == ["FAIL", "RUNNING"]

    def test_a_coordinator_that_was_cut_off_while_another_one_ran_stops(
        self, storage: Storage, postgres: Any, tmp_path: Path
    ) -> None:
        with writing(storage, tmp_path / "a") as ledger:
            (asked,) = ledger.ask("a", "shared", round_=0, settings=[shared(0)], replicates=range(2))
            postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'align-%'")
            with writing(storage, tmp_path / "b"), pytest.raises(ConfigError, match="being run already"):
                ledger.record("a", asked, {0: result(1)})
            with pytest.raises(ConfigError, match="another coordinator ran the study"):
                ledger.record("a", asked, {0: result(1)})

    def test_names_of_cells_are_data_not_sql(self, storage: Storage, tmp_path: Path) -> None:
        cell = "x'); DROP TABLE trials; --/\"${PGPASSWORD}\\%s"
        with writing(storage, tmp_path) as ledger:
            ledger.ask(cell, "shared", round_=0, settings=[shared(0)], replicates=range(1))
        with writing(storage, tmp_path) as again:
            assert len(again.trials(cell, "shared")) == 1


def test_the_server_of_the_tests_asks_for_its_password(postgres: Any) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.database("postgres-test"), password="wrong")
    psycopg.connect(postgres.with_password(postgres.database("postgres-test"))).close()
    assert set("@/:#? '\"%") <= set(servers.PASSWORD)


def test_a_record_that_would_end_with_the_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORD", "sqlite:///")
    with pytest.raises(ConfigError, match="is no file: SQLite keeps it in memory"):
        open_storage(Storage("${RECORD}"), folder=tmp_path)


@pytest.mark.parametrize("place", ["none/x.db", "file/x.db"])
def test_a_database_in_a_folder_that_is_not_there_is_one_line(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigError, match=r"is to lie: .*; make that folder, or change the address"),
        held(Storage(f"sqlite:///{tmp_path / place}"), "x", folder=tmp_path),
    ):
        pass


def test_a_file_of_a_name_that_none_can_have_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot open the storage sqlite:///%00x: embedded null byte"):
        open_storage(Storage("sqlite:///%00x"), folder=tmp_path)


def test_a_database_has_one_lock_however_its_address_is_written(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "x.db")
    for other in ("x.db?timeout=3", "link.db", "../" + tmp_path.name + "/x.db"):
        with (
            held(Storage(f"sqlite:///{tmp_path / 'x.db'}"), "x", folder=tmp_path),
            pytest.raises(ConfigError, match="is being run already"),
            held(Storage(f"sqlite:///{tmp_path / other}"), "x", folder=tmp_path),
        ):
            pass
