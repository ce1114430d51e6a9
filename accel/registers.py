"""The registers of a PE, and how the operand that stays in them gets there."""

from __future__ import annotations

from typing import Annotated

import msgspec

from einsim.specs.units import Bytes, Picojoules


class RegisterFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The registers of one PE: bytes, and energy in pJ per value read or written; None: not stated."""

    bytes_per_pe: int
    read_pj: float | None = None
    write_pj: float | None = None


class WrittenRegisters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PE's registers as written; energies are per value."""

    bytes_per_pe: Bytes
    """Register bytes of one PE."""
    read_energy: Picojoules | None = None
    """Energy of reading one value; not stated where it is left out."""
    write_energy: Picojoules | None = None
    """Energy of writing one value; not stated where it is left out."""

    def registers(self) -> RegisterFile:
        """The machine's register file."""
        return RegisterFile(
            bytes_per_pe=int(self.bytes_per_pe),
            read_pj=None if self.read_energy is None else float(self.read_energy),
            write_pj=None if self.write_energy is None else float(self.write_energy),
        )


class OperandLoad(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the stationary operand of a systolic array's next fold comes into it."""

    rows_per_cycle: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 1
    """Rows of the array that load in a cycle."""
    hidden: bool = True
    """Whether they load into second registers while the fold before streams; else streaming waits."""

    def cycles(self, rows: int) -> int:
        """Cycles in which so many rows load."""
        return -(-rows // self.rows_per_cycle)
