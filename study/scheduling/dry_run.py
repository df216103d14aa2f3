"""What a study will do, before it does it: `--dry-run`."""

from __future__ import annotations

import os
import sys

from study.cells.building import build_cells, data_notes
from study.config import ConfigError, StudyConfig
from study.results.text.amounts import duration
from study.scheduling.plan import Places, Plan, plan, plan_of_function
from study.scheduling.trying import Attempt, seconds_given
from trainables.functions.code import Code
from trainables.output import json_text


def dry_run(
    config: StudyConfig,
    *,
    price: float | None = None,
    as_json: bool = False,
    code: Code | None = None,
    try_seconds: float | None = None,
) -> str:
    """What `--dry-run` prints: the plan of the study on this machine, as `plan` makes it.

    A function of the user's, whose `code` it is, is tried for `try_seconds` at most, one minute unless given.

    Raises:
        ConfigError: the data do not allow the study, or the machine has less than one pack asks for.
    """
    if price is not None and not price >= 0:
        raise ConfigError(f"--price-per-gpu-hour is {price:g}; give 0 or more")
    if code is None and try_seconds is not None:
        raise ConfigError("--try is for a trainer of your own; leave it out")
    cells, datasets = build_cells(config, code=code.hash if code else "")
    for line in data_notes(datasets, splits=config.replicates.splits):
        print(line, file=sys.stderr)
    import torch

    cards = torch.cuda.device_count()
    resources = config.resources
    gpus = resources.gpu_share(on_gpus=bool(cards), auto=config.auto_gpus)
    if gpus > cards:
        raise ConfigError(f"resources.gpus asks for {gpus:g} of a GPU, but there are {cards} here; set it to 0 or auto")
    fitting = int(len(os.sched_getaffinity(0)) / resources.cpus)
    if gpus:
        fitting = min(fitting, int(cards / gpus))
    slots = max(1, fitting if isinstance(resources.workers, str) else resources.workers)
    places = Places(slots=slots, cpus=resources.cpus, gpus=gpus)
    if code is not None:
        planned = plan_of_function(cells, code, places, price=price, seconds=seconds_given(try_seconds))
    else:
        planned = plan(cells, datasets, places, price=price)
    return json_text(planned.to_json(), indent=1) if as_json else describe(planned)


def describe(plan: Plan) -> str:
    """The plan in lines."""
    likely, least, most = plan.likely, plan.least, plan.most
    at = f"{plan.at_once} at once" + (f" on {plan.devices} GPUs" if plan.gpu else "")
    amount = (
        f"{plan.study}: {len(plan.cells)} pair{'s' * (len(plan.cells) > 1)}, {likely.trainings} trainings "
        f"({least.trainings} to {most.trainings})"
    )
    more = ""
    if plan.attempt is None:
        lines = [
            f"{amount} in {likely.packs} packs of up to {plan.pack_size}, {at}",
            f"memory: {_mebibytes(plan.pack_bytes)} of tensors in the largest pack",
        ]
    else:
        more = "" if plan.attempt.whole else "more than "
        lines = [f"{amount}, {at}", _tried(plan.attempt), f"memory: {_mebibytes(plan.pack_bytes)} in its process"]
    lines.append(
        f"time: {more or 'about '}{duration(likely.seconds)} ({duration(least.seconds)} to {duration(most.seconds)})"
    )
    if likely.cost is not None and least.cost is not None and most.cost is not None:
        what = f"{plan.devices} GPUs" if plan.gpu else "this machine, which has no GPU,"
        lines.append(f"cost: {more}{likely.cost:.2f} ({least.cost:.2f} to {most.cost:.2f}) for {what} at that price")
    if plan.attempt is None:
        lines.append("the range: from no pair to every pair turning out to need one-sided strengths")
    for label, rows in zip(plan.cells, plan.rows, strict=True):
        told = f" ({', '.join(f'{count} {split}' for split, count in rows.items())} rows)" if rows else ""
        lines.append(f"  {label}{told}")
    return "\n".join(lines)


def _tried(attempt: Attempt) -> str:
    """What came of the one training, in a line."""
    if attempt.ended:
        return (
            f"one training at λ = 0: {duration(attempt.seconds)}, after {duration(attempt.start)} of start and imports"
        )
    if attempt.whole is None:
        return (
            f"one training at λ = 0 had not ended after {duration(attempt.seconds)}, and reported no progress: call "
            "trial.report(epoch, of=epochs) in it, or give it longer with --try SECONDS"
        )
    return (
        f"one training at λ = 0: about {duration(attempt.whole)}, by its first {duration(attempt.seconds)} "
        f"({attempt.epochs:g} of {attempt.total:g} epochs)"
    )


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"
