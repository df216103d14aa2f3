"""Cells from a study's configuration and its data, which are loaded once and checked before anything is trained."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from study.cells.cell import Cell, alignment_of
from study.cells.enough import enough_rows
from study.cells.scores import metrics_of, scores_of_pair
from study.config import ConfigError, EncoderSection, Splits, StudyConfig
from study.config.trainer import TrainerSection
from trainables import datasets
from trainables.datasets import DATASETS, DataError, MultimodalData, PairData
from trainables.datasets.base import TEST
from trainables.spec import DatasetSpec, EncoderSpec, Split, content_hash

SPLITS: tuple[Split, ...] = ("train", "valid", "test")
_FEW_GROUPS = 5  # of test rows: t with three degrees of freedom makes intervals a third wider, with one four times
READ_ANYTHING = {"linear", "mlp"}  # encoders that flatten what they are given


def build_cells(config: StudyConfig, *, code: str = "") -> tuple[tuple[Cell, ...], Mapping[str, MultimodalData]]:
    """Every cell of the study, and the datasets that they share, by `Cell.data_key`.

    `code` is the hash of the user's function, if one trains.

    Raises:
        ConfigError: the dataset, a modality, an encoder or an option does not exist, or does not fit the data.
    """
    if config.dataset is None:
        return tuple(_without_data(config, pair, code) for pair in config.pairs if not isinstance(pair, str)), {}
    try:
        specs = datasets.cells(DatasetSpec(name=config.dataset.name, options=config.dataset.options))
        if config.trainer is not None and len(specs) > 1:
            raise ConfigError(
                f"dataset {config.dataset.name} has {len(specs)} variants here, of which trainer.call would not know; "
                "give one value to each of its options"
            )
        cells: list[Cell] = []
        loaded: dict[str, MultimodalData] = {}
        for spec in specs:
            key = content_hash(spec.identity)
            loaded[key] = datasets.load(spec)
            variant = {name: spec.options[name] for name in _varying(specs)}
            own = [_cell(config, spec, variant, key, loaded[key], pair) for pair in pairs_of(config, loaded[key])]
            cells += own if config.trainer is None else [_of_function(cell, config.trainer, code) for cell in own]
    except DataError as error:
        raise ConfigError(f"dataset {config.dataset.name}: {error}") from None
    return tuple(cells), loaded


def _without_data(config: StudyConfig, pair: tuple[str, str], code: str) -> Cell:
    """The cell of a pair that the user's function trains on data that only it knows."""
    assert config.trainer is not None
    name = config.trainer.name
    return Cell(
        id=f"{name}/{pair[0]}+{pair[1]}",
        label=f"{config.study}: {pair[0]} + {pair[1]}",
        config=config,
        dataset=None,
        variant={},
        data_key="",
        pair=pair,
        encoders=None,
        metrics=(config.trainer.metric, config.trainer.metric),
        rows={},
        exact_profile=None,
        stand_in=False,
        code=code,
    )


def _of_function(cell: Cell, trainer: TrainerSection, code: str) -> Cell:
    """A cell whose data are known and which the user's function trains: what it scores on is its own affair."""
    return replace(cell, metrics=(trainer.metric, trainer.metric), rows={}, code=code)


def data_notes(loaded: Mapping[str, MultimodalData], *, splits: Splits = "fixed") -> tuple[str, ...]:
    """Lines on how the study's data were understood, where they allow another reading; each once.

    `splits` are those of its replicates: a split that came with the data may keep rows apart that belong together.
    """
    lines = [line for data in loaded.values() for line in data.notes]
    lines += [
        f"{data.name}: profiles and forecasts are those of {len(rows):,} of its {len(data.split):,} rows, drawn by "
        "chance; trainings see all"
        for data in loaded.values()
        if (rows := enough_rows(data)) is not None
    ]
    if splits == "resampled":
        lines += [
            f"{data.name}: each replicate draws training and validation rows of its own, and not those of the given "
            "split; if that keeps rows together (of one person, one recording, one place), name them as `group`, or "
            "set replicates.splits: fixed"
            for data in loaded.values()
            if data.split_is_given and data.groups is None
        ]
        lines += [
            f"{data.name}: the test split has {count} group{'s' * (count > 1)}, by which next to nothing can be told "
            "of new ones, and intervals of gains will be wide; give rows of more groups, or set replicates.splits: "
            "fixed for gains on these alone"
            for data in loaded.values()
            if data.groups is not None and (count := len(np.unique(data.groups[data.split == TEST]))) < _FEW_GROUPS
        ]
    return tuple(dict.fromkeys(f"note: {line}" for line in lines))


def encoder_notes(cells: Sequence[Cell], loaded: Mapping[str, MultimodalData]) -> tuple[str, ...]:
    """Lines on modules of the user's whose replicas cannot train in lockstep; each once."""
    lines = []
    for cell in cells:
        if cell.encoders is None or all(encoder.kind != "module" for encoder in cell.encoders):
            continue
        from trainables.networks.trial import turns

        for encoder, modality in zip(cell.encoders, loaded[cell.data_key].pair(*cell.pair).modalities, strict=True):
            shape, masked = modality.values.shape[1:], modality.mask is not None
            if why := turns(encoder, tuple(shape), masked=masked):
                lines.append(f"note: {encoder.factory} of {modality.name}: replicas take turns in their pack: {why}")
    return tuple(dict.fromkeys(lines))


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
    if config.trainer is None:
        _check_fit(config, pair_data, (first, second))
    scores = None if config.trainer is not None else scores_of_pair(config, data, pair_data)
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
        metrics=metrics_of(scores, pair_data),
        rows=rows_of(pair_data),
        exact_profile=pair_data.exact_profile,
        stand_in=data.stand_in,
        scores=scores,
    )


def rows_of(pair: PairData) -> dict[Split, int]:
    """How many rows each split of a pair has."""
    return {split: len(pair.rows(split)) for split in SPLITS}


def _title(spec: DatasetSpec, variant: Mapping[str, object], data: MultimodalData) -> str:
    """The title that the dataset gives this variant of itself, or else its name and what is special about it."""
    if data.name != spec.name:
        return data.name
    return " ".join([spec.name, *(f"{key} {value}" for key, value in variant.items())])


def encoder_of(config: StudyConfig, data: MultimodalData, modality: str) -> EncoderSpec:
    """The encoder of a modality: the dataset's, with what the study file says of all of them and of this one."""
    for name in config.encoders:
        if name not in data.modalities:
            raise ConfigError(f"encoders.{name}: no such modality; this dataset has {', '.join(data.modalities)}")
    default = DATASETS[config.data.name].encoders.get(modality, EncoderSpec())
    special = config.encoders.get(modality, EncoderSection())
    given = {**config.encoder.model_dump(exclude_none=True), **special.model_dump(exclude_none=True)}
    spec = replace(default, **given)
    where = f"encoder of {modality}"
    if spec.kind != "module":
        own = special if special.kind is not None else config.encoder
        if (special.factory or own.factory) is not None:
            raise ConfigError(f"{where}: factory is of kind module, and the kind is {spec.kind}; add kind: module")
        return replace(spec, factory="", options={})
    if not spec.factory:
        raise ConfigError(f"{where}: kind module needs the function that makes it; add factory: FILE.py:name")
    from trainables.code.calls import SourceError
    from trainables.sources import Source

    try:
        source = Source.find(spec.factory)
    except SourceError as error:
        raise ConfigError(f"{where}: {error}") from None
    return replace(spec, factory=source.name, code=source.text)


def _check_fit(config: StudyConfig, data: PairData, encoders: tuple[EncoderSpec, EncoderSpec]) -> None:
    rows = len(data.rows("train"))
    if config.training.batch_size > rows:
        raise ConfigError(
            f"training.batch_size is {config.training.batch_size}, but the training split has {rows} rows; "
            f"give at most {rows}"
        )
    if config.training.class_weights == "balanced" and all(target.kind == "real" for target in data.targets):
        raise ConfigError(
            "training.class_weights: balanced is for classes and labels, and both targets are real numbers"
        )
    one_width = encoders[0].width == encoders[1].width or config.alignment.projector != "none"
    if one_width and {encoder.kind for encoder in encoders} <= READ_ANYTHING:
        return
    # Here, not above: it brings torch, and most studies need not wait for that.
    from trainables.networks.network import build_networks
    from trainables.networks.trial import turns

    shape_1, shape_2 = (modality.values.shape[1:] for modality in data.modalities)
    target_1, target_2 = data.targets
    try:
        build_networks(
            encoders, alignment_of(config, "shared"), (shape_1, shape_2), (target_1.n_outputs, target_2.n_outputs)
        )
        for encoder, modality in zip(encoders, data.modalities, strict=True):
            turns(encoder, modality.values.shape[1:], masked=modality.mask is not None)
    except ValueError as error:
        raise ConfigError(f"encoders of {' and '.join(data.names)}: {error}") from None
