"""A mapping at a smaller size: ranks, tiles, units and bounds shrunk together, so that it does what it did.

The innermost tile of a rank becomes at most `points` long and each loop at most `rounds` long: first, middle
and last iteration stay, and so does a last one that is smaller. A unit's dimensions shrink with what lies
along them: what filled a dimension fills it, and what folded over it folds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, Pipeline, Sequence
from einsim.workloads.bound import Bound, SameBlock
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.einsum import Partition
from einsim.workloads.expression import Access, Apply, Expr, Index, Term, nodes
from einsim.workloads.ops import prune_parts
from einsim.workloads.shape import radix
from einsim.workloads.sparsity import NM, Block, TopK

Sizes = dict[str, int]
SMALL = 2
"""Offsets up to this stay: neighbours are neighbours at any size."""
ROOM = 1 << 20
"""Bytes of registers a PE: how much they hold is not what a smaller size can say."""


class Shrunk(msgspec.Struct, frozen=True, kw_only=True):
    """A smaller case: `sizes` and `units` that changed, before and after; what was `kept` and why."""

    work: Cascade
    chip: Machine
    mapping: Mapping
    sizes: dict[str, tuple[int, int]] = {}
    units: dict[str, tuple[int, int]] = {}
    kept: tuple[str, ...] = ()


def shrink(work: Cascade, chip: Machine, mapping: Mapping, points: int, rounds: int) -> Shrunk:
    """The case with innermost tiles of at most `points` and loops of at most `rounds`; 0: as it is."""
    if not points:
        return Shrunk(work=work, chip=chip, mapping=mapping)
    sizes = _sizes(work, mapping, points, rounds)
    small = _Rewriter(work, sizes).cascade()
    tree = _tiles(mapping.tree, work.sizes, sizes, rounds)
    units = tuple(_unit(unit, mapping.tree, tree, work.sizes, sizes, rounds) for unit in chip.units)
    return Shrunk(
        work=small,
        chip=msgspec.structs.replace(chip, units=units),
        mapping=msgspec.structs.replace(mapping, tree=tree),
        sizes={rank: (size, sizes[rank]) for rank, size in work.sizes.items() if size != sizes[rank]},
        units={
            f"{old.name} {dim}": (size, new.dims[dim])
            for old, new in zip(chip.units, units, strict=True)
            for dim, size in old.dims.items()
            if size != new.dims[dim]
        },
        kept=tuple(f"{rank} {size}: {why}" for rank, (size, why) in _whole(work).items()),
    )


def visits(shrunk: Shrunk) -> tuple[int, int]:
    """Tiles and points that a walk of the mapping computes."""
    tiles = sum(
        math.prod(-(-around[loop.rank] // loop.tile) for loop, around in loops)
        for _, _, loops in _leaves(shrunk.mapping.tree, shrunk.work.sizes)
    )
    return tiles, sum(shrunk.work.points(einsum.name) for einsum in shrunk.work.einsums)


def _leaves(
    node: Node, extents: Sizes, above: tuple[tuple[Loop, Sizes], ...] = ()
) -> Iterator[tuple[Compute, Sizes, tuple[tuple[Loop, Sizes], ...]]]:
    """Every leaf with the extents of its tiles, and the loops above it, each with the extents around it."""
    if isinstance(node, Compute):
        yield node, extents, above
    elif isinstance(node, Loop):
        inside = {**extents, node.rank: min(node.tile, extents[node.rank])}
        yield from _leaves(node.body, inside, (*above, (node, extents)))
    elif isinstance(node, Keep):
        yield from _leaves(node.body, extents, above)
    else:
        for child in node.children:
            yield from _leaves(child, extents, above)


def _sizes(work: Cascade, mapping: Mapping, points: int, rounds: int) -> Sizes:
    """The size of every rank: as long as its tiles need, alike where ranks walk the same dimension."""
    old, whole, group = work.sizes, _whole(work), _groups(work)
    need = dict.fromkeys(old, 0)
    for leaf, extents, loops in _leaves(mapping.tree, old):
        for rank in work.einsum(leaf.einsum).ranks:
            size = _tile(work, rank, extents[rank], points)
            exact = True
            for loop, around in reversed(loops):
                if loop.rank == rank:
                    size *= min(-(-around[rank] // loop.tile), rounds)
                    exact &= around[rank] % loop.tile == 0
            need[rank] = max(need[rank], size if exact or size == 1 else size - 1)
    parts = list(_parts(work))
    found: Sizes = {}
    inner = {name for part in parts for name in part.into}
    for rank in old:  # what others are made of first
        alike = [name for name in old if group[name] == group[rank]]
        fixed = next((name for name in alike if name in whole), None)
        largest = max(need[name] for name in alike) or min(old[rank], points)
        found[rank] = old[rank] if fixed else min(old[rank], largest)
    for part in sorted(parts, key=lambda part: part.rank in inner, reverse=True):
        made = math.prod(found[name] for name in part.into)
        exact = old[part.rank] == math.prod(old[name] for name in part.into)
        for name in old:
            if group[name] == group[part.rank]:
                found[name] = made if exact else max(1, made - 1)
    return found


def _tile(work: Cascade, rank: str, extent: int, points: int) -> int:
    """An innermost tile's length: whole groups of a pattern along it stay whole."""
    size = min(extent, points)
    of = _granule(work).get(rank, 1)
    return min(extent, -(-size // of) * of) if extent >= of else extent


def _granule(work: Cascade) -> Sizes:
    """Ranks along which values go in groups, and how many to a group."""
    found: Sizes = {}
    for access in (read for einsum in work.einsums for read in (*einsum.reads, einsum.output)):
        pattern = work.tensor(access.tensor).sparsity
        if isinstance(pattern, (NM, Block)):
            of = pattern.m if isinstance(pattern, NM) else pattern.size
            index = access.indices[work.tensor(access.tensor).ranks.index(pattern.rank)]
            found |= {rank: max(of, found.get(rank, 1)) for rank in index.ranks}
    for einsum in work.einsums:
        for node in nodes(einsum.expr):
            if isinstance(node, Apply) and (pruned := prune_parts(node.op)):
                found[pruned[2]] = max(int(pruned[1]), found.get(pruned[2], 1))
    return found


def _whole(work: Cascade) -> dict[str, tuple[int, str]]:
    """Ranks that keep their size, and why."""
    found = {}
    for tensor in work.tensors:
        if isinstance(tensor.sparsity, TopK):
            found[tensor.sparsity.rank] = (
                work.size(tensor.sparsity.rank),
                f"{tensor.name} keeps the top k of it",
            )
    return found


def _parts(work: Cascade) -> Iterator[Partition]:
    """Ranks that are walked as others: the partitions, and dimensions that several ranks fill."""
    yield from work.partitions
    known = {(part.rank, part.into) for part in work.partitions}
    for declared, index in _dimensions(work):
        into = radix(index, work.sizes)
        if into and work.size(declared) == math.prod(map(work.size, into)) and (declared, into) not in known:
            known.add((declared, into))
            yield Partition(declared, into)


def _dimensions(work: Cascade) -> Iterator[tuple[str, Index]]:
    """(rank that a dimension is declared over, index) of every access."""
    for einsum in work.einsums:
        for access in (einsum.output, *einsum.reads):
            yield from zip(work.tensor(access.tensor).ranks, access.indices, strict=True)


def _groups(work: Cascade) -> dict[str, str]:
    """One rank for each set of ranks of one size that walk the same dimension, or that a bound compares."""
    group = {rank: rank for rank in work.sizes}

    def join(some: Iterable[str]) -> None:
        by_size: dict[int, str] = {}
        for rank in some:
            other = by_size.setdefault(work.size(rank), rank)
            old, new = group[rank], group[other]
            group.update({name: new for name, mine in group.items() if mine == old})

    dimensions: dict[tuple[str, int], list[str]] = {}
    for einsum in work.einsums:
        for access in (einsum.output, *einsum.reads):
            for axis, index in enumerate(access.indices):
                alike = dimensions.setdefault((access.tensor, axis), [work.tensor(access.tensor).ranks[axis]])
                alike += index.ranks
    for alike in dimensions.values():
        join(alike)
    for bound in work.bounds:
        join((*bound.left.ranks, *bound.right.ranks))
    return group


class _Rewriter:
    """Writes a cascade anew for other sizes: strides and offsets that were sizes are the new ones."""

    def __init__(self, work: Cascade, sizes: Sizes) -> None:
        self.work, self.old, self.new = work, work.sizes, sizes

    def cascade(self) -> Cascade:
        """The smaller cascade."""
        return msgspec.structs.replace(
            self.work,
            ranks=tuple(msgspec.structs.replace(rank, size=self.new[rank.name]) for rank in self.work.ranks),
            einsums=tuple(self.einsum(einsum) for einsum in self.work.einsums),
            bounds=tuple(self.bound(bound) for bound in self.work.bounds),
        )

    def einsum(self, einsum: Einsum) -> Einsum:
        return msgspec.structs.replace(
            einsum, output=self.access(einsum.output), expr=self.expression(einsum.expr)
        )

    def expression(self, expr: Expr) -> Expr:
        if isinstance(expr, Access):
            return self.access(expr)
        if isinstance(expr, Apply):
            return Apply(expr.op, tuple(self.expression(argument) for argument in expr.args))
        return expr

    def access(self, access: Access) -> Access:
        ranks = self.work.tensor(access.tensor).ranks
        return Access(
            access.tensor,
            tuple(self.index(index, (rank,)) for rank, index in zip(ranks, access.indices, strict=True)),
        )

    def bound(self, bound: Bound | SameBlock) -> Bound | SameBlock:
        ranks = (*bound.left.ranks, *bound.right.ranks)
        left, right = self.index(bound.left, ranks), self.index(bound.right, ranks)
        if isinstance(bound, SameBlock):
            return SameBlock(left, right, tuple(max(1, self.scaled(each, ranks)) for each in bound.lengths))
        return Bound(left, right)

    def index(self, index: Index, of: tuple[str, ...]) -> Index:
        """An index; `of` are the ranks whose sizes its offset may be."""
        strides: dict[str, int] = {}
        old = new = 1
        for term in sorted(index.terms, key=lambda term: abs(term.coefficient)):
            sign = 1 if term.coefficient > 0 else -1
            strides[term.rank] = sign * new if abs(term.coefficient) == old else term.coefficient
            old, new = old * self.old[term.rank], new * self.new[term.rank]
        terms = tuple(Term(strides[term.rank], term.rank) for term in index.terms)
        return Index(terms, self.offset(index.offset, (*of, *index.ranks)))

    def offset(self, offset: int, ranks: tuple[str, ...]) -> int:
        """An offset: near a rank's size it stays so, else it shrinks as the largest of the ranks does."""
        sign = 1 if offset > 0 else -1
        if abs(offset) <= SMALL or not ranks:
            return offset
        for rank in (*ranks, *self.old):
            for beside in (0, -1, 1):
                if abs(offset) == self.old[rank] + beside:
                    return sign * (self.new[rank] + beside)
        return sign * max(1, self.scaled(abs(offset), ranks))

    def scaled(self, length: int, ranks: tuple[str, ...]) -> int:
        rank = max(ranks, key=lambda rank: self.old[rank])
        return round(length * self.new[rank] / self.old[rank])


def _tiles(node: Node, old: Sizes, new: Sizes, rounds: int) -> Node:
    """The tree with each loop's iterations, at most `rounds` of them, in tiles of the new size."""
    if isinstance(node, Compute):
        return node
    if isinstance(node, Loop):
        count = min(-(-old[node.rank] // node.tile), rounds)
        tile = -(-new[node.rank] // count)
        inside = {**old, node.rank: min(node.tile, old[node.rank])}
        body = _tiles(node.body, inside, {**new, node.rank: min(tile, new[node.rank])}, rounds)
        return msgspec.structs.replace(node, tile=tile, body=body)
    if isinstance(node, Keep):
        return msgspec.structs.replace(node, body=_tiles(node.body, old, new, rounds))
    assert isinstance(node, (Sequence, Pipeline))
    children = tuple(_tiles(child, old, new, rounds) for child in node.children)
    return msgspec.structs.replace(node, children=children)


def _unit(unit: Unit, before: Node, after: Node, old: Sizes, new: Sizes, rounds: int) -> Unit:
    """A unit that what lies along its dimensions fills or folds over as before."""
    dims = dict.fromkeys(unit.dims, 0)
    pairs = zip(_leaves(before, old), _leaves(after, new), strict=True)
    for (leaf, was, _), (_, now, _) in pairs:
        for dim, ranks in leaf.spatial.items() if leaf.unit == unit.name else ():
            span, small = (math.prod(extents[rank] for rank in ranks) for extents in (was, now))
            folds = min(-(-span // unit.dims[dim]), rounds)
            spare = span < unit.dims[dim]
            dims[dim] = max(dims[dim], -(-small // folds) + spare)
    dims = {
        dim: size if dim == "cores" or not dims[dim] else min(size, dims[dim])
        for dim, size in unit.dims.items()
    }
    registers = unit.registers and msgspec.structs.replace(unit.registers, bytes_per_pe=ROOM)
    return msgspec.structs.replace(unit, dims=dims, registers=registers)
