"""Blocks of a cascade: Einsums that one nest computes together, in an order in which each block's inputs are
there.

What reads a state step by step is in one block with what makes it, and so is all between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from einsim.workloads.cascade import Cascade, Einsum

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
    einsums = tuple(cascade.einsum(name) for name in names)
    inside = set(touched(einsums))
    ranks = {rank for einsum in einsums for rank in einsum.ranks}
    read_on = (
        name
        for name in names
        if cascade.is_output(name) or any(other.name not in names for other in cascade.consumers(name))
    )
    found = msgspec.structs.replace(
        cascade,
        einsums=tuple(einsum for einsum in cascade.einsums if einsum.name in names),
        tensors=tuple(tensor for tensor in cascade.tensors if tensor.name in inside),
        bounds=tuple(b for b in cascade.bounds if {*b.left.ranks, *b.right.ranks} <= ranks),
        initial={name: value for name, value in cascade.initial.items() if name in names},
        declared=tuple(sorted(read_on)),
    )
    # Of which states all steps are kept depends on the readers outside, too.
    vars(found)["overwritten"] = {n: steps for n, steps in cascade.overwritten.items() if n in inside}
    return found


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
    reach = {name: _reached(name, after) for name in after}
    found: list[Block] = []
    done: set[str] = set()
    while len(done) < len(after):
        for einsum in cascade.einsums:
            name = einsum.name
            group = {name, *(other for other in reach[name] if name in reach[other])}
            if name not in done and all(after[one] <= done | group for one in group):
                found.append(tuple(one for one in cascade.einsums if one.name in group))
                done |= group
                break
    return tuple(found)


def _reached(name: str, after: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    pending = [name]
    while pending:
        for other in after[pending.pop()] - found:
            found.add(other)
            pending.append(other)
    return found
