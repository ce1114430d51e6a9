"""The mapping tree laid out: every leaf with the loops above it, every kept tile with its place."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property, lru_cache

import msgspec

from einsim.dataflow.footprint import apart_of, relevant_ranks
from einsim.dataflow.made import touching
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, Sequence, walk
from einsim.dataflow.program import ProgramLoop
from einsim.workloads.cascade import Access, Cascade


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor held by one `Keep`: `depth` loops enclose it, `place` is the Keep's position in the tree."""

    tensor: str
    memory: str
    depth: int
    place: tuple[int, ...]
    buffers: int
    spill: float
    overlay: tuple[str, ...]  # tensors that share the bytes, the first writer first; empty without overlay
    stays: bool = False  # an input is there before, a result after it: neither crosses to DRAM


class Barrier(msgspec.Struct, frozen=True, kw_only=True):
    """Membership of a leaf in one child of a `Sequence` that `depth` loops enclose."""

    place: tuple[int, ...]
    child: int
    children: int
    depth: int


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """A compute with its loops (ids, outermost first), the homes in scope and the sequences it is in."""

    node: Compute
    place: tuple[int, ...]
    path: tuple[int, ...]
    homes: dict[str, tuple[Home, ...]]  # of what it makes and reads those in scope, outermost first


class Layout(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that lowering and legality need to know of a mapping's shape."""

    loops: tuple[ProgramLoop, ...]
    leaves: tuple[Leaf, ...]
    homes: tuple[tuple[Home, tuple[int, ...]], ...]  # with the loops above, outermost first
    barriers: tuple[Barrier, ...]  # one for each child of each sequence; `child` says which

    def under(self, place: tuple[int, ...]) -> tuple[Leaf, ...]:
        """Leaves in the subtree at `place`."""
        first = bisect_left(self._places, place)
        stop = bisect_left(self._places, (*place[:-1], place[-1] + 1)) if place else len(self.leaves)
        return self.leaves[first:stop]

    def using(self, cascade: Cascade, tensor: str) -> tuple[Leaf, ...]:
        """Leaves that make or read a tensor, of the cascade that is laid out."""
        if tensor not in self._using:
            names = {einsum.name for einsum, _ in cascade.users(tensor)} & self._of_einsum.keys()
            self._using[tensor] = tuple(
                self.leaves[at] for at in sorted(map(self._of_einsum.__getitem__, names))
            )
        return self._using[tensor]

    @cached_property
    def sizes(self) -> dict[tuple[str, tuple[int, ...], bytes], int]:
        """Bytes of homes that are known, by tensor, place and the machine's structure."""
        return {}

    @cached_property
    def _using(self) -> dict[str, tuple[Leaf, ...]]:
        return {}

    @cached_property
    def _places(self) -> list[tuple[int, ...]]:
        return [leaf.place for leaf in self.leaves]

    @cached_property
    def _of_einsum(self) -> dict[str, int]:
        return {leaf.node.einsum: at for at, leaf in enumerate(self.leaves)}


def lay_out(mapping: Mapping, cascade: Cascade) -> Layout:
    """The mapping laid out, which is done once."""
    known: tuple[Cascade, Layout] | None = vars(mapping).get("layout")
    if known is None or known[0] is not cascade:
        known = vars(mapping)["layout"] = cascade, _lay_out(mapping, cascade)
    return known[1]


def _lay_out(mapping: Mapping, cascade: Cascade) -> Layout:
    """Walk the tree once and collect loops, leaves and homes."""
    loops: list[ProgramLoop] = []
    leaves: list[Leaf] = []
    homes: list[tuple[Home, tuple[int, ...]]] = []
    barriers: list[Barrier] = []

    scope: dict[str, tuple[Home, ...]] = {}

    def visit(node: Node, place: tuple[int, ...], path: tuple[int, ...]) -> None:
        if isinstance(node, Loop):
            above = [rank for loop in path for rank in loops[loop].ranks]
            parent = next((loop for loop in reversed(path) if loops[loop].rank == node.rank), None)
            extent = cascade.size(node.rank) if parent is None else loops[parent].tile
            ranks = [node.rank]
            while _merges(cascade, node, above):
                assert isinstance(node.body, Loop)
                node, place = node.body, (*place, 0)
                ranks.append(node.rank)
                extent *= cascade.size(node.rank)
            made = ProgramLoop(
                id=len(loops), ranks=tuple(ranks), tile=min(node.tile, extent),
                extent=extent, parent=parent, place=place,
            )  # fmt: skip
            loops.append(made)
            visit(node.body, (*place, 0), (*path, made.id))
        elif isinstance(node, Keep):
            around = {tensor: scope.get(tensor, ()) for tensor in node.tensors}
            for tensor in node.tensors:
                home = Home(
                    tensor=tensor, memory=node.memory, depth=len(path), place=place, buffers=node.buffers,
                    spill=node.spill, overlay=node.tensors if node.overlay else (),
                    stays=tensor in node.stays,
                )  # fmt: skip
                homes.append((home, path))
                scope[tensor] = (*scope.get(tensor, ()), home)
            visit(node.body, (*place, 0), path)
            scope.update(around)
        elif isinstance(node, Compute):
            names = dict.fromkeys((node.einsum, *(read.tensor for read in cascade.einsum(node.einsum).reads)))
            here = {name: scope[name] for name in names if scope.get(name)}
            leaves.append(Leaf(node=node, place=place, path=path, homes=here))
        else:
            for child, below in enumerate(node.children):
                if isinstance(node, Sequence):
                    barriers.append(
                        Barrier(place=place, child=child, children=len(node.children), depth=len(path))
                    )
                visit(below, (*place, child), path)

    visit(mapping.tree, (), ())
    return Layout(loops=tuple(loops), leaves=tuple(leaves), homes=tuple(homes), barriers=tuple(barriers))


def _merges(cascade: Cascade, node: Loop, above: list[str]) -> bool:
    """Whether a loop and the one directly inside it take single points of ranks that always go together."""
    inner = node.body
    if not isinstance(inner, Loop) or node.tile != 1 or inner.tile != 1:
        return False
    if above and cascade.bounds:  # tiles that bounds cut are told apart by each rank's own loop
        return False
    if node.rank == inner.rank or {node.rank, inner.rank} & {*above, *_going_alone(cascade)}:
        return False
    ranks = (node.rank, inner.rank)
    if any(isinstance(below, Loop) and below.rank in ranks for below, _ in walk(inner.body)):
        return False
    for leaf in (below for below, _ in walk(inner) if isinstance(below, Compute)):
        einsum = cascade.einsum(leaf.einsum)
        for access in (einsum.output, *einsum.reads):
            moved = relevant_ranks(cascade, access)
            if (node.rank in moved) != (inner.rank in moved):
                return False
    return True


@lru_cache(maxsize=4096)
def _going_alone(cascade: Cascade) -> frozenset[str]:
    """Ranks that no loop merges: of states, of reads that move apart, of bounds, on what makes an operand
    too, and those that cut groups of a sparse tensor together.
    """
    found = {rank for one in cascade.einsums for rank in {*one.iterative, *apart_of(one)}}
    for einsum in cascade.einsums if cascade.bounds else ():
        found.update(*(touching(cascade, einsum, read).tied for read in einsum.reads))
    for bound in cascade.bounds:
        found.update(term.rank for side in (bound.left, bound.right) for term in side.terms)
    for access in (access for one in cascade.einsums for access in one.reads):
        named = zip(cascade.tensor(access.tensor).ranks, access.indices, strict=True)
        along = cascade.tensor(access.tensor).sparsity.rank  # its groups are cut elsewhere by each place
        found.update(r for name, at in named if name == along and len(at.ranks) > 1 for r in at.ranks)
    return frozenset(found)


def relevant_loops(
    cascade: Cascade, loops: tuple[ProgramLoop, ...], leaf: Leaf, access: Access, depth: int
) -> Iterator[tuple[int, bool]]:
    """Loops of a leaf below `depth`, each with whether it moves one of the leaf's accesses."""
    ranks = relevant_ranks(cascade, access)
    for loop in leaf.path[depth:]:
        yield loop, bool(ranks & set(loops[loop].ranks))


def users(cascade: Cascade, layout: Layout, home: Home) -> tuple[Leaf, ...]:
    """Leaves below a keep that make or read one of its tensors."""
    place = home.place
    return tuple(leaf for leaf in layout.using(cascade, home.tensor) if leaf.place[: len(place)] == place)


def summed(cascade: Cascade, layout: Layout, leaf: Leaf, depth: int | None = None) -> tuple[int, ...]:
    """Loops of a leaf, or its `depth` outermost, in whose later iterations it goes on with partial sums."""
    reduced = set(cascade.einsum(leaf.node.einsum).reduced)
    loops = (layout.loops[loop] for loop in leaf.path[:depth])
    return tuple(loop.id for loop in loops if loop.count > 1 and reduced & set(loop.ranks))


def common_loops(leaf: Leaf, other: Leaf) -> Iterator[int]:
    """Loops that enclose both leaves, outermost first."""
    for mine, theirs in zip(leaf.path, other.path, strict=False):
        if mine != theirs:
            return
        yield mine


def points_below(layout: Layout, cascade: Cascade, path: tuple[int, ...]) -> dict[str, int]:
    """Points of each rank in a full tile below some loops."""
    extents = dict(cascade.sizes)
    for loop in path:
        extents.update(dict.fromkeys(layout.loops[loop].ranks, layout.loops[loop].tile))
    return extents
