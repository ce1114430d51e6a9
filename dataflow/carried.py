"""Steps of a state that come into a keep inside the loop over them: what iterations before have left."""

from __future__ import annotations

from einsim.dataflow.layout import Home, Layout, Leaf, users
from einsim.workloads.cascade import Access, Cascade
from einsim.workloads.order import lags

Moves = tuple[tuple[Leaf, Access], ...]
"""Accesses to a tensor, each with its leaf."""


def reads_below(cascade: Cascade, layout: Layout, home: Home) -> Moves:
    """Reads of a home's tensor by the leaves below it that find it there."""
    return tuple(
        (leaf, read)
        for leaf in users(cascade, layout, home)
        if home.tensor not in leaf.node.chained
        for read in cascade.einsum(leaf.node.einsum).reads
        if read.tensor == home.tensor
    )


def stepping(cascade: Cascade, layout: Layout, home: Home) -> tuple[str, ...]:
    """Ranks of a state over which loops around a home step."""
    producer, here = cascade.producer(home.tensor), users(cascade, layout, home)
    if producer is None or not producer.iterative or not here:
        return ()
    loops = [layout.loops[loop] for loop in here[0].path[: home.depth]]
    stepped = {rank for loop in loops if loop.count > 1 for rank in loop.ranks}
    return tuple(rank for rank in producer.iterative if rank in stepped)


def reads_before(cascade: Cascade, layout: Layout, home: Home) -> Moves:
    """Of these reads those of steps that iterations before, of the loops around the home, have made."""
    producer, ranks = cascade.producer(home.tensor), stepping(cascade, layout, home)
    if producer is None or not ranks:
        return ()
    reads = reads_below(cascade, layout, home)
    return tuple(one for one in reads if any(lags(one[1], producer).get(rank, 0) > 0 for rank in ranks))


def handed_on(cascade: Cascade, layout: Layout, home: Home) -> Moves:
    """The same where the state is made below the home, which then leaves each step to the next iteration."""
    made = any(leaf.node.einsum == home.tensor for leaf in users(cascade, layout, home))
    return reads_before(cascade, layout, home) if made else ()
