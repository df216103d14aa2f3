"""The linear theory of alignment: what it must destroy and when, from second moments alone, before any training.

`Moments` in, answers out: `alignment_directions`, `prediction_directions` and their compromise `joint_optimum` at a
strength; its `risk` and `information_loss`; the `critical_strengths` at which a prediction direction is given up; and
`forecast`, all of it for a pair of real modalities. `rank_agreement` tells when such forecasts can be believed.
`forecast_together` predicts the very curves that a study of linear encoders will measure, `halfway` is their crossing.
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
