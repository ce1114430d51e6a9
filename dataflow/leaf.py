"""What one tile of an Einsum costs on a unit: cycles, latency, operand traffic and counted actions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import partial

import msgspec

from einsim.accel.machine import Machine, Unit
from einsim.accel.widths import issued
from einsim.dataflow.array_time import Tiles, array_time
from einsim.dataflow.cores import copied, cores_ranks, parted, parts_in, read_apart
from einsim.dataflow.feed import LaidTile
from einsim.dataflow.footprint import Use, runs, steps, stored_bits, touched
from einsim.dataflow.forms import as_held, packed, run_coded, sums_held
from einsim.dataflow.mapping import Compute
from einsim.dataflow.mask import Box, Mask
from einsim.dataflow.program import READ, WRITE, Action, MemoryAccess
from einsim.dataflow.row_stationary import ROW_STATIONARY, is_row_stationary, row_sets
from einsim.dataflow.rows import Skip, different
from einsim.specs.rules import Number, rule
from einsim.workloads.cascade import Access, Cascade, Einsum, Tensor
from einsim.workloads.sparsity import bytes_at, run_bits


class Residence(msgspec.Struct, frozen=True, kw_only=True):
    """Where an operand lives while the tile runs: a memory, or registers when `memory` names a unit."""

    memory: str
    spill: float = 0.0


class LeafCost(msgspec.Struct, frozen=True, kw_only=True):
    """Cycles of the unit's clock and everything counted for one tile."""

    cycles: int
    accesses: tuple[MemoryAccess, ...]
    actions: dict[Action, int]
    points: int
    active_pe_cycles: int
    rounded: bool = False  # up, where too many points would have to be visited


def issue_ops(unit: Unit, ops: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Group an Einsum's ops into issues: a chain that the unit fuses goes out as one."""
    groups: list[tuple[str, ...]] = []
    at = 0
    plain = tuple(op.partition("@")[0] for op in ops)
    while at < len(ops):
        fused = next((fuse for fuse in unit.fused_ops if plain[at : at + len(fuse)] == fuse), (ops[at],))
        groups.append(ops[at : at + len(fused)])
        at += len(fused)
    return tuple(groups)


def issued_ops(cascade: Cascade, unit: Unit, einsum: Einsum) -> tuple[str, ...]:
    """What a unit issues for one point of an Einsum, in passes where its operands are wider than the unit."""
    ops = cascade.wide_ops(einsum.name)
    return tuple(name for op, bits in ops for name in issued(unit, op, bits))


def cycles_per_point(unit: Unit, ops: tuple[str, ...]) -> int:
    """Issue cycles for one iteration point on one PE; a fused chain takes its slowest member's cycles."""
    return sum(max(unit.cost(op).cycles for op in group) for group in issue_ops(unit, ops))


def latency_cycles(
    cascade: Cascade, unit: Unit, einsum: Einsum, node: Compute, extents: Mapping[str, int]
) -> int:
    """Cycles from the end of issue until the results of a tile of `extents` can be used.

    What lies along a dimension and is reduced takes what the unit states; where it states nothing for any
    op, it comes together two by two, a cycle each time, unless the unit's `convention` counts its drain.
    """
    extra = max((unit.cost(op).latency_cycles for op in issued_ops(cascade, unit, einsum)), default=0)
    reducing = "add" if einsum.reduce == "sum" else einsum.reduce or ""
    if "mac" in einsum.ops and reducing == "add":
        reducing = "mac"
    rows = list(unit.dims)[-1] if unit.kind == "vector" else "rows"
    for dim, ranks in node.spatial.items():
        across = [rank for rank in ranks if rank in einsum.reduced]
        if across and (unit.reduction_latency_cycles or not unit.convention):
            span = min(math.prod(extents[rank] for rank in across), unit.dims[dim])
            stated = unit.reduction_latency_cycles
            extra += (stated.get(reducing, 0) if dim == rows else 0) if stated else (span - 1).bit_length()
    if unit.fill == "exposed":
        extra += sum(unit.dims.get(dim, 1) - 1 for dim in ("rows", "cols"))
    return extra


def partial_sum(cascade: Cascade, unit: Unit, einsum: Einsum) -> Tensor:
    """The result of an Einsum as it is while sums are partial: as wide as the unit's accumulators, where
    those are wider. A maximum or minimum has the width of the result.
    """
    tensor = cascade.tensor(einsum.name)
    bits = max(tensor.bits, unit.accumulator_bits or 0) if einsum.reduce == "sum" else tensor.bits
    return tensor if bits == tensor.bits else msgspec.structs.replace(tensor, bits=bits)


@rule
def added_up(
    steps: Number, parts: Number, once: Number, begun: Number, unfinished: Number, leaves: bool
) -> tuple[Number, ...]:
    """(results written, how many of them finished, results read back, results added up inside the unit, parts
    added outside) of a tile of `once` results, of which cores have `parts`, whose steps add to `steps`.
    Earlier tiles have `begun` so many, and so many are left `unfinished`.

    Where they leave the unit, they do in each step that adds to them and come back for the next, what earlier
    tiles have left before the first one; else they add up inside and each core's part leaves once.
    """
    written = steps if leaves else parts
    inside = steps if steps > parts and not leaves else 0
    again = max(0, written - once)
    return written, min(once - unfinished, written), again + begun, inside, 0 if leaves else again


@rule
def loaded_under(steps: Number, folds: Number, loads: Number, waiting: Number) -> Number:
    """Steps of folds under each of which the next stationary values load in so many or, `waiting`, before
    each of which its own do.
    """
    hidden = steps + (folds * loads > steps) * (folds * loads - steps)  # the larger one, in arrays too
    return hidden + waiting * (steps + folds * loads - hidden)


def merging(unit: Unit, einsum: Einsum) -> Action:
    """What adds one core's part of a result to what others have of it."""
    return Action(unit.name, "op", einsum.ops[-1])


def _parts(laid: LaidTile, once: int) -> int:
    """Parts that cores have of `once` results which they reduce together."""
    output, shared = laid.einsum.output, set(cores_ranks(laid.node)) & set(laid.einsum.reduced)
    extents = {rank: extent for rank, (_, extent) in laid.tile.items()}
    if laid.mask is not None and laid.mask.tied & shared:
        if (visit := laid.visited()) is not None:
            core, _, *places = visit.results(output, apart=True)
            free = (extents[rank] for rank in output.ranks if rank not in visit.ranks)
            return len(different([core, *places])[0]) * math.prod(free)
        laid.rounded = True
    return once * copied(laid.unit, laid.node, output.ranks, extents)


def returns(node: Compute, einsum: Einsum, memory: str) -> bool:
    """Whether sums may leave a unit for their memory and come back within one tile."""
    return bool(einsum.reduced) and leave_each_step(node, memory)


def leave_each_step(node: Compute, memory: str = "") -> bool:
    """Whether results go to their memory in each step that adds to them: else they leave a tile once."""
    return node.stationarity not in ("output-stationary", ROW_STATIONARY) or memory == node.unit


def load_steps(unit: Unit, node: Compute) -> int:
    """Steps in which a fold's stationary values load into a systolic array; 0 elsewhere, and where a
    convention counts them.
    """
    loads = unit.kind == "systolic" and leave_each_step(node) and not unit.convention
    return unit.operand_load.cycles(unit.dims.get("rows", 1)) if loads else 0


def skips(cascade: Cascade, unit: Unit, einsum: Einsum, extents: Mapping[str, int]) -> tuple[Skip, ...]:
    """The ranks along which the unit skips, each with the pattern that it skips by.

    Unstructured patterns, which name no rank, take work off the largest reduced rank.
    """
    found = []
    for access in einsum.reads if "mac" in einsum.ops else ():
        sparsity = cascade.tensor(access.tensor).sparsity
        if skippable(cascade, unit, access):
            rank = sparse_rank(cascade, access)
            if not sparsity.rank:
                rank = max(einsum.reduced, key=lambda name: extents[name])
            found += [(rank, sparsity)] if rank is not None else []
    return tuple(found)


def exploited(
    cascade: Cascade, unit: Unit, einsum: Einsum, extents: Mapping[str, int], tile: Box | None = None
) -> dict[str, int]:
    """Extents with the work that sparsity removes on this unit taken off the ranks it lies along. `tile` says
    where they begin, if not where a group does.
    """
    left = dict(extents)
    for rank, sparsity in skips(cascade, unit, einsum, extents):
        start = tile[rank][0] if tile else 0
        left[rank] = min(left[rank], sparsity.kept(extents[rank], start))
    return left


def array_cycles(
    cascade: Cascade, unit: Unit, einsum: Einsum, node: Compute, extents: Mapping[str, int]
) -> int:
    """Issue cycles for a tile: spatial ranks fold over the unit's dimensions, the others run in time."""
    box = {rank: (0, extents[rank]) for rank in einsum.ranks}
    issues = issued_ops(cascade, unit, einsum)
    laid = LaidTile(unit, node, einsum, box, extents, None)
    return laid_cycles(unit, laid, max(1, cycles_per_point(unit, issues)))


def laid_cycles(unit: Unit, laid: LaidTile, each: int) -> int:
    """Cycles of a tile whose points take `each`."""
    if is_row_stationary(laid.node):
        return row_sets(unit, laid.node, laid.einsum, laid.work).steps * each
    steps = laid.steps()
    if unit.convention:
        folds = math.prod(laid.folds(dim) for dim in laid.dims)
        tiles = Tiles(
            rows=unit.dims["rows"], cols=unit.dims["cols"],
            along_rows=laid.lanes("rows"), along_cols=laid.lanes("cols"), stream=-(-steps // folds) * each,
            stationary=leave_each_step(laid.node),
        )  # fmt: skip
        return array_time(unit.convention, tiles) if steps else 0
    loads = load_steps(unit, laid.node)
    if not loads:
        return steps * each
    return (steps > 0) * loaded_under(steps, laid.filled(), loads, int(not unit.operand_load.hidden)) * each


def leaf_cost(
    cascade: Cascade, machine: Machine, einsum: Einsum, node: Compute, extents: Mapping[str, int],
    residences: Mapping[str, Residence], *, begun: int | None = 0, unfinished: int | None = 0,
    tile: Box | None = None, mask: Mask | None = None,
) -> LeafCost:  # fmt: skip
    """Cost of one tile of `extents` points of each rank; `residences` say where each operand lives.

    `tile` and `mask`: where it lies and what bounds leave of it; without them all its points are there.
    `begun`: results of which earlier tiles have left partial sums, which are read first; `unfinished`: those
    to which later tiles add. None: all of the tile's.
    """
    unit = machine.unit(node.unit)
    box = tile or {rank: (0, extents[rank]) for rank in einsum.ranks}
    cutting = mask if mask and not mask.whole(box) else None
    work = exploited(cascade, unit, einsum, extents, box)
    laid = LaidTile(unit, node, einsum, box, work, cutting, skips(cascade, unit, einsum, extents))
    points = laid.points()
    issues = issued_ops(cascade, unit, einsum)
    each = max(1, cycles_per_point(unit, issues))
    actions: Counter[Action] = Counter()
    for op in issues:
        actions[Action(unit.name, "op", op)] += points
    accesses = [
        _operand(cascade, machine, laid, tensor, residences[tensor], actions)
        for tensor in dict.fromkeys(access.tensor for access in einsum.reads)
        if tensor not in node.chained
    ]
    accesses.append(_result(cascade, machine, laid, residences[einsum.name], actions, begun, unfinished))
    cycles = laid_cycles(unit, laid, each)
    return LeafCost(
        cycles=cycles,
        accesses=tuple(one for several in accesses for one in several),
        actions=+actions,
        points=points,
        active_pe_cycles=points * each,
        rounded=laid.rounded,
    )


def _operand(
    cascade: Cascade, machine: Machine, laid: LaidTile, tensor: str, home: Residence, actions: Counter[Action]
) -> tuple[MemoryAccess, ...]:
    """What the unit reads of one operand; from registers it is counted in values, with `actions`."""
    einsum, node = laid.einsum, laid.node
    accesses = tuple(access for access in einsum.reads if access.tensor == tensor)
    in_unit, apart = home.memory == node.unit, read_apart(machine, home.memory)
    whole = passing_whole(cascade, machine.unit(node.unit), einsum, tensor)
    whole = (whole | {rank for rank, _ in laid.skips}) - set(cores_ranks(node))
    if is_row_stationary(node):  # each value passes once, and each point reads the PE's own
        count = touched(cascade, tuple(Use(access, laid.tile, laid.mask) for access in accesses))
        actions[Action(node.unit, "register", READ)] += laid.points() * len(accesses)
        actions[Action(node.unit, "register", WRITE)] += count
    else:
        count = laid.read(accesses, whole, apart=apart)
    if in_unit:
        actions[Action(node.unit, "register", READ)] += count
        return ()
    spec = as_held(machine, home.memory, cascade.tensor(tensor))
    stored = laid.stored(spec, accesses, whole, apart=apart) if packed(spec) else None
    size = _streamed_bytes(cascade, machine, laid, accesses, (spec, count), stored=stored)
    return _traffic(cascade, machine, laid, accesses[0], home, (size, 0))


def _result(
    cascade: Cascade, machine: Machine, laid: LaidTile, home: Residence, actions: Counter[Action],
    begun: int | None, unfinished: int | None,
) -> tuple[MemoryAccess, ...]:  # fmt: skip
    """What the unit writes of its results and reads back of partial ones.

    Output-stationary they add up in its registers and leave once; else they leave in each step that adds to
    them and come back for the next. Results kept in the unit are written there in each step. What is not
    finished moves at the accumulator's width. Parts that cores have of a result are added where they share
    its memory, else each core has its own there.
    """
    einsum, unit = laid.einsum, laid.node.unit
    rows = is_row_stationary(laid.node)  # where every point adds to a sum in its PE
    steps = laid.points() if rows else laid.read((einsum.output,), frozenset(), apart=True)
    once = laid.added_to(touched(cascade, (Use(einsum.output, laid.tile, laid.mask),)))
    parts = _parts(laid, once) if parted(cascade, laid.node) else once
    kept_in_unit, alone = home.memory == unit, parts_in(cascade, machine, laid.node, home.memory)
    begun = once if begun is None else min(begun, once)
    leaves = leave_each_step(laid.node, home.memory)
    unfinished = once if unfinished is None else min(unfinished, once)
    if alone:  # a core goes on with its own parts, of which none is a result
        once, begun, unfinished = parts, begun and begun * parts // once, parts
    written, finished, read, inside, added = added_up(steps, parts, once, begun, unfinished, leaves)
    if added:
        actions[merging(laid.unit, einsum)] += added
    if inside and laid.unit.registers is not None:  # else its ops' energy has them
        actions[Action(unit, "register", READ)] += inside
        actions[Action(unit, "register", WRITE)] += inside
    if kept_in_unit:
        actions[Action(unit, "register", READ)] += read
        actions[Action(unit, "register", WRITE)] += written
        return ()
    wide = sums_held(machine, home.memory, partial_sum(cascade, machine.unit(unit), einsum))
    tensor = as_held(machine, home.memory, cascade.tensor(einsum.name))
    stored = back = None
    if run_coded(tensor):
        stored, back = (written - finished) * wide.bits + run_bits(tensor, finished), read * wide.bits
    finished = written if wide.bits == tensor.bits else finished
    if packed(tensor) and stored is None:
        passing = partial(
            laid.stored, accesses=(einsum.output,), whole=frozenset(),
            apart=read_apart(machine, home.memory), at_once=not leaves,
        )  # fmt: skip
        stored = passing(tensor if finished else wide) if finished in (0, written) else None
        back = passing(wide, later=not begun) if read and begun in (0, once) else None
    results_written = ((wide, written - finished), (tensor, finished))
    sizes = [
        _streamed_bytes(cascade, machine, laid, (einsum.output,), (wide, read), stored=back) if read else 0,
        _streamed_bytes(cascade, machine, laid, (einsum.output,), *results_written, stored=stored),
    ]
    return _traffic(cascade, machine, laid, einsum.output, home, (sizes[0], sizes[1]))


def _streamed_bytes(
    cascade: Cascade, machine: Machine, laid: LaidTile, accesses: tuple[Access, ...],
    *counts: tuple[Tensor, int], stored: int | None = None,
) -> int:  # fmt: skip
    """Bytes of so many values of a tensor, of each width that it has; those `stored` or its tile's rate."""
    tensor = counts[0][0]
    if not packed(tensor) and stored is None:
        stored = sum(spec.bits * count for spec, count in counts)
    if stored is None and not tensor.sparsity.rank:
        stored = sum(run_bits(spec, count) for spec, count in counts)
    if stored is not None:
        return bytes_at(stored, 1)
    uses = tuple(Use(access, laid.tile, laid.mask) for access in accesses)
    there = touched(cascade, uses)
    stored = sum(stored_bits(cascade, spec, uses, there) * count for spec, count in counts)
    return bytes_at(stored, there) if there else 0


def _traffic(
    cascade: Cascade, machine: Machine, laid: LaidTile, access: Access, home: Residence, size: tuple[int, int]
) -> tuple[MemoryAccess, ...]:
    """The bytes read and written at home, and the share of both that spills to the memory outside it."""
    extents = {rank: extent for rank, (_, extent) in laid.tile.items()}
    run, pitch = runs(cascade, machine, access, extents)
    ahead = steps(cascade, machine, access)
    made = []
    outer = next(iter(machine.memory(home.memory).parents), home.memory)
    spilled = (math.ceil(size[0] * home.spill), math.ceil(size[1] * home.spill))
    for memory, (read, written) in ((home.memory, size), (outer, spilled)):
        if read or written:
            made.append(
                MemoryAccess(
                    memory=memory, tensor=access.tensor, read_bytes=read, write_bytes=written,
                    run_bytes=run, pitch_bytes=pitch, steps=ahead,
                )
            )  # fmt: skip
    return tuple(made)


def passing_whole(cascade: Cascade, unit: Unit, einsum: Einsum, tensor: str) -> frozenset[str]:
    """Ranks along which an operand passes whole: where it is sparse itself, or another one that is skipped
    by.
    """
    return frozenset(
        rank
        for access in einsum.reads
        if (rank := sparse_rank(cascade, access)) is not None
        and (access.tensor == tensor or skippable(cascade, unit, access))
    )


def sparse_rank(cascade: Cascade, access: Access) -> str | None:
    """The rank that walks an operand along its sparse dimension; None where there is none."""
    tensor = cascade.tensor(access.tensor)
    rank = tensor.sparsity.rank
    return access.indices[tensor.ranks.index(rank)].plain if rank in tensor.ranks else None


def skippable(cascade: Cascade, unit: Unit, access: Access) -> bool:
    """Whether the unit exploits the pattern of what is accessed."""
    return bool(set(cascade.tensor(access.tensor).sparsity.patterns) & set(unit.exploits))
