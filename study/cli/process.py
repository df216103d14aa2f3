"""A command as a whole process: started and ended without needless work of Python's garbage collector."""

from __future__ import annotations

import gc
import io
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from trainables import output

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

INTERRUPTED = 130

# Torch, Ray and MLflow are more than a million objects that live as long as the process. With the default thresholds
# (700, 10, 10) passes over them are a sixth of the time of their imports, where a command imports them on its way.
_THRESHOLDS = (100_000, 20, 20)


def run_as_process(main: Callable[[], int]) -> NoReturn:
    """Exit with what `main` returns, with 130 if it is interrupted, or as `trainables.output` says."""
    gc.set_threshold(*_THRESHOLDS)
    try:
        sys.exit(output.run(main))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # from now on they end what is left at once
            signal.signal(number, signal.SIG_DFL)
        gc.freeze()  # else the interpreter looks for garbage among all of them once more before it ends, 0.6 s


def show(what: str | RenderableType) -> None:
    """A line or a table on standard output, and in the log."""
    from rich.console import Console

    if isinstance(what, str):
        print(what)
        output.logger().info("%s", what)
        return
    printer().print(what)
    plain = Console(file=io.StringIO(), width=100)
    with plain.capture() as told:
        plain.print(what)
    for line in told.get().splitlines():
        output.logger().info("%s", line.rstrip())


def printer() -> Console:
    """What prints tables on standard output. A pipe that nobody reads on is an error there as for any other print."""
    from rich.console import Console

    class Printer(Console):
        def on_broken_pipe(self) -> None:  # else it ends the process with the code of a study without an answer
            raise BrokenPipeError

    return Printer()
