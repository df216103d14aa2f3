"""A cell: everything that is known of one search without its data, and what trains its settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from study.cells.stages import Stage
from study.cells.trials import PER_ENCODER, Arm, Setting
from study.config import StudyConfig
from trainables.functions.spec import FunctionReplica, FunctionSpec, small_seed
from trainables.spec import (
    AlignmentSpec,
    DatasetSpec,
    Direction,
    EncoderSpec,
    PackSpec,
    ReplicaSpec,
    Rows,
    ScoreSpec,
    Split,
    TrainingSpec,
    derive_seed,
    scores_from_json,
)

Job = PackSpec | FunctionSpec
_PLAIN = ("id", "label", "variant", "data_key", "pair", "metrics", "rows", "exact_profile", "stand_in")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Dataset × pair × PID profile: one search for one λ*. Everything that is known of it without its data.

    `id` is unique in the study and safe in names of files and databases, `label` is for people; `variant` holds the
    dataset options in which the study's cells differ; `data_key` says which of the study's datasets is its own.
    Where the user's function trains, there may be no dataset, and then no encoders, rows or profile are known; `code`
    is the hash of the function's code, if that is at hand. `past` are the stages before the study was extended, oldest
    first; none of a cell that is as it was asked for at once. `metrics` are what the scores are called of which higher
    is better; `scores` those that the study names, None where the targets' own decide.
    """

    id: str
    label: str
    config: StudyConfig
    dataset: DatasetSpec | None
    variant: Mapping[str, object]
    data_key: str
    pair: tuple[str, str]
    encoders: tuple[EncoderSpec, EncoderSpec] | None
    metrics: tuple[str, str]
    rows: Mapping[Split, int]
    exact_profile: Mapping[str, float] | None
    stand_in: bool
    code: str = ""
    scores: tuple[ScoreSpec, ScoreSpec] | None = None
    past: tuple[Stage, ...] = ()

    def as_of(self, stage: int) -> Cell:
        """The cell as it was in one of its past stages, by its place among them."""
        config = self.past[stage].amounts.amended(self.config)
        return replace(self, config=config, past=self.past[:stage])

    @property
    def confirming_ratio(self) -> float | None:
        """Test rows for each training row, where each confirming replicate has a split of its own; None elsewhere."""
        return self.rows["test"] / self.rows["train"] if self.config.replicates.confirm_on == "resampled" else None

    def to_json(self) -> dict[str, Any]:
        """Plain containers, without the configuration and past stages; the inverse of `from_json`."""
        fields = {name: getattr(self, name) for name in _PLAIN}
        dataset = None if self.dataset is None else asdict(self.dataset)
        encoders = None if self.encoders is None else [encoder.to_json() for encoder in self.encoders]
        scores = {} if self.scores is None else {"scores": [asdict(score) for score in self.scores]}
        return {**fields, **scores, "dataset": dataset, "encoders": encoders}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, config: StudyConfig) -> Cell:
        """The cell that `to_json` was called on, of a study with this configuration."""
        plain = {name: value[name] for name in _PLAIN}
        plain |= {"pair": tuple(value["pair"]), "metrics": tuple(value["metrics"])}
        dataset = None if value["dataset"] is None else DatasetSpec(**value["dataset"])
        encoders = None
        if value["encoders"] is not None:
            first, second = (EncoderSpec(**encoder) for encoder in value["encoders"])
            encoders = (first, second)
        scores = scores_from_json(value.get("scores"))
        return cls(config=config, dataset=dataset, encoders=encoders, scores=scores, **plain)

    @property
    def job_key(self) -> str:
        """What its trainings need beside their job, by its key among all that a study's workers are given."""
        return self.data_key if self.config.trainer is None else self.code

    def job(self, arm: Arm, members: Iterable[tuple[Setting, int]]) -> Job:
        """What one trial is asked to train: these (setting, replicate index) members, of which a function takes one."""
        members = tuple(members)
        return self.pack(arm, members) if self.config.trainer is None else self._call(arm, *members[0])

    def _call(self, arm: Arm, setting: Setting, index: int) -> FunctionSpec:
        """The call of the user's function for one replicate; splits and seeds are as in `pack`."""
        trainer = self.config.trainer
        assert trainer is not None
        on_test = arm in PER_ENCODER
        return FunctionSpec(
            call=trainer.identity["call"],
            code=self.code,
            options=trainer.options,
            pair=self.pair,
            maximise=trainer.maximise,
            phase="final" if arm == "final" else "confirm" if on_test else "search",
            evaluate="test" if on_test else "valid",
            replicas=(
                FunctionReplica(
                    strength_1=setting.strength_1,
                    strength_2=setting.strength_2,
                    seed=small_seed(self.config.seed, self.id, "confirm" if on_test else "search", index),
                    replicate=index,
                    hyperparameters=dict(setting.nuisance),
                ),
            ),
        )

    def pack(self, arm: Arm, members: Iterable[tuple[Setting, int]]) -> PackSpec:
        """The pack that trains these (setting, replicate index) members in lockstep.

        Searching scores on the validation split, confirming on the test split (or a test split of the replicate's own,
        by `replicates.confirm_on`) with seeds that the search never saw.
        Both train on the training split alone: λ* depends on the number of training rows, so that adding the
        validation split would confirm another λ* than the one that was found. The final encoders, with the confirming
        seeds, have the validation split too, unless their best epoch is chosen by it.
        """
        on_test = arm in PER_ENCODER
        phase = "confirm" if on_test else "search"
        training = self.config.training
        assert self.dataset is not None and self.encoders is not None  # noqa: PT018  both, of every study of packs
        return PackSpec(
            dataset=self.dataset,
            pair=self.pair,
            encoders=self.encoders,
            alignment=alignment_of(self.config, arm),
            training=TrainingSpec(
                epochs=training.epochs,
                batch_size=training.batch_size,
                precision=training.precision,
                class_weights=training.class_weights,
                keep=training.keep,
                patience=training.patience,
                schedule=training.schedule,
                warmup=training.warmup,
                optimiser=training.optimiser,
                joint_probe=training.joint_probe,
            ),
            replicas=tuple(
                ReplicaSpec(
                    strength_1=setting.strength_1,
                    strength_2=setting.strength_2,
                    seed=derive_seed(self.config.seed, self.id, phase, index),
                    learning_rate=float(setting.nuisance.get("learning_rate", training.learning_rate)),
                    weight_decay=float(setting.nuisance.get("weight_decay", training.weight_decay)),
                    temperature=float(setting.nuisance.get("temperature", training.temperature)),
                    clip_norm=training.clip_norm,
                )
                for setting, index in members
            ),
            fit=("train", "valid") if arm == "final" and training.keep != "best" else ("train",),
            evaluate="test" if on_test else "valid",
            rows=self._rows(arm),
            scores=self.scores,
        )

    def _rows(self, arm: Arm) -> Rows:
        """How the rows of an arm's replicates come about."""
        replicates = self.config.replicates
        if arm == "final":
            return "fixed"
        return "redrawn" if arm == "confirm" and replicates.confirm_on == "resampled" else replicates.splits


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
