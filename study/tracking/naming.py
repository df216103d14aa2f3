"""Names and text as MLflow takes them: of metrics and parameters, of tags, and in the Markdown of a note."""

from __future__ import annotations

import html
import re

# What a study is found again by. Tags of an experiment: the hash of the study's name, which outlives being renamed.
EXPERIMENT, NOTE = "align_study.name", "mlflow.note.content"
# Of a run: the study's key, the record's identity, and "<revision> <content> writing|done", what it holds.
STUDY, IDENTITY, STATE = "align_study.study", "align_study.identity", "align_study.state"
# Of a model and its version: which training their weights came from; then its type, and the alias of the best version.
TRAINING, ENCODER, ALIAS = "align_study.training", "encoder", "best"


def done_with(content: str) -> str:
    """What the state of a run ends with that holds this content, all of it."""
    return f" {content} done"


def logged_name(model: str) -> str:
    """A name that MLflow takes for a logged model."""
    return re.sub(r"[/:.%\"']", "-", model)


def key(value: object) -> str:
    """A name that MLflow takes for a metric or parameter."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", str(value))[:200] or "_"


def line(value: object) -> str:
    """Text on one line, short enough for a tag."""
    return " ".join(str(value).split())[:500]


def markdown(value: object) -> str:
    """Text on one line in which Markdown and HTML have no meaning."""
    return re.sub(r"([\\`*_{}\[\]#|!~$])", r"\\\1", html.escape(line(value), quote=False))
