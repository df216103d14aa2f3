"""Functions of a user in files of their own, and trials that call them without Ray."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from trainables.functions.code import Code, read_code
from trainables.functions.spec import FunctionReplica, FunctionSpec
from trainables.spec import ReplicateResult
from trainables.tune import JobTrainable

REPLICA = FunctionReplica(strength_1=0.5, strength_2=0.5, seed=7, replicate=2)
Write = Callable[..., Code]


@dataclass(frozen=True)
class Trials:
    """What calls a function as Tune would, with checkpoints in `place`."""

    place: str

    def begin(self, code: Code, *, config: Mapping[str, Any] | None = None, **more: Any) -> JobTrainable:
        """A trial that has not begun; `more` are fields of its spec or of its replica."""
        fields = FunctionReplica.__dataclass_fields__
        replica = replace(REPLICA, **{name: value for name, value in more.items() if name in fields})
        rest = {name: value for name, value in more.items() if name not in fields}
        spec = FunctionSpec(
            **{"call": code.call, "code": code.hash, "pair": ("image", "text"), "replicas": (replica,), **rest}
        )
        made = JobTrainable.__new__(JobTrainable)  # Tune's own constructor wants a Ray session
        told = {"spec": json.dumps(spec.to_json()), "data_key": "code", "place": self.place, "threads": 1}
        made.setup({**told, **(config or {})}, shared={"code": code})
        return made

    def last(self, code: Code, **more: Any) -> dict[str, Any]:
        """What Tune hears last of a trial."""
        trial = self.begin(code, **more)
        try:
            while not (progress := trial.step())["done"]:
                pass
        finally:
            trial.cleanup()
        return progress

    def result(self, code: Code, **more: Any) -> ReplicateResult:
        """What a trial came to."""
        progress = self.last(code, **more)
        assert "results" in progress, progress
        (value,) = json.loads(progress["results"])
        return ReplicateResult.from_json(value)


@pytest.fixture
def trials(tmp_path: Path) -> Trials:
    (tmp_path / "place").mkdir()
    return Trials(str(tmp_path / "place"))


@pytest.fixture
def write(tmp_path: Path, request: pytest.FixtureRequest) -> Write:
    """Makes a file of the user's, of a name that no other test has, and gives its code: `train` in it."""
    stem = f"own_{abs(hash(request.node.nodeid))}"

    def code(text: str, *, name: str = "train", file: str = f"{stem}.py", **more: Any) -> Code:
        path = tmp_path / "user" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return read_code(f"{file}:{name}", base=tmp_path / "user", **more)

    return code
