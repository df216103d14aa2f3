"""What a study notes beside its trials: every note by name, what it holds, who writes it, and as which JSON.

| note | holds | written |
|---|---|---|
| `WRITER` | a token of the coordinator that may write | whenever a run begins |
| `DATA` | digests of all that the cells read | when the study begins; more when it is extended |
| `CELLS` | the cells, without their configuration | when it begins; more when it is extended |
| `CONFIGURATION` | what the study is, in the words it was begun with | when it begins, after its cells and data; anew |
| | | when it is extended |
| `EXTENSIONS` | what the study asked for before it was extended, and how far it was by then | when it is extended |
| `CUTS` | where a budget ended a part of a cell's search | when it does; lifted when the budget is raised |
| `SPENT` | time that all runs have taken, where a budget limits it | with every pack |
| `STUDY_FILE` | the text of config.yaml | whenever a run begins |
| `VERSIONS` | of the libraries of the latest run | whenever a run begins |
| `OWNER` | who began the study, `user@host` | when it begins |
| `HELD` | what its packs held of workers and GPUs so far | every half minute, and when a run has ended |
| `PACK_SIZE` | replicates in a pack, at most | once |
| `LEARNT` | by cell, what earlier studies of similar profiles came to | once |
| `profile_of(cell)` | the PID profile of a cell | once all cells have theirs |
| `FORECASTS` | the linear forecasts of all cells | with the profiles |
| `ERRORS` | by cell, why a run gave it up | when it does; emptied by the next run |
| `EXPERIENCES` | what later studies may learn from this one | when the study has ended |
| `RUN` | how the run went that ended the study | the last of all |

A note that a version adds is missing from the records of the versions before; whoever reads one says what holds then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from study.cells.cell import Cell
from study.cells.same_data import Digests
from study.config import ConfigError, StudyConfig
from study.search.earlier import Experience
from study.search.record.cuts import CUTS_FORM, SPENT_FORM, Cuts, Spent, cuts_from_json, cuts_to_json
from study.search.record.extensions import EXTENSION_FORM, Extension, past_of
from study.search.record.forms import Form, has_form
from study.search.record.versions import library_versions
from trainables.spec import DatasetSpec

if TYPE_CHECKING:
    from study.pid import PIDProfile

T = TypeVar("T")

Forecasts = Mapping[str, Mapping[str, Any]]  # as JSON, by cell id
Identity = Mapping[str, Any]  # `StudyConfig.identity`, perhaps of a version that had other options


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True, kw_only=True)
class Note(Generic[T]):
    """A value of one type under one key of the record; `kind` is what JSON makes of it, and `form` what that holds.

    `encode` gives plain containers, `decode` is its inverse and reads what earlier versions have written too.
    """

    key: str
    kind: type
    form: Form = None
    encode: Callable[[T], Any] = _unchanged
    decode: Callable[[Any], T] = _unchanged

    def among(self, notes: Mapping[str, Any]) -> T | None:
        """The value among the notes of a study, as its storage holds them; None where it was not written.

        Raises:
            ConfigError: somebody else has written it.
        """
        value = notes.get(self.key)
        if value is None:
            return None
        if type(value) is not self.kind or not (self.form is None or has_form(value, self.form)):
            raise ConfigError(
                f"the record of this study has a note {self.key!r} that this program does not write; restore the "
                "record, or run the study anew under another name"
            )
        return self.decode(value)


@dataclass(frozen=True)
class RecordedCell:
    """A cell on record, as `Cell.to_json` gave it: it needs its configuration to be a `Cell` again."""

    json: Mapping[str, Any]

    @classmethod
    def of(cls, cell: Cell) -> RecordedCell:
        """The cell as it goes on record."""
        return cls(cell.to_json())

    @property
    def id(self) -> str:
        """The cell's id, see `Cell`."""
        return str(self.json["id"])

    @property
    def pair(self) -> tuple[str, str]:
        """The names of the two modalities."""
        first, second = self.json["pair"]
        return first, second

    @property
    def dataset(self) -> DatasetSpec | None:
        """The data, as they were named when the study began; None where only the user's function knows them."""
        known = self.json["dataset"]
        return None if known is None else DatasetSpec(**known)

    @property
    def data_key(self) -> str:
        """The key of its data, under that name."""
        return str(self.json["data_key"])

    def cell(self, config: StudyConfig, *, extensions: Sequence[Extension] | None = None) -> Cell:
        """The cell, of a study with this configuration and these extensions on record.

        Raises:
            ConfigError: it has keys or values of another version.
        """
        try:
            cell = Cell.from_json(self.json, config=config)
            return replace(cell, past=past_of(self.id, extensions))
        except (KeyError, TypeError, ValueError):
            raise ConfigError(
                f"the record holds the pair {self.id} as no version up to this one writes it; read it with the version "
                "that wrote it, or run the study anew under another name"
            ) from None


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a run of a study went: all that differs between two runs of the same study."""

    complete: bool
    wall_seconds: float = 0.0
    training_seconds: float = 0.0
    peak_memory_bytes: int = 0
    errors: Mapping[str, str] = field(default_factory=dict)  # by cell id
    versions: Mapping[str, str] = field(default_factory=library_versions)  # that it ran with; empty where nobody knows

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Run:
        """The run that `asdict` was called on, by any version."""
        known = {one.name for one in fields(cls)}
        return cls(**{"versions": {}, **{name: part for name, part in value.items() if name in known}})


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the packs of a study that have ended held so far, in seconds: places of workers, and GPUs (or parts)."""

    worker_seconds: float = 0.0
    gpu_seconds: float = 0.0


_TEXTS: Form = {str: str}
_EXPERIENCE: Form = {
    "study": str,
    "label": (str, None),
    "estimator": (str, None),
    "profile": [float, float, float, float],
    "lambda_star": float,
    "interval": ([float, float], None),
}
_CELL: Form = {
    "id": str,
    "label": str,
    "variant": dict,
    "data_key": str,
    "pair": [str, str],
    "metrics": [str, str],
    "rows": {str: int},
    "dataset": ({"name": str, "options": dict}, None),  # without one, and without encoders, where a function trains
    "encoders": ([dict, dict], None),
    "exact_profile": ({str: float}, None),
}
_RUN: Form = {
    "complete": bool,
    "wall_seconds?": float,
    "training_seconds?": float,
    "peak_memory_bytes?": int,
    "errors?": _TEXTS,
    "versions?": _TEXTS,
}
_PARTS = ("redundancy", "unique_1", "unique_2", "synergy")
_BITS: Form = dict.fromkeys(_PARTS, float)
_PID: Form = {
    **_BITS,
    "estimator": str,
    "gap": (float, None),
    "interval": {part: [float, float] for part in _PARTS},
    "null": _BITS,
    "significant": dict.fromkeys(_PARTS, bool),
    "spread": {str: {str: float}},
    "settings": dict,
}

WRITER: Note[str] = Note(key="writer", kind=str)
DATA: Note[Digests] = Note(key="data", kind=dict, form={str: _TEXTS})
CELLS: Note[Sequence[RecordedCell]] = Note(
    key="cells",
    kind=list,
    form=[_CELL, ...],
    encode=lambda cells: [cell.json for cell in cells],
    decode=lambda value: tuple(RecordedCell(one) for one in value),
)
CONFIGURATION: Note[Identity] = Note(key="configuration", kind=dict)
EXTENSIONS: Note[Sequence[Extension]] = Note(
    key="extensions",
    kind=list,
    form=[EXTENSION_FORM, ...],
    encode=lambda extensions: [one.to_json() for one in extensions],
    decode=lambda value: tuple(map(Extension.from_json, value)),
)
CUTS: Note[Cuts] = Note(key="cuts", kind=dict, form=CUTS_FORM, encode=cuts_to_json, decode=cuts_from_json)
SPENT: Note[Spent] = Note(key="spent", kind=dict, form=SPENT_FORM, encode=asdict, decode=lambda value: Spent(**value))
STUDY_FILE: Note[str] = Note(key="study_file", kind=str)
VERSIONS: Note[Mapping[str, str]] = Note(key="versions", kind=dict, form=_TEXTS)
OWNER: Note[str] = Note(key="owner", kind=str)
HELD: Note[Held] = Note(
    key="held",
    kind=dict,
    form={"worker_seconds": float, "gpu_seconds": float},
    encode=asdict,
    decode=lambda value: Held(**value),
)
PACK_SIZE: Note[int] = Note(key="pack_size", kind=int)
LEARNT: Note[Mapping[str, Sequence[Experience]]] = Note(key="learnt", kind=dict, form={str: [_EXPERIENCE, ...]})
FORECASTS: Note[Forecasts] = Note(key="forecasts", kind=dict, form={str: {"encoders": [dict, dict]}})
ERRORS: Note[Mapping[str, str]] = Note(key="errors", kind=dict, form=_TEXTS)
EXPERIENCES: Note[Sequence[Experience]] = Note(key="experiences", kind=list, form=[_EXPERIENCE, ...])
RUN: Note[Run] = Note(key="run", kind=dict, form=_RUN, encode=asdict, decode=Run.from_json)

_PROFILE = "pid:"  # followed by the cell's id


def profile_of(cell: str) -> Note[PIDProfile]:
    """The note of a cell's PID profile, by the cell's id."""
    from study.pid import PIDProfile  # takes seconds, and a study is checked before

    return Note(key=f"{_PROFILE}{cell}", kind=dict, form=_PID, encode=PIDProfile.to_json, decode=PIDProfile.from_json)


NOTES: tuple[Note[Any], ...] = (
    *(WRITER, DATA, CELLS, CONFIGURATION, EXTENSIONS, CUTS, SPENT, STUDY_FILE, VERSIONS, OWNER, HELD, PACK_SIZE),
    *(LEARNT, FORECASTS, ERRORS, EXPERIENCES, RUN),
)
_KINDS: Mapping[str, type] = {note.key: note.kind for note in NOTES}


def check_kind(key: str, value: object) -> None:
    """Refuse what no note of this key can be; keys that are not ours may hold anything.

    Raises:
        TypeError: `value` is of another kind.
    """
    if type(value) is not (dict if key.startswith(_PROFILE) else _KINDS.get(key, type(value))):
        raise TypeError
