"""Which Ray clusters may be reached without a token: those of this machine alone."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from study.config import ConfigError
from study.config.secrets import redacted, split_address


def check_token(address: str) -> None:
    """Reach a cluster elsewhere with a token, or not at all: who reaches Ray without one can run anything on it.

    Must be called before Ray is imported, which reads its mode then.

    Raises:
        ConfigError: there is no token, and RAY_AUTH_MODE does not say `disabled`.
    """
    if is_loopback(address) or os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return
    kept = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not os.environ.get("RAY_AUTH_TOKEN") and not kept.is_file():
        raise ConfigError(
            f"the Ray cluster at {redacted(address)} is not on this machine and there is no token for it; set "
            "RAY_AUTH_TOKEN_PATH to the file that its head was started with (made by `ray get-auth-token --generate`), "
            "or RAY_AUTH_MODE=disabled if nobody else can reach it"
        )
    os.environ.setdefault("RAY_AUTH_MODE", "token")


def is_loopback(address: str) -> bool:
    """Whether an address leads nowhere but to this machine; `auto` and `local` do."""
    if address in ("auto", "local"):
        return True
    host = split_address(address).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
