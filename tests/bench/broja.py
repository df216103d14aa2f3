"""The exact PID of a table beside cvxpy with Clarabel and beside dit, in one process on one thread. A Markdown table.

With `--threads N` libraries are set to as many, as they are for a user who sets nothing on a machine of N cores.

The rivals solve the same programme (protocol of Liang et al. 2023, "CVX"; dit: PID_BROJA). Every figure is the median
of runs that take turns; a rival that does not finish a table within its time has no figure there. `difference` is the
largest difference of a component from cvxpy's, `gap` this solver's own certificate, both in bits. The memory is the
process's peak after this solver's run, and it is run first.

    python tests/bench/broja.py                     # a few minutes
    python tests/bench/broja.py --without dit --repeats 9
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]

SHAPES = ((2, 2, 2), (3, 3, 2), (8, 8, 4), (20, 20, 10), (64, 64, 4), (256, 256, 4))
RIVALS = ("cvxpy", "dit")


def drawn(shape: Sequence[int]) -> Table:
    """A table with entries of very different size, as counts have them."""
    rng = np.random.default_rng(list(shape))
    return rng.dirichlet(np.full(int(np.prod(shape)), 0.5)).reshape(shape)


def by_study(p: Table) -> Table:
    """This repository's solver: components (4,), then its gap."""
    from study.pid import COMPONENTS, broja

    found = broja(p)
    assert not isinstance(found, tuple)
    return np.array([*(found[name] for name in COMPONENTS), found.gap])


def by_cvxpy(p: Table) -> Table:
    """The published programme, minimise Σ_y rel_entr(q_y, Σ_y q / n_y), by Clarabel."""
    import cvxpy

    n_y = p.shape[2]
    q = [cvxpy.Variable(p.shape[:2], nonneg=True) for _ in range(n_y)]
    mean = sum(q) / n_y
    constraints = [cvxpy.sum(q[y], axis=1) == p[:, :, y].sum(axis=1) for y in range(n_y)]
    constraints += [cvxpy.sum(q[y], axis=0) == p[:, :, y].sum(axis=0) for y in range(n_y)]
    objective = cvxpy.Minimize(sum(cvxpy.sum(cvxpy.rel_entr(part, mean)) for part in q))
    cvxpy.Problem(objective, constraints).solve(solver=cvxpy.CLARABEL)
    optimum = np.maximum(np.stack([part.value for part in q], axis=2), 0.0)
    return components(p, optimum / optimum.sum())


def by_dit(p: Table) -> Table:
    """Dit's BROJA (convex programme over the same tables, its own optimiser)."""
    import dit

    outcomes = [tuple(map(int, index)) for index in np.argwhere(p > 0)]
    law = dit.Distribution(outcomes, [float(p[index]) for index in outcomes])
    found = dit.pid.PID_BROJA(law, [[0], [1]], [2])
    nodes = (((0,), (1,)), ((0,),), ((1,),), ((0, 1),))
    return np.array([found.get_pi(node) for node in nodes])


SOLVERS: dict[str, Callable[[Table], Table]] = {"study.pid": by_study, "cvxpy": by_cvxpy, "dit": by_dit}


def components(p: Table, q: Table) -> Table:
    """R, U1, U2, S in bits of p with the optimum q."""
    i1, i2 = _information(p.sum(axis=1)), _information(p.sum(axis=0))
    i12, least = _information(p.reshape(-1, p.shape[2])), _information(q.reshape(-1, q.shape[2]))
    return np.array([i1 + i2 - least, least - i2, least - i1, i12 - least])


def _information(table: Table) -> float:
    product = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True)
    kept = (table > 0) & (product > 0)
    return float((table[kept] * np.log2(table[kept] / product[kept])).sum())


def timed(name: str, p: Table, answer: multiprocessing.connection.Connection) -> None:
    """One run in a process of its own, so that it can be ended: seconds without imports, components, peak in GiB."""
    warnings.simplefilter("ignore")
    solver = SOLVERS[name]
    solver(drawn((2, 2, 2)))  # imports
    start = time.perf_counter()
    found = solver(p)
    seconds = time.perf_counter() - start
    answer.send((seconds, found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))


def run(name: str, p: Table, *, limit: float) -> tuple[float, Table, float] | None:
    """`timed`, or None where it fails or takes longer than `limit` seconds."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=timed, args=(name, p, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(limit + 15) else None
    except EOFError:  # it raised, and said so on stderr
        return None
    finally:
        process.kill()
        process.join()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeats", type=int, default=5, help="runs of each solver on each table (5)")
    options.add_argument("--limit", type=float, default=30.0, metavar="SECONDS", help="for one run of a rival (30)")
    options.add_argument("--without", nargs="+", choices=RIVALS, default=[])
    options.add_argument("--smallest", type=int, default=2, help="leave out smaller tables")
    options.add_argument("--largest", type=int, default=256, help="leave out larger tables")
    options.add_argument("--threads", type=int, default=1, help="that libraries are set to (1)")
    given = options.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[variable] = str(given.threads)  # read by the spawned processes
    rivals = [name for name in RIVALS if name not in given.without]
    heads = ("table", "study.pid, s", "GiB", "gap", *(f"{name}, s (ratio)" for name in rivals), "difference")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    finished = dict.fromkeys(rivals, True)  # tables grow: who did not finish one need not try the next
    for shape in (shape for shape in SHAPES if given.smallest <= shape[0] <= given.largest):
        p = drawn(shape)
        runs: dict[str, list[tuple[float, Table, float]]] = {name: [] for name in ("study.pid", *rivals)}
        for _ in range(given.repeats):
            for name, results in runs.items():
                if not finished.get(name, True):
                    continue
                result = run(name, p, limit=given.limit if name in rivals else 300.0)
                if result is None:
                    finished[name] = False
                    results.clear()
                else:
                    results.append(result)
        own = runs["study.pid"]
        seconds = statistics.median(r[0] for r in own)
        columns = [
            " × ".join(map(str, shape)),
            f"{seconds:.4f}",
            f"{max(r[2] for r in own):.2f}",
            f"{own[0][1][4]:.0e}",
        ]
        for name in rivals:
            theirs = statistics.median(r[0] for r in runs[name]) if runs[name] else None
            columns.append("–" if theirs is None else f"{theirs:.3f} ({theirs / seconds:.0f}×)")
        known = [runs[name][0][1] for name in rivals if runs[name]]
        columns.append(f"{np.abs(known[0] - own[0][1][:4]).max():.0e}" if known else "–")
        print(f"| {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
