"""Which fused template suits the attention in a cascade on a machine, if any."""

from __future__ import annotations

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.templates.flat import flat
from einsim.dataflow.templates.fusemax import interleaved, on_flat
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade

ONE_PASS = frozenset(("BQK", "LM", "RM", "SLN", "SLD", "SLNV", "PRM", "SPD", "RD", "SPNV", "RNV", "AV"))
THREE_PASS = frozenset(("QK", "GM", "SN", "SD", "A", "AV"))


def fused_attention(cascade: Cascade, machine: Machine) -> Mapping | None:
    """FuseMax's mapping for the 1-pass cascade and FLAT's for the 3-pass one, of its Einsums only.

    None where the cascade has no attention of that form, or no fused tile fits the machine.
    """
    names = {einsum.name for einsum in cascade.einsums}
    try:
        if names >= ONE_PASS and machine.matrix_units and machine.vector_units:
            able = does_softmax(machine.matrix_units[0])
            return interleaved(cascade, machine) if able else on_flat(cascade, machine)
        three = names >= THREE_PASS and cascade.size("p") > 1 and not cascade.bounds
        if three and machine.vector_units and machine.matrix_units and _planar(machine.matrix_units[0]):
            return flat(cascade, machine)
    except EinsimError:
        return None
    return None


def _planar(unit: Unit) -> bool:
    return unit.kind == "array" and set(unit.dims) == {"rows", "cols"}


def does_softmax(unit: Unit) -> bool:
    """Whether a matrix unit computes all of a tile's softmax itself, as FuseMax's array does."""
    able = all(unit.supports(op) for op in ("max", "exp", "add"))
    return able and _planar(unit) and unit.registers is not None
