"""`python -m study.config`: every key of a study file with its values and default, as Markdown."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from study.config.reference import reference
from trainables.output import OptionParser, run


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    return OptionParser(
        prog="python -m study.config",
        description="Print every key of a study file with its values, its default and what it does, as Markdown.",
        epilog="example: python -m study.config | less",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code is 0."""
    parser().parse_args(arguments)
    print(reference())
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
