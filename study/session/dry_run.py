"""What a study will do, before it does it: `--dry-run`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from study.cells.building import build_cells, data_notes, encoder_notes
from study.config import ConfigError, StudyConfig
from study.results.text.amounts import duration
from study.scheduling.plan import Places, Plan, Rest, plan, plan_of_function
from study.scheduling.trying import Attempt, seconds_given
from study.scheduling.within import Within, within
from study.search.allowance import shares
from study.session.begun import begun
from trainables.functions.code import Code
from trainables.output import json_text


def dry_run(
    config: StudyConfig,
    *,
    out: Path,
    price: float | None = None,
    as_json: bool = False,
    code: Code | None = None,
    try_seconds: float | None = None,
) -> str:
    """What `--dry-run` prints: the plan of the study on this machine, as `plan` makes it.

    Of a study that has begun in the folder `out`, or in its storage, what is missing is told besides. A function of the
    user's, whose `code` it is, is tried for `try_seconds` at most, one minute unless given.

    Raises:
        ConfigError: the data do not allow the study, its record is of another one, or the machine has less than one
            pack asks for.
    """
    if price is not None and not price >= 0:
        raise ConfigError(f"--price-per-gpu-hour is {price:g}; give 0 or more")
    if code is None and try_seconds is not None:
        raise ConfigError("--try is for a trainer of your own; leave it out")
    cells, datasets = build_cells(config, code=code.hash if code else "")
    shares(config, cells)
    for line in (*data_notes(datasets, splits=config.replicates.splits), *encoder_notes(cells, datasets)):
        print(line, file=sys.stderr)
    known = begun(config, cells, datasets, out=out, say=partial(print, file=sys.stderr))
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
    if known is not None:
        planned = planned.begun(on_record=known.done, trainings=known.left, changes=known.changes)
    limits = within(planned, cells, gpus=gpus)
    if as_json:
        told = {"budget": [asdict(one) for one in limits]} if limits else {}
        return json_text({**planned.to_json(), **told}, indent=1)
    return describe(planned, limits)


def describe(plan: Plan, limits: Sequence[Within] = ()) -> str:
    """The plan in lines, with the limits of a budget beside it."""
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
    between = "" if more else f" ({duration(least.seconds)} to {duration(most.seconds)})"
    lines.append(f"time: {more or 'about '}{duration(likely.seconds)}{between}")
    if likely.cost is not None and least.cost is not None and most.cost is not None:
        what = f"{plan.devices} GPUs" if plan.gpu else "this machine, which has no GPU,"
        between = "" if more else f" ({least.cost:.2f} to {most.cost:.2f})"
        lines.append(f"cost: {more}{likely.cost:.2f}{between} for {what} at that price")
    lines += map(str, limits)
    if plan.attempt is None:
        lines.append("the range: from no pair to every pair turning out to need one-sided strengths")
    for label, rows in zip(plan.cells, plan.rows, strict=True):
        told = f" ({', '.join(f'{count} {split}' for split, count in rows.items())} rows)" if rows else ""
        lines.append(f"  {label}{told}")
    if plan.rest is not None:
        lines = [_rest(plan.study, plan.rest), "all of it, from its start:", *lines]
    return "\n".join(lines)


def _rest(study: str, rest: Rest) -> str:
    """What a study that has begun is to do still, in a line."""
    known = f"{study} has begun: {rest.on_record} training{'s' * (rest.on_record != 1)} on record"
    changed = f" ({'; '.join(rest.changes)})" if rest.changes else ""
    if not rest.trainings:
        return f"{known}, none to come{changed}; a run writes its report again"
    cost = "" if rest.cost is None else f" at {rest.cost:.2f}"
    return f"{known}, about {rest.trainings} to come{changed}, in about {duration(rest.seconds)}{cost}"


def _tried(attempt: Attempt) -> str:
    """What came of the one training, in a line."""
    if attempt.diverged:
        return (
            f"one training at λ = 0 diverged after {duration(attempt.seconds)}: a score that it returned is not "
            "finite, and nothing can be compared with it"
        )
    if attempt.ended:
        return (
            f"one training at λ = 0: {duration(attempt.seconds)}, after {duration(attempt.start)} of start and imports"
        )
    if attempt.whole is None:
        return (
            f"one training at λ = 0 had not ended after {duration(attempt.seconds)}, and had reported no progress by "
            "then: give it longer with --try SECONDS, or call trial.report(epoch, of=epochs) in it"
        )
    return (
        f"one training at λ = 0: about {duration(attempt.whole)}, by its first {duration(attempt.seconds)} "
        f"({attempt.epochs:g} of {attempt.total:g} epochs)"
    )


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"
