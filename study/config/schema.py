"""The sections of a study file: every key of them, its values and its default.

The docstrings of these models, and of `study.config.study_file`, are what the documentation of the study file prints.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from study.config.secrets import has_literal_password, shown
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
    Real,
    Sampler,
    Strengths,
    encoders,
    estimators,
    number,
    objectives,
)
from trainables.datasets import cells
from trainables.spec import DatasetSpec, Direction, Precision, Rows

_AUTO_GPUS = 0.25  # of a GPU for each pack


class Section(BaseModel):
    """A section of a study file: frozen, and with no keys but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


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
    """Of AdamW."""
    weight_decay: NonNegative = 1e-2
    """Of AdamW, decoupled."""
    temperature: Positive = 0.1
    """Of the alignment objective."""
    clip_norm: Positive = 8.0
    """Largest norm of an encoder's gradient."""
    precision: Precision = "float32"
    """Of the networks' arithmetic; `tf32` needs a GPU. Losses are float32 always."""


class StrengthSection(Section):
    """The alignment strengths λ to try."""

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
        if low > 0:
            raise ValueError(f"the range must start at 0, the baseline of every gain, given {low:g}")
        return self

    @property
    def design(self) -> tuple[float, ...]:
        """The first round: ascending, without repeats, 0 included."""
        return tuple(sorted({0.0, *self.initial}))


class ReplicatesSection(Section):
    """How many seeds."""

    search: Annotated[int, Field(ge=1, le=10_000), BeforeValidator(number)] = 5
    """Seeds at every strength, the same ones (common random numbers); the sampler may add more where needed."""
    confirm: Annotated[int, Field(ge=0, le=10_000), BeforeValidator(number)] = 10
    """Fresh seeds on the test split; 0 skips the confirmation and takes gains from the search seeds."""
    splits: Rows = "fixed"
    """Rows of a replicate: `fixed`, those of the split, as the papers train; or `resampled`, a draw of its own for
    training and validation (whole groups, where the data have some). Test rows are set aside once. Only with
    `resampled` do confirmed gains hold for new rows: their intervals then count the luck of the rows too."""


class NuisanceRange(Section):
    """Range of a nuisance hyperparameter: exactly one of `log` and `linear`, smallest and largest value."""

    log: tuple[Positive, Positive] | None = None
    """Even on a logarithmic scale."""
    linear: tuple[Real, Real] | None = None
    """Even on a linear scale."""

    @model_validator(mode="after")
    def _one_scale(self) -> NuisanceRange:
        if (self.log is None) == (self.linear is None):
            raise ValueError("give exactly one of log: [low, high] and linear: [low, high]")
        low, high = self.bounds
        if not low < high:
            raise ValueError(f"a range must be two rising numbers, given [{low:g}, {high:g}]")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value."""
        bounds = self.log or self.linear
        assert bounds is not None
        return bounds

    def value(self, fraction: float) -> float:
        """The value at a fraction in [0, 1] of the range, on its scale."""
        low, high = self.bounds
        if self.log:
            return low * math.exp(math.log(high / low) * fraction)
        return low + (high - low) * fraction


class SearchSection(Section):
    """How strengths after the first round are chosen, and when to stop."""

    sampler: Sampler = "posterior"
    """`posterior` (ours: the trainings that tell most about λ*), `gp`, `tpe`, `qmc` (Optuna's) or `grid`."""
    nuisance: dict[Literal["learning_rate", "weight_decay", "temperature"], NuisanceRange] = {}
    """Hyperparameters to be tuned fairly at each strength."""
    trials_per_strength: Few = 1
    """Nuisance settings tried at every strength, the same ones; the first is that of `training`."""
    transfer: Flag = True
    """Try first what earlier studies of the same storage found best for similar profiles; none is left out."""
    stop_interval: NonNegative = 0.0
    """Stop refining a cell once the 90 % interval of its λ* is narrower than this (0: never)."""
    stop_regret: NonNegative = 0.0
    """Stop refining a cell once its expected regret is below this (0: never)."""

    @model_validator(mode="after")
    def _of_use(self) -> SearchSection:
        for key, nuisance in self.nuisance.items():
            low, _ = nuisance.bounds
            if low < 0 or (low == 0 and key != "weight_decay"):
                least = "0 or more" if key == "weight_decay" else "above 0"
                raise ValueError(f"nuisance.{key} begins at {low:g}, but must be {least}")
        return self


class ResourcesSection(Section):
    """What one pack of trainings may use; nothing here but `pack` changes a result."""

    gpus: Literal["auto"] | NonNegative = "auto"
    """Share of a GPU for each pack: 1/n or a whole number; `auto` is 0.25 where there is a GPU, else 0."""
    cpus: Annotated[float, Field(ge=LEAST, le=MOST, allow_inf_nan=False), BeforeValidator(number)] = 1.0
    """Cores for each pack; its arithmetic has as many threads."""
    pack: Literal["auto"] | Count = "auto"
    """Replicates trained in lockstep by one trial; `auto` is as many as make it faster (`study.scheduling.size`)."""
    workers: Literal["auto"] | Count = "auto"
    """Packs in flight at most; `auto` is whatever the CPUs and GPUs allow."""
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

    def gpu_share(self, *, on_gpus: bool) -> float:
        """What `gpus` stands for where there are GPUs, or none."""
        if isinstance(self.gpus, str):
            return _AUTO_GPUS if on_gpus else 0.0
        return self.gpus
