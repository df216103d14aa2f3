"""What was known of a pair before it was searched, in plain words: its profile, and what its search learnt from."""

from __future__ import annotations

from study.results.model import CellResult, ProfileResult
from study.results.names import one_line
from study.results.text.amounts import strength_text


def profile_text(cell: CellResult) -> str:
    """What the pair knows about the target, in bits, by component; for generated data the exact values as well. ""
    where only the user's function knows the data.

    The synthetic generator's own "redundancy" counts features: it is said as a count, and that it is no part of the
    profile.
    """
    first, second = cell.names
    names = {"unique_1": f"unique to {first}", "unique_2": f"unique to {second}"}
    profile = cell.pid or ProfileResult()
    components = profile.components
    bits = ", ".join(f"{names.get(key, key)} {value:.2f}" for key, value in components.items() if value is not None)
    if not bits:
        return "no information profile" if cell.dataset is not None or cell.own_training is None else ""
    text = f"{bits} {profile.units or 'bits'}"
    exact = [value for key in components if (value := (profile.exact or {}).get(key)) is not None]
    if len(exact) == len(components):
        text += f"; exact, in the same order: {', '.join(f'{value:.2f}' for value in exact)}"
    shared = cell.variant.get("redundancy")
    if cell.dataset == "synthetic" and isinstance(shared, int):
        text += f". That {shared} of the label's 8 features are in both is a count, not the redundancy in bits"
    return text


def learnt_text(cell: CellResult) -> str:
    """What a search started from: the most similar pairs of earlier studies, and what that spared; "" for nothing."""
    known = [
        f"{one_line(earlier.study)} ({one_line(earlier.label)}, λ* {strength_text(earlier.lambda_star)})"
        for earlier in cell.transfer.learnt_from
    ]
    if not known:
        return ""
    spared = cell.transfer.spared
    effect = f"{spared} trainings spared" if spared else "no training spared"
    return f"tried first what was best for similar pairs: {', '.join(known)}; {effect}"
