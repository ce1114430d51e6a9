"""Spatial arrays: 2D arrays of PEs and vector arrays around one global buffer (FuseMax, FLAT, TPU)."""

from __future__ import annotations

from typing import Literal

import msgspec

from einsim.accel.area import component_areas
from einsim.accel.families.buffered import BufferedFamily
from einsim.accel.machine import Machine
from einsim.accel.written import Area, Count, Name, WrittenLanes, WrittenPort
from einsim.specs.errors import below
from einsim.specs.units import Bytes


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


class VectorArray(WrittenLanes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The 1D array of each core."""

    lanes: Count
    """Lanes in each core."""


class AreaFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Areas in um^2: the global buffer by the MiB, and the parts of one PE of each array."""

    buffer_um2_per_mib: Area | None = None
    """Area of the global buffer in um^2 per MiB; not stated where it is left out."""
    local_um2_per_mib: Area | None = None
    """Area of the local buffers in um^2 per MiB; not stated where it is left out."""
    array_pe_um2: dict[Name, Area] = {}
    """Areas in um^2 of the parts of one PE of the 2D array, by name."""
    vector_pe_um2: dict[Name, Area] = {}
    """Areas in um^2 of the parts of one lane of the 1D array, by name."""


class SpatialArray(BufferedFamily, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an architect of a spatial array writes down.

    Units `array2d` and `array1d`; memories `dram`, `gb` (the global `buffer`) and, where written, `local`.
    With `multicast`, one read of `gb` or `dram` serves all cores that want the same bytes.
    """

    family: Literal["spatial-array"]
    """The family that derives the machine."""
    array: Array
    """Unit `array2d`: the 2D array of each core."""
    vector: VectorArray
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
    memories, nearest = spec.memories(), "gb"
    if spec.local is not None:
        nearest = "local"
        with below("local"):
            local = spec.local.memory("local", parent="gb", capacity=spec.local.capacity, copies=spec.cores)
        memories = (*memories, local)
    cores = {"cores": spec.cores} if spec.cores > 1 else {}
    dims = {**cores, "rows": spec.array.rows, "cols": spec.array.cols}
    with below("array"):
        array = spec.array.unit("array2d", kind=spec.array.kind, dims=dims, reads_from=nearest)
    dims = {**cores, "lanes": spec.vector.lanes}
    with below("vector"):
        vector = spec.vector.unit("array1d", kind="vector", dims=dims, reads_from=nearest)
    units = {"array": array, "vector": vector}
    machine = spec.assembled(name, spec.family, memories, units, multicast=spec.multicast)
    if spec.area is None:
        return machine
    area, missing = _area(spec.area, machine)
    return msgspec.structs.replace(machine, area_um2=area, area_not_stated=missing)


def _area(figures: AreaFigures, machine: Machine) -> tuple[dict[str, float], tuple[str, ...]]:
    """Area in um^2 by component, and the parts of the chip whose area isn't stated."""
    per_mib = {"gb": figures.buffer_um2_per_mib, "local": figures.local_um2_per_mib}
    each = {
        memory.name: {} if (um2 := per_mib[memory.name]) is None
        else {memory.name: um2 * (memory.capacity_bytes or 0) / 2**20}
        for memory in machine.memories
        if memory.parent is not None
    }  # fmt: skip
    of_pes = {"array2d": figures.array_pe_um2, "array1d": figures.vector_pe_um2}
    for name, pe_um2 in of_pes.items():
        each[name] = component_areas(name, pe_um2, machine.unit(name).pes)
    found = {name: um2 for some in each.values() for name, um2 in some.items()}
    return found, tuple(name for name, some in each.items() if not some)
