"""The sections of a study file: every key of them, its values and its default.

The docstrings of these models, and of `study.config.study_file`, are what the documentation of the study file prints.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from study.config.nuisance import Nuisance
from study.config.secrets import has_literal_password, shown
from study.config.section import Section
from study.config.values import (
    LEAST,
    MOST,
    USUAL_ENCODERS,
    USUAL_ESTIMATORS,
    USUAL_OBJECTIVES,
    Count,
    Few,
    Flag,
    Line,
    NonNegative,
    Positive,
    PositiveOrOff,
    Sampler,
    Strengths,
    encoders,
    estimators,
    number,
    objectives,
)
from trainables.datasets import cells
from trainables.spec import DatasetSpec, Direction, Keep, OptimiserName, Precision, Schedule

Splits = Literal["fixed", "resampled"]
AUTO_GPUS = 0.25  # of a GPU for each pack


class DatasetSection(Section):
    """Which data: the name of a dataset and that dataset's own options (`python -m trainables.datasets` lists both)."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    name: str
    """A line of the dataset table, `digits`, `synthetic`, `arrays`, …"""

    @model_validator(mode="after")
    def _known_options(self) -> DatasetSection:
        cells(DatasetSpec(name=self.name, options=self.options))  # its mistakes are ValueErrors
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


class PidSection(Section):
    """How the information of a pair about the target is decomposed."""

    estimator: Annotated[str, Line(estimators, USUAL_ESTIMATORS)] = "posterior"
    """How it is estimated: `posterior` and `broja` make states, of which the profile is exact."""
    bootstrap: Annotated[int, Field(ge=20, le=100_000), BeforeValidator(number)] = 100
    """Resamples behind the interval."""


class EncoderSection(Section):
    """Fields of an encoder that replace the dataset's default; what is left out keeps it."""

    kind: Annotated[str, Line(encoders, USUAL_ENCODERS)] | None = None
    """Its architecture."""
    layers: Few | None = None
    """Layers of an mlp, blocks of a transformer or vit."""
    width: Count | None = None
    """Width of the representation."""
    heads: Few | None = None
    """Attention heads of a transformer or vit; they divide its width."""
    feedforward: Count | None = None
    """Width inside a transformer's layers, and of an mlp's hidden ones; that of the representation unless given."""
    patch: Count | None = None
    """Pixels along the side of a vit's patches."""
    pooling: Literal["mean", "cls", "last"] | None = None
    """How a transformer or vit makes one vector of a sequence."""
    activation: Literal["relu", "leaky_relu", "tanh", "gelu"] | None = None
    """Between the layers."""
    dropout: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), BeforeValidator(number)] | None = None
    """Share of activations dropped in training."""
    factory: Annotated[str, Field(max_length=4096)] | None = None
    """Of kind `module`: FILE.py:name of the function that makes it from (shape, width, **options); FILE is sought from
    the study file's folder."""
    options: dict[str, Any] | None = None
    """Of kind `module`: the function's further arguments."""


class AlignmentSection(Section):
    """What pulls the two representations together."""

    objective: Annotated[str, Line(objectives, USUAL_OBJECTIVES)] = "info_nce"
    """What it minimises, besides the two tasks."""
    direction: Direction = "both"
    """`both`, or one-sided: `to_1` pulls encoder 1 towards the detached output of encoder 2, `to_2` the reverse."""
    projector: Literal["none", "linear", "mlp"] = "none"
    """Head between representation and alignment loss; needed where the two widths differ."""
    projector_width: Count | None = None
    """Width of the head's output; the smaller of the two encoders' unless given."""
    one_sided: Literal["auto", "always", "never"] = "auto"
    """Search one-sided strengths too: `auto` gives an encoder's up once they are shown to be of no use to it."""


class TrainingSection(Section):
    """One training; the values of nuisance hyperparameters not searched over."""

    epochs: Count = 50
    """Passes over the training rows."""
    batch_size: Annotated[int, Field(ge=2, le=MOST), BeforeValidator(number)] = 64
    """Rows of a step; what does not fill a last batch is left out of that epoch."""
    learning_rate: Positive = 1e-3
    """Of AdamW, or the largest of a `schedule`; SGD needs a larger one."""
    weight_decay: NonNegative = 1e-2
    """Of AdamW, decoupled; of SGD a part of the gradient, as torch has it."""
    temperature: Positive = 0.1
    """Of the alignment objective."""
    clip_norm: PositiveOrOff = 8.0
    """Largest norm of an encoder's gradient; `off` clips nothing."""
    optimiser: OptimiserName = "adamw"
    """`adamw`, or `sgd` with momentum 0.9."""
    schedule: Schedule = "constant"
    """Of the learning rate: `constant`, or `cosine`, which falls along half a cosine to nearly 0 at the last epoch."""
    warmup: NonNegative = 0.0
    """Epochs, or a part of one, in which the learning rate rises evenly before that; fewer than `epochs`."""
    keep: Keep = "last"
    """The weights that are scored, confirmed and served: `last`, those after the last epoch; `average`, the mean of
    those after each of the last fifth of the epochs; or `best`, each encoder's of the epoch with its highest score on
    the validation rows (in a confirmation those of the replicate's own split; never the test rows). The search then
    scores on the rows that chose: too high, and with few of them a curve too flat."""
    patience: Count | None = None
    """With `keep: best`: epochs after which a training stops in which neither encoder has become better; none unless
    given. Each encoder keeps the best epoch that it had when its own patience ended."""
    class_weights: Literal["none", "balanced"] = "none"
    """What a row counts in the task loss: all alike, or `balanced`, a row of a class as much more as it is rarer, so
    that all classes count alike (of labels the 0s and 1s of each). Scores count all rows alike."""
    joint_probe: Flag = True
    """Measure at the end of each training what both representations tell together, by a ridge probe: a third curve. It
    changes no training and no answer, and may be changed at any time."""
    precision: Precision = "float32"
    """Of the networks' arithmetic; `tf32` needs a GPU. Losses are float32 always."""

    @model_validator(mode="after")
    def _one_recipe(self) -> TrainingSection:
        if self.patience is not None and self.keep != "best":
            raise ValueError(
                f"patience: {self.patience} waits for a better epoch, but keep is {self.keep}; add keep: best, or take "
                "patience out"
            )
        if self.warmup >= self.epochs:
            raise ValueError(f"warmup: {self.warmup:g} must be fewer than all epochs, which are {self.epochs}")
        return self


class StrengthSection(Section):
    """The alignment strengths λ to try. A study on record can be extended by a wider `range`, more of `initial` and a
    larger `refine`; strengths that it tried stay.
    """

    range: tuple[NonNegative, NonNegative] = (0.0, 4.0)
    """Smallest and largest strength."""
    initial: Strengths = (0.0, 0.1, 0.25, 0.5, 0.6, 0.75, 1.0, 2.0, 4.0)
    """Strengths of the first round; 0 is always among them."""
    refine: Annotated[int, Field(ge=0, le=10_000), BeforeValidator(number)] = 8
    """Strengths that the sampler may add; `posterior` adds fresh seeds at a strength instead where they tell more."""
    per_round: Few = 4
    """How many of them in one round."""

    @model_validator(mode="after")
    def _within_range(self) -> StrengthSection:
        low, high = self.range
        if not low < high:
            raise ValueError(f"range must be two rising numbers, given [{low:g}, {high:g}]")
        outside = [value for value in self.initial if not low <= value <= high]
        if outside:
            raise ValueError(f"initial strength {outside[0]:g} lies outside the range [{low:g}, {high:g}]")
        if not any(self.initial):
            raise ValueError(f"initial is {list(self.initial)}, no strength but 0; give one above it to compare with")
        if low > 0:
            raise ValueError(f"the range must start at 0, the baseline of every gain, given {low:g}")
        return self

    @property
    def design(self) -> tuple[float, ...]:
        """The first round: ascending, without repeats, 0 included."""
        return tuple(sorted({0.0, *self.initial}))


class ReplicatesSection(Section):
    """How many seeds. A study on record can be extended to more: those that are missing are trained, and gains that
    could be seen before are corrected for it (`study.selection.looks`).
    """

    search: Annotated[int, Field(ge=1, le=10_000), BeforeValidator(number)] = 5
    """Seeds at every strength, the same ones (common random numbers); the sampler may add more where needed."""
    confirm: Annotated[int, Field(ge=0, le=10_000), BeforeValidator(number)] = 10
    """Fresh seeds on the test split; 0 skips the confirmation and takes gains from the search seeds."""
    splits: Splits = "resampled"
    """Rows of a replicate: `resampled`, a draw of its own for training and validation (whole groups, where the data
    have some); or `fixed`, those of the split, as the papers train. Test rows are set aside once. Only with `resampled`
    do confirmed gains hold for new rows: their intervals then count the luck of the rows too."""
    confirm_on: Literal["holdout", "resampled"] = "holdout"
    """Where gains are confirmed: `holdout`, on the test rows, which the search never sees; or `resampled`, on a new
    split of all rows for each seed, for data so small that the few rows set aside would say little. λ* has then seen
    rows that its gain is measured on, and intervals are those of the corrected resampled t (Nadeau & Bengio 2003)."""

    @model_validator(mode="after")
    def _one_protocol(self) -> ReplicatesSection:
        if self.confirm_on == "resampled" and self.splits == "fixed":
            raise ValueError("confirm_on: resampled draws new splits, so it needs splits: resampled, given fixed")
        return self


class SearchSection(Section):
    """How strengths after the first round are chosen, and when to stop."""

    sampler: Sampler = "posterior"
    """`posterior` (ours: the trainings that tell most about λ*), `gp`, `tpe`, `qmc` (Optuna's) or `grid`."""
    nuisance: Nuisance = Field(default_factory=dict)
    """Hyperparameters to be tuned fairly at each strength: `learning_rate`, `weight_decay`, `temperature`; with
    `trainer` any, by names of its own."""
    trials_per_strength: Few = 1
    """Nuisance settings tried at every strength, the same ones; the first is that of `training`, with `trainer` the
    middle of each range and the first of its choices."""
    transfer: Flag = True
    """Try first what earlier studies of the same storage found best for similar profiles; none is left out."""
    stop_interval: NonNegative = 0.0
    """Stop refining a cell once the 90 % interval of its λ* is narrower than this (0: never)."""
    stop_regret: NonNegative = 0.0
    """Stop refining a cell once its expected regret is below this (0: never)."""
    smallest_gain: NonNegative = 0.005
    """Smallest gain of interest, in the score's own unit: 0.005 is half a point of accuracy, and 0.005 of R². A gain or
    loss whose 90 % interval lies within ± this is said to be too small to matter, and nothing is advised for its sake
    (0: every confirmed gain counts). Half a point is about the standard error of an accuracy on ten thousand test rows:
    what is smaller can hardly be seen again, and is seldom worth one more hyperparameter. With a `score` in a unit of
    its own (`rmse`, `mae`, `log_loss`, a function of yours, or a `trainer`'s that is none of the three known) it is 0
    unless given: how little of it matters only you know."""


class ResourcesSection(Section):
    """What one pack of trainings may use; nothing here but `pack` changes a result."""

    gpus: Literal["auto"] | NonNegative = "auto"
    """Share of a GPU for each pack: 1/n or a whole number; `auto` is 0.25 where there is a GPU (1 with `trainer`), else
    0."""
    cpus: Annotated[float, Field(ge=LEAST, le=MOST, allow_inf_nan=False), BeforeValidator(number)] = 1.0
    """Cores for each pack; its arithmetic has as many threads."""
    pack: Literal["auto"] | Count = "auto"
    """Replicates trained in lockstep by one trial; `auto` is as many as make it faster (`study.scheduling.size`)."""
    workers: Literal["auto"] | Count = "auto"
    """Packs in flight at most; `auto` is whatever the CPUs and GPUs allow."""
    share: Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False), BeforeValidator(number)] = 1.0
    """Weight against other studies that train on the same cluster (`--address`) at once: one of 2 gets twice as much of
    it as one of 1. A study that is alone there has all of it."""
    minutes_per_trial: Positive | None = None
    """With `trainer` alone: a training that takes longer is ended, tried again and then given up; unlimited unless
    given."""
    checkpoint_seconds: Positive = 5.0
    """Time between two checkpoints of a pack; a pack whose worker dies loses no more than that."""
    checkpoints: str | None = None
    """Where they are kept, if not in the study's folder: another folder that all nodes share, or `s3://BUCKET/PREFIX`
    of an S3-compatible store that all can reach, with keys and endpoint from each node's environment
    (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL)."""

    @field_validator("checkpoints")
    @classmethod
    def _known_place(cls, checkpoints: str | None) -> str | None:
        if checkpoints and has_literal_password(checkpoints):
            raise ValueError("keys do not belong in a study file; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        if checkpoints is not None and not re.fullmatch(r"(/|s3://[^/?]+)[^?]*", checkpoints):
            raise ValueError(f"{shown(checkpoints)} is not known; give an absolute folder or s3://BUCKET/PREFIX")
        return checkpoints

    @field_validator("gpus")
    @classmethod
    def _unit_fraction(cls, gpus: float | str) -> float | str:
        if isinstance(gpus, str):
            return gpus
        if 0 < gpus < LEAST:
            raise ValueError(f"Ray shares out no less than {LEAST:g} of a GPU, given {gpus:g}")
        if gpus > 0 and not (math.isclose(1 / gpus, round(1 / gpus)) if gpus < 1 else gpus == int(gpus)):
            raise ValueError(
                f"only 1/n of a GPU or whole GPUs can be packed without gaps, given {gpus:g}; use 0.5, 0.25 …"
            )
        return gpus

    @property
    def seconds_per_trial(self) -> float | None:
        """After how long a training of the user's function is ended; None: never."""
        return None if self.minutes_per_trial is None else 60 * self.minutes_per_trial

    def gpu_share(self, *, on_gpus: bool, auto: float = AUTO_GPUS) -> float:
        """What `gpus` stands for where there are GPUs, or none; `auto` is what that word stands for where there are."""
        if isinstance(self.gpus, str):
            return auto if on_gpus else 0.0
        return self.gpus


class BudgetSection(Section):
    """What a study may take at most. Before it is spent the search stops, in time to confirm what it has found: fewer
    strengths are placed, and the report says what more would have bought. It is in no hash of results: raise it and run
    the same command, and the study goes on where it stopped.
    """

    trainings: Annotated[int, Field(ge=1, le=10**9), BeforeValidator(number)] | None = None
    """All trainings of the study, the same number for each pair. What is trained depends on nothing else, so that a
    study of this budget is reproducible. Refused where it is too small for the first strengths and a confirmation."""
    minutes: Positive | None = None
    """Time in which it trains, over all its runs. How many strengths that allows depends on the machine; where it
    stopped is on record."""
    gpu_hours: Positive | None = None
    """Hours of GPU, of which a pack on a quarter of one takes a quarter; nothing where packs train on CPUs."""

    @property
    def given(self) -> dict[str, float]:
        """The limits that there are, by key."""
        return {name: value for name, value in self.model_dump().items() if value is not None}
