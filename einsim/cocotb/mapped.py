"""Cycles that a mapping keeps a unit busy: what a testbench of that unit holds its clock count against."""

from __future__ import annotations

from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping
from einsim.specs.errors import RuleError
from einsim.specs.near import near
from einsim.workloads.cascade import Cascade


def busy_cycles(mapping: Mapping, cascade: Cascade, machine: Machine, unit: str = "") -> int:
    """Cycles of the unit's clock domain in which it works on the mapping's tiles, operands always there.

    `unit`: by default the one that the mapping's first Einsum is computed on. With a `convention` on the unit
    these are the cycles of the stepped array and of its RTL, tile after tile. RuleError for a unit that the
    mapping does not use, SpecError where the mapping is not legal.
    """
    used = list(dict.fromkeys(node.unit for node in mapping.computes()))
    if unit and unit not in used:
        raise RuleError("the mapping computes nothing on", got=unit, hint=near(unit, used), at=("unit",))
    return analyse(lower(mapping, cascade, machine), machine).bound_by[unit or used[0]]
