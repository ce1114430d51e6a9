"""Layer by layer: each contraction and each run of other Einsums is a branch of its own, one after the other.

With `residency`, intermediates that fit stay on chip between branches (the smallest first, at most half of
the buffer), as FlightLLM's always-on-chip decode does; without it every branch reads and writes DRAM.
"""

from __future__ import annotations

from accel.machine import Machine
from dataflow.footprint import access_of, tile_bytes
from dataflow.mapping import Mapping, Node, Sequence, chain, keep
from dataflow.templates.gemm import gemm, levels
from dataflow.templates.roles import is_contraction
from dataflow.templates.vector import fits, shared_rows, vector_run
from workloads.cascade import Cascade, Einsum


def layerwise(cascade: Cascade, machine: Machine, *, residency: bool, name: str) -> Mapping:
    """The mapping of a whole cascade, branch by branch."""
    memory = _common_memory(machine)
    resident = _resident(cascade, machine, memory) if residency and memory else {}
    reserved = {memory: sum(resident.values())} if memory else {}
    kept = frozenset(resident)
    branches: list[Node] = []
    for run in runs(cascade, machine, kept, reserved):
        if len(run) == 1 and is_contraction(run[0]):
            branches.append(gemm(cascade, machine, run[0], resident=kept, reserved=reserved))
        else:
            branches.append(vector_run(cascade, machine, run, resident=kept, reserved=reserved))
    body: Node = branches[0] if len(branches) == 1 else Sequence(children=tuple(branches))
    tree = chain(keep(tuple(resident), memory, buffers=1) if resident else None, body)
    return Mapping(cascade=cascade.name, machine=machine.name, template=name, tree=tree)


def runs(
    cascade: Cascade, machine: Machine, resident: frozenset[str], reserved: dict[str, int]
) -> list[tuple[Einsum, ...]]:
    """Contractions alone; neighbouring other Einsums together while they share rows and fit."""
    found: list[tuple[Einsum, ...]] = []
    for einsum in cascade.einsums:
        if found and not is_contraction(einsum) and not is_contraction(found[-1][0]):
            wider = (*found[-1], einsum)
            together = shared_rows(wider) == shared_rows(found[-1]) or len(found[-1]) == 1
            if together and len(shared_rows(wider)) and fits(cascade, machine, wider, resident, reserved):
                found[-1] = wider
                continue
        found.append((einsum,))
    return found


def _common_memory(machine: Machine) -> str:
    """The outermost on-chip memory, through which every unit is fed."""
    chains = [levels(machine, unit.reads_from) for unit in machine.units]
    return (
        chains[0][0] if chains and chains[0] and all(names[:1] == chains[0][:1] for names in chains) else ""
    )


def _resident(cascade: Cascade, machine: Machine, memory: str) -> dict[str, int]:
    """Intermediates to keep, with their bytes: the smallest first while they take at most half the memory."""
    if any(unit.reads_from != memory for unit in machine.units):
        return {}
    capacity = machine.memory(memory).capacity_bytes or 2**62
    sizes = {rank.name: rank.size for rank in cascade.ranks}
    needs = {
        einsum.name: tile_bytes(cascade, machine, access_of(einsum, einsum.name), sizes)
        for einsum in cascade.einsums
        if cascade.consumers(einsum.name)
    }
    chosen: dict[str, int] = {}
    left = capacity // 2
    for name, size in sorted(needs.items(), key=lambda item: item[1]):
        if size <= left:
            chosen[name] = size
            left -= size
    return chosen
