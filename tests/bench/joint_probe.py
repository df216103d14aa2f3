"""Packs with the joint probe against the same packs without it, in turns in one process.

    python tests/bench/joint_probe.py                # digits, as its study trains it
    python tests/bench/joint_probe.py mfeat --sizes 8

A turn is a pack from its making to its results: loading, training, the learning curve and the last scores, as the
search and the confirmation of a study have them. Seconds are of the processor, which other work on the machine hardly
moves, on a GPU of the clock.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from pack_cases import parser
from pack_rows import compare

from trainables.spec import PackSpec


def probed(spec: PackSpec, _options: argparse.Namespace) -> tuple[PackSpec, PackSpec]:
    without, with_probe = (replace(spec.training, joint_probe=one) for one in (False, True))
    return replace(spec, training=without), replace(spec, training=with_probe)


def main() -> None:
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--sizes", type=int, nargs="+", default=(10, 40), metavar="K", help="of the packs (10 40)")
    compare(arguments, columns=("without", "with"), ways=probed)


if __name__ == "__main__":
    main()
