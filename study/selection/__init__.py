"""Selection: replicate results to λ*, its interval, its gain, a verdict and a strategy. Pure numpy and scipy."""

from study.selection.conclusion import SIZE, Conclusion, Verdict, conclude
from study.selection.confirm import Gain, corrected_gain, holm, paired_gain
from study.selection.crossed import Confirmed, Outcomes, OutcomeUnit, crossed_gain
from study.selection.optimum import SAME_STRENGTH, Curve, Flag, Selection, rounded, select
from study.selection.placement import Unit, free_columns, next_strength, next_units
from study.selection.posterior import Posterior, sample_posterior
from study.selection.prospect import Prospect, prospect, seeds_to_show
from study.selection.shape import Shape
from study.selection.strategy import (
    STRATEGIES,
    Strategy,
    StrategyChoice,
    StrategyGains,
    choose_strategy,
    strengths_by_encoder,
)
from study.selection.trainings import counted, has_curve, unwarp, warp, warp_scale

__all__ = [
    "SAME_STRENGTH",
    "SIZE",
    "STRATEGIES",
    "Conclusion",
    "Confirmed",
    "Curve",
    "Flag",
    "Gain",
    "OutcomeUnit",
    "Outcomes",
    "Posterior",
    "Prospect",
    "Selection",
    "Shape",
    "Strategy",
    "StrategyChoice",
    "StrategyGains",
    "Unit",
    "Verdict",
    "choose_strategy",
    "conclude",
    "corrected_gain",
    "counted",
    "crossed_gain",
    "free_columns",
    "has_curve",
    "holm",
    "next_strength",
    "next_units",
    "paired_gain",
    "prospect",
    "rounded",
    "sample_posterior",
    "seeds_to_show",
    "select",
    "strengths_by_encoder",
    "unwarp",
    "warp",
    "warp_scale",
]
