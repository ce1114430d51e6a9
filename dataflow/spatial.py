"""Spatial layouts: which units can run an Einsum, and which of its ranks lie along a unit's dimensions.

`layouts` lists them for one unit; `place` takes the fastest, `placements` are those of the map space, and
`step_placements` those of a group that carries state.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec
import numpy as np

from einsim.accel.machine import Machine, Unit
from einsim.accel.widths import lacks
from einsim.dataflow.cores import cores_of, cores_ranks, read_apart
from einsim.dataflow.feed import stationary
from einsim.dataflow.footprint import relevant_ranks
from einsim.dataflow.holds import reads
from einsim.dataflow.leaf import skips
from einsim.dataflow.mapping import Compute
from einsim.dataflow.tile_times import TileTimes
from einsim.specs.arrays import Bools, Floats
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade, Einsum

#: Where every dimension of a unit gets a rank, or where an Einsum may also use a single row of an array.
Layouts = Literal["full", "any"]


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """Ranks of a contraction Z = A x B by where they occur: `m` in Z and A, `n` in Z and B, `k` reduced,
    `batch` in all three. An Einsum that is no contraction has all its output ranks in `batch`.
    """

    m: tuple[str, ...]
    n: tuple[str, ...]
    k: tuple[str, ...]
    batch: tuple[str, ...]
    a: str = ""
    b: str = ""


def roles(cascade: Cascade, einsum: Einsum) -> Roles:
    """Sort an Einsum's ranks; a rank of size 1 may end up anywhere."""
    if not einsum.contracts:
        return Roles(m=(), n=(), k=einsum.reduced, batch=einsum.output.ranks)
    first, second = einsum.reads
    in_a, in_b = relevant_ranks(cascade, first), relevant_ranks(cascade, second)
    outer = einsum.output.ranks
    return Roles(
        m=tuple(rank for rank in outer if rank in in_a and rank not in in_b),
        n=tuple(rank for rank in outer if rank in in_b and rank not in in_a),
        k=einsum.reduced,
        batch=tuple(rank for rank in outer if (rank in in_a) == (rank in in_b)),
        a=first.tensor,
        b=second.tensor,
    )


def able(cascade: Cascade, machine: Machine, einsum: Einsum) -> list[Unit]:
    """The units that have all of an Einsum's ops, at its operands' widths; what follows another one only for
    what it passes on.
    """
    ops = cascade.wide_ops(einsum.name)
    found = [unit for unit in machine.units if not lacks(unit, ops)]
    return [unit for unit in found if not unit.follows or passed_on(cascade, einsum)]


def passed_on(cascade: Cascade, einsum: Einsum) -> tuple[str, ...]:
    """Sums of products that an Einsum works on point by point, each in its place."""
    if einsum.reduced or einsum.iterative:
        return ()
    found = []
    for read in einsum.reads:
        maker = cascade.producer(read.tensor)
        placed = set(relevant_ranks(cascade, read)) == set(einsum.output.ranks)
        if maker is not None and maker.sums_products and placed and all(at.plain for at in read.indices):
            found.append(read.tensor)
    return tuple(found)


def computing(cascade: Cascade, machine: Machine, einsum: Einsum) -> list[Unit]:
    """The units that an Einsum may be placed on: of those that are able vector units, where it sums no
    products. EinsimError where there is none, by what each unit lacks.
    """
    units = able(cascade, machine, einsum)
    if not units:
        missing = ", ".join(lacks(unit, cascade.wide_ops(einsum.name)) for unit in machine.units)
        raise EinsimError(f"{machine.name}: no unit can compute Einsum {einsum.name} ({missing})")
    return (not einsum.sums_products and [unit for unit in units if unit.kind == "vector"]) or units


def place(
    cascade: Cascade,
    machine: Machine,
    einsum: Einsum,
    extents: Mapping[str, int],
    cores: tuple[str, ...] | None = None,
) -> Compute:
    """The unit and spatial layout with the fewest cycles for a tile; EinsimError when no unit has the ops.

    `cores` are ranks that must lie along the cores, where the unit has some.
    """
    each = {rank: np.array([extent], np.float64) for rank, extent in extents.items()}
    return places(cascade, machine, einsum, each, cores)[0]


def places(
    cascade: Cascade,
    machine: Machine,
    einsum: Einsum,
    extents: Mapping[str, Floats],
    cores: tuple[str, ...] | None = None,
    *,
    spread: bool = False,
) -> list[Compute]:
    """What `place` says of N tiles with `extents` [N] of each rank. `spread`: layouts that leave cores idle,
    or that stream less on each than an array loads before, may lie along them by one rank of the result, all
    by one that is `summed_apart`.
    """
    units = computing(cascade, machine, einsum)
    units = sorted(units, key=lambda unit: (unit.mode_of is not None, -unit.pes))  # whatever a file's order
    nodes: list[Compute] = []
    count = max(map(len, extents.values()), default=1)
    best, chosen = np.full(count, math.inf), np.zeros(count, np.int64)
    for unit in units:
        clock, times = unit.clock_hz or machine.clock_hz, TileTimes(cascade, unit, einsum)
        for node, open_to in _laid(cascade, unit, einsum, extents, cores, spread=spread):
            seconds = np.where(open_to, times.of(node, extents, count) / clock, math.inf)
            better = seconds < best * (1 - 1e-9)
            best, chosen = np.where(better, seconds, best), np.where(better, len(nodes), chosen)
            nodes.append(node)
    return [nodes[at] for at in chosen.tolist()]


def layouts(cascade: Cascade, unit: Unit, einsum: Einsum) -> Iterator[Compute]:
    """Every sensible way to lay an Einsum's ranks along a unit's dimensions."""
    part = roles(cascade, einsum)
    dims = list(unit.dims)
    if unit.kind == "vector":
        still = tuple(rank for rank in einsum.ranks if rank not in einsum.iterative)
        whole = tuple(rank for rank in part.batch or einsum.output.ranks if rank in still)
        spatial_choices = [(rank,) for rank in still] + [whole]
        if not part.n and "lanes" in unit.dims:  # a convolution a channel: its results lie side by side
            spatial_choices.append(tuple(rank for rank in einsum.output.ranks if rank in still))
        for choice in dict.fromkeys(spatial_choices):
            yield Compute(
                einsum=einsum.name, unit=unit.name, spatial=_with_cores(unit, einsum, {dims[-1]: choice})
            )
        return
    if "pixels" in unit.dims:
        yield from _of_pixels(cascade, unit, einsum, part)
        return
    pairs: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
    m, n = part.m or part.batch, part.n or part.batch
    if m == n:
        m, n = part.batch[:-1], part.batch[-1:]
    for stationarity, rows, cols in (
        ("output-stationary", m, n),
        ("output-stationary", n, m),
        ("weight-stationary", part.k, n),
        ("input-stationary", part.k, m),
    ):
        if not unit.dataflows or stationarity in unit.dataflows:
            pairs.append((stationarity, rows, cols))
    for stationarity, rows, cols in pairs:
        spatial = {"rows": rows, "cols": cols}
        spatial = {dim: ranks for dim, ranks in spatial.items() if dim in unit.dims and ranks}
        yield Compute(
            einsum=einsum.name, unit=unit.name, stationarity=stationarity,
            spatial=_with_cores(unit, einsum, spatial),
        )  # fmt: skip


def _of_pixels(cascade: Cascade, unit: Unit, einsum: Einsum, part: Roles) -> Iterator[Compute]:
    """A convolution engine's layouts: pixels of an image, input channels, output channels; all else is walked
    in time. Channels are what is reduced and stands alone in every index; where they take at most half of the
    rows, taps may lie beside them, if the engine `packs` those.

    Groups as blocks of a diagonal are laid by what there is more of, inputs or results of a group: the other
    side has those of all groups that are there. Blocks are whole: as many as divide the side.
    """
    indices = [index for read in einsum.reads for index in read.indices]
    channels = tuple(
        rank for rank in part.k if all(index.plain == rank for index in indices if rank in index.ranks)
    )
    taps = tuple(rank for rank in part.k if rank not in channels)
    size, results = (math.prod(map(cascade.size, ranks)) for ranks in (channels, part.n))
    high, wide = unit.dims.get("rows", 1), unit.dims.get("cols", 1)
    sides = [(channels, part.n)]
    if "taps" in unit.packs and taps and 2 * size <= high:
        sides.append(((*channels, *taps[-1:]), part.n))
    groups = tuple(rank for rank in part.batch if cascade.size(rank) > 1) if part.m else ()
    if "groups" in unit.packs and groups and high % size == 0 and wide % results == 0:
        by_rows = high // size <= wide // results
        sides.append(((*groups, *channels), part.n) if by_rows else (channels, (*groups, *part.n)))
    pixels = (part.m or part.batch)[-2 if "lines" in unit.packs else -1 :]
    for rows, cols in sides:
        spatial = {"pixels": pixels, "rows": rows, "cols": cols}
        yield Compute(
            einsum=einsum.name, unit=unit.name, stationarity="output-stationary",
            spatial=_with_cores(unit, einsum, {dim: ranks for dim, ranks in spatial.items() if ranks}),
        )  # fmt: skip


def _with_cores(
    unit: Unit, einsum: Einsum, spatial: dict[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Give the cores the output ranks that nothing else uses; else they share the first dimension's ranks."""
    if "cores" not in unit.dims:
        return spatial
    used = {rank for ranks in spatial.values() for rank in ranks}
    free = tuple(rank for rank in einsum.output.ranks if rank not in used and rank not in einsum.iterative)
    return {"cores": free, **spatial} if free else spatial


def along_cores(node: Compute, ranks: tuple[str, ...]) -> Compute:
    """The layout with these ranks along the cores."""
    rest = {dim: others for dim, others in node.spatial.items() if dim != "cores"}
    return msgspec.structs.replace(node, spatial={"cores": ranks, **rest} if ranks else rest)


def _laid(
    cascade: Cascade, unit: Unit, einsum: Einsum, extents: Mapping[str, Floats],
    cores: tuple[str, ...] | None, *, spread: bool,
) -> Iterator[tuple[Compute, Bools]]:  # fmt: skip
    """Layouts for `places`, and for which tiles each is."""
    every, several = np.ones(1, np.bool_), unit.dims.get("cores", 1)
    for node in layouts(cascade, unit, einsum):
        yield (node if cores is None or several == 1 else along_cores(node, cores)), every
        if cores is not None or several == 1 or not spread:
            continue
        along, still = cores_ranks(node), stationary(node, einsum)
        sharing = math.prod(cascade.size(rank) for rank in along if still and rank not in still.ranks)
        idle = every
        if not 1 < sharing < several * unit.dims.get("rows", 1):  # else loading takes longer than streaming
            idle = every & (math.prod(extents[rank] for rank in along) < several)
        for rank in einsum.output.ranks if idle.any() else ():
            if rank not in einsum.iterative:
                yield along_cores(node, (rank,)), idle & (extents[rank] > 1)
        for rank in summed_apart(cascade, unit, einsum):
            yield along_cores(node, (rank,)), extents[rank] > 1


def summed_apart(cascade: Cascade, unit: Unit, einsum: Einsum) -> tuple[str, ...]:
    """Reduced ranks that may lie along a unit's cores, of which each has its part of the results then: where
    those are no state and fewer than the unit has lanes.
    """
    few = math.prod(map(cascade.size, einsum.output.ranks)) < unit.pes
    if einsum.iterative or not few or cascade.tensor(einsum.name).sparsity.patterns:
        return ()
    skipped = {rank for rank, _ in skips(cascade, unit, einsum, cascade.sizes)}
    return tuple(rank for rank in einsum.reduced if cascade.size(rank) > 1 and rank not in skipped)


def placements(
    cascade: Cascade, machine: Machine, einsum: Einsum, unit: str = "", *, anywhere: bool = False,
    parts: bool = False,
) -> tuple[Compute, ...]:  # fmt: skip
    """Every unit that has the ops, with every sensible layout of the ranks along its dimensions.

    One rank lies along the cores, of the result or, in a memory that they share (with `parts` in any), one
    that is `summed_apart`; where they share all memories, several free ones of the result may too.
    What multiplies two tensors goes to a matrix unit, where one can; `unit` asks for another, `anywhere` for
    all. What sums no products and `differs_by_pe` would have to be in registers: only with `parts`.
    """
    units = [one for one in able(cascade, machine, einsum) if one.memories["inputs"] != machine.dram.name]
    if unit:
        units = [one for one in units if one.name == unit]
    elif einsum.contracts and not anywhere and len({access.tensor for access in einsum.reads}) > 1:
        units = [one for one in units if one.kind != "vector"] or units
    shared = not any(read_apart(machine, memory.name) for memory in machine.memories)
    found: list[Compute] = []
    for one in units:
        for node in layouts(cascade, one, einsum):
            if not parts and differs_by_pe(cascade, one, einsum, node):
                continue
            made = [node] if shared or "cores" not in one.dims else []
            if "cores" in one.dims:
                ranks = [r for r in einsum.output.ranks if r not in einsum.iterative and cascade.size(r) > 1]
                if parts or cores_of(machine, reads(machine, one.name, "outputs")) == 1:
                    ranks += summed_apart(cascade, one, einsum)
                made += [along_cores(node, (rank,)) for rank in ranks] or [along_cores(node, ())]
            for new in made:
                if new not in found:
                    found.append(new)
    return tuple(found)


def differs_by_pe(cascade: Cascade, unit: Unit, einsum: Einsum, node: Compute) -> tuple[str, ...]:
    """Operands of what sums no products that differ along both dimensions of an array: no edge brings in so
    many values at a time, so they are in its registers or nowhere.
    """
    if unit.kind != "array" or not {"rows", "cols"} <= set(unit.dims) or einsum.sums_products:
        return ()
    found = dict.fromkeys(read.tensor for read in einsum.reads)
    planar = {"rows", "cols"}
    return tuple(name for name in found if planar <= {dim for dim, _ in spread(cascade, node, name)[1]})


def step_placements(
    cascade: Cascade, machine: Machine, einsum: Einsum, step: str, kind: Layouts
) -> tuple[Compute, ...]:
    """Every unit with the Einsum's ops and an on-chip memory, with every layout of ranks but the step's."""
    found: list[Compute] = []
    for unit in able(cascade, machine, einsum):
        if unit.memories["inputs"] != machine.dram.name:
            found += (node for node in _on(cascade, unit, einsum, step, kind) if node not in found)
    return tuple(found)


def _on(cascade: Cascade, unit: Unit, einsum: Einsum, step: str, kind: Layouts) -> Iterator[Compute]:
    ranks = tuple(rank for rank in einsum.ranks if rank != step and cascade.size(rank) > 1)
    if unit.kind == "array" and set(unit.dims) == {"rows", "cols"}:
        for rows, cols in itertools.permutations(ranks, 2):
            if cols in einsum.reduced:
                continue
            yield Compute(einsum=einsum.name, unit=unit.name, spatial={"rows": (rows,), "cols": (cols,)})
        if kind == "any" or not ranks:
            for dim, rank in itertools.product(("rows", "cols"), ranks):
                if dim == "cols" and rank in einsum.reduced:
                    continue
                yield Compute(einsum=einsum.name, unit=unit.name, spatial={dim: (rank,)})
            if not ranks:
                yield Compute(einsum=einsum.name, unit=unit.name)
        return
    if len(unit.dims) == 1:
        dim = next(iter(unit.dims))
        still = tuple(rank for rank in einsum.output.ranks if rank in ranks)
        for choice in dict.fromkeys([*((rank,) for rank in ranks), still]):
            yield Compute(einsum=einsum.name, unit=unit.name, spatial={dim: choice} if choice else {})
        return
    yield from without(step, layouts(cascade, unit, einsum))


def without(step: str, nodes: Iterable[Compute]) -> Iterator[Compute]:
    """Layouts with a rank that is walked point by point laid nowhere, each once."""
    seen = []
    for node in nodes:
        spatial = {dim: tuple(rank for rank in along if rank != step) for dim, along in node.spatial.items()}
        new = msgspec.structs.replace(node, spatial={dim: along for dim, along in spatial.items() if along})
        if new not in seen:
            seen.append(new)
            yield new


#: A unit's name and, for each dimension that a rank of a tensor lies along, all ranks along it.
Spread = tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]


def spread(cascade: Cascade, node: Compute, tensor: str) -> Spread:
    """How a leaf lays a tensor that it reads or makes over its unit."""
    einsum = cascade.einsum(node.einsum)
    accesses = (access for access in (einsum.output, *einsum.reads) if access.tensor == tensor)
    ranks = frozenset[str]().union(*(relevant_ranks(cascade, access) for access in accesses))
    along = ((dim, placed) for dim, placed in sorted(node.spatial.items()) if ranks & set(placed))
    return node.unit, tuple(along)
