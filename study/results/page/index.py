"""The page over all studies of a folder: what each decided, its curves in small, and links to the reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from study.results.page.parts import document, escaped, links

_FEWEST_LISTED = 4  # studies that a list of contents is worth


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A study of the folder: its folder's name, when its report was written, and its card; "" where it has none yet.

    `reload`: of a study that is running, the seconds after which its card is worth another look.
    """

    folder: str
    written: datetime | None
    card: str
    reload: float | None = None


def render_index(studies: Sequence[Listed]) -> str:
    """The page as HTML text, the studies in the given order."""
    count = f"{len(studies)} stud{'y' if len(studies) == 1 else 'ies'}"
    told = [f"{count}, the newest first"] if len(studies) > 1 else [count]
    if studies and (newest := studies[0].written):
        told.append(f"the last report is of {newest:%Y-%m-%d %H:%M}")
    listed = links("Studies", ((f"#{_anchor(one)}", one.folder) for one in studies))
    return document(
        "Studies of alignment",
        f'<header>\n<h1>Studies of alignment</h1>\n<p class="meta">{" · ".join(told)}</p>\n</header>\n',
        listed if len(studies) >= _FEWEST_LISTED else "",
        *map(_section, studies),
        "" if studies else "<p>No study of this folder has a report yet.</p>\n",
        reload=min((study.reload for study in studies if study.reload), default=None),
    )


def _section(study: Listed) -> str:
    name, address = escaped(study.folder), quote(study.folder)
    if not study.card:
        return (
            f'<section class="study" id="{_anchor(study)}">\n<h2>{name}</h2>\n<p class="note">It has no report yet: '
            "<code>python -m study.status</code> shows how far it is.</p>\n</section>\n"
        )
    when = f" <small>{study.written:%Y-%m-%d %H:%M}</small>" if study.written else ""
    return (
        f'<section class="study" id="{_anchor(study)}">\n<h2><a href="{address}/report.html">{name}</a>{when}</h2>\n'
        f"{study.card}</section>\n"
    )


def _anchor(study: Listed) -> str:
    return f"study-{quote(study.folder, safe='').replace('%', '.')}"
