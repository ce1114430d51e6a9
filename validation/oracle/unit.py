"""A tile laid out on a unit: which core and lane each point takes, and in which step."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.mapping import Compute
from einsim.validation.oracle.points import Bools, Ints, Points, Ranges, box_points, point_ops
from einsim.validation.oracle.store import fibres, stay
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Access


class Laid(msgspec.Struct, frozen=True, kw_only=True):
    """A tile on a unit, point by point. Points of one core with the same step run at the same time.

    `fold` numbers the folds of all dimensions. `worked` are the points that are computed: all but those that
    the unit skips for a sparse operand.
    `streamed[access]` is the step in which a point's operand passes the unit's edge.
    """

    core: Ints
    lane: Ints
    step: Ints
    fold: Ints
    worked: Bools
    streamed: dict[Access, Ints]
    along: tuple[Ints, Ints] | None = None
    """Each point's place along the rows and along the columns, folds and all, of a unit with a convention."""

    def cycles(self, unit: Unit, each: int, *, stationary: bool) -> int:
        """Cycles of a tile whose points take `each`, on the core that has most."""
        if self.along is not None:
            cores = np.unique(self.core[self.worked])
            return max((self._by_convention(unit, core, each, stationary) for core in cores), default=0)
        loads = unit.kind == "systolic" and stationary
        rows = math.ceil(unit.dims.get("rows", 1) / unit.operand_load.rows_per_cycle) if loads else 0
        return self.steps(rows, hidden=unit.operand_load.hidden) * each

    def _by_convention(self, unit: Unit, core: int, each: int, stationary: bool) -> int:
        """One fold after the other, each as long as they are in the mean: the stationary values load by rows,
        the last operand enters after the stream at the corner and leaves at the one across.
        """
        assert self.along is not None
        mine = self.worked & (self.core == core)
        sizes = unit.dims["rows"], unit.dims["cols"]
        used = [
            [min(size, int(at[mine].max()) + 1 - low) for low in range(0, int(at[mine].max()) + 1, size)]
            for at, size in zip(self.along, sizes, strict=True)
        ]
        folds = [(r, c) for r in used[0] for c in used[1]]
        stream = math.ceil(len(np.unique(self.step[mine])) / len(folds)) * each
        loads = 2 if stationary else 1
        if unit.convention == "edge-aware":
            return sum(loads * r + c + stream + 3 for r, c in folds)
        whole = loads * sizes[0] + sizes[1] + stream - 2
        if unit.convention == "scale-sim":
            return len(folds) * whole
        return whole + (len(folds) - 1) * max(stream, sizes[0])

    def steps(self, loads: int, *, hidden: bool) -> int:
        """Steps of the core that has most: each takes the cycles of one point. A fold's stationary values
        take so many to load, `hidden` under the fold before.
        """
        steps, folds = (self._most(one) for one in (self.step, self.fold))
        return max(steps, folds * loads) if hidden else steps + folds * loads

    def _most(self, numbers: Ints) -> int:
        """Different numbers of computed points on the core that has most of them."""
        pairs = distinct(self.core[self.worked], numbers[self.worked])[0]
        return int(np.bincount(pairs[0]).max()) if len(pairs[0]) else 0


class RowLaid(Laid, frozen=True, kw_only=True):
    """A row-stationary tile: `lane` are PEs, and a PE hands on each `target` that it adds to."""

    target: Ints

    def steps(self, loads: int, *, hidden: bool) -> int:
        """Of the PE that has most: its points, and the sums that it takes over."""
        (lane, _), _ = distinct(self.lane, self.target)
        return int(np.bincount(self.lane).max() + np.bincount(lane).max()) if len(lane) else 0


def lay_rows(
    cascade: Cascade, machine: Machine, einsum: Einsum, node: Compute, points: Points, ranges: Ranges
) -> RowLaid:
    """Sets of PEs, kernel rows by result rows: those that add to the same results share out what is reduced
    in as few parts as fill their windows, the others the ranks of the weights. Each value passes once.
    """
    unit, at, count = machine.unit(node.unit), points.at, points.count
    box = {rank: (int(some.min()), int(some.max()) + 1) for rank, some in at.items()}
    rows, cols = node.spatial["rows"], node.spatial["cols"]
    mine = {rank for read in einsum.reads if not {*cols} & {*read.ranks} for rank in read.ranks}
    inner = tuple(rank for rank in einsum.reduced if rank not in rows)
    filters = tuple(rank for rank in einsum.output.ranks if rank in mine and rank not in (*rows, *cols))
    high, wide, inside, several = (
        math.prod(box[rank][1] - box[rank][0] for rank in some) for some in (rows, cols, inner, filters)
    )
    assert unit.registers is not None
    down, across = unit.dims["rows"] // high, unit.dims["cols"]
    sets = down * (across // wide) if wide <= across else down // math.ceil(wide / across)
    stack = math.ceil(inside * unit.bits[0] / (8 * unit.registers.by_role["inputs"]))
    parts = math.ceil(inside / stack), math.ceil(several / (sets // stack))

    def place(ranks: tuple[str, ...]) -> Ints:
        shifted = {rank: at[rank] - box[rank][0] for rank in ranks}
        return _flat(ranks, {rank: (0, box[rank][1] - box[rank][0]) for rank in ranks}, shifted, count)

    lane = (place(filters) // parts[1] * stack + place(inner) // parts[0]) * high * wide
    lane = lane + place(rows) * wide + place(cols)
    zeros, apart = np.zeros(count, dtype=np.int64), np.arange(count)
    streamed = dict.fromkeys((*einsum.reads, einsum.output), zeros)
    return RowLaid(
        core=zeros, lane=lane, step=apart, fold=zeros, worked=np.ones(count, dtype=bool), streamed=streamed,
        target=place(einsum.output.ranks),
    )  # fmt: skip


def distinct(*columns: Ints) -> tuple[list[Ints], Ints]:
    """The different rows of some columns, in order, and for each row which of those it is."""
    if not columns[0].size:
        return [column[:0] for column in columns], np.zeros(0, dtype=np.int64)
    found, which = np.unique(np.stack(columns), axis=1, return_inverse=True)
    return list(found), np.asarray(which, dtype=np.int64).reshape(-1)


def lay(
    cascade: Cascade, machine: Machine, einsum: Einsum, node: Compute, points: Points, ranges: Ranges
) -> Laid:
    """Lay points out: round the cores, along each dimension with folds, everything else in time.

    A unit can't close gaps: places are counted in the box around the points, and only a step in which no
    lane has a point is left out.
    """
    if node.stationarity == "row-stationary":
        return lay_rows(cascade, machine, einsum, node, points, ranges)
    unit = machine.unit(node.unit)
    worked, places, closed = _skipped(cascade, unit, einsum, points)
    box = {
        rank: (int(at.min()), int(at.max()) + 1) if points.count else (0, 0) for rank, at in places.items()
    }
    core = core_of(unit, node, ranges, points)
    every = box_points(einsum.ranks, box)
    home = core_of(unit, node, ranges, every)
    lane, folds = _folds(unit, node, box, places, core, every, home)
    own = _own(_alone(node), set(cores_ranks(node)), box, places, core, every, home)
    laid = {rank for ranks in node.spatial.values() for rank in ranks}
    step = distinct(*folds, own, *(at for rank, at in places.items() if rank not in laid))[1]
    skipping = closed | {sparse_rank(cascade, read) for read in einsum.reads if _skips(cascade, unit, read)}
    streamed = {einsum.output: step}
    still = stationary(node, einsum)
    for access in einsum.reads:
        # What moves with a rank that is stored or walked compressed passes whole, as often as the others say.
        whole = ({sparse_rank(cascade, access), *skipping} & set(access.ranks)) - set(cores_ranks(node))
        flat = {rank: np.full_like(at, box[rank][0]) if rank in whole else at for rank, at in places.items()}
        passing = _folds(unit, node, box, flat, core, every, home)[1]
        if access == still:  # in a fold it passes once for each place in time of its own ranks
            passing += [flat[rank] for rank in access.ranks if rank not in laid or rank in _alone(node)]
        else:
            passing += [own, *(places for rank, places in flat.items() if rank not in laid)]
        together = distinct(*passing)[1]
        first = np.full(points.count, points.count)
        np.minimum.at(first, together, step)
        streamed[access] = first[together]
    along = None
    if unit.convention:
        rows, cols = (
            _own(node.spatial.get(dim, ()), {*cores_ranks(node)}, box, places, core, every, home)
            for dim in ("rows", "cols")
        )
        along = rows, cols
    return Laid(
        core=core, lane=lane, step=step, fold=distinct(*folds)[1], worked=worked, streamed=streamed,
        along=along,
    )  # fmt: skip


def stationary(node: Compute, einsum: Einsum) -> Access | None:
    """The operand that stays in the array: the one that moves with most of the ranks laid on it.

    Of several, weight-stationary takes the last one written, input-stationary the first. Output-stationary
    none, but where a reduced rank is laid on the array results can't stay there: then one that moves with all
    of them.
    """
    if node.stationarity == "row-stationary":
        return None
    laid = {rank for dim, ranks in node.spatial.items() if dim != "cores" for rank in ranks}
    order = einsum.reads if node.stationarity == "input-stationary" else einsum.reads[::-1]
    if node.stationarity == "output-stationary":
        order = tuple(read for read in order if laid & set(einsum.reduced) and laid <= set(read.ranks))
    return max(order, key=lambda access: len(laid & set(access.ranks)), default=None)


def cores_ranks(node: Compute) -> tuple[str, ...]:
    """Ranks along the cores, outermost first."""
    return node.spatial.get("cores", ())


def _flat(ranks: tuple[str, ...], box: Ranges, at: dict[str, Ints], count: int) -> Ints:
    """Places of several ranks as one number, the first rank from 0 and the others from their first."""
    found = np.zeros(count, dtype=np.int64)
    for number, rank in enumerate(ranks):
        low, high = box[rank]
        found = found * (high - low) + at[rank] - (low if number else 0)
    return found


def core_of(unit: Unit, node: Compute, ranges: Ranges, points: Points) -> Ints:
    """The core of each point: places of the cores' ranks go round the cores, whatever the loops are."""
    return _flat(cores_ranks(node), ranges, points.at, points.count) % unit.dims.get("cores", 1)


def _alone(node: Compute) -> tuple[str, ...]:
    """Ranks along the cores and along nothing else: each core walks its own places of them in time."""
    inside = {rank for dim, ranks in node.spatial.items() if dim != "cores" for rank in ranks}
    return tuple(rank for rank in cores_ranks(node) if rank not in inside)


def _folds(
    unit: Unit, node: Compute, box: Ranges, at: dict[str, Ints], core: Ints, every: Points, home: Ints
) -> tuple[Ints, list[Ints]]:
    """Lane of each point, and its fold along each dimension."""
    cores = set(cores_ranks(node))
    lane, folds = core.copy(), [np.zeros_like(core)]
    for dim, size in unit.dims.items():
        if dim != "cores":
            place = _own(node.spatial.get(dim, ()), cores, box, at, core, every, home)
            lane = lane * size + place % size
            folds.append(place // size)
    return lane, folds


def _own(
    ranks: tuple[str, ...], cores: set[str], box: Ranges, at: dict[str, Ints], core: Ints,
    every: Points, home: Ints,
) -> Ints:  # fmt: skip
    """Where each point stands along some ranks; of ranks that go round the cores, among its core's own."""
    mine, theirs = _flat(ranks, box, at, len(core)), _flat(ranks, box, every.at, every.count)
    if not cores & set(ranks):
        return mine - (theirs[0] if len(theirs) else 0)
    found = np.zeros(len(core), dtype=np.int64)
    for number in np.unique(core):
        found[core == number] = np.searchsorted(np.unique(theirs[home == number]), mine[core == number])
    return found


def sparse_rank(cascade: Cascade, access: Access) -> str | None:
    """The rank that walks an operand along its sparse dimension; None where there is none."""
    tensor = cascade.tensor(access.tensor)
    if tensor.sparsity.rank not in tensor.ranks:
        return None
    return access.indices[tensor.ranks.index(tensor.sparsity.rank)].plain


def _skips(cascade: Cascade, unit: Unit, access: Access) -> bool:
    return bool(set(cascade.tensor(access.tensor).sparsity.patterns) & set(unit.exploits))


def _skipped(
    cascade: Cascade, unit: Unit, einsum: Einsum, points: Points
) -> tuple[Bools, dict[str, Ints], set[str | None]]:
    """Which points a unit computes, every point's place once the skipped ones have been closed up, and the
    ranks along which they have been.

    Of each fibre of points along the sparse rank, n of every m stay (a block pattern: the share of its
    blocks; one without a rank: its share of the largest reduced rank, rounded up).
    """
    worked, places, closed = np.ones(points.count, dtype=bool), dict(points.at), set[str | None]()
    for access in einsum.reads if "mac" in point_ops(einsum) else ():
        sparsity = cascade.tensor(access.tensor).sparsity
        if not _skips(cascade, unit, access) or not points.count:
            continue
        rank = sparse_rank(cascade, access)
        if rank is None and not sparsity.rank and einsum.reduced:
            rank = max(einsum.reduced, key=lambda name: len(np.unique(points.at[name])))
        if rank is None:
            continue
        fibre = fibres([at for name, at in points.at.items() if name != rank], points.count)
        slot, stays = stay(sparsity, fibre, points.at[rank])
        worked &= stays
        places[rank] = np.where(
            stays, slot, slot[stays].min()
        )  # a skipped point stands where its rank begins
        closed.add(rank)
    return worked, places, closed


def cycles_a_point(unit: Unit, ops: tuple[str, ...]) -> int:
    """Issue cycles of one point on one lane: a chain that the unit fuses takes its slowest member's."""
    cycles = at = 0
    while at < len(ops):
        names = tuple(op.partition("@")[0] for op in ops[at:])
        chains = (chain for chain in unit.fused_ops if names[: len(chain)] == chain)
        fused = ops[at : at + len(next(chains, names[:1]))]
        cycles += max(unit.cost(op).cycles for op in fused)
        at += len(fused)
    return max(1, cycles)


def latency_cycles(
    unit: Unit, einsum: Einsum, ops: tuple[str, ...], node: Compute, laid: Laid, points: Points
) -> int:
    """Cycles from the last step of a tile until its results can be used."""
    latency = max((unit.cost(op).latency_cycles for op in ops), default=0)
    if unit.fill == "exposed":
        latency += sum(unit.dims.get(dim, 1) - 1 for dim in ("rows", "cols"))
    for dim in unit.dims:
        across = set(node.spatial.get(dim, ())) & set(einsum.reduced)
        if across and points.count:
            span = math.prod(len(np.unique(points.at[rank])) for rank in across)
            if unit.reduction_latency_cycles:
                named = unit.reduction_latency_cycles if dim in ("rows", "lanes") else {}
                latency += named.get(ops[-1].partition("@")[0], 0)
            elif not unit.convention:  # two values make one in a cycle at best; a convention counts its drain
                latency += math.ceil(math.log2(min(span, unit.dims[dim])))
    return latency
