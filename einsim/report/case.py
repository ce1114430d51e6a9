"""One case of a report: a result, the machine that it ran on, and how to run it again."""

from __future__ import annotations

import msgspec

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.result import Result


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A result with its machine. `macs` counts the workload's multiply-accumulates, 0 when unknown.

    `machine` is None for a result that was read from a file whose machine can't be found any more; what needs
    the machine is then left out of the page, which says so. `command` is the command line that gives the result.
    """

    result: Result
    name: str = ""
    machine: Machine | None = None
    macs: int = 0
    command: str = ""

    @property
    def label(self) -> str:
        """What this case is called in tables and legends: the machine, unless a name was given."""
        return self.name or self.result.accel

    @property
    def matrix_unit(self) -> Unit | None:
        """The unit that the roof is drawn for: the matrix unit with the most processing elements."""
        units = self.machine.matrix_units if self.machine else ()
        return max(units, key=lambda unit: unit.pes, default=None)

    @property
    def peak_macs_per_s(self) -> float:
        """Multiply-accumulates per second of that unit when every element issues one each mac's cycles."""
        unit = self.matrix_unit
        if unit is None or self.machine is None or not unit.supports("mac"):
            return 0.0
        return unit.pes * (unit.clock_hz or self.machine.clock_hz) / unit.cost("mac").cycles

    @property
    def dram_bytes_per_s(self) -> float:
        """Read rate of the machine's DRAM, 0 when it never limits."""
        return float(self.machine.dram.read_bytes_per_s or 0) if self.machine else 0.0

    @property
    def intensity(self) -> float:
        """Multiply-accumulates per DRAM byte that the mapping moves."""
        return self.macs / self.result.dram_bytes if self.result.dram_bytes else 0.0

    @property
    def macs_per_s(self) -> float:
        """Multiply-accumulates per second that were reached."""
        return self.macs / self.result.latency_s if self.result.latency_s else 0.0
