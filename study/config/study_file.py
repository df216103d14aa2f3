"""A study file as a whole: its own keys, its sections, and what of it decides the results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from study.config.nuisance import check_of_function, check_of_packs
from study.config.schema import (
    AUTO_GPUS,
    AlignmentSection,
    BudgetSection,
    DatasetSection,
    EncoderSection,
    PidSection,
    ReplicatesSection,
    ResourcesSection,
    SearchSection,
    StrengthSection,
    TrainingSection,
)
from study.config.scores import ScoreName, has_no_unit
from study.config.secrets import has_literal_password, is_in_memory, shown
from study.config.section import Section
from study.config.trainer import TrainerSection, own_keys, ruled_out
from study.config.values import Flag, number
from trainables.spec import content_hash

Key = tuple[str, str]  # a section and a key of it
_KNOWN_SCORES = ("accuracy", "sign_accuracy", "r2")  # whose unit the smallest gain of interest is given in
_HALF = 0.5  # of all that a score without a unit can gain

# What a study means by a key that its record lacks: it was begun before there was such a key.
_BEFORE: Mapping[Key, object] = {
    ("replicates", "splits"): "fixed",
    ("replicates", "confirm_on"): "holdout",
    ("search", "smallest_gain"): 0.0,
    ("training", "class_weights"): "none",
    ("training", "keep"): "last",
    ("training", "patience"): None,
    ("training", "schedule"): "constant",
    ("training", "warmup"): 0.0,
    ("training", "optimiser"): "adamw",
}


class StudyConfig(Section):
    """Everything that one study file asks for."""

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Its name: letters, digits, dot, dash, underscore."""
    storage: str = "journal"
    """Where its record is kept: `journal` (a file in its folder) or `sqlite:///FILE`, both for one machine, or
    `postgresql://USER@HOST/DATABASE` for any number. A password is written `${VARIABLE}` or `${file:PATH}`, or left to
    libpq (PGPASSWORD, PGPASSFILE, ~/.pgpass)."""
    dataset: DatasetSection | None = None
    """Needed unless there is a `trainer`, which reads data of its own."""
    trainer: TrainerSection | None = None
    """Your own function instead of the built-in training."""
    pairs: Literal["all"] | Annotated[tuple[tuple[str, str], ...], Field(min_length=1)] = "all"
    """`all`, or a list of pairs of modalities; with `trainer` a list of pairs of encoders, by the names that it gives
    their scores. A study on record can be extended by further ones."""
    seed: Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(number)] = 0
    """Every random number of the study derives from it."""
    pid: PidSection = PidSection()
    encoder: EncoderSection = EncoderSection()
    """Of every modality."""
    encoders: dict[str, EncoderSection] = {}  # noqa: RUF012  pydantic copies it
    """Of single modalities, by name."""
    alignment: AlignmentSection = AlignmentSection()
    training: TrainingSection = TrainingSection()
    score: ScoreName | Annotated[dict[str, ScoreName], Field(min_length=1)] | None = None
    """What decides: the score of the outputs that λ* is best for, for all modalities or by name. Of classes, and of
    labels of which a row may have several: `accuracy` (default), `balanced_accuracy`, `macro_f1`, `auroc`,
    `average_precision`, `log_loss`; of real targets: `r2` (default), `rmse`, `mae`, `pearson`, `spearman`,
    `concordance` (Lin's), `sign_accuracy`; or `FILE.py:name`, a function of (targets, outputs), NumPy arrays, that
    returns a number of which higher is better. It changes no training. Errors are told in the target's unit, and lower
    is better. Two modalities of a pair may have different scores if both are shares or correlations, which have no
    unit."""
    strength: StrengthSection = StrengthSection()
    replicates: ReplicatesSection = ReplicatesSection()
    models: Flag = True
    """Retrain both encoders at the recommended strengths on train + validation (on train alone with
    `training.keep: best`) and keep them as MLflow models; only after a confirmation. `false` unless given with
    `trainer`, whose function keeps them by `trial.keep`."""
    search: SearchSection = SearchSection()
    resources: ResourcesSection = ResourcesSection()
    budget: BudgetSection = BudgetSection()

    @model_validator(mode="before")
    @classmethod
    def _of_one_trainer(cls, value: Any) -> Any:
        """The keys of a study that somebody else trains, with the defaults that it has."""
        if not isinstance(value, dict):
            return value
        if value.get("trainer") is None:
            if value.get("dataset") is None:
                raise PydanticCustomError("missing", "the key dataset is missing", {"key": "dataset"})
            search = value.get("search", {})
            if not has_no_unit(value.get("score")) and isinstance(search, dict):  # nobody knows what is small in it
                return {**value, "search": {"smallest_gain": 0.0, **search}}
            return value
        if problem := ruled_out({key: one for key, one in value.items() if key != "dataset" or one is not None}):
            raise ValueError(problem)
        trainer = value["trainer"]
        score = trainer.get("score") if isinstance(trainer, dict) else getattr(trainer, "score", None)
        defaults: dict[str, dict[str, object]] = {
            "alignment": {"one_sided": "never"},
            "replicates": {"splits": "fixed"},
            "search": {} if score in _KNOWN_SCORES else {"smallest_gain": 0.0},
        }
        filled = {"models": False, **value}
        for section, keys in defaults.items():
            given = filled.get(section, {})
            filled[section] = {**keys, **given} if isinstance(given, dict) else given
        return filled

    @model_validator(mode="after")
    def _fits_trainer(self) -> StudyConfig:
        if self.trainer is None:
            check_of_packs(self.search.nuisance)
            if self.search.smallest_gain >= _HALF and has_no_unit(self.score):
                raise ValueError(_too_large(self.search.smallest_gain))
            if self.resources.minutes_per_trial is not None:
                raise ValueError("resources.minutes_per_trial is for a trainer of your own; take it out")
        else:
            check_of_function(self.search.nuisance)
            if self.search.smallest_gain >= _HALF and self.trainer.score in _KNOWN_SCORES:
                raise ValueError(_too_large(self.search.smallest_gain))
        return self

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

    @model_serializer(mode="wrap")
    def _of_use(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The keys that mean something: those of the version before for a study of packs."""
        value: dict[str, Any] = handler(self)
        del value["budget"]
        if limits := self.budget.given:
            value["budget"] = limits
        if self.trainer is not None:
            return own_keys(value)
        del value["trainer"], value["resources"]["minutes_per_trial"]
        if self.score is None:  # as the version before has it
            del value["score"]
        return value

    def to_json(self) -> dict[str, Any]:
        """Every key that means something with its value, defaults filled in (plain containers)."""
        return self.model_dump(mode="json")

    @property
    def data(self) -> DatasetSection:
        """The dataset of a study that has one, as every study of packs does."""
        assert self.dataset is not None
        return self.dataset

    @property
    def auto_gpus(self) -> float:
        """What `resources.gpus: auto` stands for where there are GPUs: a function gets a whole one, unless told."""
        return AUTO_GPUS if self.trainer is None else 1.0

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the results: everything but where they are kept and what only changes how fast they come."""
        value = self.to_json()
        del value["storage"]
        value.pop("budget", None)
        if self.trainer is not None:
            value["trainer"] = self.trainer.identity
            del value["resources"]
            return value
        value["resources"] = {"pack": value["resources"]["pack"]}
        del value["training"]["joint_probe"]  # it only adds to what is measured
        for (section, key), before in _BEFORE.items():
            if value[section][key] == before:
                del value[section][key]
        for section in (value["encoder"], *value["encoders"].values()):
            for key in ("factory", "options"):  # which the version before did not have
                if section[key] is None:
                    del section[key]
            if "factory" in section:
                section["factory"] = Path(section["factory"]).name  # wherever the study file lies
        if isinstance(self.score, str):
            value["score"] = Path(self.score).name
        elif self.score is not None:
            value["score"] = {name: Path(score).name for name, score in self.score.items()}
        return value

    @classmethod
    def of_identity(cls, identity: Mapping[str, Any]) -> StudyConfig:
        """The configuration of a study on record, perhaps of a version before, from what `identity` gave there.

        Raises:
            ValueError: it holds what this version does not have.
        """
        return cls.model_validate(in_full(identity))

    def as_begun(self, identity: Mapping[str, Any]) -> StudyConfig:
        """The configuration for a study on record: keys that the study file leaves out and the record lacks mean what
        they meant when the study began, whatever their default is now.
        """
        value = self.to_json()
        for section, key in self.left_out:
            if key not in identity.get(section, {}):
                value[section][key] = _BEFORE[section, key]
        return type(self).model_validate(value)

    @property
    def left_out(self) -> list[Key]:
        """Keys with a default that was another once, of those that the study file does not give."""
        if self.trainer is not None:  # of which no version before knew
            return []
        return [(section, key) for section, key in _BEFORE if key not in getattr(self, section).model_fields_set]

    @property
    def hash(self) -> str:
        """Content hash of `identity`; a study of one name has one."""
        return content_hash(self.identity)


def _too_large(gain: float) -> str:
    return (
        f"search.smallest_gain: {gain:g} would be half of all that an accuracy or R² can gain; the unit is the score's "
        "own, in which half a point of accuracy is 0.005"
    )


def in_full(value: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration that was written by this version or one before, with the keys that it lacks for being older."""
    filled = dict(value)
    if filled.get("trainer") is not None:  # of which no version before knew
        return filled
    for (section, key), before in _BEFORE.items():
        given = filled.get(section, {})
        if isinstance(given, Mapping):  # else it is no configuration, which is for others to say
            filled[section] = {key: before, **given}
    return filled
