"""One captured measurement, and captures as CSV: read strictly, appended a row at a time so that a capture
can resume.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.files import replacing


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
            values: dict[str, str | int | float] = {}
            for name, cell in zip(FIELDS, cells, strict=True):
                try:
                    values[name] = TYPES[name](cell)
                except ValueError:
                    raise SpecError(
                        path=name, rule=f"must be {TYPES[name].__name__}", got=cell, where=f"{path}:{line}"
                    ) from None
            yield Measurement(**values)  # type: ignore[arg-type]


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
