"""Pass analysis: how many traversals of a rank's fibres a cascade forces on every mapping of it.

A pass is one traversal of every element of a fibre; needing an element again after all the others of that
fibre were visited adds a pass (Nayak et al., FuseMax, MICRO 2024, arXiv 2406.10491). Reads are of two kinds:

- a *stream* read takes a value that exists as soon as its own part of the fibre was visited: an element, a
  block's partial result, or the state that an iterative rank carries along;
- a *barrier* read takes a value that exists only once the whole fibre was visited: a result from which the
  rank is gone, the last state, or the fibre in another order.

An element-wise function of a fibre counts as that fibre: it can be computed again only by reading it again.
"""

from __future__ import annotations

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Access, Index, Term
from einsim.workloads.shape import radix

Parts = dict[tuple[Term, ...], str]
_WHOLE, _PART, _NONE = "whole", "part", "none"


class PassReport(msgspec.Struct, frozen=True, kw_only=True):
    """`passes` over the rank's family, over each tensor read along it, and each Einsum's pass.

    An Einsum that runs on partial results between two passes counts with the pass before it.
    """

    rank: str
    family: tuple[str, ...]
    passes: int
    tensors: dict[str, int]
    einsums: dict[str, int]


def family(cascade: Cascade, rank: str) -> tuple[str, ...]:
    """The rank, its parts, the rank it is a part of and that one's parts, in declared order."""
    sizes = {known.name: known.size for known in cascade.ranks}
    if rank not in sizes:
        raise SpecError("rank", f"unknown rank '{rank}'", where=cascade.source, hint=near(rank, sizes))
    groups = [{part.rank, *part.into} for part in cascade.partitions]
    for einsum in cascade.einsums:
        for access in (einsum.output, *einsum.reads):
            groups += [set(radix(index, sizes)) for index in access.indices]
    found, before = {rank}, set[str]()
    while found != before:
        before = set(found)
        found = found.union(*(group for group in groups if group & found))
    return tuple(name for name in sizes if name in found)


def passes(cascade: Cascade, rank: str) -> PassReport:
    """The least number of passes that any mapping of the cascade makes over fibres of a rank.

    Raises SpecError for a rank that the cascade doesn't have.
    """
    ranks = family(cascade, rank)
    partitioned = {part.rank for part in cascade.partitions}
    whole = [name for name in ranks if name not in partitioned]
    walks = {e.name: _walk_kind(cascade, e, whole, set(ranks)) for e in cascade.einsums}
    times = _times(cascade, set(ranks), walks)
    tensors = {}
    for tensor in cascade.tensors:
        carriers = _carriers(cascade, tensor.name, set(ranks))
        own = [name for access in cascade.accesses(tensor.name) for name in access.ranks if name in ranks]
        walks_it = {
            e.name: _walk_kind(cascade, e, own, set(ranks)) if e.name in carriers else _NONE
            for e in cascade.einsums
        }
        if _WHOLE in walks_it.values():
            tensors[tensor.name] = _last_pass(_times(cascade, set(ranks), walks_it), walks_it)
    einsums = {name: max(1, -(-times[name] // 2)) for name, kind in walks.items() if kind != _NONE}
    count = _last_pass(times, walks)
    return PassReport(rank=rank, family=ranks, passes=count, tensors=tensors, einsums=einsums)


def pass_of(cascade: Cascade, rank: str) -> dict[str, int]:
    """The earliest loop over a rank's family, from 1, in which each Einsum that iterates it can run.

    Einsums of different numbers can't share a loop over the rank; Einsums that don't iterate it are left out.
    The number is the Einsum's pass, except that a walk over partial results alone (m1 of m1, m0) which stands
    between two passes has a number of its own.
    """
    ranks = set(family(cascade, rank))
    walks = {e.name: _WHOLE if ranks & set(e.ranks) else _NONE for e in cascade.einsums}
    times = _times(cascade, ranks, walks)
    return {name: (times[name] + 1) // 2 for name, kind in walks.items() if kind != _NONE}


def _walk_kind(cascade: Cascade, einsum: Einsum, fibre: list[str], ranks: set[str]) -> str:
    """Whether an Einsum visits every element of a fibre over these ranks, partial results, or neither."""
    if not ranks & set(einsum.ranks):
        return _NONE
    reached = set(einsum.ranks)
    for part in cascade.partitions:
        if part.rank in reached:
            reached |= set(part.into)
        elif set(part.into) <= reached:
            reached.add(part.rank)
    return _WHOLE if set(fibre) <= reached else _PART


def _last_pass(times: dict[str, int], walks: dict[str, str]) -> int:
    return max(((times[name] + 1) // 2 for name, kind in walks.items() if kind == _WHOLE), default=0)


def _carriers(cascade: Cascade, tensor: str, ranks: set[str]) -> set[str]:
    """Einsums that read the tensor's fibre, or one made of it element by element."""
    fibres, found = {tensor}, set[str]()
    grown = True
    while grown:
        reading = {
            einsum.name
            for einsum in cascade.einsums
            if any(read.tensor in fibres and ranks & set(read.ranks) for read in einsum.reads)
        }
        found |= reading
        kept = {name for name in reading if ranks & set(cascade.einsum(name).output.ranks)}
        grown = not kept <= fibres
        fibres |= kept
    return found


def _times(cascade: Cascade, ranks: set[str], walks: dict[str, str]) -> dict[str, int]:
    """When every Einsum runs: 2k - 1 is during pass k, 2k is after pass k and before the next.

    A whole walk needs a pass of its own from the next one on when something that it reads is complete only
    after a pass. A partial one goes along with the pass whose results it takes in, or runs between passes.
    Reads of a recurrence are stream reads, so times settle within one round an Einsum.
    """
    parts = _parts(cascade)
    times = {einsum.name: int(walks[einsum.name] == _WHOLE) for einsum in cascade.einsums}
    for _ in range(len(cascade.einsums) + 1):
        before = dict(times)
        for einsum in cascade.einsums:
            time = times[einsum.name]
            for read in einsum.reads:
                producer = cascade.producer(read.tensor)
                if producer is None:
                    continue
                walked = walks[producer.name] != _NONE and walks[einsum.name] != _NONE
                made = times[producer.name]
                ready = made if walked and _streams(read, producer, ranks, parts) else made + made % 2
                time = max(time, ready + 1 if walks[einsum.name] == _WHOLE and ready % 2 == 0 else ready)
            times[einsum.name] = time
        if times == before:
            break
    return times


def _streams(read: Access, producer: Einsum, ranks: set[str], parts: Parts) -> bool:
    """Whether the value read exists as soon as its own part of the fibre was visited."""
    carried = False
    for written, index in zip(producer.output.indices, read.indices, strict=True):
        if not ranks & set(written.ranks):
            continue
        first = not index.terms and index.offset == 0
        # A window around the place written (t + r) visits the dimension in the order written too.
        if not first and not _walk(written, parts) <= _walk(index, parts):
            return False
        carried = True
    return carried


def _walk(index: Index, parts: Parts) -> set[Term]:
    """The terms, those of a partitioned rank's parts as that rank."""
    whole = parts.get(index.terms)
    return {Term(1, whole)} if whole else set(index.terms)


def _parts(cascade: Cascade) -> Parts:
    found = {}
    for part in cascade.partitions:
        stride, terms = 1, []
        for rank in reversed(part.into):
            terms.append(Term(stride, rank))
            stride *= cascade.size(rank)
        found[tuple(reversed(terms))] = part.rank
    return found
