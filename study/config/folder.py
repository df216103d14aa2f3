"""The folder of a study, and the names of everything that a study keeps in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from study.config.errors import ConfigError
from study.config.secrets import has_literal_password, shown
from trainables.saving.place import Place

CHECKPOINTS = "packs"  # folder of the packs in flight, unless the study file names a place of its own
CONFIG = "config.yaml"  # the resolved study file
JOURNAL = "journal.log"  # the record, in a folder of its own
MODELS = "models"  # folder of the encoders that are kept; a report names their files from its own folder
PAGE = "report.html"  # the report, for people
INDEX = "index.html"  # the page over all studies, in the folder that holds theirs
_MISSPELT = re.compile(r"\s*(s3\w?|gs|az|abfss?|file|https?)(:|//)", re.IGNORECASE)  # an address, but for a slash
_RECORD, _REPORT, _CARD = "optuna", "report.json", "card.html"


def out_of(given: str | Path) -> Path | Place:
    """The folder of all studies as it is given: on this machine, or `s3://BUCKET/PREFIX` of an S3-compatible store.

    Raises:
        ConfigError: it is an address of another kind, of no bucket, or with keys in it; or what nobody means as a
            folder: nothing, a home that no shell has put in, an address that lacks a slash, as `Path` makes it of one.
    """
    text = str(given)
    if not text.strip():
        raise ConfigError("the folder has no name; give a folder or s3://BUCKET/PREFIX")
    if text.startswith("~"):
        raise ConfigError(f"~ is not expanded in {text[:100]!r}; write the folder in full")
    if "://" not in text and not _MISSPELT.match(text):
        return Path(given)
    if "@" in text or has_literal_password(text):
        raise ConfigError("keys, and an @, do not belong in an address; set AWS_ACCESS_KEY_ID and its like")
    if not re.fullmatch(r"s3://[A-Za-z0-9][A-Za-z0-9._-]*(/[\w.~+=-]+)*/?", text) or "/.." in text:
        raise ConfigError(f"{shown(text)} is not known; give a folder or s3://BUCKET/PREFIX")
    return Place(text.rstrip("/"))


@dataclass(frozen=True)
class StudyFolder:
    """A study's folder at `path`, named as the study: `<out>/<study>`. Nothing is made or read here."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the process that runs the study, or writes its report again."""
        return self.path / ".lock"

    @property
    def config(self) -> Path:
        """The resolved study file."""
        return self.path / CONFIG

    @property
    def record(self) -> Path:
        """The folder of the record, if that is a file."""
        return self.path / _RECORD

    @property
    def journal(self) -> Path:
        """The record, if it is a file."""
        return self.record / JOURNAL

    @property
    def events(self) -> Path:
        """What happened, an event a line."""
        return self.path / "events.jsonl"

    @property
    def report(self) -> Path:
        """All that the study says, for programs."""
        return self.path / _REPORT

    @property
    def page(self) -> Path:
        """The report, for people."""
        return self.path / PAGE

    @property
    def card(self) -> Path:
        """The study in brief, for the page over all studies."""
        return self.path / _CARD

    @property
    def figures(self) -> Path:
        """The folder of the report's figures."""
        return self.path / "figures"

    @property
    def written(self) -> Path:
        """What the report's files were made from, and digests of them."""
        return self.path / ".written.json"

    @property
    def tables(self) -> Path:
        """The folder of the report's tables."""
        return self.path / "tables"

    @property
    def models(self) -> Path:
        """The folder of the encoders that are kept."""
        return self.path / MODELS

    @property
    def profile(self) -> Path:
        """The PID profiles of `python -m study.profile`."""
        return self.path / "profile.json"

    @property
    def profile_figures(self) -> Path:
        """The folder of the figures of `profile`."""
        return self.path / "profile"


def reported(out: Path) -> list[StudyFolder]:
    """The studies in the folder `out` of all studies that have a report, in the order of their names."""
    return [StudyFolder(path.parent) for path in sorted(out.glob(f"*/{_REPORT}"))]


def with_page(out: Path) -> list[StudyFolder]:
    """The studies in the folder `out` of all studies that have a page, though they may not have ended, likewise."""
    return [StudyFolder(path.parent) for path in sorted(out.glob(f"*/{_CARD}"))]


def recorded(out: Path) -> list[StudyFolder]:
    """The studies in the folder `out` of all studies whose record is a file there, in the order of their names."""
    return [StudyFolder(path.parent.parent) for path in sorted(out.glob(f"*/{_RECORD}/{JOURNAL}"))]
