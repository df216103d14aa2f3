"""What a pack trains, as frozen, JSON-able, content-hashed data.

A `PackSpec` crosses the process boundary between the driver and a worker, names a pack's checkpoint, and is stored
beside its results; so two equal specs mean the same computation, and the hash of one is its identity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Direction = Literal["both", "to_1", "to_2"]
Split = Literal["train", "valid", "test"]
Precision = Literal["float32", "tf32", "bf16"]
Rows = Literal["fixed", "resampled", "redrawn"]
Keep = Literal["last", "best", "average"]
Schedule = Literal["constant", "cosine"]
OptimiserName = Literal["adamw", "sgd"]
LARGEST_SCORE = 1e100  # a training beyond has diverged: its square is no number, and MLflow has 1.8e308 for infinity


def canonical_json(value: object) -> str:
    """The one JSON text of a value (sorted keys, no spaces), so that equal values have equal hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: object) -> str:
    """First 16 hex digits of the SHA-256 of `canonical_json(value)`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from its parts (study seed, cell, replicate, purpose …), independent of any order of execution."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


_MEANT = {"metric": "r2"}  # by options that are not given: records have had it as if it were


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """Name of a line in `DATASETS` and its options (JSON values only)."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, dict[str, Any]]:
        """What hashes have of it: equal where the same is computed, whether a default was written out or not."""
        return self.name, {key: _MEANT.get(key) if value is None else value for key, value in self.options.items()}


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """One encoder: `kind` is a line in `ENCODERS`; fields that a kind does not use are ignored by it.

    Of a `module`, `factory` is the name of the function that makes it (FILE.py:name, without folders), `options` are
    its further arguments, and `code` is the text of a `trainables.sources.Source`, which is no part of any hash.
    """

    kind: str = "mlp"
    layers: int = 2
    width: int = 32
    heads: int = 1
    feedforward: int | None = None  # width inside a transformer's layers and of an mlp's hidden ones; None: `width`
    patch: int = 4
    pooling: Literal["mean", "cls", "last"] = "mean"
    activation: Literal["relu", "leaky_relu", "tanh", "gelu"] = "relu"
    dropout: float = 0.0
    factory: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain containers, which make an equal spec; what is a module's alone is left out of any other one's."""
        value = asdict(self)
        if self.kind != "module":
            for name in ("factory", "options", "code"):
                del value[name]
        return value

    @property
    def identity(self) -> dict[str, Any]:
        """What hashes have of it: all but the code."""
        return {name: value for name, value in self.to_json().items() if name != "code"}


@dataclass(frozen=True, kw_only=True)
class ScoreSpec:
    """What an encoder's outputs are scored by: a line of `SCORES`, or FILE.py:name of a function of the user's, whose
    `code` is the text of a `trainables.sources.Source` and no part of any hash.
    """

    name: str
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class AlignmentSpec:
    """How the two representations are pulled together; how strongly is each replica's own."""

    objective: str = "info_nce"
    direction: Direction = "both"
    projector: Literal["none", "linear", "mlp"] = "none"
    projector_width: int | None = None  # None: the smaller of the two widths


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """What all replicas of a pack share: the length of training, the batch size, what rows of a class count (alike, or
    so that all classes do), the arithmetic, and the recipe.

    Of the recipe, `keep` says which weights a training comes to: those after the last epoch, each encoder's best on the
    validation rows (`trainables.training.keeping.Best`), or the mean of the last epochs' (`Average`). With `patience` a
    replica stops once neither encoder has been better for so many epochs. `warmup` is in epochs.
    """

    epochs: int = 50
    batch_size: int = 64
    precision: Precision = "float32"
    class_weights: Literal["none", "balanced"] = "none"
    evaluations: int = 10  # points of the learning curve, evenly spaced, the last epoch included
    keep: Keep = "last"
    patience: int | None = None
    schedule: Schedule = "constant"
    warmup: float = 0.0
    optimiser: OptimiserName = "adamw"
    joint_probe: bool = True  # whether what the pair knows together is measured at the end; of no hash

    def to_json(self) -> dict[str, Any]:
        """Plain containers; of class weights and the recipe only what a spec of the version before could not say."""
        value, usual = asdict(self), asdict(TrainingSpec())
        for name in ("class_weights", "keep", "patience", "schedule", "warmup", "optimiser", "joint_probe"):
            if value[name] == usual[name]:
                del value[name]
        return value


@dataclass(frozen=True, kw_only=True)
class ReplicaSpec:
    """One training: a strength per encoder, a seed, and the nuisance hyperparameters."""

    strength_1: float
    strength_2: float
    seed: int
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    temperature: float = 0.1
    clip_norm: float | None = 8.0  # None: gradients are left as they are


@dataclass(frozen=True, kw_only=True)
class PackSpec:
    """K replicas of one encoder pair, trained in lockstep on the `fit` splits and scored on `evaluate`.

    With `rows` resampled each seed has rows of its own, as many as the splits have, drawn from all that may be trained
    on (`trainables.datasets.resampling`): to train on, and, where `evaluate` is valid, to be scored on. The rows of the
    test split are the same for all, unless they are redrawn: then each seed draws its test rows too, from all rows.
    """

    dataset: DatasetSpec
    pair: tuple[str, str]
    encoders: tuple[EncoderSpec, EncoderSpec]
    alignment: AlignmentSpec
    training: TrainingSpec
    replicas: tuple[ReplicaSpec, ...]
    fit: tuple[Split, ...] = ("train",)
    evaluate: Split = "valid"
    rows: Rows = "fixed"
    scores: tuple[ScoreSpec, ScoreSpec] | None = None  # None: the targets' own

    def to_json(self) -> dict[str, Any]:
        """Plain containers, the inverse of `from_json`; `rows`, `scores`, weights of classes and the recipe only where
        a spec of the version before has no name for it, so that what it has trained keeps its hash.
        """
        value = asdict(self)
        value["training"] = self.training.to_json()
        value["encoders"] = tuple(encoder.to_json() for encoder in self.encoders)
        if self.rows == "fixed":
            del value["rows"]
        if self.scores is None:
            del value["scores"]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PackSpec:
        """The spec that `to_json` was called on."""
        first, second = value["pair"]
        encoder_1, encoder_2 = value["encoders"]
        return cls(
            dataset=DatasetSpec(**value["dataset"]),
            pair=(first, second),
            encoders=(EncoderSpec(**encoder_1), EncoderSpec(**encoder_2)),
            alignment=AlignmentSpec(**value["alignment"]),
            training=TrainingSpec(**value["training"]),
            replicas=tuple(ReplicaSpec(**replica) for replica in value["replicas"]),
            fit=tuple(value["fit"]),
            evaluate=value["evaluate"],
            rows=value.get("rows", "fixed"),
            scores=scores_from_json(value.get("scores")),
        )

    @property
    def hash(self) -> str:
        """Identity of the pack: equal specs have equal hashes."""
        name, options = self.dataset.identity
        own: dict[str, Any] = {
            "dataset": {"name": name, "options": options}, "encoders": [e.identity for e in self.encoders],
        }  # fmt: skip
        if self.scores is not None:
            own["scores"] = [score.name for score in self.scores]
        trained = replace(self, training=replace(self.training, joint_probe=True))
        return content_hash({**trained.to_json(), **own})


def scores_from_json(value: Sequence[Mapping[str, str]] | None) -> tuple[ScoreSpec, ScoreSpec] | None:
    """The scores of a pair from their plain containers; None for none."""
    if value is None:
        return None
    first, second = (ScoreSpec(**score) for score in value)
    return first, second


@dataclass(frozen=True, kw_only=True)
class ReplicateResult:
    """What one training came to; `scores` and `losses` are NaN and `status` is `diverged` where it blew up.

    `scores` are those of encoder 1 and 2 that decide (higher is better: what is an error is turned), `losses` their
    task losses in nats (or in the target's units), both of the weights that are kept and on the `evaluate` split, as is
    all else but the curve, which is that of the training. `others` are all
    scores of either encoder, by name and as they are, on the test split. `alignment` holds `cka`, `svcca` and
    `mutual_knn`. `curve` has one row per evaluation, on at most 2,048 evenly spaced rows of the split: epoch, score
    1, score 2, loss 1, loss 2. `by_unit` is the JSON of a `ByUnit` of `trainables.metrics.outcomes`: what each unit of
    the test split adds to the scores, where replicates have rows of their own. `joint` is what a ridge probe of both
    representations together scores on either target, and `crossed` what that of encoder 1 alone scores on target 2, and
    that of encoder 2 on target 1, where targets differ (`trainables.training.joint`); None where nobody asked.

    A user's function gives scores alone for certain: its losses are NaN, without `alignment`, and its curve is what it
    reported. `extras` are other numbers that it returned; with `one_score` both scores are the one that it has for the
    pair; `code` is the hash of its code at the time; `kept` are the encoders, 0 and 1, that it has kept.
    """

    status: Literal["ok", "diverged"]
    scores: tuple[float, float]
    losses: tuple[float, float] = (float("nan"), float("nan"))
    alignment: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[tuple[float, float, float, float, float], ...] = ()
    by_unit: Mapping[str, Any] | None = None
    others: tuple[Mapping[str, float], Mapping[str, float]] | None = None
    joint: tuple[float, float] | None = None
    crossed: tuple[float, float] | None = None
    extras: Mapping[str, float] = field(default_factory=dict)
    one_score: bool = False
    code: str = ""
    kept: tuple[int, ...] = ()
    picture: Mapping[str, Any] | None = None  # of `trainables.training.pictures`, of some trainings

    def to_json(self) -> dict[str, Any]:
        """Plain containers with NaN as None, so that every JSON reader can load them; what packs never have is left out
        where it is not there.
        """
        outcomes = {} if self.by_unit is None else {"by_unit": dict(self.by_unit)}
        others = {"others": [_without_nan(scores) for scores in self.others]} if self.others else {}
        extras = {"extras": _without_nan(self.extras)} if self.extras else {}
        probed = {"joint": self.joint, "crossed": self.crossed}
        return {
            **outcomes,
            **others,
            **{name: [_none_if_nan(v) for v in scores] for name, scores in probed.items() if scores},
            **extras,
            **({"one_score": True} if self.one_score else {}),
            **({"code": self.code} if self.code else {}),
            **({"kept": list(self.kept)} if self.kept else {}),
            **({"picture": dict(self.picture)} if self.picture else {}),
            "status": self.status,
            "scores": [_none_if_nan(v) for v in self.scores],
            "losses": [_none_if_nan(v) for v in self.losses],
            "alignment": _without_nan(self.alignment),
            "curve": [[_none_if_nan(v) for v in row] for row in self.curve],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ReplicateResult:
        """The result that `to_json` was called on (None back to NaN)."""
        score_1, score_2 = map(_nan_if_none, value["scores"])
        loss_1, loss_2 = map(_nan_if_none, value["losses"])
        return cls(
            status=value["status"],
            scores=(score_1, score_2),
            losses=(loss_1, loss_2),
            alignment=_with_nan(value["alignment"]),
            curve=tuple(tuple(map(_nan_if_none, row)) for row in value["curve"]),  # type: ignore[misc]
            by_unit=value.get("by_unit"),
            others=None
            if value.get("others") is None
            else (_with_nan(value["others"][0]), _with_nan(value["others"][1])),
            joint=_pair_or_none(value.get("joint")),
            crossed=_pair_or_none(value.get("crossed")),
            extras=_with_nan(value.get("extras", {})),
            one_score=bool(value.get("one_score", False)),
            code=str(value.get("code", "")),
            kept=tuple(map(int, value.get("kept", ()))),
            picture=value.get("picture"),
        )


def _pair_or_none(values: Sequence[float | None] | None) -> tuple[float, float] | None:
    if values is None:
        return None
    first, second = map(_nan_if_none, values)
    return first, second


def _without_nan(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _none_if_nan(value) for name, value in values.items()}


def _with_nan(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: _nan_if_none(value) for name, value in values.items()}


def _none_if_nan(value: float) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None


def _nan_if_none(value: float | None) -> float:
    return float("nan") if value is None else float(value)
