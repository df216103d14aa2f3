"""What a report says of the run that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from study.search.record.versions import library_versions

# Notes of the ledger.
RUN = "run"  # the `Run` of a study that has ended
VERSIONS = "versions"  # of the libraries that the study was last run with


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a report says of the run itself, which differs between runs of the same study."""

    complete: bool
    wall_seconds: float = 0.0
    training_seconds: float = 0.0
    peak_memory_bytes: int = 0
    errors: Mapping[str, str] = field(default_factory=dict)  # by cell id
    versions: Mapping[str, str] = field(default_factory=library_versions)  # that it ran with
