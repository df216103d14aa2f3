"""What MLflow should hold: runs and models as plain records."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainables.spec import content_hash

Metric = tuple[str, float, int]  # name, value, step


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """A model that MLflow should have: `training` identifies its weights, `path` is the file of the encoder."""

    name: str
    training: str
    path: Path
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run: `identity` finds it again, the rest is what it should hold.

    `note` is Markdown in which `{run}` stands for the run's id; `files` are (folder among the artifacts, file);
    `dataset` is None or the name, digest, source and profile of the input.
    """

    identity: str
    parent: str | None  # identity of the cell's record, None for a cell
    name: str
    status: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    files: tuple[tuple[str, Path], ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)  # artifacts given as text, by name
    dataset: Mapping[str, str] | None = None
    models: tuple[ModelRecord, ...] = ()

    def content_below(self, parent: str) -> str:
        """Hash of all that the run should hold below the run with the id `parent`, or ""."""
        return content_hash([self.content, parent])

    @property
    def content(self) -> str:
        """Hash of all that the run should hold, the files' bytes included; equal hashes need no writing."""
        files = [(folder, path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for folder, path in self.files]
        return content_hash(
            [
                self.name, self.status, dict(self.params), self.metrics, dict(self.tags), self.note, files,
                dict(self.texts), dict(self.dataset or {}), [(model.name, model.training) for model in self.models],
            ]
        )  # fmt: skip
