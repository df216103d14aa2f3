"""The examples beside it as studies: how long each trains, what is tuned, and the library that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PLAIN = HERE.parents[3] / "search_spaces" / "own_training.py"


@dataclass(frozen=True, kw_only=True)
class Case:
    """An example. `epochs` take it some seconds, long enough to be killed in; `rate` is a good value of `tuned`."""

    file: Path
    library: str
    epochs: int
    length: str = "epochs"
    tuned: str = "learning_rate"
    rate: float = 1e-2

    @property
    def name(self) -> str:
        return self.file.stem


CASES = (
    Case(file=PLAIN, library="torch", epochs=20),
    Case(file=HERE / "with_lightning.py", library="lightning", epochs=15),
    Case(file=HERE / "with_hf_trainer.py", library="transformers", epochs=6, rate=3e-3),
    Case(file=HERE / "with_sklearn.py", library="sklearn", epochs=40, length="members", tuned="alpha", rate=10.0),
    Case(file=HERE / "with_jax.py", library="jax", epochs=200),
)
