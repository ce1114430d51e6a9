"""What families with one buffer on chip beside DRAM share: keys, memories, the machine around units."""

from __future__ import annotations

from collections.abc import Mapping

from einsim.accel.machine import Machine, Unit
from einsim.accel.memory import Memory
from einsim.accel.written import PeakDram, WrittenFamily, WrittenPort
from einsim.specs.errors import below
from einsim.specs.units import Bytes


class BufferedFamily(WrittenFamily, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Memories `dram` and, within it, `gb`, which units read from; a subclass has the units' keys."""

    dram: PeakDram
    """Memory `dram`: outside the chip."""
    buffer: Bytes
    """Size of the global buffer, memory `gb`."""
    buffer_port: WrittenPort
    """How the global buffer is reached."""

    def memories(self) -> tuple[Memory, ...]:
        """`dram` and `gb`."""
        with below("dram"):
            dram = self.dram.dram()
        with below("buffer_port"):
            return dram, self.buffer_port.memory("gb", parent="dram", capacity=self.buffer)

    def machine(self, name: str, units: Mapping[str, Unit]) -> Machine:
        """The machine with these units, each by the key that it is written under (dotted: `vector.sfu`)."""
        return self.assembled(name, self.family, self.memories(), units)
