"""Which trials to run and what they tell us about the alignment strength.

`from study import run, load_report, select` is the way in from a notebook; see `study.api`. `StudyProgress` is what
`run` tells of a study that it runs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.api import load_report as load_report
    from study.api import run as run
    from study.api import select as select
    from study.cli.progress import StudyProgress as StudyProgress


def __getattr__(name: str) -> Any:
    """`run`, `load_report`, `select` and `StudyProgress`, imported when asked for: a worker that imports this package
    must not pay for them.

    `run` is also the command `study.run`, a module, and both can be had: `from study import run` finds the function
    here, before Python looks for a module of that name; `python -m`, `import study.run` and `from study.run import …`
    find the module. Once a process has imported the module, Python itself puts it in the function's place, so it can be
    called like the function, with the same signature (end of `study/run.py`). So it is with `select`.
    """
    if name in ("run", "load_report", "select"):
        from study import api

        return getattr(api, name)
    if name == "StudyProgress":
        from study.cli.progress import StudyProgress

        return StudyProgress
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
