"""One structured line for everything that happens to a study: `events.jsonl` in its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from study.config.folder import StudyFolder
from study.config.secrets import redacted
from study.search.record.private import FILE
from trainables.output import logger


class EventLog:
    """Appends events to a file, each one JSON object in one write; a log that cannot be written stops nothing.

    Every line has `time` (UTC), `event` and `study`; which further keys there are depends on the event. Addresses lose
    their passwords. The log has each event as well, at level DEBUG.
    """

    def __init__(self, folder: Path, *, study: str) -> None:
        self._path, self.study = StudyFolder(folder).events, study

    def emit(self, event: str, details: Mapping[str, object] | None = None) -> None:
        """Append one line."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        known = {key: _shown(value) for key, value in (details or {}).items()}
        told = ", ".join(f"{key} {value}" for key, value in known.items())
        logger().debug("%s", f"{event.replace('_', ' ')}: {told}" if told else event.replace("_", " "))
        line = json.dumps({"time": now, "event": event, "study": self.study, **known}, ensure_ascii=False)
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE)
            try:
                os.write(handle, f"{line}\n".encode())
            finally:
                os.close(handle)
        except OSError:
            pass


def _shown(value: object) -> object:
    """`value` without the passwords of the addresses in it, however deep they stand."""
    if isinstance(value, Mapping):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    return redacted(value) if isinstance(value, str) else value
