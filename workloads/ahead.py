"""How far ahead along a rank a read looks: where an element is written less where it is read.

Both ends of a read are points: the writer's, and the reader's. That they meet in one element, that bounds
keep both and that the loops outside stand alike are linear constraints, which are narrowed to differences of
two ranks and closed by shortest paths (difference bounds; Dill, 1989). That is exact where a dimension is one
rank, a rank and a constant, or digits (`c*I+i` meets `c*I+j` where c = c and i = j), and never too small
elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache

import msgspec

from einsim.workloads.bound import Bound
from einsim.workloads.cascade import Cascade
from einsim.workloads.einsum import Einsum
from einsim.workloads.expression import Access, Index
from einsim.workloads.points import acts, difference, relaxed
from einsim.workloads.shape import radix

Given = Mapping[str, int]
"""Ranks of the loops outside, each with its tile: both ends of a read are in one tile of each."""
_Var = tuple[str, str]
"""A rank of the writer ("writes", rank) or of the reader ("reads", rank); _ORIGIN is always 0."""
_ORIGIN: _Var = ("", "")
_MOST_ROUNDS = 12
_MOST_ENDS = 4096


class Dependence(msgspec.Struct, frozen=True):
    """A read of a result: the Einsum that writes it, the one that reads it, and where."""

    writer: Einsum
    reader: Einsum
    read: Access

    def within(self, names: Set[str]) -> bool:
        """Whether both ends are among some Einsums."""
        return self.writer.name in names and self.reader.name in names


class _Linear(msgspec.Struct, frozen=True):
    """A linear function of the ranks at both ends; as a constraint it is >= 0."""

    terms: Mapping[_Var, int]
    constant: int = 0

    def plus(self, other: _Linear, factor: int = 1) -> _Linear:
        terms = dict(self.terms)
        for var, value in other.terms.items():
            terms[var] = terms.get(var, 0) + factor * value
        return _Linear({v: a for v, a in terms.items() if a}, self.constant + factor * other.constant)


def dependences(cascade: Cascade, readers: Sequence[Einsum] | None = None) -> tuple[Dependence, ...]:
    """Every read of a result in a cascade, or by some Einsums of it."""
    return tuple(
        Dependence(writer, reader, read)
        for reader in (cascade.einsums if readers is None else readers)
        for read in reader.reads
        if (writer := cascade.producer(read.tensor)) is not None
    )


def digits(cascade: Cascade, index: Index) -> tuple[str, ...]:
    """Ranks of an index that are digits of it, outermost first, wherever it begins."""
    return radix(msgspec.structs.replace(index, offset=0), cascade.sizes)


def meets(cascade: Cascade, edge: Dependence, given: tuple[str, ...]) -> bool:
    """Whether some element is written and read inside one iteration of loops over ranks, in steps of one.

    They are given outermost first. A loop over a rank of which the reader needs all has ended before.
    """
    outside: dict[str, int] = {}
    for rank in given:
        both = rank in edge.writer.ranks and rank in edge.reader.ranks
        if both and trail(cascade, edge, rank, outside) == math.inf:
            return False
        outside[rank] = 1
    return _ends(cascade, edge, tuple(sorted(outside.items())), frozenset()).possible


def initial_only(cascade: Cascade, edge: Dependence) -> bool:
    """Whether a read of a state finds its initial value and nothing else."""
    return bool(edge.writer.iterative) and not meets(cascade, edge, ())


def ahead(cascade: Cascade, edge: Dependence, rank: str, given: Given) -> tuple[float, float] | None:
    """Least and most that a write lies ahead of its read along a rank that both iterate; None: they never
    meet. Where one dimension says it all, that they do is taken for granted.
    """
    for written, read in zip(edge.writer.output.indices, edge.read.indices, strict=True):
        if written.ranks == (rank,) and written.terms == read.terms:
            return (read.offset - written.offset,) * 2
    ends = _ends(cascade, edge, tuple(sorted(given.items())), frozenset())
    return (-ends.most(rank, -1), ends.most(rank, 1)) if ends.possible else None


def in_place(cascade: Cascade, edge: Dependence, rank: str, given: Given) -> bool:
    """Whether a read stays at the place along a rank where its element is written."""
    return ahead(cascade, edge, rank, given) == (0, 0)


def trail(cascade: Cascade, edge: Dependence, rank: str, given: Given) -> float:
    """Places by which a reader trails its writer where both walk a rank in one loop; infinite where it has
    to wait for all of that loop.

    A look ahead that is as far at every place, however long the rank (a halo), only makes it trail.
    """
    found = ahead(cascade, edge, rank, given)
    if found is None or found[1] <= 0:
        return found[1] if found else -math.inf
    grows = _alike(cascade).get(rank, frozenset())
    endless = _ends(cascade, edge, tuple(sorted(given.items())), grows)
    moves = sum(a for (_, other), a in endless.writes[rank].terms.items() if other in grows) == 1
    return found[1] if moves and endless.most(rank, 1) < math.inf else math.inf


@lru_cache(maxsize=1024)
def _alike(cascade: Cascade) -> dict[str, frozenset[str]]:
    """Ranks that grow with each one, as they walk a dimension in common; an inner part grows with none."""
    groups = [{part.rank, part.into[0]} for part in cascade.partitions]
    inner = {rank for part in cascade.partitions for rank in part.into[1:]}
    for tensor in cascade.tensors:
        for dimension in zip(*(a.indices for a in cascade.accesses(tensor.name)), strict=True):
            inner.update(rank for index in dimension for rank in digits(cascade, index)[1:])
            groups.append({_walker(cascade, index) for index in dimension if index.terms})
    found = {rank.name: {rank.name} for rank in cascade.ranks}
    for group in groups:
        joined = set[str]().union(*(found[rank] for rank in group))
        found.update((rank, joined) for rank in joined)
    return {rank: frozenset(group) for rank, group in found.items() if not group & inner}


def _walker(cascade: Cascade, index: Index) -> str:
    """The rank that carries an index along its dimension: the outermost digit, not a window's own."""
    return max(index.terms, key=lambda term: (abs(term.coefficient), cascade.size(term.rank))).rank


class _Pairs:
    """The pairs of points at which a read takes what was written, as bounds of differences of two ranks."""

    def __init__(self, cascade: Cascade, edge: Dependence, given: Given, endless: frozenset[str]) -> None:
        self.writes: dict[str, _Linear] = {}
        lines: list[_Linear] = []
        for written, index in zip(edge.writer.output.indices, edge.read.indices, strict=True):
            read = _Linear({("reads", term.rank): term.coefficient for term in index.terms}, index.offset)
            if len(written.terms) == 1:
                self.writes[written.terms[0].rank] = read.plus(_Linear({}, written.offset), -1)
            else:
                gap = read.plus(_line("writes", written), -1)
                lines += [gap, _Linear({}).plus(gap, -1)]
        for rank in edge.writer.ranks:
            self.writes.setdefault(rank, _Linear({("writes", rank): 1}))
        self.reads = {rank: _Linear({("reads", rank): 1}) for rank in edge.reader.ranks}
        for side, einsum in ((self.writes, edge.writer), (self.reads, edge.reader)):
            for rank, place in side.items():
                if rank not in endless:
                    lines += [place, _Linear({}, cascade.size(rank) - 1).plus(place, -1)]
            if side is self.reads or not einsum.iterative:  # a state is carried on where bounds leave it out
                lines += _kept(cascade, einsum, side, endless)
        for rank in set(given) & set(self.writes) & set(self.reads):
            apart = self.writes[rank].plus(self.reads[rank], -1)
            lines += [_Linear({}, given[rank] - 1).plus(apart, sign) for sign in (1, -1)]
        self.possible = all(line.terms or line.constant >= 0 for line in lines)
        ends = [*(self.writes[rank] for rank in edge.writer.ranks), *self.reads.values()]
        self.vars = list(dict.fromkeys((_ORIGIN, *(var for line in (*lines, *ends) for var in line.terms))))
        self.bounds = {(u, v): 0 if u == v else math.inf for u in self.vars for v in self.vars}
        self._close([line for line in lines if line.terms])

    def most(self, rank: str, sign: int) -> float:
        """The most of sign * (place of the write - place of the read) along a rank."""
        apart = self.writes[rank].plus(self.reads[rank], -1)
        return self._most(tuple((_Linear({}).plus(apart, sign)).terms.items())) + sign * apart.constant

    def _close(self, lines: list[_Linear]) -> None:
        """Narrow the differences by every constraint until nothing changes."""
        for _ in range(_MOST_ROUNDS if self.possible else 0):
            before = dict(self.bounds)
            for line in lines:
                self._narrow(line)
            for via in self.vars:
                for u in self.vars:
                    if (first := self.bounds[u, via]) != math.inf:
                        for v in self.vars:
                            self.bounds[u, v] = min(self.bounds[u, v], first + self.bounds[via, v])
            self.possible = all(self.bounds[v, v] >= 0 for v in self.vars)
            if self.bounds == before or not self.possible:
                return

    def _narrow(self, line: _Linear) -> None:
        """A (u - v) is at most what the rest of a constraint can be, for any two ranks u and v."""
        parts = [*line.terms.items(), (_ORIGIN, 0)]
        for u, a in parts:
            for v, b in parts:
                if u != v and a <= 0 <= b and (a == -b or _ORIGIN in (u, v)) and a != b:
                    rest = self._most(tuple((w, c) for w, c in line.terms.items() if w not in (u, v)))
                    if not math.isinf(rest):
                        most = (line.constant + rest) // max(-a, b)
                        self.bounds[u, v] = min(self.bounds[u, v], most)

    def _most(self, terms: tuple[tuple[_Var, int], ...]) -> float:
        """The most of a linear function: each rank at its own end, or two that differ little together."""
        if not terms:
            return 0
        (u, a), rest = terms[0], terms[1:]
        end = self.bounds[u, _ORIGIN] if a > 0 else self.bounds[_ORIGIN, u]
        best = abs(a) * end + self._most(rest)
        for at, (v, b) in enumerate(rest):
            if a * b < 0:
                both = min(abs(a), abs(b))
                left = ((u, a - math.copysign(both, a)), (v, b - math.copysign(both, b)))
                others = (*rest[:at], *rest[at + 1 :], *((w, int(c)) for w, c in left if c))
                pair = self.bounds[(u, v) if a > 0 else (v, u)]
                best = min(best, both * pair + self._most(others))
        return best


def _ends(
    cascade: Cascade, edge: Dependence, given: tuple[tuple[str, int], ...], endless: frozenset[str]
) -> _Pairs:
    """The pairs of an edge: worked out once for all edges that look alike."""
    writer, reader = edge.writer, edge.reader
    ends = (writer.output.indices, writer.ranks, writer.iterative), (edge.read.indices, reader.ranks)
    key = (*ends, given, endless)
    found = cascade.ends.get(key)
    if found is None:
        if len(cascade.ends) >= _MOST_ENDS:
            cascade.ends.clear()
        found = cascade.ends[key] = _Pairs(cascade, edge, dict(given), endless)
    assert isinstance(found, _Pairs)
    return found


def _line(side: str, index: Index) -> _Linear:
    return _Linear({(side, term.rank): term.coefficient for term in index.terms}, index.offset)


def _kept(
    cascade: Cascade, einsum: Einsum, places: Mapping[str, _Linear], endless: frozenset[str]
) -> list[_Linear]:
    """Bounds of the iteration space that act on an Einsum, but those that end an endless rank; blocks
    (documents) are left out.
    """
    found = []
    ranges = {rank.name: (0, rank.size) for rank in cascade.ranks}
    for bound in cascade.bounds:
        if isinstance(bound, Bound) and acts(bound, set(einsum.ranks)):
            terms, constant = relaxed(difference(bound.right, bound.left), places, ranges)
            line = _Linear({}, constant)
            for rank, value in terms.items():
                line = line.plus(places[rank], value)
            if not sum(value for rank, value in terms.items() if rank in endless):
                found.append(line)
    return found
