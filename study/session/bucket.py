"""The folder of all studies in a bucket: a copy of what a study needs, on this machine, which goes back there.

The record cannot lie there, for nothing can be appended to a file of a bucket; PostgreSQL keeps it, and the lock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from study.config import ConfigError, StudyConfig
from study.config.folder import CHECKPOINTS, StudyFolder
from study.search.record.storage import Storage
from trainables.saving.place import Place
from trainables.saving.scratch import clear_scratch, scratch

PUSH_SECONDS = 20.0  # between two uploads of what has changed; so much of the log is lost with the driver's machine
_TRIES, _WAIT_SECONDS = 4, 1.0  # of the last upload, with waits that double
_REMEDY = "see that the bucket is there, and set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL for it"
Out = Path | Place  # of `study.config.folder.out_of`: the folder of all studies, on this machine or in a bucket


def check_record(config: StudyConfig, out: Out) -> None:
    """See that a study whose folder lies in a bucket keeps its record elsewhere, where every machine finds it.

    Raises:
        ConfigError: it does not.
    """
    if isinstance(out, Place) and Storage(config.storage).kind != "postgresql":
        raise ConfigError(
            f"a study in {out} keeps its record in PostgreSQL, for a file of a bucket cannot be appended to; "
            "write storage: postgresql://USER@HOST/DATABASE into the study file, or give a folder with --out"
        )


@dataclass(frozen=True)
class Home:
    """The folder of all studies as one on this machine, see `at_hand`."""

    folder: Path
    _copy: _Copy | None = None

    def spelt(self, line: str) -> str:
        """A line with the folder's name as the user gave it."""
        return line if self._copy is None else line.replace(str(self.folder), str(self._copy.place))

    def kept(self, study: str) -> Place | None:
        """The place in a bucket that a study's folder is a copy of; None where it is none."""
        return None if self._copy is None else self._copy.place.below(study)

    def fetch(self) -> None:
        """Have what a bucket holds by now, as another machine may have written it until this one had the study.

        Raises:
            ConfigError: it cannot be read.
        """
        if self._copy is not None:
            self._copy.fetch()

    def push(self) -> None:
        """Have all that changed in the bucket, at once.

        Raises:
            ConfigError: it cannot be written.
        """
        if self._copy is not None:
            self._copy.finish()


@contextmanager
def at_hand(out: Out, studies: Sequence[str], *, say: Callable[[str], object], writes: bool = True) -> Iterator[Home]:
    """The folder of all studies as one on this machine.

    Of a bucket that is a copy of the folders of `studies`, or without any of all reports, and of what the page over all
    studies needs. What changes there while the context lasts is in the bucket soon after, and at its end all of it.

    Args:
        out: the folder of all studies.
        studies: by name.
        say: is told, in a line, of uploads that fail while the study goes on, or after it failed itself.
        writes: whether anything is to change; else the copy is of what lies in a study's folder itself, not below.

    Raises:
        ConfigError: the bucket cannot be read or written, or a name is none of a study.
    """
    if isinstance(out, Path):
        yield Home(out)
        return
    for name in studies:
        if "/" in name or name in (".", ".."):
            raise ConfigError(f"{name} is no name of a study in {out}; give that alone")
    clear_scratch()
    with scratch() as folder:
        copy = _Copy(out, folder, studies, deep=writes)
        home = Home(folder, copy)
        copy.fetch()
        if not writes:
            yield home
            return
        copy.check_writable()
        try:
            with copy.kept_up(say):
                yield home
        except BaseException as error:
            try:
                copy.finish()
            except ConfigError as unwritten:
                say(str(unwritten))
            if isinstance(error, ConfigError):
                raise ConfigError(home.spelt(str(error))) from None
            raise
        copy.finish()


class _Copy:
    """Files of the bucket `place` in the folder `folder`, and what of each is in both."""

    def __init__(self, place: Place, folder: Path, studies: Sequence[str], *, deep: bool) -> None:
        self.place, self._folder, self._studies, self._deep = place, folder, studies, deep
        self._lock = threading.RLock()  # of both that follow
        self._known: dict[str, tuple[int, int]] = {}  # bytes and time, here, of what the bucket has
        self._fetched: dict[str, tuple[int, float]] = {}  # bytes and time, there, of what was copied from there

    def fetch(self) -> None:
        """Copy what is needed of the bucket, and has changed there since the last time."""
        try:
            self._fetch(self._is_needed)
        except OSError as error:
            raise ConfigError(f"cannot read {self.place}: {_reason(error)}; {_REMEDY}") from None
        if not self._deep and not self._known:  # a list of no bucket is as empty as that of an empty one
            raise ConfigError(f"there is no study in {self.place}; {_REMEDY}")

    def check_writable(self) -> None:
        """See that a file can be left in the bucket, before anything is trained."""
        probe = self._folder / f".{self._folder.name.strip('.')}"
        try:
            probe.write_bytes(b"")
            self.place.upload(probe, probe.name)
            self.place.remove(probe.name)
        except OSError as error:
            raise ConfigError(f"cannot write {self.place}: {_reason(error)}; {_REMEDY}") from None
        finally:
            probe.unlink(missing_ok=True)

    @contextmanager
    def kept_up(self, say: Callable[[str], object]) -> Iterator[None]:
        """Upload what has changed, again and again, for as long as the context lasts."""
        ended = threading.Event()

        def push() -> None:
            told = False
            while not ended.wait(PUSH_SECONDS):
                try:
                    with self._lock:
                        self._fetch(
                            self._is_others_card
                        )  # for the page over all studies, which is written now and then
                        self._push()
                    told = False
                except OSError as error:
                    if not told:
                        say(f"{self.place} cannot be written ({_reason(error)}); the study goes on meanwhile")
                    told = True

        pushing = threading.Thread(target=push, daemon=True, name="uploads")
        pushing.start()
        try:
            yield
        finally:
            ended.set()
            pushing.join()

    def finish(self) -> None:
        """Upload all that has changed, and a page over all studies that knows those that have ended meanwhile."""
        for attempt in range(_TRIES):
            try:
                with self._lock:
                    self._push()
                    if self._fetch(self._is_others_card):
                        from study.results.writing import write_index  # for which matplotlib and SciPy are imported

                        write_index(self._folder)
                        self._push()
                return
            except OSError as error:
                if attempt == _TRIES - 1:
                    raise ConfigError(
                        f"cannot write {self.place}: {_reason(error)}; run the same command again once it "
                        "can be: nothing is lost but the latest lines of the log"
                    ) from None
                time.sleep(_WAIT_SECONDS * 2**attempt)

    def _fetch(self, is_asked: Callable[[str], bool]) -> bool:
        """Copy the files asked for that have changed in the bucket since the last time; whether there were any."""
        with self._lock:
            moved = {
                name: there
                for name, there in self.place.tree().items()
                if _goes_there(name) and is_asked(name) and self._fetched.get(name) != there
            }
            for name, there in moved.items():
                self.place.download(name, self._folder / name)
                os.utime(self._folder / name, (there[1], there[1]))  # the page over all studies tells it
                self._known[name], self._fetched[name] = _state(self._folder / name), there
        return bool(moved)

    def _push(self) -> None:
        if not self._folder.is_dir():  # somebody has cleared the machine's temporary files
            return
        here = {str(path.relative_to(self._folder)): path for path in self._folder.rglob("*") if path.is_file()}
        for name, path in here.items():
            if not _goes_there(name):
                continue
            try:
                state = _state(path)
                if self._known.get(name) != state:
                    self.place.upload(path, name)
            except FileNotFoundError:
                if path.exists():  # so that it is the bucket that is not there
                    raise
                continue
            self._known[name] = state
        for name in [name for name in self._known if name not in here]:
            self.place.remove(name)
            del self._known[name]

    def _is_others_card(self, name: str) -> bool:
        return _is_card(name) and PurePosixPath(name).parts[0] not in self._studies

    def _is_needed(self, name: str) -> bool:
        parts = PurePosixPath(name).parts
        if self._studies:
            return _is_card(name) or (parts[0] in self._studies and (self._deep or len(parts) == 2))
        return _is_card(name) or parts[1:] == (StudyFolder(Path()).report.name,)


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _is_card(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return len(parts) == 2 and parts[1] == StudyFolder(Path()).card.name


def _goes_there(name: str) -> bool:
    """Whether a file is of a study, and not of one of its processes or half-written."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):  # of another program; it must not lead out of the folder
        return False
    if name.endswith(".tmp") or (len(parts) > 1 and parts[1] == CHECKPOINTS):
        return False
    return not parts[-1].startswith(".") or parts[-1] == ".written.json"


def _reason(error: OSError) -> str:
    """What an error of the store says, without the parts that name our own calls."""
    return " ".join((error.strerror or str(error)).split())[:300]
