"""Which Ray clusters may be reached without a token, and the token that the others are reached with."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import shlex
import tempfile
from pathlib import Path

from study.config import ConfigError
from study.config.secrets import redacted, split_address

MODE = "RAY_AUTH_MODE"
_TOKEN, _PATH = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_GENERATE = "`(umask 077 && ray get-auth-token --generate > /dev/null)`"  # others may read what another umask makes


def check_token(address: str | None) -> None:
    """Use the token that is there. A cluster elsewhere is reached with one, or not at all: who reaches Ray without one
    can run anything on it. One on this machine may do without; None stands for a Ray that is yet to be started here.

    Must be called before Ray is imported, which reads its mode then.

    Raises:
        ConfigError: there is no token where one is needed, and RAY_AUTH_MODE does not say `disabled`.
    """
    mode = os.environ.get(MODE, "").lower()
    if mode == "disabled":
        return
    if mode not in ("", "token"):
        raise ConfigError(f"{MODE} is {mode!r}, which Ray takes for disabled; set it to token or disabled, or unset it")
    if token_source() is not None:
        if address is not None:
            os.environ[MODE] = "token"
        return
    path = os.environ.get(_PATH)
    if address is None:
        if path:  # with which Ray ends the process
            raise ConfigError(f"{_PATH} names {path}, which is no file that holds a token; correct it or unset it")
        return
    named = _named()
    if not is_loopback(address):
        raise ConfigError(
            f"the Ray cluster at {redacted(address)} is not on this machine and there is no token for it{named}; set "
            f"{_PATH} to the file that its head was started with (made by {_GENERATE}), "
            f"or {MODE}=disabled if nobody else can reach it"
        )
    if mode == "token":
        raise ConfigError(f"{MODE} is token and there is no token{named}; make one by {_GENERATE}, or set {_PATH}")


def refused_token(source: str | None) -> str:
    """What a cluster does that asks for another token than that of `source`, or for one where there is none."""
    remedy = f"set {_PATH} to the file of its head's"
    if source is None:
        return f"asks for a token and there is none here{_named()}; {remedy}"
    return f"refuses the token in {source}; {f'unset {_TOKEN}, and ' if source == _TOKEN else ''}{remedy}"


def _named() -> str:
    path = os.environ.get(_PATH)
    return f" ({_PATH} names {path}, which is no file that holds one)" if path else ""


def token_source() -> str | None:
    """Where Ray takes its token from: a variable's name or a file's path; None where there is no token.

    A file that RAY_AUTH_TOKEN_PATH names stands for the usual one even where it is missing.
    """
    if os.environ.get(_TOKEN):
        return _TOKEN
    path = Path(os.environ.get(_PATH) or _usual())
    with contextlib.suppress(OSError):
        if path.read_text(encoding="utf-8", errors="replace").strip():
            return str(path)
    return None


def token_doubt() -> str | None:
    """A line on a file whose token others may read: who reads it can run anything as this user. None for any other."""
    source = token_source()
    if os.environ.get(MODE, "").lower() == "disabled" or source in (None, _TOKEN):
        return None
    with contextlib.suppress(OSError):
        if os.stat(source).st_mode & 0o077:
            others = f"other users can read {source} and run code as you"
            return f"warning: {others}; fix it with chmod 600 {shlex.quote(source)}"
    return None


def make_token() -> None:
    """Make the token of a Ray that is to be started here, if it needs one and there is none: readable for us alone.

    Where the usual file cannot be written, this process and those that it starts have one of their own.
    """
    if os.environ.get(MODE, "").lower() == "disabled" or token_source() is not None:
        return
    token, target = secrets.token_hex(32), _usual()
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.")  # 0600
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(token)
            try:
                os.link(name, target)  # whole or not at all, and nobody else's that has come meanwhile is replaced
            except FileExistsError:
                if not target.read_bytes().strip():
                    os.replace(name, target)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError:
        os.environ[_TOKEN] = token


def is_loopback(address: str) -> bool:
    """Whether an address leads nowhere but to this machine; `auto` and `local` do."""
    if address in ("auto", "local"):
        return True
    host = split_address(address).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _usual() -> Path:
    return Path(os.environ.get("HOME") or Path.home()) / ".ray" / "auth_token"
