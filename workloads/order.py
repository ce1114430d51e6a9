"""Which Einsum needs which: step distances along iterative ranks, cycles, and what must step together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from einsim.workloads.cascade import Cascade, Einsum
    from einsim.workloads.expression import Access


def lags(read: Access, producer: Einsum) -> dict[str, int]:
    """Steps by which a read trails the write, for every iterative rank of the producer that the read follows.

    Reading S[t] of a state written as S[t+1] trails by one step, reading S[t+1] by none.
    """
    found = {}
    for written, index in zip(producer.output.indices, read.indices, strict=True):
        rank = written.terms[0].rank if written.terms else ""
        if written.offset == 1 and index.ranks == (rank,) and index.terms[0].coefficient == 1:
            found[rank] = 1 - index.offset
    return found


def trails(read: Access, producer: Einsum) -> bool:
    """Whether a read takes only state of earlier steps, so that the write need not come first."""
    steps = lags(read, producer).values()
    return bool(steps) and min(steps) >= 0 and max(steps) > 0


def cycle(einsums: Sequence[Einsum]) -> tuple[str, ...]:
    """Names along one cycle of same-step reads, () when there is none."""
    by_name = {einsum.name: einsum for einsum in einsums}
    waits = {
        name: [
            read.tensor
            for read in einsum.reads
            if read.tensor in by_name and not trails(read, by_name[read.tensor])
        ]
        for name, einsum in by_name.items()
    }
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        return tuple(error.args[1][::-1])
    return ()


def loop_ranks(cascade: Cascade, group: tuple[Einsum, ...]) -> tuple[str, ...]:
    """Ranks along which a group of Einsums must step, outermost first; () when it runs at once."""
    found: dict[str, None] = {}
    names = {einsum.name for einsum in group}
    for einsum in group:
        for user, access in cascade.users(einsum.name)[1:]:
            if user.name in names and trails(access, einsum):
                found.update(dict.fromkeys(lags(access, einsum)))
    return tuple(found)


def components(einsums: Sequence[Einsum]) -> tuple[tuple[Einsum, ...], ...]:
    """Groups of Einsums that must step together, in an order to run them; a group of one may step on its own:
    those that reach each other by reads, trailing ones included.
    """
    place = {einsum.name: at for at, einsum in enumerate(einsums)}
    reads = [[place[read.tensor] for read in each.reads if read.tensor in place] for each in einsums]
    return tuple(tuple(einsums[at] for at in group) for group in strongly_connected(reads))


def strongly_connected(leads: Sequence[Iterable[int]]) -> list[list[int]]:
    """Groups of nodes that reach each other, each sorted, where node `n` leads to those in `leads[n]`; a
    group stands after all that it leads to (Tarjan, 1972).
    """
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    unknown: dict[int, None] = {}  # those without a group so far, in the order in which they were reached
    groups: list[list[int]] = []
    for root in range(len(leads)):
        path = [] if root in number else [(root, iter(leads[root]))]
        while path:
            at, left = path[-1]
            if at not in number:
                number[at] = low[at] = len(number)
                unknown[at] = None
            for other in left:
                if other not in number:
                    path.append((other, iter(leads[other])))
                    break
                if other in unknown:
                    low[at] = min(low[at], low[other])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[at])
                if low[at] == number[at]:
                    members = {unknown.popitem()[0]}
                    while at not in members:
                        members.add(unknown.popitem()[0])
                    groups.append(sorted(members))
    return groups
