"""The linear theory of alignment: what it must destroy and when, from second moments alone, before any training.

A study asks for forecasts of a pair of real modalities: `forecast`, and `forecast_together`, which predicts the very
curves that a study of linear encoders will measure; `halfway` is their crossing. `rank_agreement` tells when forecasts
can be believed.

The closed forms behind them are an interface of their own, for whoever knows a population's moments or wants an encoder
rather than a curve. `Moments` in, answers out: `alignment_directions`, `prediction_directions` and their compromise
`joint_optimum` at a strength, or `optimum_together` of both encoders; an encoder's `risk` and `information_loss`; the
`critical_strengths` (with more about each: `crossings`) at which a prediction direction is given up. Weights of other
objectives on the same scale: `info_nce_strength`, `squared_distance_weight`.
"""

from study.theory.agreement import RankAgreement, rank_agreement
from study.theory.crossings import Crossing, critical_strengths, crossings, info_nce_strength
from study.theory.forecast import EncoderForecast, Forecast, ShrinkageEffect, forecast
from study.theory.halfway import Halfway, halfway
from study.theory.moments import Moments
from study.theory.optimum import (
    AlignmentDirections,
    Directions,
    InformationLoss,
    alignment_directions,
    information_loss,
    joint_optimum,
    prediction_directions,
    risk,
)
from study.theory.together import TogetherForecast, forecast_together, optimum_together, squared_distance_weight

__all__ = [
    "AlignmentDirections",
    "Crossing",
    "Directions",
    "EncoderForecast",
    "Forecast",
    "Halfway",
    "InformationLoss",
    "Moments",
    "RankAgreement",
    "ShrinkageEffect",
    "TogetherForecast",
    "alignment_directions",
    "critical_strengths",
    "crossings",
    "forecast",
    "forecast_together",
    "halfway",
    "info_nce_strength",
    "information_loss",
    "joint_optimum",
    "optimum_together",
    "prediction_directions",
    "rank_agreement",
    "risk",
    "squared_distance_weight",
]
