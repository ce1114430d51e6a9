"""The registers of a PE, and how the operand that stays in them gets there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from einsim.specs.errors import RuleError
from einsim.specs.near import near
from einsim.specs.units import Bytes, Picojoules

SPADS = ("inputs", "weights", "outputs")
"""What a spad of a PE keeps."""


class RegisterFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The registers of one PE: bytes, and energy in pJ per value read or written; None: not stated.

    `by_role`: bytes of the spads that a row-stationary PE has.
    """

    bytes_per_pe: int
    by_role: dict[str, int] = {}
    read_pj: float | None = None
    write_pj: float | None = None

    def __post_init__(self) -> None:
        for role in self.by_role:
            if role not in SPADS:
                rule, hint = "must be inputs, weights or outputs", near(role, SPADS)
                raise RuleError(rule, got=role, hint=hint, at=("registers", "by_role"))


class WrittenRegisters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PE's registers as written; energies are per value."""

    bytes_per_pe: Bytes
    """Register bytes of one PE."""
    by_role: dict[str, Bytes] = {}
    """Bytes of a row-stationary PE's spads: `{inputs: 24B, weights: 448B, outputs: 48B}`."""
    read_energy: Picojoules | None = None
    """Energy of reading one value; not stated where it is left out."""
    write_energy: Picojoules | None = None
    """Energy of writing one value; not stated where it is left out."""

    def registers(self) -> RegisterFile:
        """The machine's register file."""
        return RegisterFile(
            bytes_per_pe=int(self.bytes_per_pe),
            by_role={role: int(size) for role, size in self.by_role.items()},
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


def check_rows(
    registers: RegisterFile | None, dims: Mapping[str, int], bits: Sequence[int], exploits: Sequence[str]
) -> None:
    """RuleError for a unit whose PEs can't keep rows."""
    spads = registers is not None and {*registers.by_role} == {*SPADS}
    if not spads or {*dims} != {"rows", "cols"} or len(bits) != 1 or exploits:
        rule = "row-stationary needs rows and cols, one width, registers by_role, and exploits nothing"
        raise RuleError(rule, at=("dataflows",))
