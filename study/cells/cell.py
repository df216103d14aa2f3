"""A cell: everything that is known of one search without its data, and what trains its settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from study.cells.trials import PER_ENCODER, Arm, Setting
from study.config import StudyConfig
from trainables.spec import (
    AlignmentSpec,
    DatasetSpec,
    Direction,
    EncoderSpec,
    PackSpec,
    ReplicaSpec,
    Split,
    TrainingSpec,
    derive_seed,
)

_PLAIN = ("id", "label", "variant", "data_key", "pair", "metrics", "rows", "exact_profile", "stand_in")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Dataset × pair × PID profile: one search for one λ*. Everything that is known of it without its data.

    `id` is unique in the study and safe in names of files and databases, `label` is for people; `variant` holds the
    dataset options in which the study's cells differ; `data_key` says which of the study's datasets is its own.
    """

    id: str
    label: str
    config: StudyConfig
    dataset: DatasetSpec
    variant: Mapping[str, object]
    data_key: str
    pair: tuple[str, str]
    encoders: tuple[EncoderSpec, EncoderSpec]
    metrics: tuple[str, str]
    rows: Mapping[Split, int]
    exact_profile: Mapping[str, float] | None
    stand_in: bool

    def to_json(self) -> dict[str, Any]:
        """Plain containers, without the configuration; the inverse of `from_json`."""
        fields = {name: getattr(self, name) for name in _PLAIN}
        return {**fields, "dataset": asdict(self.dataset), "encoders": [e.to_json() for e in self.encoders]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, config: StudyConfig) -> Cell:
        """The cell that `to_json` was called on, of a study with this configuration."""
        first, second = (EncoderSpec(**encoder) for encoder in value["encoders"])
        plain = {name: value[name] for name in _PLAIN}
        plain |= {"pair": tuple(value["pair"]), "metrics": tuple(value["metrics"])}
        return cls(config=config, dataset=DatasetSpec(**value["dataset"]), encoders=(first, second), **plain)

    def pack(self, arm: Arm, members: Iterable[tuple[Setting, int]]) -> PackSpec:
        """The pack that trains these (setting, replicate index) members in lockstep.

        Searching scores on the validation split, confirming on the test split with seeds that the search never saw.
        Both train on the training split alone: λ* depends on the number of training rows, so that adding the
        validation split would confirm another λ* than the one that was found. The final encoders, with the confirming
        seeds, have the validation split too.
        """
        on_test = arm in PER_ENCODER
        phase = "confirm" if on_test else "search"
        training = self.config.training
        return PackSpec(
            dataset=self.dataset,
            pair=self.pair,
            encoders=self.encoders,
            alignment=alignment_of(self.config, arm),
            training=TrainingSpec(epochs=training.epochs, batch_size=training.batch_size, precision=training.precision),
            replicas=tuple(
                ReplicaSpec(
                    strength_1=setting.strength_1,
                    strength_2=setting.strength_2,
                    seed=derive_seed(self.config.seed, self.id, phase, index),
                    learning_rate=setting.nuisance.get("learning_rate", training.learning_rate),
                    weight_decay=setting.nuisance.get("weight_decay", training.weight_decay),
                    temperature=setting.nuisance.get("temperature", training.temperature),
                    clip_norm=training.clip_norm,
                )
                for setting, index in members
            ),
            fit=("train", "valid") if arm == "final" else ("train",),
            evaluate="test" if on_test else "valid",
            rows="fixed" if arm == "final" else self.config.replicates.splits,
        )


def alignment_of(config: StudyConfig, arm: Arm) -> AlignmentSpec:
    """The alignment of an arm: in a one-sided one the other encoder's output is detached; its strength is 0 there."""
    section = config.alignment
    direction: Direction = arm if arm in ("to_1", "to_2") else section.direction
    return AlignmentSpec(
        objective=section.objective,
        direction=direction,
        projector=section.projector,
        projector_width=section.projector_width,
    )
