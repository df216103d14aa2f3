"""The results of a study, typed: the one source of report.json and of its schema."""

from study.results.model.answers import Alternative as Alternative
from study.results.model.answers import Baseline as Baseline
from study.results.model.answers import CurvePoint as CurvePoint
from study.results.model.answers import EncoderResult as EncoderResult
from study.results.model.answers import GainResult as GainResult
from study.results.model.answers import KeptEncoder as KeptEncoder
from study.results.model.answers import PairResult as PairResult
from study.results.model.answers import PosteriorCurve as PosteriorCurve
from study.results.model.answers import SearchedResult as SearchedResult
from study.results.model.answers import SubjectResult as SubjectResult
from study.results.model.cells import AlignmentPoint as AlignmentPoint
from study.results.model.cells import CellResult as CellResult
from study.results.model.cells import Counts as Counts
from study.results.model.cells import EarlierCell as EarlierCell
from study.results.model.cells import EncoderForecastResult as EncoderForecastResult
from study.results.model.cells import EncoderTogether as EncoderTogether
from study.results.model.cells import ForecastResult as ForecastResult
from study.results.model.cells import LearningCurve as LearningCurve
from study.results.model.cells import MeasuredCrossing as MeasuredCrossing
from study.results.model.cells import ProfileResult as ProfileResult
from study.results.model.cells import TogetherResult as TogetherResult
from study.results.model.cells import Transfer as Transfer
from study.results.model.containers import from_json as from_json
from study.results.model.containers import to_json as to_json
from study.results.model.report import ForecastAgreement as ForecastAgreement
from study.results.model.report import Report as Report
