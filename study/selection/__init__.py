"""Selection: replicate results to λ*, its interval, its gain, a verdict and a strategy. Pure numpy and scipy."""

from study.selection.confirm import Gain, Verdict, holm, paired_gain, verdict
from study.selection.optimum import Curve, Flag, Selection, select
from study.selection.posterior import Posterior, sample_posterior
from study.selection.shape import Shape
from study.selection.strategy import STRATEGIES, Strategy, StrategyChoice, StrategyGains, choose_strategy
from study.selection.trainings import unwarp, warp, warp_scale

__all__ = [
    "STRATEGIES",
    "Curve",
    "Flag",
    "Gain",
    "Posterior",
    "Selection",
    "Shape",
    "Strategy",
    "StrategyChoice",
    "StrategyGains",
    "Verdict",
    "choose_strategy",
    "holm",
    "paired_gain",
    "sample_posterior",
    "select",
    "unwarp",
    "verdict",
    "warp",
    "warp_scale",
]
