"""Many planted optima in one study through the real Ray: intervals of λ* cover them as often as they say."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from tests.study.studies import TinyStudy

PAIRS = 12
HIT_AT_LEAST = 19  # of 24 intervals of 90 %: fewer come with a probability of 3 %


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_intervals_cover_planted_optima_as_often_as_they_say(own_study: Callable[..., TinyStudy]) -> None:
    draws = random.Random(0)
    optima = {f"{side}{number}": round(draws.uniform(0.4, 2.5), 2) for number in range(PAIRS) for side in ("a", "b")}
    study = own_study("many", options=json.dumps({"optima": optima}), search=4, confirm=0, refine=4)
    text = study.folder / "tiny.yaml"
    pairs = [[f"a{number}", f"b{number}"] for number in range(PAIRS)]
    text.write_text(text.read_text().replace("[[image, text]]", json.dumps(pairs)))
    cells = study.finish("--workers", "2")["cells"]

    answers = {encoder["modality"]: encoder for cell in cells for encoder in cell["encoders"]}
    assert answers.keys() == optima.keys()
    hits = {name: one["interval"][0] <= optima[name] <= one["interval"][1] for name, one in answers.items()}
    assert sum(hits.values()) >= HIT_AT_LEAST, hits
    widths = [one["interval"][1] - one["interval"][0] for one in answers.values()]
    assert sorted(widths)[len(widths) // 2] < 2  # and say something: the range is 4 wide
    assert len({one["lambda_star"] for one in answers.values()}) > PAIRS
