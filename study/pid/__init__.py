"""Partial information decomposition of a pair: exact for tables, estimated with intervals from samples. Bits."""

from study.pid.discretise import Discretiser as Discretiser
from study.pid.estimators import ESTIMATORS as ESTIMATORS
from study.pid.estimators import Estimator as Estimator
from study.pid.estimators import prepare as prepare
from study.pid.estimators import profile_pair as profile_pair
from study.pid.exact import broja as broja
from study.pid.profile import COMPONENTS as COMPONENTS
from study.pid.profile import Dominant as Dominant
from study.pid.profile import PIDProfile as PIDProfile
