"""A reference cascade to recognise others by, and where in a cascade its form occurs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from einsim.workloads.canonical.form import REMEMBERED, Canonical, canonical
from einsim.workloads.canonical.structure import masks
from einsim.workloads.cascade import Bound, Cascade, Einsum, SameBlock
from einsim.workloads.expression import Access, Apply, Expr, Index

Names = dict[str, tuple[str, ...]]
"""The cascade's ranks by the pattern's."""
Signature = tuple[tuple[str, ...], str | None, int, bool]
"""Ops, reduction, distinct tensors read, and whether it writes a next state: equal for Einsums that match."""


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """A cascade whose names a template is written in. Its sizes, bits and bounds don't matter.

    Each rank stands for one rank or several twins; those in `optional` for none too, twins of it together.
    """

    cascade: Cascade
    optional: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The reference's name."""
        return self.cascade.name


class Matching(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pattern occurs: the pattern's names, each with the cascade's own.

    `ranks` are twins, outermost first, () for an optional rank that isn't there; `tensors` name Einsums by
    what they write; `bounds` are the masks that act on them, which a pattern says nothing about.
    """

    ranks: Names
    tensors: dict[str, str]
    einsums: tuple[str, ...]
    bounds: tuple[Bound | SameBlock, ...]

    def rank(self, name: str) -> str:
        """The rank that stands for the pattern's, the innermost of twins; KeyError if there is none."""
        if not self.ranks[name]:
            raise KeyError(name)
        return self.ranks[name][-1]


def match(pattern: Pattern, cascade: Cascade) -> Matching | None:
    """How all of a cascade is the pattern's, None if it isn't."""
    return next((m for m in find(pattern, cascade) if len(m.einsums) == len(cascade.einsums)), None)


@lru_cache(REMEMBERED)
def find(pattern: Pattern, cascade: Cascade) -> tuple[Matching, ...]:
    """Every place where a cascade's Einsums are the pattern's, in the cascade's order.

    What the pattern makes and reads itself must not be read elsewhere nor be an output of the cascade, and
    nothing outside may stand between two Einsums of it.
    """
    forms = _forms(pattern)
    place = {einsum.name: at for at, einsum in enumerate(cascade.einsums)}
    found: dict[frozenset[str], Matching] = {}
    for names in dict.fromkeys(_candidates(pattern.cascade, cascade)):
        if not closed(cascade, names):
            continue
        own = canonical(cascade, names, bounds=False)
        reference = forms.get(own.digest)
        if reference is None:
            continue
        ranks = dict.fromkeys((rank.name for rank in pattern.cascade.ranks), tuple[str, ...]())
        for theirs, ours in zip(reference.ranks, own.ranks, strict=True):
            ranks |= dict.fromkeys(theirs, ours)
        ranks |= _wholes(pattern.cascade, cascade, ranks)
        einsums = tuple(sorted(names, key=place.__getitem__))
        found[names] = Matching(
            ranks=ranks,
            tensors=dict(zip(reference.tensors, own.tensors, strict=True)),
            einsums=einsums,
            bounds=masks(cascade, tuple(map(cascade.einsum, einsums))),
        )
    return tuple(sorted(found.values(), key=lambda matching: [place[name] for name in matching.einsums]))


def _wholes(pattern: Cascade, cascade: Cascade, ranks: Names) -> Names:
    """The ranks that are walked by parts: the partition of a pattern's is the cascade's of the same parts."""
    own = {part.into: part.rank for part in cascade.partitions}
    found: Names = {}
    for part in pattern.partitions:
        into = tuple(rank for name in part.into for rank in ranks[name])
        if not ranks[part.rank] and into in own:
            found[part.rank] = (own[into],)
    return found


@lru_cache(REMEMBERED)
def _forms(pattern: Pattern) -> dict[str, Canonical]:
    """The forms of the pattern by digest, with and without each of its optional ranks."""
    groups = canonical(pattern.cascade, bounds=False).ranks
    optional = [group for group in groups if set(group) & set(pattern.optional)]
    found = {}
    for count in range(len(optional) + 1):
        for chosen in itertools.combinations(optional, count):
            left = without(pattern.cascade, frozenset(itertools.chain(*chosen)))
            own = canonical(left, bounds=False)
            found[own.digest] = own
    return found


def without(cascade: Cascade, ranks: frozenset[str]) -> Cascade:
    """The cascade with ranks, and the axes that they alone index, taken away."""

    def gone(index: Index) -> bool:
        return bool(ranks & set(index.ranks))

    def expression(expr: Expr) -> Expr:
        if isinstance(expr, Apply):
            return Apply(expr.op, tuple(map(expression, expr.args)))
        return access(expr) if isinstance(expr, Access) else expr

    def access(old: Access) -> Access:
        return Access(old.tensor, tuple(index for index in old.indices if not gone(index)))

    einsums = tuple(
        Einsum(
            access(einsum.output), expression(einsum.expr), einsum.reduce,
            tuple(rank for rank in einsum.reduced if rank not in ranks),
        )
        for einsum in cascade.einsums
    )  # fmt: skip
    tensors = tuple(
        msgspec.structs.replace(tensor, ranks=tuple(rank for rank in tensor.ranks if rank not in ranks))
        for tensor in cascade.tensors
    )
    left = tuple(rank for rank in cascade.ranks if rank.name not in ranks)
    return msgspec.structs.replace(cascade, ranks=left, tensors=tensors, einsums=einsums)


def _candidates(pattern: Cascade, cascade: Cascade) -> Iterator[frozenset[str]]:
    """Sets of Einsums that compute alike and read one another as the pattern's do."""
    alike: dict[Signature, list[Einsum]] = {}
    for einsum in cascade.einsums:
        alike.setdefault(_signature(einsum), []).append(einsum)
    wanted = Counter(map(_signature, pattern.einsums))
    if any(count > len(alike.get(signature, ())) for signature, count in wanted.items()):
        return
    order = _order(pattern, {signature: len(alike[signature]) for signature in wanted})
    chosen: list[Einsum] = []

    def extend() -> Iterator[frozenset[str]]:
        if len(chosen) == len(order):
            yield frozenset(einsum.name for einsum in chosen)
            return
        next_one = order[len(chosen)]
        for einsum in alike[_signature(next_one)]:
            if einsum not in chosen and all(
                _relation(next_one, theirs) == _relation(einsum, ours)
                for theirs, ours in zip(order, chosen, strict=False)
            ):
                chosen.append(einsum)
                yield from extend()
                chosen.pop()

    yield from extend()


def _order(pattern: Cascade, choices: dict[Signature, int]) -> list[Einsum]:
    """The pattern's Einsums, the one with the fewest look-alikes first, then what is connected to those."""
    left = list(pattern.einsums)
    order: list[Einsum] = []
    while left:
        near = [one for one in left if any(any(_relation(one, other)) for other in order)]
        best = min(near or left, key=lambda einsum: choices[_signature(einsum)])
        order.append(best)
        left.remove(best)
    return order


def _signature(einsum: Einsum) -> Signature:
    read = len({access.tensor for access in einsum.reads})
    return tuple(sorted(einsum.ops)), einsum.reduce, read, bool(einsum.iterative)


def _relation(one: Einsum, other: Einsum) -> tuple[bool, bool, int]:
    """Whether either reads the other, and how many tensors both read."""
    mine, theirs = ({access.tensor for access in einsum.reads} for einsum in (one, other))
    return other.name in mine, one.name in theirs, len(mine & theirs)


def closed(cascade: Cascade, names: frozenset[str]) -> bool:
    """Whether the Einsums can run as one: see `find`."""
    outputs = {tensor.name for tensor in cascade.outputs}
    after = set[str]()
    for name in names:
        readers = {einsum.name for einsum in cascade.consumers(name)}
        if readers & names and (readers - names or name in outputs):
            return False
        after |= readers - names
    front = after
    while front:
        front = {reader.name for name in front for reader in cascade.consumers(name)} - after
        if front & names:
            return False
        after |= front
    return True
