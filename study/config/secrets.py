"""Passwords in addresses: written as references, expanded where they are used, and taken out of what is shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

_REFERENCE = re.compile(r"\$\{(?:file:(?P<file>[^}]+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*))\}")
_IN_QUERY = ("password", "sslpassword", "passwd", "pwd", "token")


def expand(address: str) -> str:
    """`address` with `${NAME}` replaced by that environment variable and `${file:PATH}` by what the file holds.

    Inside an address the value is percent-encoded, so that a password may hold any character; a reference at the very
    start stands for the address itself.

    Raises:
        ValueError: the variable is not set or the file cannot be read. Never says what a secret is.
    """

    def value(match: re.Match[str]) -> str:
        secret = _read(match["file"]) if match["file"] else os.environ.get(match["name"])
        if secret is None:
            what = f"file {match['file']} cannot be read" if match["file"] else f"variable {match['name']} is not set"
            raise ValueError(f"{match[0]}: the {what}; provide it, or change the address")
        return secret if match.start() == 0 else quote(secret, safe="")

    return _REFERENCE.sub(value, address)


def has_literal_password(address: str) -> bool:
    """Whether a password stands in `address` itself, for everyone to see, rather than as a reference."""
    parts = urlsplit(_REFERENCE.sub("", address))
    in_query = {key.lower(): value for key, value in parse_qsl(parts.query)}
    return bool(parts.password) or any(in_query.get(name) for name in _IN_QUERY)


def redacted(text: str) -> str:
    """`text` without the user names and passwords of the addresses in it."""
    text = re.sub(r"(?<=://)[^/\s?#]*@", "…@", text)
    return re.sub(rf"(?i)\b({'|'.join(_IN_QUERY)})=[^&\s]+", r"\1=…", text)


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
