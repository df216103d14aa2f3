"""Names and text as MLflow takes them: of metrics and parameters, of tags, and in the Markdown of a note."""

from __future__ import annotations

import html
import re


def key(value: object) -> str:
    """A name that MLflow takes for a metric or parameter."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", str(value))[:200] or "_"


def line(value: object) -> str:
    """Text on one line, short enough for a tag."""
    return " ".join(str(value).split())[:500]


def markdown(value: object) -> str:
    """Text on one line in which Markdown and HTML have no meaning."""
    return re.sub(r"([\\`*_{}\[\]#|!~$])", r"\\\1", html.escape(line(value), quote=False))
