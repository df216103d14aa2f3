"""A user's own score: what it is given, and what is no score, in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.code.calls import SourceError
from trainables.metrics.own import OwnScore, try_out
from trainables.metrics.scores import Kind
from trainables.sources import Source

GIVEN = '''
import json
import numpy as np


def seen(targets, outputs):
    """What it was given, as a number that a test can read."""
    with open(PLACE, "a") as file:
        file.write(json.dumps([targets.tolist(), outputs.tolist()]) + "\\n")
    targets[:] = 0  # its own copy
    return 0.25


def raises(targets, outputs):
    return targets.no_such_thing


def undefined(targets, outputs):
    return float("nan")


def text(targets, outputs):
    return "0.5"


def each(targets, outputs):
    return outputs


def nothing(targets, outputs):
    outputs.sum()


def true(targets, outputs):
    return True


def beyond(targets, outputs):
    return 10**400


def square(targets, outputs):
    return -1e200


def one(targets):
    return 0.5


def three(targets, outputs, weights):
    return 0.5


def random(targets, outputs):
    return np.random.random()


def of_torch(targets, outputs):
    import torch

    return torch.tensor(0.5)


def ends(targets, outputs):
    raise SystemExit(3)
'''


def score(folder: Path, name: str, kind: Kind = "real") -> OwnScore:
    path = folder / "mine.py"
    path.write_text(GIVEN.replace("PLACE", repr(str(folder / "seen"))))
    return OwnScore(source=Source.of_file(f"{path}:{name}"), kind=kind)


@pytest.mark.parametrize(
    ("kind", "outputs", "target", "expected"),
    [
        ("classes", [[[0.0, 0.0], [1e4, 0.0]]], [1, 0], [[1, 0], [[0.5, 0.5], [1, 0]]]),
        (
            "multi_label",
            [[[0.0, 1e4], [0.0, 0.0]]],
            [[1.0, 0.0], [0.0, 1.0]],
            [[[1, 0], [0, 1]], [[0.5, 1], [0.5, 0.5]]],
        ),
        ("real", [[[1.5], [2.0]]], [[1.0], [2.0]], [[1, 2], [1.5, 2]]),
        ("real", [[[1.5, 1.0], [2.0, 0.0]]], [[1.0, 0.0], [2.0, 0.0]], [[[1, 0], [2, 0]], [[1.5, 1], [2, 0]]]),
    ],
)  # fmt: skip
def test_is_given_targets_and_outputs_as_people_have_them(tmp_path: Path, kind, outputs, target, expected) -> None:  # type: ignore[no-untyped-def]
    target = torch.tensor(target)
    own = score(tmp_path, "seen", kind)
    assert own.measure(torch.tensor(outputs), target).tolist() == [0.25]
    assert own.measure(torch.tensor(outputs), torch.stack([target])).tolist() == [0.25]
    first, again = ((json.loads(line)) for line in (tmp_path / "seen").read_text().splitlines())
    assert first == again == expected


def test_a_diverged_replica_is_nan_and_asks_nothing(tmp_path: Path) -> None:
    outputs = torch.zeros(3, 2, 1)
    outputs[1, 0] = torch.inf
    measured = score(tmp_path, "seen").measure(outputs, torch.zeros(2, 1))
    assert measured.isnan().tolist() == [False, True, False]
    assert (tmp_path / "seen").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", r"score mine.py:raises raised AttributeError: .*no_such_thing.* \(mine.py, line 15\)"),
        ("undefined", "score mine.py:undefined returned nan for random outputs; return a finite number, up to 1e"),
        ("text", r"score mine.py:text returned the text '0.5'; return one number"),
        ("each", r"score mine.py:each returned an array of shape \(40,\); return one number"),
        ("nothing", "score mine.py:nothing returned nothing; return one number"),
        ("true", "score mine.py:true returned a bool; return one number"),
        ("beyond", r"score mine.py:beyond returned inf for random outputs; return a finite number, up to 1e\+100"),
        ("square", "score mine.py:square returned -inf for random outputs; return a finite number"),
        ("one", r"score mine.py:one cannot be called with \(targets, outputs\); give it these two arguments"),
        ("three", r"score mine.py:three cannot be called with \(targets, outputs\)"),
        ("random", "for the same outputs; it may not draw random numbers"),
        ("ends", "score mine.py:ends raised SystemExit: 3"),
        ("absent", "mine.py has no absent; do you mean seen"),
    ],
)
def test_what_is_no_score_is_refused_in_a_line(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as refused:
        try_out(score(tmp_path, name), np.linspace(-1, 1, 40), n_outputs=1)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "values", "n"),
    [
        ("classes", np.arange(40) % 3, 3),
        ("multi_label", np.eye(40)[:, :4], 4),
        ("real", np.ones((40, 2)), 2),
    ],
)
def test_a_number_of_any_kind_is_one(tmp_path: Path, kind: Kind, values, n: int) -> None:  # type: ignore[no-untyped-def]
    try_out(score(tmp_path, "of_torch", kind), values, n_outputs=n)
