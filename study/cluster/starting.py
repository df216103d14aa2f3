"""Ray, started on this machine for one study; every way in which that fails, in a line.

It listens on loopback alone. What a killed driver's Ray leaves running, the next start ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private import ray_constants, services, worker
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

from study.cluster.access import make_token, token_doubt
from study.cluster.guest import environment
from study.config import ConfigError
from trainables.saving.scratch import clear_scratch, scratch

LANE = "lane"  # a resource that tells workers apart, see `study.cluster.lanes`; of no other meaning
_PLENTY = 10**6
_DRIVER = "ALIGN_STUDY_DRIVER"  # in the environment of all that a start of Ray starts: whose they are
_MARK_FILE = "align_study_driver"  # the same, in the folder of Ray's session
_SESSION = re.compile(r"(/.*/session_[0-9_-]+)/logs/")
_NAMED = "ray::"  # begins the name of a process that has named itself
_ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # where it is off, a node's own address is 127.0.0.1
_LONGEST_SOCKET = 107  # bytes, by the kernel
_SOCKET = "ray/session_2000-01-01_00-00-00_000000_{pid}/sockets/plasma_store"
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


def start_here(*, cpus: int, store_bytes: int, say: Callable[[str], object], stack: ExitStack) -> None:
    """Start Ray on this machine; a second time, in a short folder, if the first fails, as on a busy machine it may.

    `stack` removes what must be kept as long as Ray runs.

    Raises:
        ConfigError: it does not start.
    """
    if ray.is_initialized():
        raise ConfigError("cannot reach Ray on this machine: this process has one already; leave that first")
    say("starting Ray on this machine …")
    make_token()
    if doubt := token_doubt():
        say(doubt)
    read_access_anew()
    end_abandoned()
    for known in (tempfile.gettempdir(), *_SHORT_FOLDERS):
        clear_scratch(known)
    fits = len(os.fsencode(Path(_usual_folder(), _SOCKET.format(pid=os.getpid())))) <= _LONGEST_SOCKET
    for attempt in (1, 2):
        try:
            folder = None if attempt == 1 and fits else str(stack.enter_context(_short_folder()))
            with _signals_held(), on_loopback(), environment({_DRIVER: _own_mark()}):
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    resources={LANE: _PLENTY},
                    object_store_memory=store_bytes,
                    include_dashboard=False,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    _temp_dir=folder,
                )
                _mark_session()
            return
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - Ray raises the bare class where a node does not start in its 30 s
            ray.shutdown()
            end_own()
            if attempt == 2:
                raise ConfigError(
                    f"Ray did not start on this machine, twice ({first_words(error)}); wait until it is less busy or "
                    "make room where temporary files lie, and run the same command again"
                ) from None
            say(f"Ray did not start ({first_words(error)[:120]}); once more …")


def end_abandoned() -> None:
    """End what the Rays of killed drivers left running: their agents wait for more than a minute."""
    for process, driver in _marked_processes():
        number, _, began = driver.partition("-")
        if not number.isdigit() or _began(int(number)) != began:
            _kill(process)


def end_own() -> None:
    """End what a start of Ray by this process left running."""
    for process, driver in _marked_processes():
        if driver == _own_mark():
            _kill(process)


def _usual_folder() -> str:
    """The folder in which Ray makes its own."""
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A folder whose sockets have paths that the kernel takes."""
    for folder in dict.fromkeys((*_SHORT_FOLDERS, tempfile.gettempdir())):
        if len(os.fsencode(folder)) < 20 and os.access(folder, os.W_OK | os.X_OK):
            with scratch(folder) as path:
                yield path
            return
    raise ConfigError(
        f"Ray's sockets need a folder of a short name and none of {', '.join(_SHORT_FOLDERS)} can be written; "
        "set RAY_TMPDIR to one"
    )


@contextmanager
def on_loopback() -> Iterator[None]:
    """Let this machine's address be that of loopback, for this process and those that it starts."""
    was, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        with environment({_ON_LOOPBACK: "0"}):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = was


def read_access_anew() -> None:
    """Let Ray read the environment's mode and token now; it keeps what it found when this process first asked."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _own_mark() -> str:
    return f"{os.getpid()}-{_began(os.getpid())}"


def _began(number: int) -> str | None:
    """When the process of this number began, in the kernel's ticks; None where there is none, or it has ended."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the state, and so on
    return None if fields[0] in "ZX" else fields[19]


def _mark_session() -> None:
    node: Any = worker.global_worker.node
    with contextlib.suppress(OSError):  # what is in the environment does mostly
        Path(node.get_session_dir_path(), _MARK_FILE).write_text(_own_mark(), encoding="ascii")


def _marked_processes() -> list[tuple[psutil.Process, str]]:
    """Processes of this user that a start of Ray by a study started, with their driver's mark."""
    marked = []
    for process in psutil.process_iter():
        try:
            if (driver := _driver_of(process)) is not None:
                marked.append((process, driver))
        except (psutil.Error, OSError):
            continue
    return marked


def _driver_of(process: psutil.Process) -> str | None:
    environment = _environment(process)
    if _DRIVER in environment:
        return environment[_DRIVER] if _is_of_ray(process, environment) else None
    return _mark_of_session(process) if process.name().startswith(_NAMED) else None


def _mark_of_session(process: psutil.Process) -> str | None:
    """The mark in the folder whose logs a process has open."""
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it closes some meanwhile; not every session is marked
            if match := _SESSION.match(os.readlink(entry)):
                return Path(match[1], _MARK_FILE).read_text(encoding="ascii", errors="replace")
    return None


def _environment(process: psutil.Process) -> dict[str, str]:
    """The environment that a process was started with, as far as it is left.

    A process that names itself, as Ray's agents do, writes NULs over the start of its own, where psutil stops reading:
    over some hundred bytes, in which the mark may lie.
    """
    block = Path(f"/proc/{process.pid}/environ")
    if not block.exists():
        return process.environ()
    parts = (os.fsdecode(part).partition("=") for part in block.read_bytes().split(b"\0") if b"=" in part)
    return {name: value for name, _, value in parts}


def _is_of_ray(process: psutil.Process, environment: dict[str, str]) -> bool:
    if "RAY_RAYLET_PID" in environment or process.name().startswith(_NAMED):
        return True
    return any(services.RAY_PATH in word for word in process.cmdline())


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill()
        process.wait(5)


def first_words(error: BaseException) -> str:
    """What an exception says, on one line of bounded length, without the traceback that it may quote."""
    said, _, _ = str(error).partition("Traceback (most recent call last)")
    return " ".join(said.split())[:300] or type(error).__name__


@contextmanager
def _signals_held() -> Iterator[None]:
    """Deliver SIGINT and SIGTERM after the context: interrupted while it starts, Ray leaves processes behind.

    Their handlers are as before then, whatever Ray has put there (for SIGTERM, one that exits at once).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before: dict[int, Any] = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it was not Python's
                signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)
