"""What decides in a cell: the score of each encoder, as the study names it or the data have it, checked on the data."""

from __future__ import annotations

import numpy as np

from study.config import ConfigError, StudyConfig
from study.config.scores import is_own
from trainables.datasets import DATASETS
from trainables.datasets.base import SPLITS, DataError, MultimodalData, PairData, Target
from trainables.datasets.labels import check_signs
from trainables.metrics.scores import SCORES, Kind, scores_of, turned
from trainables.spec import ScoreSpec

_KINDS: dict[Kind, str] = {
    "classes": "classes", "multi_label": "labels of which a row may have several", "real": "real numbers",
}  # fmt: skip


def scores_of_pair(config: StudyConfig, data: MultimodalData, pair: PairData) -> tuple[ScoreSpec, ScoreSpec] | None:
    """The scores that a study names for a pair; None where it names none.

    Raises:
        ConfigError: one is for no such modality, not for such a target, cannot be computed on these rows, or means
            another unit than the other one.
    """
    if config.score is None:
        return None
    if isinstance(config.score, dict):
        for name in config.score:
            if name not in data.modalities:
                raise ConfigError(f"score.{name}: no such modality; this dataset has {', '.join(data.modalities)}")
    first, second = (_score(config, name, target, data) for name, target in zip(pair.names, pair.targets, strict=True))
    _check_units((first, second), pair)
    return first, second


def metrics_of(scores: tuple[ScoreSpec, ScoreSpec] | None, pair: PairData) -> tuple[str, str]:
    """What the scores are called of which higher is better."""
    if scores is None:
        return pair.targets[0].metric, pair.targets[1].metric
    return turned(scores[0].name), turned(scores[1].name)


def _score(config: StudyConfig, modality: str, target: Target, data: MultimodalData) -> ScoreSpec:
    given = config.score if isinstance(config.score, str) else (config.score or {}).get(modality, target.metric)
    where = f"score of {modality}"
    if is_own(given):
        return _own(where, given, target, data)
    score = SCORES[given]
    if target.kind not in score.kinds:
        fitting = ", ".join(scores_of(target.kind))
        task = ", or say what the target is by dataset.task" if "task" in DATASETS[config.data.name].options else ""
        raise ConfigError(
            f"{where}: {given} is not for its target, which holds {_KINDS[target.kind]}; choose one of {fitting}{task}"
        )
    if score.signed:
        instead = "choose r2 or a correlation"
        try:
            check_signs(f"{where}: its target", target.values.astype(float), instead=instead)
        except DataError as error:
            raise ConfigError(str(error)) from None
    if score.compares:
        for split in ("valid", "test"):
            values = target.values[data.split == SPLITS[split]]
            columns = values.reshape(len(values), -1)
            if not (columns != columns[:1]).any(axis=0).any():
                raise ConfigError(
                    f"{where}: {given} compares rows with different targets, and all of the {split} split have the "
                    "same one; choose another split or score"
                )
    return ScoreSpec(name=given)


def _own(where: str, name: str, target: Target, data: MultimodalData) -> ScoreSpec:
    # Here, not above: it brings torch, and most studies need not wait for that.
    from trainables.code.calls import SourceError
    from trainables.metrics.own import OwnScore, try_out
    from trainables.sources import Source

    try:
        source = Source.find(name)
        own = OwnScore(source=source, kind=target.kind)
        for split in ("valid", "test"):
            try_out(own, np.asarray(target.values)[data.split == SPLITS[split]], n_outputs=target.n_outputs)
    except SourceError as error:
        raise ConfigError(f"{where}: {error}") from None
    return ScoreSpec(name=source.name, code=source.text)


def _check_units(scores: tuple[ScoreSpec, ScoreSpec], pair: PairData) -> None:
    """What a strategy is worth is the mean gain of both encoders: it has to be in one unit."""
    names = tuple(score.name for score in scores)
    if all(name in SCORES and SCORES[name].bounded for name in names):
        return
    remedy = "give both one score, or scores without a unit, such as r2, accuracy or auroc"
    if names[0] != names[1]:
        raise ConfigError(
            f"score: {pair.names[0]} is scored by {names[0]} and {pair.names[1]} by {names[1]}, and what a pair gains "
            f"is the mean of both, which would mix their units; {remedy}"
        )
    one, other = pair.targets
    same = one is other or np.array_equal(one.values, other.values)
    if not same and names[0] in SCORES and SCORES[names[0]].in_unit:
        raise ConfigError(
            f"score: {names[0]} is in the unit of its target, and {pair.names[0]} and {pair.names[1]} have different "
            "targets; what a pair gains is the mean of both, which would mix their units: choose r2 or a correlation"
        )
