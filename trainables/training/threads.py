"""One thread for kernels on small tensors, set in one place: sums over two threads round otherwise than over one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from threadpoolctl import threadpool_limits

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
    with threadpool_limits(1, user_api="openmp"):
        with _lock:
            if not _inside:
                _outside.callback(torch.set_num_threads, before)
                _outside.enter_context(threadpool_limits(1, user_api="blas"))
            _inside += 1
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with _lock:
                _inside -= 1
                if not _inside:
                    _outside.close()
