"""What a user's function is asked to train, as frozen, JSON-able, content-hashed data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trainables.spec import Split, content_hash, derive_seed

Value = float | int | str | bool  # of a hyperparameter; a whole number stays one
Phase = Literal["search", "confirm", "final"]
TRAINER = "function"


def small_seed(*parts: object) -> int:
    """A seed below 2^31 from its parts, as `derive_seed`: NumPy, scikit-learn and JAX take no larger one."""
    return derive_seed(*parts) >> 32


@dataclass(frozen=True, kw_only=True)
class FunctionReplica:
    """One call: a strength per encoder, a seed below 2^31 (`small_seed`), the index of the replicate in its phase, and
    hyperparameters of any name.
    """

    strength_1: float
    strength_2: float
    seed: int
    replicate: int
    hyperparameters: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FunctionSpec:
    """One call of a user's function, which scores both encoders of `pair` on the split `evaluate`.

    `call` is `FILE.py:name` as the study file has it, or the name of an object of the API; `code` is the hash of the
    code behind it, which says what a result came from and is no part of its identity. `options` are the study's own,
    JSON values alone, the same for all calls. The function's scores are turned where not `maximise`. The phase `final`
    trains encoders that are kept, on the training and validation splits if the function can.

    Raises:
        ValueError: it holds another number of replicas than one, or a seed that not all libraries take.
    """

    call: str
    code: str
    pair: tuple[str, str]
    replicas: tuple[FunctionReplica, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    phase: Phase = "search"
    evaluate: Split = "valid"
    maximise: bool = True

    def __post_init__(self) -> None:
        if len(self.replicas) != 1:
            raise ValueError(f"a call of a function trains one replicate, given {len(self.replicas)}; ask for one")
        if not 0 <= (seed := self.replicas[0].seed) < 2**31:
            raise ValueError(f"seed {seed} is not below 2^31; take small_seed")

    @property
    def replica(self) -> FunctionReplica:
        """The one replica."""
        return self.replicas[0]

    def to_json(self) -> dict[str, Any]:
        """Plain containers, the inverse of `from_json`; `trainer` tells them from those of a pack."""
        return {"trainer": TRAINER, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FunctionSpec:
        """The spec that `to_json` was called on."""
        known = {name: given for name, given in value.items() if name != "trainer"}
        first, second = value["pair"]
        replicas = tuple(FunctionReplica(**replica) for replica in value["replicas"])
        return cls(**{**known, "pair": (first, second), "replicas": replicas})

    @property
    def hash(self) -> str:
        """Identity of the call: equal specs have equal hashes, whatever the function's code was at the time."""
        return content_hash({name: value for name, value in self.to_json().items() if name != "code"})
