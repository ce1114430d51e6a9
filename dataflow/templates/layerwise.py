"""Layer by layer: each contraction and each run of other Einsums is a branch of its own, one after the other.

In `resident`, intermediates stay on chip between branches, as in FlightLLM's always-on-chip decode: the
smallest first, as many (of 0, 1, 2, 3, 4, 6, 8, 12 ...) as give the least traffic in at most half of the
buffer. In `unfused`, every branch reads and writes DRAM.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping as MappingType

from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.footprint import access_of, tile_bytes
from einsim.dataflow.held import held_bytes
from einsim.dataflow.holds import common_levels
from einsim.dataflow.layout import lay_out
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping, Node, Sequence, chain, keep
from einsim.dataflow.templates.attention import fused_attention
from einsim.dataflow.templates.gemm import gemm
from einsim.dataflow.templates.vector import fits, shared_rows, vector_run
from einsim.workloads.cascade import Cascade, Einsum


def unfused(cascade: Cascade, machine: Machine) -> Mapping:
    """The mapping of a whole cascade, branch by branch, each of which reads and writes DRAM."""
    return _branches(cascade, machine, {}, "", (), "unfused")


def resident(cascade: Cascade, machine: Machine, fused: tuple[Mapping, ...] | None = None) -> Mapping:
    """The mapping of a whole cascade, branch by branch, with intermediates kept on chip between them.

    An attention of a layer is one fused branch where a fused template fits the machine: `fused`, if they are
    built already.
    """
    fused = fused_attention(cascade, machine) if fused is None else fused
    inside = frozenset(node.einsum for one in fused for node in one.computes())
    memory = next(iter(common_levels(machine, (unit.name for unit in machine.units))), "")
    held = (held_bytes(one, lay_out(one, cascade), cascade, machine) for one in fused)
    taken = max((one.get(memory, 0) for one in held), default=0)
    chosen: list[dict[str, int]] = [{}]
    if memory:
        chosen = _residents(cascade, machine, memory, taken, _touched(cascade, inside))
    best: tuple[tuple[int, int], Mapping] | None = None
    for kept in chosen:
        mapping = _branches(cascade, machine, kept, memory, fused, "resident")
        if len(chosen) == 1:
            return mapping
        result = analyse(lower(mapping, cascade, machine), machine)
        order = (result.dram_bytes, result.cycles)
        if best is None or order < best[0]:
            best = (order, mapping)
    assert best is not None
    return best[1]


def _branches(
    cascade: Cascade,
    machine: Machine,
    resident: dict[str, int],
    memory: str,
    fused: tuple[Mapping, ...],
    name: str,
) -> Mapping:
    """The mapping with these tensors kept on chip throughout."""
    inside = {node.einsum: one for one in fused for node in one.computes()}
    reserved = {memory: sum(resident.values())} if memory else {}
    kept = frozenset(resident)
    branches: list[Node] = []
    for run in runs(cascade, machine, kept, reserved, inside):
        if run[0].name in inside:
            branches.append(inside[run[0].name].tree)
        elif len(run) == 1 and run[0].contracts:
            branches.append(gemm(cascade, machine, run[0], resident=kept, reserved=reserved))
        else:
            branches.append(vector_run(cascade, machine, run, resident=kept, reserved=reserved))
    body: Node = branches[0] if len(branches) == 1 else Sequence(children=tuple(branches))
    tree = chain(keep(tuple(resident), memory, buffers=1) if resident else None, body)
    return Mapping(cascade=cascade.name, machine=machine.name, template=name, tree=tree)


def _touched(cascade: Cascade, inside: frozenset[str]) -> frozenset[str]:
    """Tensors that a fused branch reads or writes: it brings its own buffers for them."""
    einsums = [cascade.einsum(name) for name in inside]
    return inside | {access.tensor for einsum in einsums for access in einsum.reads}


def runs(
    cascade: Cascade,
    machine: Machine,
    resident: frozenset[str],
    reserved: dict[str, int],
    inside: MappingType[str, Mapping] = {},
) -> list[tuple[Einsum, ...]]:
    """Contractions alone; neighbouring other Einsums together while they share rows and fit; those `inside` a
    fused branch as one, in the place of the last: what it reads is made before, and only that one is read.
    """
    found: list[tuple[Einsum, ...]] = []
    left = Counter(map(id, inside.values()))
    for einsum in cascade.einsums:
        if einsum.name in inside:
            left[id(inside[einsum.name])] -= 1
            if not left[id(inside[einsum.name])]:
                found.append((einsum,))
            continue
        last = found[-1] if found and found[-1][0].name not in inside else ()
        if last and not einsum.contracts and not last[0].contracts:
            wider = (*last, einsum)
            together = shared_rows(wider) == shared_rows(last) or len(last) == 1
            if together and len(shared_rows(wider)) and fits(cascade, machine, wider, resident, reserved):
                found[-1] = wider
                continue
        found.append((einsum,))
    return found


def _residents(
    cascade: Cascade, machine: Machine, memory: str, taken: int, elsewhere: frozenset[str]
) -> list[dict[str, int]]:
    """Sets of intermediates to try, each with their bytes: the smallest ones first, in at most half the
    memory, leaving a fused branch the bytes it takes.

    The sets don't depend on the memory's size, only whether they fit does: a bigger one has no worse best.
    """
    if any(unit.reads_from != memory for unit in machine.units):
        return [{}]
    capacity = machine.memory(memory).capacity_bytes or 2**62
    sizes = cascade.sizes
    needs = {
        einsum.name: tile_bytes(cascade, machine, access_of(einsum, einsum.name), sizes)
        for einsum in cascade.einsums
        if cascade.consumers(einsum.name) and einsum.name not in elsewhere
    }
    ordered = sorted(needs.items(), key=lambda item: item[1])
    room = min(capacity // 2, capacity - taken)
    counts = [0, *(count * scale for scale in (1, 2, 4, 8, 16, 32) for count in (1, 1.5)), len(ordered)]
    found = []
    for count in sorted({int(count) for count in counts if count <= len(ordered)}):
        chosen = dict(ordered[:count])
        if not chosen or sum(chosen.values()) <= room:
            found.append(chosen)
    return found
