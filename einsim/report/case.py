"""One case of a report: a result, the machine that it ran on, and how to run it again."""

from __future__ import annotations

import msgspec

from einsim.accel.gpu.machine import Gpu
from einsim.accel.machine import Machine, Unit
from einsim.dataflow.result import Result
from einsim.models.outcome import ModelTables


class NotAtHand(msgspec.Struct, frozen=True):
    """A machine that a result was computed on and whose file can't be found any more."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A result with its machine.

    What needs units (the roof) or sources is left out of the page where `machine` has none, and the page says
    so. `command` is the command line that gives the result. `tables` are those of a model.
    """

    result: Result
    name: str = ""
    machine: Machine | Gpu | NotAtHand = NotAtHand()
    command: str = ""
    tables: ModelTables | None = None

    @property
    def of_parts(self) -> tuple[Case, ...]:
        """Each part of a model in each phase as a case of its own: its time, bytes and multiply-accumulates."""
        return tuple(
            msgspec.structs.replace(
                self, name=f"{row.phase} {row.part}", tables=None,
                result=msgspec.structs.replace(
                    self.result, latency_s=row.latency_s, dram_bytes=row.dram_bytes, macs=row.macs
                ),
            )
            for row in (self.tables.parts if self.tables else ())
        )  # fmt: skip

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the workload, 0 when unknown."""
        return self.result.macs or 0

    @property
    def label(self) -> str:
        """What this case is called in tables and legends: the machine, unless a name was given."""
        return self.name or self.result.accel

    @property
    def matrix_unit(self) -> Unit | None:
        """The unit that the roof is drawn for: the matrix unit with the most processing elements."""
        units = self.machine.matrix_units if isinstance(self.machine, Machine) else ()
        return max(units, key=lambda unit: unit.pes, default=None)

    @property
    def peak_macs_per_s(self) -> float:
        """Multiply-accumulates per second of that unit when every element issues one each mac's cycles."""
        unit = self.matrix_unit
        if unit is None or not isinstance(self.machine, Machine) or not unit.supports("mac"):
            return 0.0
        return unit.pes * (unit.clock_hz or self.machine.clock_hz) / unit.cost("mac").cycles

    @property
    def dram_bytes_per_s(self) -> float:
        """Read rate of the machine's DRAM, 0 when it never limits."""
        return float(self.machine.dram.read_bytes_per_s or 0) if isinstance(self.machine, Machine) else 0.0

    @property
    def intensity(self) -> float:
        """Multiply-accumulates per DRAM byte that the mapping moves."""
        return self.macs / self.result.dram_bytes if self.result.dram_bytes else 0.0

    @property
    def macs_per_s(self) -> float:
        """Multiply-accumulates per second that were reached."""
        return self.macs / self.result.latency_s if self.result.latency_s else 0.0
