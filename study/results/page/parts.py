"""The parts that every page is made of, as HTML text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib import resources

RUNNING = '<p class="meta" data-running="'  # begins the card of a study that is running


@dataclass(frozen=True, kw_only=True)
class Running:
    """A study that goes on while its page is looked at: when the page was written, how many trainings there were by
    then, and after how many seconds it is worth another look.
    """

    at: datetime
    counted: str
    seconds: float


def escaped(value: object) -> str:
    """A value as text in HTML."""
    return escape(str(value))


def stylesheet(name: str) -> str:
    """A style sheet of this room."""
    return resources.files("study.results.page").joinpath(f"{name}.css").read_text(encoding="utf-8")


def fragment(*content: str) -> str:
    """Content, HTML already, as a notebook shows it: its styles hold for nothing else there."""
    return f'<style>{stylesheet("notebook")}</style><div class="align-study">{"".join(content)}</div>'


def document(title: str, *content: str, reload: float | None = None) -> str:
    """A page that loads nothing from anywhere, its title and content HTML already; it comes again after so many seconds
    where `reload` says so.
    """
    css = stylesheet("report")
    again = f'<meta http-equiv="refresh" content="{reload:.0f}">\n' if reload else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
{again}<title>{title}</title>
<style>
{css}</style>
</head>
<body>
<main>
{"".join(content)}</main>
</body>
</html>
"""


def figure(svg: str | None, key: str, caption: str, *, style: str = "", more: str = "") -> str:
    """Inline SVG, its ids made unique to the page so that no figure's clip paths serve another; "" without one."""
    start = (svg or "").find("<svg")
    if svg is None or start < 0:
        return ""
    body = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>f{key}-", svg[start:])
    told = escape(f"{caption} {more}".strip())
    role = "group" if 'class="tips"' in body else "img"  # what is an image has no parts that could take the focus
    body = body.replace("<svg", f'<svg role="{role}" aria-label="{told}"', 1)
    return f'<figure class="{style}">{body}<figcaption>{escaped(caption)}</figcaption></figure>\n'


def section(title: str, *content: str, anchor: str = "") -> str:
    """A section under a title, which is HTML already; `anchor` is what links to it name."""
    name = f' id="{anchor}"' if anchor else ""
    return f"<section{name}>\n<h2>{title}</h2>\n{''.join(content)}</section>\n"


def links(label: str, addresses: Iterable[tuple[str, str]]) -> str:
    """A row of links, each an address within the page or the folder and its text; `label` says what they are."""
    items = "".join(f'<li><a href="{escaped(address)}">{escaped(text)}</a></li>\n' for address, text in addresses)
    return f'<nav aria-label="{escaped(label)}"><ul class="contents">\n{items}</ul></nav>\n'


def definitions(facts: Iterable[tuple[str, str]]) -> str:
    """Names and what they stand for, HTML already."""
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>\n" for name, value in facts) + "</dl>\n"


def sentence(text: str) -> str:
    """A sentence in HTML whose intervals and equations do not break at the end of a line."""
    return re.sub(r"\[[^\[\]]{1,24}\]|λ\*? [≈=] ", lambda match: match.group().replace(" ", "\u00a0"), escaped(text))
