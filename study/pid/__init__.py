"""Partial information decomposition of a pair: exact for tables, estimated with intervals from samples. Bits.

What estimates brings scikit-learn with it, and is imported when it is first asked for: whoever only reads profiles need
not wait for that.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from study.pid.profile import COMPONENTS as COMPONENTS
from study.pid.profile import Dominant as Dominant
from study.pid.profile import PIDProfile as PIDProfile

if TYPE_CHECKING:
    from study.pid.discretise import Discretiser as Discretiser
    from study.pid.estimators import ESTIMATORS as ESTIMATORS
    from study.pid.estimators import Estimator as Estimator
    from study.pid.estimators import prepare as prepare
    from study.pid.estimators import profile_pair as profile_pair
    from study.pid.exact import broja as broja

_LATER = {
    "Discretiser": "discretise",
    "ESTIMATORS": "estimators",
    "Estimator": "estimators",
    "prepare": "estimators",
    "profile_pair": "estimators",
    "broja": "exact",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
