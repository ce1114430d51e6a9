"""One captured measurement, and captures as CSV: read strictly, appended a row at a time so that a capture
can resume.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.files import replacing
from einsim.validation.silicon.chip_figure import read_lines


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kernel case as measured. Seconds and joules are for one launch of the case (all its kernels); NaN
    means not measured.

    l2: "cold" (every launch finds its data in DRAM) or "warm" (one set of buffers again and again). error:
    relative error against float64 numpy on fresh random data, before the timing. registers, local_bytes,
    shared_bytes: of each launch in order, joined by "+", as the driver reports them for the loaded kernel
    (dynamic shared memory not included). energy_j: energy above zero (idle included) by NVML's counter over
    energy_s seconds of replays, divided by the launches; idle_w: mean of the idle power before and after;
    energy_launch_s: seconds a launch during that replay, when clocks may be lower.
    """

    device: str
    sms: int
    driver: str
    cuda: str
    numba_cuda: str
    torch: str
    date: str
    source_hash: str
    family: str
    variant: str
    sizes: str
    l2: str
    median_s: float
    p10_s: float
    p90_s: float
    launches: int
    replays: int
    buffers: int
    vendor_s: float
    error: float
    sm_mhz: int
    memory_mhz: int
    celsius: int
    registers: str
    local_bytes: str
    shared_bytes: str
    energy_j: float
    energy_s: float
    energy_launch_s: float
    idle_w: float
    energy_sm_mhz: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes a row: the case and the state of L2."""
        return self.family, self.variant, self.sizes, self.l2

    @property
    def ranks(self) -> dict[str, int]:
        """The case's sizes by rank."""
        return {rank: int(size) for rank, size in (pair.split("=") for pair in self.sizes.split(";"))}


FIELDS = tuple(field.name for field in msgspec.structs.fields(Measurement))
TYPES = {field.name: field.type for field in msgspec.structs.fields(Measurement)}
NEEDED = ("device", "family", "variant", "sizes", "median_s")
L2_STATES = ("cold", "warm")
NOTHING: dict[type, str | int | float] = {str: "", int: 0, float: math.nan}
ABSENT = {name: "cold" if name == "l2" else NOTHING[kind] for name, kind in TYPES.items()}


def read(path: Path) -> tuple[Measurement, ...]:
    """All rows of a capture. SpecError for a wrong header or value, naming file, line and column."""
    return tuple(_rows(path))


def _rows(path: Path) -> Iterator[Measurement]:
    with path.open(newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if tuple(header) != FIELDS:
            raise SpecError(
                path="header", rule=f"must be {','.join(FIELDS)}", got=",".join(header), where=f"{path}:1"
            )
        for line, cells in enumerate(reader, start=2):
            if len(cells) != len(FIELDS):
                raise SpecError(
                    path="row", rule=f"must have {len(FIELDS)} cells", got=len(cells), where=f"{path}:{line}"
                )
            yield _row(dict(zip(FIELDS, cells, strict=True)), f"{path}:{line}")


def _row(cells: Mapping[str, str], where: str) -> Measurement:
    values = dict(ABSENT)
    for name, cell in cells.items():
        try:
            values[name] = TYPES[name](cell)
        except ValueError:
            rule = f"must be {TYPES[name].__name__}"
            raise SpecError(path=name, rule=rule, got=cell, where=where) from None
    return Measurement(**values)  # type: ignore[arg-type]


def read_any(path: Path) -> tuple[tuple[int, Measurement], ...]:
    """All rows of a capture from elsewhere, each with its line: NEEDED columns must be there, in any order;
    others of ours may be missing (no number, and cold data), and what isn't ours is passed over.

    SpecError for a file that can't be read, a missing column or a value that can't be one.
    """
    _, head, lines = read_lines(path)
    missing = [name for name in NEEDED if name not in head]
    if missing:
        rule = f"must have the columns {', '.join(NEEDED)} of a capture"
        raise SpecError("header", rule, got=",".join(head), where=str(path), hint=f"{missing[0]} is missing")
    return tuple((line, _checked(cells, f"{path}:{line}")) for line, cells in lines)


def _checked(cells: Mapping[str, str], where: str) -> Measurement:
    row = _row({name: cell for name, cell in cells.items() if name in TYPES}, where)
    if not 0.0 < row.median_s < math.inf:
        raise SpecError("median_s", "must be > 0 seconds", got=row.median_s, where=where)
    if row.l2 not in L2_STATES:
        raise SpecError("l2", f"must be {' or '.join(L2_STATES)}", got=row.l2, where=where)
    try:
        whole = all(row.ranks)
    except ValueError:
        whole = False
    if not whole:
        raise SpecError("sizes", "must be rank=size;rank=size", got=row.sizes, where=where)
    return row


def append(path: Path, row: Measurement) -> None:
    """Add one row, with the header first if the file is new; one that is stopped leaves whole rows."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        file.write(before)
        writer = csv.writer(file, lineterminator="\n")
        if not before:
            writer.writerow(FIELDS)
        writer.writerow([_cell(getattr(row, name)) for name in FIELDS])


def _cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return "nan" if math.isnan(value) else f"{value:.6g}"
    return str(value)
