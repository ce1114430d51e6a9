"""Spatial arrays: 2D arrays of PEs and vector arrays around one global buffer (FuseMax, FLAT, TPU)."""

from __future__ import annotations

from typing import Literal

import msgspec

from einsim.accel.area import component_areas
from einsim.accel.composed import completed
from einsim.accel.machine import Machine, Memory, UnitKind
from einsim.accel.written import Area, Count, Name, WrittenFamily, WrittenLanes, WrittenPort
from einsim.specs.errors import below
from einsim.specs.units import Bytes


class Dram(WrittenPort, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The memory outside the chip; unbounded unless a capacity is written."""

    capacity: Bytes | None = None
    """Its size; unbounded where it is left out."""


class LocalBuffer(WrittenPort, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One buffer a core between the global buffer and the arrays; rates and capacity are per core."""

    capacity: Bytes
    """Size of each core's."""


class Array(WrittenLanes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The 2D array of each core."""

    rows: Count
    """Rows of PEs in each core."""
    cols: Count
    """Columns of PEs in each core."""
    kind: Literal["array", "systolic"] = "array"
    """`systolic` streams one operand through the array."""


class Vector(WrittenLanes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The 1D array of each core."""

    lanes: Count
    """Lanes in each core."""


class AreaFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Areas in um^2: the global buffer by the MiB, and the parts of one PE of each array."""

    buffer_um2_per_mib: Area = 0.0
    """Area of the global buffer in um^2 per MiB."""
    array_pe_um2: dict[Name, Area] = {}
    """Areas in um^2 of the parts of one PE of the 2D array, by name."""
    vector_pe_um2: dict[Name, Area] = {}
    """Areas in um^2 of the parts of one lane of the 1D array, by name."""


class SpatialArray(WrittenFamily, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an architect of a spatial array writes down.

    Units `array2d` and `array1d`; memories `dram`, `gb` (the global `buffer`) and, where written, `local`.
    With `multicast`, one read of `gb` or `dram` serves all cores that want the same bytes.
    """

    family: Literal["spatial-array"]
    """The family that derives the machine."""
    dram: Dram
    """Memory `dram`: outside the chip."""
    buffer: Bytes
    """Size of the global buffer, memory `gb`."""
    buffer_port: WrittenPort
    """How the global buffer is reached."""
    array: Array
    """Unit `array2d`: the 2D array of each core."""
    vector: Vector
    """Unit `array1d`: the vector lanes of each core."""
    cores: Count = 1
    """Cores, each with both arrays."""
    local: LocalBuffer | None = None
    """Memory `local`: a buffer in each core, between the global one and the arrays."""
    multicast: bool = True
    """Whether one read of `gb` or `dram` serves all cores that want the same bytes."""
    area: AreaFigures | None = None
    """Areas of its parts."""


def derive(spec: SpatialArray, name: str) -> Machine:
    """The machine of these parameters, with area by component where figures are given."""
    memories: list[Memory] = [
        spec.dram.memory("dram", parent=None, capacity=spec.dram.capacity),
        spec.buffer_port.memory("gb", parent="dram", capacity=spec.buffer),
    ]
    nearest = "gb"
    if spec.local is not None:
        nearest = "local"
        memories.append(
            spec.local.memory("local", parent="gb", capacity=spec.local.capacity, copies=spec.cores)
        )
    cores = {"cores": spec.cores} if spec.cores > 1 else {}
    kind: UnitKind = spec.array.kind
    with below("array"):
        array = spec.array.unit(
            "array2d",
            kind=kind,
            dims={**cores, "rows": spec.array.rows, "cols": spec.array.cols},
            reads_from=nearest,
        )
    ops, added = completed(spec.vector.costs())
    with below("vector"):
        vector = spec.vector.unit(
            "array1d", kind="vector", dims={**cores, "lanes": spec.vector.lanes}, reads_from=nearest, ops=ops
        )
    area = {} if spec.area is None else {
        "gb": spec.area.buffer_um2_per_mib * int(spec.buffer) / 2**20,
        **component_areas("array2d", spec.area.array_pe_um2, array.pes),
        **component_areas("array1d", spec.area.vector_pe_um2, vector.pes),
    }  # fmt: skip
    return Machine(
        name=name,
        family=spec.family,
        clock_hz=float(spec.clock),
        memories=tuple(memories),
        units=(array, vector),
        leakage_w=float(spec.leakage),
        noc=spec.noc.noc(multicast=spec.multicast) if spec.noc else None,
        multicast=spec.multicast,
        area_um2=area,
        technology=spec.technology,
        sources=spec.sources,
        assumed=(*spec.assumed, *(f"vector.ops.{op}" for op in added)),
    )
