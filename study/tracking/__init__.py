"""MLflow: the view of a study, and its encoders as models; the only package that imports it."""

from study.tracking.login import check_login as check_login
from study.tracking.store import DEFAULT_URI as DEFAULT_URI
from study.tracking.store import tracking_uri as tracking_uri
from study.tracking.tracker import Tracker as Tracker
from study.tracking.tracker import TrackingResult as TrackingResult
