"""States that a keep inside their loop hands on: in comes what the iteration before has left outside."""

from __future__ import annotations

from collections.abc import Collection

from einsim.dataflow.layout import Home, Layout, Leaf, users
from einsim.workloads.cascade import Access, Cascade
from einsim.workloads.order import lags


def read_in(cascade: Cascade, leaf: Leaf, tensor: str, carried: Collection[str] = ()) -> tuple[Access, ...]:
    """A leaf's reads of a tensor; of a state that is `carried` along some ranks those of earlier steps."""
    reads = tuple(r for r in cascade.einsum(leaf.node.einsum).reads if r.tensor == tensor)
    producer = cascade.producer(tensor)
    if producer is None or not carried:
        return reads
    return tuple(r for r in reads if any(lags(r, producer).get(rank, 0) > 0 for rank in carried))


def carried_ranks(cascade: Cascade, layout: Layout, home: Home) -> tuple[str, ...]:
    """Ranks of a state over which loops around a home step, where what makes it is below."""
    here = users(cascade, layout, home)
    maker = next((leaf for leaf in here if leaf.node.einsum == home.tensor), None)
    if maker is None:
        return ()
    loops = [layout.loops[loop] for loop in maker.path[: home.depth]]
    stepped = {rank for loop in loops if loop.count > 1 for rank in loop.ranks}
    return tuple(rank for rank in cascade.einsum(home.tensor).iterative if rank in stepped)


def carrying(cascade: Cascade, layout: Layout, home: Home) -> tuple[Leaf, ...]:
    """Leaves below a home that read steps of its state which earlier iterations around it have made."""
    ranks = carried_ranks(cascade, layout, home)
    return tuple(
        leaf
        for leaf in (users(cascade, layout, home) if ranks else ())
        if home.tensor not in leaf.node.chained and read_in(cascade, leaf, home.tensor, ranks)
    )
