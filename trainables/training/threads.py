"""One thread for kernels on small tensors, set in one place: sums over two threads round otherwise than over one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import torch
from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_inside = 0
_outside = ExitStack()  # what ends the limits of the process


@contextmanager
def one_thread() -> Iterator[None]:
    """Kernels that the calling thread starts stay on it, so that what they compute hangs on nothing that ran before.

    Waiting for one another costs small kernels more than it saves. Some settings belong to a thread (OpenMP's, of which
    torch and scikit-learn have one each), others to the process (BLAS's, and MKL's inside torch). Those of the process
    hold from the first context that is entered until the last one is left: none that ends takes them from another.
    Threads that compute side by side enter one each.
    """
    global _inside
    before = torch.get_num_threads()  # torch sets its own when it is first asked: that must come before the limit
    # Selected first: a limit that ends puts back all libraries of its controller, BLAS under others' limits too.
    with ThreadpoolController().select(user_api="openmp").limit(limits=1):
        with _lock:
            if not _inside:
                _outside.callback(torch.set_num_threads, before)
                _outside.enter_context(_one_for_blas())
            _inside += 1
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with _lock:
                _inside -= 1
                if not _inside:
                    _outside.close()


@contextmanager
def _one_for_blas() -> Iterator[None]:
    """One thread for BLAS in the whole process, whichever threads enter and leave.

    threadpoolctl lets one thread alone change OpenBLAS while that lives: so one does that for nobody else.
    """
    with ThreadPoolExecutor(1) as keeper:
        limit = keeper.submit(ThreadpoolController().select(user_api="blas").limit, limits=1).result()
        keeper.submit(limit.__enter__).result()
        try:
            yield
        finally:
            keeper.submit(limit.__exit__, None, None, None).result()
