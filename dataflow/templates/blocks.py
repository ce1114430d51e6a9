"""Blocks of a cascade: Einsums that one nest computes together, in an order in which each block's inputs are
there.

What reads a state step by step is in one block with what makes it, and so is all between them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from functools import lru_cache
from graphlib import TopologicalSorter

import msgspec

from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.order import strongly_connected

Block = tuple[Einsum, ...]


def touched(einsums: Block) -> tuple[str, ...]:
    """Tensors that Einsums read or write, in order."""
    names = (name for einsum in einsums for name in (*(read.tensor for read in einsum.reads), einsum.name))
    return tuple(dict.fromkeys(names))


@lru_cache(maxsize=4096)
def part_of(cascade: Cascade, names: tuple[str, ...]) -> Cascade:
    """Some of a cascade's Einsums as a cascade of their own: what others read is a result of it."""
    if len(names) == len(cascade.einsums):
        return cascade
    einsums, mine = in_order(cascade, names), set(names)
    inside, ranks = set(touched(einsums)), {rank for einsum in einsums for rank in einsum.ranks}
    read_on = (
        name
        for name in names
        if cascade.is_output(name) or any(other.name not in mine for other in cascade.consumers(name))
    )
    found = msgspec.structs.replace(
        cascade,
        einsums=einsums,
        tensors=tuple(map(cascade.tensor, sorted(inside, key=cascade.tensor_places.__getitem__))),
        bounds=tuple(b for b in cascade.bounds if {*b.left.ranks, *b.right.ranks} <= ranks),
        initial={one.name: cascade.initial[one.name] for one in einsums if one.name in cascade.initial},
        declared=tuple(sorted(read_on)),
    )
    # Of which states all steps are kept depends on the readers outside, too.
    makers, states = in_order(cascade, filter(cascade.producer, inside)), cascade.overwritten
    vars(found)["overwritten"] = {one.name: states[one.name] for one in makers if one.name in states}
    return found


def in_order(cascade: Cascade, names: Iterable[str]) -> Block:
    """Einsums by their names, in the cascade's order."""
    return tuple(map(cascade.einsum, sorted(names, key=cascade.einsum_places.__getitem__)))


def stepped(cascade: Cascade, einsums: Block) -> tuple[str, ...]:
    """Ranks that a block walks one by one, outermost first: those along which it carries state."""
    state = {rank for einsum in einsums for rank in einsum.iterative}
    return tuple(rank for rank in einsums[0].ranks if rank in state) if state else ()


def blocks(cascade: Cascade, together: Iterable[Iterable[str]] = ()) -> tuple[Block, ...]:
    """The smallest blocks, of which no Einsums named `together` are apart."""
    after = {
        einsum.name: {read.tensor for read in einsum.reads if cascade.producer(read.tensor) is not None}
        for einsum in cascade.einsums
    }
    for group in together:
        names = list(group)
        for one, other in zip(names, [*names[1:], names[0]], strict=True):
            after[one].add(other)
    for einsum in cascade.einsums:
        for read in einsum.reads:
            producer = cascade.producer(read.tensor)
            state = cascade.overwritten.get(read.tensor, ())
            if producer is None or not state:
                continue
            for written, index in zip(producer.output.indices, read.indices, strict=True):
                if set(written.ranks) & set(state) and index.terms:
                    after[read.tensor].add(einsum.name)
    return tuple(tuple(map(cascade.einsum, names)) for names in _ordered(after))


def _ordered(after: dict[str, set[str]]) -> Iterator[list[str]]:
    """Names that come after each other in groups: of those groups of which all that they come after is there
    already, the one with the first name.
    """
    names, place = list(after), {name: at for at, name in enumerate(after)}
    groups = strongly_connected([[place[name] for name in others] for others in after.values()])
    group_of = {at: group[0] for group in groups for at in group}
    members = {group[0]: [names[at] for at in group] for group in groups}
    sorter = TopologicalSorter(
        {
            first: {group_of[place[n]] for name in members[first] for n in after[name]} - {first}
            for first in members
        }
    )
    sorter.prepare()
    ready: list[int] = []
    while sorter.is_active():
        for first in sorter.get_ready():
            heapq.heappush(ready, first)
        first = heapq.heappop(ready)
        yield members[first]
        sorter.done(first)
