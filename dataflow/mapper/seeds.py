"""Where refinement starts: operands straight from DRAM where they may come so; long runs of Einsums together;
for a cascade with state, all of it around the steps, whatever reads the last one after them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress

from einsim.accel.machine import Machine
from einsim.dataflow.holds import common_levels, homes_to, straight
from einsim.dataflow.mapper.judged import Judged, judged
from einsim.dataflow.mapper.tiles import narrowest
from einsim.dataflow.mapper.trees import dropped
from einsim.dataflow.mapping import Compute, Keep, Node, Pipeline, chain, keep, placed
from einsim.dataflow.spatial import place
from einsim.dataflow.templates.layerwise import resident
from einsim.dataflow.templates.outline import MOST_JOINED
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade, Einsum

#: Einsums of the same rows that a start has together at most.
MOST_LONG = 12


def from_dram(cascade: Cascade, machine: Machine, tree: Node) -> Node:
    """The tree without keeps of what a single Einsum reads and may have straight from DRAM."""
    for node in [node for _, node in placed(tree) if isinstance(node, Compute)]:
        for read in cascade.einsum(node.einsum).reads:
            alone = cascade.producer(read.tensor) is None and len(cascade.consumers(read.tensor)) == 1
            if not alone or not straight(cascade, machine, node, read.tensor):
                continue
            for at, home in reversed(list(placed(tree))):
                if isinstance(home, Keep) and read.tensor in home.tensors:
                    tree = dropped(tree, at, read.tensor, None)
    return tree


def around_steps(cascade: Cascade, machine: Machine, parts: int = 1) -> Iterator[Node]:
    """Trees of a cascade with state along one rank, of different tiles; they may be illegal. So many
    `parts` of the last rank that all have take turns; none where they would be narrower than an array.
    """
    steps = {rank for einsum in cascade.einsums for rank in einsum.iterative}
    if len(steps) != 1:
        return
    step = next(iter(steps))
    body = [einsum for einsum in cascade.einsums if step in einsum.ranks]
    late = {einsum.name for einsum in body}
    tail, first = [], []
    for einsum in cascade.einsums:
        if einsum not in body and any(read.tensor in late for read in einsum.reads):
            late.add(einsum.name)
            tail.append(einsum)
        elif einsum not in body:
            first.append(einsum)
    if first:
        return
    reduced = {rank for einsum in cascade.einsums for rank in einsum.reduced}
    free = [
        rank.name for rank in cascade.ranks
        if rank.size > 1 and rank.name != step and rank.name not in reduced
        and all(rank.name in einsum.ranks for einsum in cascade.einsums)
    ]  # fmt: skip
    width = narrowest(machine)
    several, size = free[:-1], cascade.size(free[-1]) if free else 1
    if parts > 1 and size < parts * width:
        return
    block = [(free[-1], -(-size // parts))] if parts > 1 else []
    for outer in itertools.product((False, True), repeat=len(several)) if len(several) < 4 else ():
        for ones in (True, False):
            for narrow in (True, False) if free else (False,):
                loops = [(rank, 1) for rank, out in zip(several, outer, strict=True) if out]
                inner = [(rank, 1) for rank, out in zip(several, outer, strict=True) if not out and ones]
                inner += [(rank, width) for rank in free[-1:] if narrow and cascade.size(rank) > width]
                try:
                    yield _tree(cascade, machine, step, body, tail, [*loops, *block], inner)
                except EinsimError:
                    continue


def _tree(
    cascade: Cascade, machine: Machine, step: str, body: list[Einsum], tail: list[Einsum],
    outer: list[tuple[str, int]], inner: list[tuple[str, int]],
) -> Node:  # fmt: skip
    extents = {**cascade.sizes, step: 1, **dict(outer), **dict(inner)}
    nodes = {einsum.name: place(cascade, machine, einsum, extents) for einsum in (*body, *tail)}
    memories = common_levels(machine, sorted({node.unit for node in nodes.values()}))
    state = tuple(e.name for e in body if e.iterative or step in e.reduced)

    def held(einsums: list[Einsum], without: tuple[str, ...]) -> list[Keep | None]:
        names = dict.fromkeys(t for e in einsums for t in (*(r.tensor for r in e.reads), e.name))
        rest = tuple(name for name in names if name not in without)
        return [keep(rest, memory) for memory in memories]

    def leaf(einsum: Einsum) -> Node:
        node = nodes[einsum.name]
        own = [
            keep((tensor,), memory)
            for tensor in dict.fromkeys((*(read.tensor for read in einsum.reads), einsum.name))
            for memory in homes_to(cascade, machine, node, tensor)
            if memory not in memories
        ]
        return chain(*own, node)

    def stage(loops: list[tuple[str, int]], einsums: list[Einsum]) -> Node:
        parts = tuple(leaf(einsum) for einsum in einsums)
        return chain(*loops, *held(einsums, state), Pipeline(children=parts) if parts[1:] else parts[0])

    inside = stage([(step, 1), *inner], body)
    both = Pipeline(children=(inside, stage(inner, tail))) if tail else inside
    return chain(*outer, *(keep(state, memory) for memory in memories), both)


def longer(cascade: Cascade, machine: Machine, kinds: tuple[str, ...]) -> Iterator[Judged]:
    """The best of the default's list by each of some objectives, with more Einsums of the same rows together
    than the default has, where the cascade has more.
    """
    for kind in kinds if len(cascade.einsums) > MOST_JOINED else ():
        with suppress(EinsimError):
            pair = judged(resident(cascade, machine, kind, MOST_LONG), cascade, machine)
            if pair is not None:
                yield pair
