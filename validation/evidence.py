"""What was measured of a machine and a kind of work, and how far off einsim is there: a table that is kept.

`python -m einsim.evidence_table` makes it anew from the suites; a prediction carries its lines.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from einsim.specs.files import read_text, write_text
from einsim.validation.silicon.chip_figure import read
from einsim.validation.silicon.split import HELD_OUT

PATH: Final = Path(__file__).with_name("evidence.csv")
ROWS: Final = Path(__file__).parent / "silicon" / "rows"
NONE: Final = "none: nothing was measured of this kind of work on this machine or another of its family"
NOT_KEPT: Final = "measured, but not in the kept table: einsim validate silicon --case {} says how far off"
ALONE: Final = ("generic", "gpu")
"""Families whose machines have nothing in common."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Of one machine, kind of work and quantity: rows that nothing was fitted on, and errors without sign.

    `level` is "calibrated" where something of the machine was fitted, else "sourced".
    """

    machine: str
    family: str
    kind: str
    quantity: str
    level: str
    rows: int
    mean: float
    median: float

    def __str__(self) -> str:
        rows = f"{self.rows} held-out row{'s' * (self.rows != 1)}"
        shares = f"mean error {self.mean:.1%}, median {self.median:.1%}".replace("%", " %")
        return f"{self.machine} {self.kind}, {self.quantity}, {self.level}: {rows}, {shares}"


COLUMNS: Final = tuple(field.name for field in msgspec.structs.fields(Evidence))


@cache
def _measured() -> frozenset[tuple[str, str]]:
    """Machines and kinds of work of which rows are stored that nothing was fitted on."""
    return frozenset(
        (row.machine, row.kind) for path in ROWS.glob("*.csv") for row in read(path) if row.side == HELD_OUT
    )


@cache
def table() -> tuple[Evidence, ...]:
    """All that is kept."""
    lines = [line for line in read_text(PATH).splitlines() if not line.startswith("#")]
    return tuple(msgspec.convert(row, Evidence, strict=False) for row in csv.DictReader(lines))


def made_on() -> str:
    """The day on which the table was made."""
    return read_text(PATH).splitlines()[0].rsplit(" ", 1)[-1]


def write(rows: Sequence[Evidence], day: str) -> None:
    """Keep a table; `day` as 2026-12-01."""
    lines = [f"# made by `python -m einsim.evidence_table` on {day}", ",".join(COLUMNS)]
    for row in rows:
        values = msgspec.structs.asdict(row).values()
        lines.append(",".join(f"{one:.4f}" if isinstance(one, float) else str(one) for one in values))
    write_text(PATH, "\n".join(lines) + "\n")


def lines_of(machine: str, family: str, kind: str, *, as_it_is: bool) -> tuple[str, ...]:
    """What is told with a prediction: of the preset `machine`, where it has that name and is `as_it_is`, else
    of presets of its family, at this kind of work; or that there is none.
    """
    own = [row for row in table() if row.kind == kind and row.machine == machine]
    kin = [row for row in table() if row.kind == kind and row.family == family and family not in ALONE]
    if as_it_is and own:
        return tuple(map(str, own))
    if as_it_is and (machine, kind) in _measured():
        return (NOT_KEPT.format(machine),)
    found = own or kin
    if not found:
        return (NONE,)
    return tuple(f"none of this machine; of {'the preset' if own else 'its family'}, {row}" for row in found)
