"""Pass analysis: how many loops over a rank a cascade forces on every mapping of it.

A pass is one walk along a rank, in which every Einsum of the pass takes its points in order. A read of what
the same walk has made already, here or further back, is a *stream*; one of what it makes only later is a
*barrier* and needs a later walk, as does a result from which the rank is gone (Nayak et al., FuseMax, MICRO
2024, arXiv 2406.10491). An Einsum's time is 2k - 1 in pass k and 2k between it and the next: the longest path
of what it reads. Passes are counted for each occurrence of a rank, that is for given loops outside: there
only what is written and read in the same iteration of those counts, which no barrier over one of them
separates.

Where a recurrence needs more passes at each of its steps, no number of them does outside of the steps: the
loop over the steps is then one of those outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads.ahead import dependences, digits, meets, trail
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.order import components, loop_ranks


class PassReport(msgspec.Struct, frozen=True, kw_only=True):
    """`passes` over a rank in each iteration of the loops over the ranks `given`, each in steps of one.

    `einsums` says in which pass, from 1, each Einsum that iterates all these ranks runs at the earliest;
    `tensors` how many passes read a tensor along the rank, or what is made of it element by element.
    """

    rank: str
    given: tuple[str, ...]
    passes: int
    tensors: dict[str, int]
    einsums: dict[str, int]

    @property
    def where(self) -> str:
        """`e in each step of t`."""
        return f"{self.rank} in each step of {', '.join(self.given)}" if self.given else self.rank


def passes(cascade: Cascade, rank: str, given: tuple[str, ...] | None = None) -> PassReport:
    """The occurrence of a rank that takes most passes; see `occurrences`."""
    return max(occurrences(cascade, rank, given), key=lambda report: report.passes)


def every_occurrence(cascade: Cascade) -> tuple[PassReport, ...]:
    """The occurrences of every rank, those inside others last, and most passes first.

    The outermost part of a rank stands for itself only where it takes more walks than the rank does, as some
    are of partial results alone.
    """
    found = {rank.name: occurrences(cascade, rank.name) for rank in cascade.ranks}
    for part in cascade.partitions:
        if found[part.rank][0].passes == found[part.into[0]][0].passes:
            del found[part.into[0]]
    reports = (report for several in found.values() for report in several)
    return tuple(sorted(reports, key=lambda report: (bool(report.given), -report.passes)))


def occurrences(cascade: Cascade, rank: str, given: tuple[str, ...] | None = None) -> tuple[PassReport, ...]:
    """The least passes of any mapping over a rank, with the loops over `given` outside it.

    Where nothing is given they are those over the outer parts, if the rank is a part of another one. Over a
    rank that is itself walked in parts, a pass is a walk along the outermost one that visits all parts: what
    walks the outermost one alone, over partial results, goes along with a pass or between two. There is one
    more report for each recurrence of which every step takes several passes: its rank is in `given` there,
    and its Einsums are in no other one. Raises SpecError for a rank that the cascade doesn't have.
    """
    for name in (rank, *(given or ())):
        if name not in cascade.sizes:
            hint = near(name, cascade.sizes)
            raise SpecError("rank", f"unknown rank '{name}'", where=cascade.source, hint=hint)
    if given is None:
        into = next((part.into for part in cascade.partitions if rank in part.into), (rank,))
        given = into[: into.index(rank)]
    along = next((part.into[0] for part in cascade.partitions if part.rank == rank), rank)
    inside = tuple(einsum for einsum in cascade.einsums if set(given) <= set(einsum.ranks))
    walking = frozenset(einsum.name for einsum in inside if along in einsum.ranks)
    visits = _elements(cascade, rank)
    whole = frozenset(e.name for e in inside if any(ranks <= set(e.ranks) for ranks in visits))
    found: tuple[PassReport, ...] = ()
    while isinstance(times := _times(cascade, inside, along, given, (walking, whole)), str):
        found += occurrences(cascade, rank, (*given, times))
        stepping = {einsum.name for einsum in inside if times in einsum.ranks}
        walking, whole = walking - stepping, whole - stepping
    if found and not walking:
        return found
    numbers = {name: max(1, (time + 1) // 2) for name, time in times.items() if name in walking}
    reading = _reading(cascade, along, walking, {name: 1 << numbers[name] for name in whole & walking})
    report = PassReport(
        rank=rank, given=given, einsums=numbers, passes=max((numbers[name] for name in whole), default=0),
        tensors={t.name: by.bit_count() for t in cascade.tensors if (by := reading.get(t.name, 0))},
    )  # fmt: skip
    return (report, *found)


def _elements(cascade: Cascade, rank: str) -> list[set[str]]:
    """Ranks by which an Einsum visits every element of a rank: itself, or parts in its place."""
    found = [set(part.into) for part in cascade.partitions if part.rank == rank]
    if not found:
        return [{rank}]
    outermost = next(part.into[0] for part in cascade.partitions if part.rank == rank)
    for tensor in cascade.tensors:
        every = (digits(cascade, index) for a in cascade.accesses(tensor.name) for index in a.indices)
        found += [set(ranks) for ranks in every if ranks[:1] == (outermost,)]
    return found


def _times(
    cascade: Cascade,
    inside: tuple[Einsum, ...],
    rank: str,
    given: tuple[str, ...],
    walkers: tuple[Set[str], Set[str]],
) -> dict[str, int] | str:
    """When each Einsum runs, or the rank of a recurrence whose steps take more passes each.

    `walkers` are those that walk the rank, and those of them that need a pass for it.
    """
    walking, whole = walkers
    names = {einsum.name for einsum in inside}
    active = [
        (edge, trail(cascade, edge, rank, dict.fromkeys(given, 1)) if edge.within(walking) else math.inf)
        for edge in dependences(cascade)
        if edge.within(names) and meets(cascade, edge, given)
    ]
    times = {name: (int(name in whole), 0.0) for name in names}  # and by how far it trails in its pass
    reads: dict[str, list[tuple[str, float]]] = {name: [] for name in names}
    for edge, behind in active:
        reads[edge.reader.name].append((edge.writer.name, behind))
    for group in components(inside):
        for _ in range(len(group) + 2):
            moved = False
            for reader in (einsum.name for einsum in group):
                for writer, behind in reads[reader]:
                    ready = _ready(times[writer], behind, reader in whole)
                    moved |= ready > times[reader]
                    times[reader] = max(times[reader], ready)
            if not moved:
                break
        else:
            return next(each for each in loop_ranks(cascade, group) if each not in (rank, *given))
    return {einsum.name: times[einsum.name][0] for einsum in inside}


def _ready(written: tuple[int, float], behind: float, whole: bool) -> tuple[int, float]:
    """When a reader can run, from when its writer does and how far it trails that; infinite for a barrier."""
    time, trailing = written
    now = time if behind < math.inf else time + time % 2
    if whole and now % 2 == 0:
        return now + 1, 0.0
    return now, trailing + behind if behind < math.inf else 0.0


def _reading(cascade: Cascade, rank: str, walking: Set[str], passes: Mapping[str, int]) -> dict[str, int]:
    """Passes, as bits, that read a tensor's fibre along a rank, or one made of it element by element."""
    found: dict[str, int] = {}
    moved = True
    while moved:  # twice, but for states, which later Einsums write for earlier ones
        moved = False
        for einsum in reversed(cascade.einsums):
            if einsum.name not in walking:
                continue
            mine = passes.get(einsum.name, 0)
            if rank in einsum.output.ranks:
                mine |= found.get(einsum.name, 0)
            for read in einsum.reads:
                if rank in read.ranks and mine & ~found.get(read.tensor, 0):
                    found[read.tensor] = found.get(read.tensor, 0) | mine
                    moved = True
    return found
