"""A study file as a whole: its own keys, its sections, and what of it decides the results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from study.config.schema import (
    AlignmentSection,
    DatasetSection,
    EncoderSection,
    PidSection,
    ReplicatesSection,
    ResourcesSection,
    SearchSection,
    Section,
    StrengthSection,
    TrainingSection,
)
from study.config.secrets import has_literal_password, is_in_memory, shown
from study.config.values import Flag, number
from trainables.spec import content_hash


class StudyConfig(Section):
    """Everything that one study file asks for."""

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Its name: letters, digits, dot, dash, underscore."""
    storage: str = "journal"
    """Where its record is kept: `journal` (a file in its folder) or `sqlite:///FILE`, both for one machine, or
    `postgresql://USER@HOST/DATABASE` for any number. A password is written `${VARIABLE}` or `${file:PATH}`, or left to
    libpq (PGPASSWORD, PGPASSFILE, ~/.pgpass)."""
    dataset: DatasetSection
    pairs: Literal["all"] | Annotated[tuple[tuple[str, str], ...], Field(min_length=1)] = "all"
    """`all`, or a list of pairs of modalities."""
    seed: Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(number)] = 0
    """Every random number of the study derives from it."""
    pid: PidSection = PidSection()
    encoder: EncoderSection = EncoderSection()
    """Of every modality."""
    encoders: dict[str, EncoderSection] = {}  # noqa: RUF012  pydantic copies it
    """Of single modalities, by name."""
    alignment: AlignmentSection = AlignmentSection()
    training: TrainingSection = TrainingSection()
    strength: StrengthSection = StrengthSection()
    replicates: ReplicatesSection = ReplicatesSection()
    models: Flag = True
    """Retrain both encoders at the recommended strengths on train + validation and keep them as MLflow models; only
    after a confirmation."""
    search: SearchSection = SearchSection()
    resources: ResourcesSection = ResourcesSection()

    @field_validator("storage")
    @classmethod
    def _known_storage(cls, storage: str) -> str:
        if has_literal_password(storage):
            raise ValueError(
                "a password (all between :// and the last @) does not belong in a study file; write ${VARIABLE} or "
                "${file:PATH} there, or leave it out and set PGPASSWORD or PGPASSFILE"
            )
        if is_in_memory(storage):
            raise ValueError(f"{shown(storage)} is no file: SQLite keeps it in memory; give sqlite:///FILE")
        if storage != "journal" and not storage.startswith(("sqlite:///", "postgresql://", "${")):
            raise ValueError(f"{shown(storage)}: give journal, sqlite:///FILE or postgresql://USER@HOST/DATABASE")
        return storage

    @field_validator("pairs")
    @classmethod
    def _different(cls, pairs: str | tuple[tuple[str, str], ...]) -> str | tuple[tuple[str, str], ...]:
        seen: set[frozenset[str]] = set()
        for pair in () if isinstance(pairs, str) else pairs:
            if pair[0] == pair[1]:
                raise ValueError(f"a pair needs two different modalities, given [{pair[0]}, {pair[1]}]")
            if frozenset(pair) in seen:
                raise ValueError(f"the pair [{pair[0]}, {pair[1]}] is listed twice")
            seen.add(frozenset(pair))
        return pairs

    def to_json(self) -> dict[str, Any]:
        """Every key with its value, defaults filled in (plain containers)."""
        return self.model_dump(mode="json")

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the results: everything but where they are kept and what only changes how fast they come."""
        value = self.to_json()
        del value["storage"]
        value["resources"] = {"pack": value["resources"]["pack"]}
        if self.replicates.splits == "fixed":
            del value["replicates"]["splits"]  # a study of the version before is one of fixed splits
        for section in (value["encoder"], *value["encoders"].values()):
            for key in ("factory", "options"):  # which the version before did not have
                if section[key] is None:
                    del section[key]
            if "factory" in section:
                section["factory"] = Path(section["factory"]).name  # wherever the study file lies
        return value

    @property
    def hash(self) -> str:
        """Content hash of `identity`; a study of one name has one."""
        return content_hash(self.identity)
