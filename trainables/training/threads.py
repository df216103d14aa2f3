"""One thread for kernels on small tensors, set in one place: sums over two threads round otherwise than over one.

And are slower: threads of BLAS wait for one another, on a busy machine for longer than all of the arithmetic takes.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
R = TypeVar("R")

_lock = threading.Lock()
_inside = 0
_outside = ExitStack()  # what ends the limits of the process
_with_torch = False  # whether it is among them


@contextmanager
def one_thread() -> Iterator[None]:
    """Kernels that the calling thread starts stay on it, so that what they compute hangs on nothing that ran before.

    Waiting for one another costs small kernels more than it saves. Some settings belong to a thread (OpenMP's, of which
    torch and scikit-learn have one each), others to the process (BLAS's, and MKL's inside torch). Those of the process
    hold from the first context that is entered until the last one is left: none that ends takes them from another.
    Threads that compute side by side enter one each. Torch is limited where it is imported by then.
    """
    global _inside, _with_torch
    torch = sys.modules.get("torch")  # whose import takes seconds
    before = torch.get_num_threads() if torch else 0  # it sets its own when first asked: that must precede the limit
    # Selected first: a limit that ends puts back all libraries of its controller, BLAS under others' limits too.
    with _libraries("openmp", len(sys.modules)).limit(limits=1):
        with _lock:
            if not _inside:
                _outside.enter_context(_one_for_blas())
            if torch and not _with_torch:
                _outside.callback(_put_back_torch, torch, before)
                _with_torch = True
            _inside += 1
            if torch:
                torch.set_num_threads(1)
        try:
            yield
        finally:
            with _lock:
                _inside -= 1
                if not _inside:
                    _outside.close()


def on_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose every call computes on one thread, whatever the process has set."""

    @functools.wraps(function)
    def limited(*arguments: P.args, **options: P.kwargs) -> R:
        with one_thread():
            return function(*arguments, **options)

    return limited


def _put_back_torch(torch: Any, threads: int) -> None:
    global _with_torch
    torch.set_num_threads(threads)
    _with_torch = False


@lru_cache(maxsize=8)
def _libraries(kind: str, modules: int) -> ThreadpoolController:
    """The libraries of a kind that are loaded; looking for them takes milliseconds, and they come with `modules`."""
    del modules
    return ThreadpoolController().select(user_api=kind)


@contextmanager
def _one_for_blas() -> Iterator[None]:
    """One thread for BLAS in the whole process, whichever threads enter and leave.

    threadpoolctl lets one thread alone change OpenBLAS while that lives: so one does that for nobody else.
    """
    with ThreadPoolExecutor(1) as keeper:
        limit = keeper.submit(_libraries("blas", len(sys.modules)).limit, limits=1).result()
        keeper.submit(limit.__enter__).result()
        try:
            yield
        finally:
            keeper.submit(limit.__exit__, None, None, None).result()
