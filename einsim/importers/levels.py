"""A hierarchy of memories, fan-outs and compute units, as other tools describe one, as a machine of ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import yaml

from einsim.importers.imported import Imported, quantity, word
from einsim.specs.errors import SpecError

CLOCK_HZ = 1e9
"""Where a file says none."""
LEAST_BYTES = 1024
"""Of a buffer that stands several times: a smaller one is a PE's registers."""
ACCESS_BYTES = 32
"""Of an access, where a file counts single bits."""


class HierarchyLevel(msgspec.Struct, frozen=True, kw_only=True):
    """One level, the outermost first. `spread` are the instances under one of the level above, by dimension.

    Rates are in bytes a second, or a cycle with `per_cycle`; energies in joules an action of `bits`; None
    where the file doesn't say.
    """

    kind: Literal["memory", "compute", "fanout"]
    name: str
    spread: tuple[int, ...] = ()
    capacity_bytes: float | None = None
    bits: float | None = None
    read_rate: float | None = None
    write_rate: float | None = None
    shared: bool = False
    per_cycle: bool = False
    read_j: float | None = None
    write_j: float | None = None
    leak_w: float | None = None
    rate_hz: float | None = None
    """Of a compute unit: ops a second of all its lanes."""
    datawidth: int | None = None


def machine(
    name: str, levels: Sequence[HierarchyLevel], clock_hz: float | None, source: str, left: Sequence[str]
) -> Imported:
    """A machine with these memories and one array, and vector lanes for each further compute unit.

    SpecError without a memory or a compute unit.
    """
    memories, computes = ([one for one in levels if one.kind == kind] for kind in ("memory", "compute"))
    if not memories or not computes:
        raise SpecError("", "needs a memory and a compute unit", where=source)
    main = computes[-1]
    clock = clock_hz or main.rate_hz or CLOCK_HZ
    draft = _MachineDraft(levels, main, clock, list(left))
    if not clock_hz and not main.rate_hz:
        draft.assumed["clock"] = "the file says none"
    units = {"array": draft.array(), **draft.vectors(computes[:-1])}
    data: dict[str, Any] = {
        "machine": word(name).replace("_", "-"), "clock": quantity(clock, "Hz"), "memories": draft.memories,
        "units": units,
    }  # fmt: skip
    if draft.assumed:
        data["assumed"] = list(draft.assumed)
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=100)
    told = tuple(f"{key}: {why}" for key, why in draft.assumed.items())
    return Imported(kind="machine", body=text, source=source, left=tuple(draft.left), assumed=told)


class _MachineDraft:
    """Memories from the outermost inward; what is inside a PE, or too small for a tile, is told instead."""

    def __init__(
        self, levels: Sequence[HierarchyLevel], main: HierarchyLevel, clock: float, left: list[str]
    ) -> None:
        self.clock, self.main, self.left = clock, main, left
        self.assumed: dict[str, str] = {}
        self.memories: dict[str, dict[str, Any]] = {}
        self.cores, self.spread, self.feeder = 1, list[int](), ""
        for at, level in enumerate(levels):
            self.spread += [size for size in level.spread if size > 1]
            if level is main:
                break
            if level.kind == "memory" and not self._registers(level, levels[at + 1 :]):
                self.cores, self.spread = self.cores * math.prod(self.spread), []
                made = word(level.name, self.memories)
                self.memories[made] = self._memory(made, level)
                self.feeder = made

    def _registers(self, level: HierarchyLevel, inner: Sequence[HierarchyLevel]) -> bool:
        """Whether a memory is a PE's own, or one of several that hold next to nothing."""
        if math.prod(self.spread) == 1:
            return False
        below = any(size > 1 for one in inner for size in one.spread)
        size = level.capacity_bytes
        if below and (size is None or size >= LEAST_BYTES):
            return False
        shown = "" if size is None else f", {size:.6g} B"
        self.left.append(f"{level.name}: one of {math.prod(self.spread)}{shown}, like a PE's registers")
        return True

    def _memory(self, name: str, level: HierarchyLevel) -> dict[str, Any]:
        keys: dict[str, Any] = {"parent": self.feeder} if self.feeder else {}
        if self.feeder and level.capacity_bytes is not None and math.isfinite(level.capacity_bytes):
            keys["capacity"] = f"{int(level.capacity_bytes)}B"
        if self.cores > 1:
            keys["copies"] = self.cores
        keys |= self._rates(level)
        bits = level.bits or 8
        access = math.ceil(bits / 8) if bits >= 8 else ACCESS_BYTES
        if bits < 8 or level.bits is None:
            self.assumed[f"memories.{name}.access"] = f"{access} B, for actions of {bits:g} bits"
        keys["access"] = f"{access}B"
        for key, energy in (("read_energy", level.read_j), ("write_energy", level.write_j)):
            if energy is not None:
                keys[key] = f"{energy * 1e12 * access * 8 / bits:.6g}pJ"
        if level.read_j is None:
            self.left.append(f"energy of {level.name}: none is given, it comes from a component model")
        if level.leak_w:
            keys["leakage"] = f"{level.leak_w * 1e3:.6g}mW"
        return keys

    def _rates(self, level: HierarchyLevel) -> dict[str, str]:
        factor = self.clock if level.per_cycle else 1.0
        given = {"read_bandwidth": level.read_rate, "write_bandwidth": level.write_rate}
        known = {key: rate * factor for key, rate in given.items() if rate and math.isfinite(rate)}
        if not known:
            self.left.append(f"bandwidth of {level.name}: none is given, so its port never limits")
        elif len(known) == 1:
            lacks = next(key for key in given if key not in known).replace("_", " ")
            self.left.append(f"{lacks} of {level.name}: none is given, so that port never limits")
        elif level.shared and len(set(known.values())) == 1:
            return {"bandwidth": quantity(known["read_bandwidth"], "B/s")}
        elif level.shared:
            self.left.append(
                f"{level.name}: reads and writes take turns on one port of two rates; here each has a port "
                "of its own, at its rate"
            )
        return {key: quantity(rate, "B/s") for key, rate in known.items()}

    def _dims(self, own: dict[str, int]) -> dict[str, int]:
        return {"cores": self.cores, **own} if self.cores > 1 else own

    def array(self) -> dict[str, Any]:
        """The unit of macs."""
        if len(self.spread) > 2:
            self.left.append(f"an array of dimensions {self.spread}: all but the first are one here")
        mac: dict[str, Any] = {}
        if self.main.read_j is None:
            self.left.append(
                f"energy of a mac: none is given, {self.main.name} takes it from a component model"
            )
        else:
            mac["energy"] = f"{self.main.read_j * 1e12:.6g}pJ"
        rows = self.spread[0] if self.spread else 1
        dims = self._dims({"rows": rows, "cols": math.prod(self.spread[1:])})
        unit: dict[str, Any] = {"kind": "array", "dims": dims, "reads_from": self.feeder, "ops": {"mac": mac}}
        return {**unit, "bits": [self.main.datawidth]} if self.main.datawidth else unit

    def vectors(self, others: Sequence[HierarchyLevel]) -> dict[str, dict[str, Any]]:
        """Other compute units, by what they do in a cycle."""
        units: dict[str, dict[str, Any]] = {}
        for one in others:
            lanes = max(1, round(one.rate_hz / self.clock)) if one.rate_hz else 1
            cost = {} if one.read_j is None else {"energy": f"{one.read_j * 1e12:.6g}pJ"}
            name = word(one.name.lower(), (*units, "array"))
            units[name] = {
                "kind": "vector", "dims": self._dims({"lanes": lanes}), "reads_from": self.feeder,
                "ops": {op: dict(cost) for op in ("mac", "add", "mul", "max", "min")},
            }  # fmt: skip
            self.assumed[f"units.{name}"] = (
                f"{one.name} adds, multiplies and compares, an op a cycle and lane"
            )
        return units
