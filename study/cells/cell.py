"""The cells of a study: its data, loaded once and checked against the configuration before anything is trained."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from study.cells.trials import PER_ENCODER, Arm, Setting
from study.config import ConfigError, EncoderSection, StudyConfig
from trainables import datasets
from trainables.datasets import DATASETS, DataError, MultimodalData, PairData
from trainables.spec import (
    AlignmentSpec,
    DatasetSpec,
    Direction,
    EncoderSpec,
    PackSpec,
    ReplicaSpec,
    Split,
    TrainingSpec,
    content_hash,
    derive_seed,
)

SPLITS: tuple[Split, ...] = ("train", "valid", "test")
READ_ANYTHING = {"linear", "mlp"}  # encoders that flatten what they are given
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
        return {**fields, "dataset": asdict(self.dataset), "encoders": [asdict(encoder) for encoder in self.encoders]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, config: StudyConfig) -> Cell:
        """The cell that `to_json` was called on, of a study with this configuration."""
        first, second = (EncoderSpec(**encoder) for encoder in value["encoders"])
        plain = {name: value[name] for name in _PLAIN}
        plain |= {"pair": tuple(value["pair"]), "metrics": tuple(value["metrics"])}
        return cls(config=config, dataset=DatasetSpec(**value["dataset"]), encoders=(first, second), **plain)

    def pack(self, arm: Arm, members: Iterable[tuple[Setting, int]]) -> PackSpec:
        """What trains these (setting, replicate index) members in lockstep.

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
            alignment=_alignment(self.config, arm),
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
        )


def build_cells(config: StudyConfig) -> tuple[tuple[Cell, ...], Mapping[str, MultimodalData]]:
    """Every cell of the study, and the datasets that they share, by `Cell.data_key`.

    Raises:
        ConfigError: the dataset, a modality, an encoder or an option does not exist, or does not fit the data.
    """
    try:
        specs = datasets.cells(DatasetSpec(name=config.dataset.name, options=config.dataset.options))
        cells: list[Cell] = []
        loaded: dict[str, MultimodalData] = {}
        for spec in specs:
            key = content_hash(spec.identity)
            loaded[key] = datasets.load(spec)
            variant = {name: spec.options[name] for name in _varying(specs)}
            cells += [_cell(config, spec, variant, key, loaded[key], pair) for pair in pairs_of(config, loaded[key])]
    except DataError as error:
        raise ConfigError(f"dataset {config.dataset.name}: {error}") from None
    return tuple(cells), loaded


def data_notes(loaded: Mapping[str, MultimodalData]) -> tuple[str, ...]:
    """Lines on how the study's data were understood, where they allow another reading; each once."""
    return tuple(dict.fromkeys(f"note: {line}" for data in loaded.values() for line in data.notes))


def _varying(specs: Sequence[DatasetSpec]) -> list[str]:
    options = [spec.options for spec in specs]
    return [key for key in options[0] if len({content_hash(given[key]) for given in options}) > 1]


def pairs_of(config: StudyConfig, data: MultimodalData) -> list[tuple[str, str]]:
    """The pairs of modalities that a study of these data is about."""
    if isinstance(config.pairs, str):
        return list(itertools.combinations(data.modalities, 2))
    return list(config.pairs)


def _cell(
    config: StudyConfig,
    spec: DatasetSpec,
    variant: Mapping[str, object],
    data_key: str,
    data: MultimodalData,
    pair: tuple[str, str],
) -> Cell:
    pair_data = data.pair(*pair)
    first, second = (encoder_of(config, data, name) for name in pair)
    _check_fit(config, pair_data, (first, second))
    name = f"{spec.name}-stand-in" if data.stand_in else spec.name  # the id goes into names of files and models
    prefix = "-".join([name, *(f"{key}={value}" for key, value in variant.items())])
    return Cell(
        id=f"{prefix}/{pair[0]}+{pair[1]}",
        label=f"{_title(spec, variant, data)}: {pair[0]} + {pair[1]}",
        config=config,
        dataset=spec,
        variant=variant,
        data_key=data_key,
        pair=pair,
        encoders=(first, second),
        metrics=(pair_data.targets[0].metric, pair_data.targets[1].metric),
        rows={split: len(pair_data.rows(split)) for split in SPLITS},
        exact_profile=pair_data.exact_profile,
        stand_in=data.stand_in,
    )


def _title(spec: DatasetSpec, variant: Mapping[str, object], data: MultimodalData) -> str:
    """What the dataset calls this variant of itself, or else its name and what is special about it."""
    if data.name != spec.name:
        return data.name
    return " ".join([spec.name, *(f"{key} {value}" for key, value in variant.items())])


def encoder_of(config: StudyConfig, data: MultimodalData, modality: str) -> EncoderSpec:
    """The encoder of a modality: the dataset's, with what the study file says of all of them and of this one."""
    for name in config.encoders:
        if name not in data.modalities:
            raise ConfigError(f"encoders.{name}: no such modality; this dataset has {', '.join(data.modalities)}")
    default = DATASETS[config.dataset.name].encoders.get(modality, EncoderSpec())
    special = config.encoders.get(modality, EncoderSection())
    given = {**config.encoder.model_dump(exclude_none=True), **special.model_dump(exclude_none=True)}
    return replace(default, **given)


def _alignment(config: StudyConfig, arm: Arm) -> AlignmentSpec:
    """In a one-sided arm the other encoder's output is detached; its strength is 0 there anyway."""
    section = config.alignment
    direction: Direction = arm if arm in ("to_1", "to_2") else section.direction
    return AlignmentSpec(
        objective=section.objective,
        direction=direction,
        projector=section.projector,
        projector_width=section.projector_width,
    )


def _check_fit(config: StudyConfig, data: PairData, encoders: tuple[EncoderSpec, EncoderSpec]) -> None:
    rows = len(data.rows("train"))
    if config.training.batch_size > rows:
        raise ConfigError(
            f"training.batch_size is {config.training.batch_size}, but the training split has {rows} rows; "
            f"give at most {rows}"
        )
    one_width = encoders[0].width == encoders[1].width or config.alignment.projector != "none"
    if one_width and {encoder.kind for encoder in encoders} <= READ_ANYTHING:
        return
    from trainables.networks.network import (
        build_networks,  # here: it brings torch, and most studies need not wait for that
    )

    shape_1, shape_2 = (modality.values.shape[1:] for modality in data.modalities)
    target_1, target_2 = data.targets
    try:
        build_networks(
            encoders, _alignment(config, "shared"), (shape_1, shape_2), (target_1.n_outputs, target_2.n_outputs)
        )
    except ValueError as error:
        raise ConfigError(f"encoders of {' and '.join(data.names)}: {error}") from None
