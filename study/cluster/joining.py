"""Ray, joined where it runs already; every way in which that fails, in a line."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import ray
from ray._private import services
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.exceptions import AuthenticationError, RayError

from study.cluster.access import MODE, is_loopback, refused_token, token_doubt, token_source
from study.cluster.guest import put_back
from study.cluster.starting import first_words, on_loopback, read_access_anew
from study.config import ConfigError
from trainables.saving.scratch import clear_scratch

_CONNECT_SECONDS = 10.0


def join(address: str, *, say: Callable[[str], object], stack: ExitStack) -> None:
    """Join the cluster whose head is at `address` (HOST:PORT, or `auto`); `stack` ends what holds while it is joined.

    Raises:
        ConfigError: nobody is there, or asks for another token, or is of another version.
    """
    say(f"joining Ray at {address} …")
    clear_scratch()
    where = f"cannot reach the Ray cluster at {address}"
    if "://" in address:
        raise ConfigError(f"{where}: --address is HOST:PORT of its head, or auto; URLs are for study.submit")
    if doubt := token_doubt():
        say(doubt)
    stack.callback(_set_mode, os.environ.get(MODE))
    try:
        if address != "auto":
            _check_answers(address, where)
        with on_loopback() if _is_on_loopback_alone(address) else contextlib.nullcontext():
            head = services.canonicalize_bootstrap_address_or_die(address)
            if address == "auto":  # which also finds what listens on another address of this machine, or no more
                where = f"{where}, which is {head} here"
                _check_answers(head, where)
            _agree(head, where, is_here=is_loopback(address))
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except ConfigError:
        raise
    except (RuntimeError, ValueError, OSError, RayError) as error:
        raise ConfigError(f"{where}: {first_words(error)}; check --address, or leave it out") from None


def _check_answers(address: str, where: str) -> None:
    host, port = _parts(address, where)
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except socket.gaierror:
        raise ConfigError(f"{where}: there is no host called {host}; check --address, or leave it out") from None
    except (OSError, OverflowError) as error:
        problem = "it does not answer" if isinstance(error, TimeoutError) else "nobody is there"
        raise ConfigError(
            f"{where}: {problem}; start its head (ray start --head), check --address, or leave it out"
        ) from None


def _parts(address: str, where: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ConfigError(f"{where}: it has no port; give HOST:PORT of its head, as 127.0.0.1:6379, or auto")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _is_on_loopback_alone(address: str) -> bool:
    """Whether a head on this machine cannot be reached by the machine's own address, which Ray would take."""
    if address == "auto" or not is_loopback(address):
        return False
    with contextlib.suppress(OSError, ValueError):
        host, port = services.extract_ip_port(services.canonicalize_bootstrap_address(address))
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
        return False
    return True


def _agree(address: str, where: str, *, is_here: bool) -> None:
    """Ask for a token exactly if the head does: otherwise one of the two refuses the other's calls."""
    mode = os.environ.get(MODE)
    _set_mode("disabled")
    if _admits(address, where):
        if not is_here and (mode or "").lower() == "token":
            raise ConfigError(
                f"{where}: it asks for no token, so that who reaches it can run anything on it; start it with {MODE}="
                f"token, or set {MODE}=disabled if nobody else can reach it"
            )
        return
    _set_mode(mode)
    if (mode or "").lower() != "token" or not _admits(address, where):
        source = token_source()
        if (mode or "").lower() == "disabled":
            problem = f"it asks for a token and {MODE} is disabled; unset that"
        else:
            problem = f"it {refused_token(source)}"
        raise ConfigError(f"{where}: {problem}")


def _set_mode(mode: str | None) -> None:
    put_back(MODE, mode)
    read_access_anew()


def _admits(address: str, where: str) -> bool:
    """Whether a head admits this process as it is. Asks once; `ray.init` would twenty times, with a warning each."""
    try:
        with _silent():
            GcsClient(address=address)
    except AuthenticationError:
        return False
    except RayError:
        raise ConfigError(f"{where}: what answers there is no head of Ray; check the port (6379 is usual)") from None
    return True


@contextmanager
def _silent() -> Iterator[None]:
    """Drop what Ray's own code writes to standard error, past Python."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
