"""Which Einsum needs which: step distances along iterative ranks, cycles, and what must step together."""

from __future__ import annotations

from collections.abc import Sequence
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
    state: dict[str, int] = {}

    def visit(name: str, path: tuple[str, ...]) -> tuple[str, ...]:
        if state.get(name) == 2:
            return ()
        if name in path:
            return (*path[path.index(name) :], name)
        for read in by_name[name].reads:
            producer = by_name.get(read.tensor)
            if producer is not None and not trails(read, producer):
                found = visit(producer.name, (*path, name))
                if found:
                    return found
        state[name] = 2
        return ()

    for einsum in einsums:
        found = visit(einsum.name, ())
        if found:
            return found
    return ()


def loop_ranks(cascade: Cascade, group: tuple[Einsum, ...]) -> tuple[str, ...]:
    """Ranks along which a group of Einsums must step, outermost first; () when it runs at once."""
    found: dict[str, None] = {}
    for einsum in group:
        for other in group:
            for access in cascade.accesses(einsum.name):
                if access in other.reads and trails(access, einsum):
                    found.update(dict.fromkeys(lags(access, einsum)))
    return tuple(found)


def components(einsums: Sequence[Einsum]) -> tuple[tuple[Einsum, ...], ...]:
    """Groups of Einsums that must step together, in an order to run them; a group of one may step on its own.

    The strongly connected components of all reads, trailing ones included (Tarjan, 1972).
    """
    by_name = {einsum.name: einsum for einsum in einsums}
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[tuple[Einsum, ...]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for read in by_name[name].reads:
            if read.tensor not in by_name:
                continue
            if read.tensor not in number:
                visit(read.tensor)
                low[name] = min(low[name], low[read.tensor])
            elif read.tensor in stack:
                low[name] = min(low[name], number[read.tensor])
        if low[name] == number[name]:
            at = stack.index(name)
            members = set(stack[at:])
            del stack[at:]
            groups.append(tuple(einsum for einsum in einsums if einsum.name in members))

    for einsum in einsums:
        if einsum.name not in number:
            visit(einsum.name)
    return tuple(groups)
