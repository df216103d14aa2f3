"""The whole of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from study.results.model.answers import Limits
from study.results.model.budget import BudgetResult
from study.results.model.cells import CellResult
from study.results.model.containers import from_json, said

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastAgreement:
    """How the linear theory's order of best strengths agrees with the measured one, over all encoders answered."""

    encoders: int | None = said(minimum=0)
    spearman: float | None = said("null where an order is undefined", null=True)
    interval: Limits | None = said("90 %")
    p_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Fields may be added, never renamed. λ is the weight of the alignment loss; information is in bits."""

    schema: int = said(default=SCHEMA, required=True, const=SCHEMA)
    study: str | None = said(required=True)
    status: str | None = said(choices=("complete", "partial", "interrupted", "failed"))
    config_hash: str | None = said(required=True)
    begun_as: str | None = said("config_hash that the study began with, where it was extended since")
    seed: int | None = said(minimum=0)
    stand_in: bool = said("some cell's data are generated in place of the real ones", default=False)
    versions: Mapping[str, str] = said("of the libraries that it ran with", required=True, default=dict)
    wall_seconds: float | None = said(required=True, minimum=0)
    training_seconds: float | None = None
    peak_memory_bytes: int | None = said(minimum=0)
    trainings: int | None = said(required=True, minimum=0)
    budget: BudgetResult | None = said("absent where the study file sets none")
    forecast_agreement: ForecastAgreement | None = said(null=True)
    cells: tuple[CellResult, ...] = said(required=True, default=(), at_least=1)

    @classmethod
    def from_json(cls, value: object) -> Report:
        """The report that the content of a report.json tells, as far as it does: of a part, or of another version."""
        return from_json(cls, value)

    @property
    def answered(self) -> bool:
        """Whether every cell has an answer, see `CellResult.answered`."""
        return all(cell.answered for cell in self.cells)
