"""Which trials to run and what they tell us about the alignment strength.

`from study import run, load_report` is the way in from a notebook; see `study.api`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.api import load_report as load_report


def __getattr__(name: str) -> Any:
    """`load_report`, imported when it is asked for: a worker that imports this package must not pay for it."""
    if name == "load_report":
        from study.api import load_report

        return load_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
