"""Passwords in addresses: written as references, expanded where they are used, and taken out of what is shown.

Everything between `://` and the last `@` of an address is user and password, whatever characters a password has: who
writes `/`, `#` or `?` there without encoding it has still written a password.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_to_bytes

from study.config.files import read_regular

_REFERENCE = re.compile(r"\$\{(?:file:(?P<file>[^}]+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*))\}")
_WORDS = ("password", "sslpassword", "passwd", "pwd", "token")
_MORE_WORDS = ("secret", "api_key", "apikey", "access_key", "signature")  # of texts of any kind, such as S3's
_IN_ANY_NAME = re.compile(  # whatever the name begins with stays as it is: to look for that would be slow
    rf"(?i)((?:{'|'.join((*_WORDS, *_MORE_WORDS))})[a-z_]{{0,40}})(?:=|%3d)(?:'[^']*'|\"[^\"]*\"|[^&\s]+)"
)
_KEYS = "|".join("".join(f"(?:{c}|%{ord(c):02x}|%{ord(c.upper()):02x})" for c in word) for word in _WORDS)
_IN_QUERY = re.compile(rf"(?i)[?&;\s](?:{_KEYS})=[^&]")
_IN_TEXT = re.compile(rf"(?i)(?:\b|(?<=%[0-9a-f]{{2}}))({_KEYS})(?:=|%3d)(?:'[^']*'|\"[^\"]*\"|[^&\s]+)")
_USER_INFO = re.compile(r"(?<!sqlite)(?<!file)://.*@|://(?!/).*@", re.DOTALL)  # a file's path has none before it
_CUT_SHORT = re.compile(r"://[^\s/?#@:\[]*:(?!\$\{|[0-9]*(?:[^\w!%&*+=~^|-]|\Z))\S*")  # a port that is no number
_SCHEME = re.compile(r"[A-Za-z0-9+.-]+://")
_ALLOWED = ("postgresql://", "sqlite:///", "s3://")  # of what is shown with more than its scheme
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:,]*)(?::(?P<port>[0-9]*))?")
_MOST_BYTES = 2**16  # of a file that holds a secret
_LONGEST = 60  # characters shown of what was given


@dataclass(frozen=True, kw_only=True)
class Address:
    """The parts of `scheme://user:password@authority/path?query`, as they are written; empty where there are none."""

    scheme: str = ""
    user: str = ""
    password: str = ""
    authority: str = ""  # host and port, or several of them with commas between
    path: str = ""

    @property
    def host(self) -> str:
        """The first host, without the brackets of an IPv6 address."""
        match = _HOST.match(self.authority)
        return match["host"].strip("[]").lower() if match else ""

    @property
    def port(self) -> str:
        """The first host's port."""
        match = _HOST.match(self.authority)
        return (match["port"] or "") if match else ""


def split_address(address: str) -> Address:
    """The parts of an address of any characters; unlike the standard library's parser it raises nothing.

    What has no `://` is taken as host and port. The path of a file (`sqlite:///`, `file:///`) has no user before it.
    """
    scheme, mark, rest = address.partition("://")
    if not mark:
        scheme, rest = "", address
    if scheme in ("sqlite", "file") and rest.startswith("/"):
        return Address(scheme=scheme, path=rest)
    user_info, _, rest = rest.rpartition("@")
    user, _, password = user_info.partition(":")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = re.split(r"[?#]", rest[len(authority) :], maxsplit=1)[0]
    return Address(scheme=scheme, user=user, password=password, authority=authority, path=path)


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


def is_in_memory(address: str) -> bool:
    """Whether SQLite keeps what it is given at `address` in memory, where it ends with the process."""
    return bool(re.match(r"sqlite:///(\?|\Z)|sqlite:///.*(:memory:|mode=memory)", address))


def encoded(address: str) -> str:
    """`address` with user and password percent-encoded, so that every driver finds the same host behind them.

    What is encoded already stays so. An `@` further back, in an address that has no password, is left alone.
    """
    scheme, mark, rest = address.partition("://")
    user_info, at, rest = rest.rpartition("@")
    user, colon, password = user_info.partition(":")
    if not mark or not at or (not colon and re.search(r"[/?#]", user)):
        return address
    user, password = (quote(unquote_to_bytes(part), safe="") for part in (user, password))
    return f"{scheme}{mark}{user}{colon}{password}{at}{rest}"


def has_literal_password(address: str) -> bool:
    """Whether a password stands in `address` itself, for everyone to see, rather than as a reference.

    A port that is no number is taken for the piece of one: in a study file what follows ` #` is a comment. Drivers read
    what is percent-encoded, and so does this.
    """
    bare = _REFERENCE.sub("", address)
    parts = split_address(bare)
    plain = unquote(bare)
    odd_port = parts.scheme and not all(_HOST.fullmatch(host) for host in parts.authority.split(","))
    return bool(parts.password or ":" in unquote(parts.user) or odd_port or _IN_QUERY.search(plain))


def tells_password(text: str, address: str) -> bool:
    """Whether a piece of the password in `address` stands in `text`, as it does where a driver takes it for a host."""
    password = split_address(address).password
    plain = unquote_to_bytes(password).decode(errors="replace")
    pieces = {piece for known in (password, plain) for piece in re.split(r"[\W_]+", known.casefold()) if len(piece) > 1}
    return any(piece in text.casefold() for piece in pieces)


def redacted(text: str) -> str:
    """`text` without the user names and passwords of the addresses in it, rather too much than too little."""
    return _IN_ANY_NAME.sub(r"\1=…", _IN_TEXT.sub(r"\1=…", _CUT_SHORT.sub("://…", _USER_INFO.sub("://…@", text))))


def shown(given: str) -> str:
    """The start of an address, or of what was given for one, as a message may show it.

    Of a kind that is not allowed only the scheme: where its password stands is not known.
    """
    if (match := _SCHEME.match(given)) and not given.startswith(_ALLOWED):
        text = f"{match[0]}…"
    else:
        text = redacted(given) if match else re.sub(r"[:=@\s].*", "…", given, flags=re.DOTALL)
    return repr(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def _read(path: str) -> str | None:
    try:
        return read_regular(path, most=_MOST_BYTES).decode("utf-8").strip()
    except (OSError, ValueError):
        return None
