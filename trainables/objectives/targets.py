"""How real targets line up with the outputs of K replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def match_target(target: Tensor, outputs: Tensor) -> Tensor:
    """`target` with the axes of `outputs` (K, N, m): given as (N, m) or (K, N, m), or without the m where it is 1.

    Raises:
        ValueError: any other shape (it might broadcast to a wrong result).
    """
    n_replicas, n, width = outputs.shape
    matched = target.unsqueeze(-1) if width == 1 and target.shape[-2:] != (n, 1) else target
    if matched.shape not in ((n, width), (n_replicas, n, width)):
        raise ValueError(
            f"target has shape {tuple(target.shape)}, outputs {tuple(outputs.shape)}; give one of shape "
            f"({n}, {width}) or ({n_replicas}, {n}, {width})"
        )
    return matched
