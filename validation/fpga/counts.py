"""The stored counts of the grid's syntheses. `python -m einsim.validation.fpga.counts` makes them anew."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from einsim.specs.errors import EinsimError
from einsim.validation.fpga.grid import DesignPoint, grid

FILE: Final = Path(__file__).resolve().parent / "counts.csv"
QUANTITIES: Final = ("dsp", "lut", "ff", "bram36", "uram")


@cache
def stored() -> Mapping[str, dict[str, int]]:
    """Counts by the name of the case; a design has dsp, lut and ff, a memory bram36 and uram."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    return {
        row["case"]: {name: int(row[name]) for name in QUANTITIES if row[name]}
        for row in csv.DictReader(lines)
    }


def counts_of(case: DesignPoint) -> dict[str, int]:
    """The stored counts of a case; EinsimError when the grid has changed and was not synthesised."""
    if case.name not in stored():
        raise EinsimError(f"{FILE.name} has no '{case.name}'; run: python -m einsim.validation.fpga.counts")
    return stored()[case.name]


def synthesise(
    cases: Iterable[DesignPoint], progress: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[DesignPoint, dict[str, int]]]:
    """Each case with what Yosys makes of it now."""
    for case in cases:
        progress(f"synthesis of {case.name}")
        yield case, case.synthesised()


def write(found: Iterable[tuple[DesignPoint, Mapping[str, int]]], day: str) -> None:
    """Store counts, with the tool and the day that they were made."""
    with FILE.open("w", newline="") as file:
        file.write(
            f"# pyosys {version('pyosys')}, synth_xilinx, {day}. xc7 for dsp, lut and ff; xcup -uram for\n"
        )
        file.write("# memory blocks. The sizes are drawn by validation/fpga/grid.py.\n")
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("case", *QUANTITIES))
        lines.writerows((case.name, *(counts.get(name, "") for name in QUANTITIES)) for case, counts in found)


if __name__ == "__main__":
    import datetime

    write(synthesise(grid()), datetime.datetime.now(tz=datetime.UTC).date().isoformat())
