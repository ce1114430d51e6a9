"""Restates what is known of files that others publish as tables of ours: only the columns that are needed.

python -m einsim.validation.silicon.restate FILE.csv ...    writes a table in validation/silicon/rows
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from einsim.validation.silicon.chip_figure import ChipFigure, read_lines, write
from einsim.validation.silicon.file_kinds import read_file, recognise
from einsim.validation.silicon.suite import ROWS


def restate(paths: Sequence[Path]) -> list[Path]:
    """A table for each file."""
    made = []
    for path in paths:
        source, head, _ = read_lines(path)
        rows = [one for one in read_file(path) if isinstance(one, ChipFigure)]
        if rows:
            made.append(ROWS / f"{recognise(head, str(path)).name}.csv")
            write(made[-1], rows, source)
    return made


if __name__ == "__main__":
    for written in restate([Path(name) for name in sys.argv[1:]]):
        sys.stdout.write(f"{written}\n")
