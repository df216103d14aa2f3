"""Answers as a notebook has them: sentences, a table, figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.outside import text
from study.results.model import OutsideResult, to_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Answer:
    """What trainings that are done already say: one result, or one for each encoder."""

    results: tuple[OutsideResult, ...]

    @property
    def result(self) -> OutsideResult:
        """The only result.

        Raises:
            ValueError: there are several, see `results`.
        """
        if len(self.results) != 1:
            names = ", ".join(one.modality or "?" for one in self.results)
            raise ValueError(f"there are {len(self.results)} answers, for {names}; take one of `results`")
        return self.results[0]

    @property
    def lambda_star(self) -> float | None:
        """λ* of the only result."""
        return self.result.lambda_star

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 90 % interval."""
        return self.result.interval

    @property
    def verdict(self) -> str | None:
        """`align`, `avoid` or `indifferent`."""
        return self.result.verdict

    @property
    def data(self) -> Mapping[str, Any]:
        """What `python -m study.select --json` prints: the result, or `encoders`, a list of them."""
        told = [to_json(one) for one in self.results]
        return told[0] if len(told) == 1 else {"encoders": told}

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each result: λ*, its interval, gain, verdict, shape."""
        import pandas as pd

        from study.results.flat import answer_numbers, with_limits

        rows = []
        for one in self.results:
            best = one.best_trial
            rows.append(
                {
                    "encoder": one.modality,
                    **answer_numbers(one),
                    "p_adjusted": one.gain_over_zero.p_adjusted if one.gain_over_zero else None,
                    "lambda_1se": one.lambda_1se,
                    "verdict": one.verdict,
                    "shape": one.shape,
                    **with_limits("expected_score", one.expected_score, one.expected_interval),
                    "best_trial": best.score if best else None,
                    "best_trial_expected": best.expected if best else None,
                    "seeds_needed": one.seeds_needed,
                    "trainings": one.counts.trainings,
                    "used": one.counts.used,
                }
            )
        return pd.DataFrame(rows)

    @property
    def scores(self) -> pd.DataFrame:
        """A row for each training that the answers rest on."""
        import pandas as pd

        rows = [
            {"encoder": one.modality, "strength": point.strength, "replicate": place, "score": score}
            for one in self.results
            for point in one.curve
            for place, score in enumerate(point.scores)
        ]
        return pd.DataFrame(rows)

    def figure(self, index: int = 0) -> Figure:
        """The scores against the strength with the curve and the answer, as a matplotlib object."""
        from study.outside.drawing import answer_drawing

        return answer_drawing(self.results[index])

    def __repr__(self) -> str:
        return text.text(self.results)

    def _repr_html_(self) -> str:
        from html import escape

        from study.outside.drawing import numbers

        return "".join(
            f"<p><b>{escape(text.title(one))}</b></p>{numbers(one)}"
            + "".join(f"<p>{escape(line)}</p>" for line in text.sentences(one))
            + f"<ul>{''.join(f'<li>{escape(remark)}</li>' for remark in text.remarks(one))}</ul>"
            for one in self.results
        )
