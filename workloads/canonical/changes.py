"""A pattern whose reductions are changed before they are read: a bias or a soft cap on products of queries
and keys, a sink in a softmax's denominator.

A change goes point by point over the result of a reduction, the last step of a state or another change, that
only it reads. Without its changes a cascade has the pattern's form, so no pattern names any.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from einsim.workloads.canonical.form import REMEMBERED
from einsim.workloads.canonical.pattern import Matching, Pattern, closed, find
from einsim.workloads.canonical.structure import masks
from einsim.workloads.cascade import Access, Cascade, Einsum
from einsim.workloads.expression import Apply, Expr

Changes = dict[str, tuple[str, ...]]
"""Einsums that change a tensor one after the other, by the tensor."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pattern occurs, and the `changes` there of what it makes and reads, by the pattern's names.

    The `tensors` of the matching are those before the changes, its `einsums` have the changes.
    """

    matching: Matching
    changes: Changes


@lru_cache(REMEMBERED)
def find_changed(pattern: Pattern, cascade: Cascade) -> tuple[Changed, ...]:
    """Every place where a cascade's Einsums are the pattern's (see `find`), with changes or without, in the
    cascade's order. Of places that share an Einsum the one without changes, else the first.
    """
    found = [Changed(matching=one, changes={}) for one in find(pattern, cascade)]
    for changes in _readings(cascade):
        for one in find(pattern, _without(cascade, changes)):
            changed = _with(one, cascade, changes)
            names = set(changed.matching.einsums)
            apart = all(names.isdisjoint(other.matching.einsums) for other in found)
            if apart and closed(cascade, frozenset(names)):
                found.append(changed)
    place = cascade.einsum_places
    return tuple(sorted(found, key=lambda one: [place[name] for name in one.matching.einsums]))


def _readings(cascade: Cascade) -> Iterator[Changes]:
    """The changes in a cascade: of what adds two reductions, each is once the one that is changed."""
    sources: dict[str, list[str]] = {}
    for einsum in cascade.einsums:
        plain = all(index.plain for index in einsum.output.indices)
        if einsum.reduce is None and plain and not cascade.is_output(einsum.name):
            made = filter(None, map(cascade.producer, {access.tensor for access in einsum.reads}))
            ready = (one for one in made if one.reduce or one.iterative or one.name in sources)
            own = [one.name for one in ready if _changes(cascade, einsum, one)]
            if own:
                sources[einsum.name] = sorted(own, key=cascade.einsum_places.__getitem__)
    for at in range(max(map(len, sources.values()), default=0)):
        root, found = dict[str, str](), Changes()
        for name, own in sources.items():
            source = own[min(at, len(own) - 1)]
            root[name] = root.get(source, source)
            found[root[name]] = (*found.get(root[name], ()), name)
        yield found


def _changes(cascade: Cascade, einsum: Einsum, source: Einsum) -> bool:
    """Whether an Einsum goes over all points of another's result one by one, and nobody else reads those: of
    a state the last step, where who reads the Einsum reads the last step of another state, too.
    """
    mine = [access for access in einsum.reads if access.tensor == source.name]
    if len(mine) != 1 or cascade.is_output(source.name):
        return False
    (read,) = mine
    others = [one for one in cascade.consumers(source.name) if one != einsum]
    if source.iterative:
        ends = any(_last(cascade, access) for one in others for access in one.accesses.get(source.name, ()))
        beside = (any(_last(cascade, r) for r in one.reads) for one in cascade.consumers(einsum.name))
        if ends or not _last(cascade, read) or not all(beside):
            return False
    elif others:
        return False
    pairs = zip(read.indices, source.output.indices, strict=True)
    same = all(index == written if written.plain else not index.terms for index, written in pairs)
    return same and set(einsum.ranks) == set(einsum.output.ranks) == set(read.ranks)


def _last(cascade: Cascade, read: Access) -> bool:
    """Whether a read takes a state at one step only: the last, if a pattern wants that."""
    made = cascade.producer(read.tensor)
    if made is None or not made.iterative:
        return False
    return any(not i.terms and not w.plain for i, w in zip(read.indices, made.output.indices, strict=True))


def _without(cascade: Cascade, changes: Changes) -> Cascade:
    """The cascade in which what reads a changed tensor reads it unchanged."""
    roots = {own[-1]: root for root, own in changes.items()}
    gone = {name for own in changes.values() for name in own}

    def expression(expr: Expr) -> Expr:
        if isinstance(expr, Apply):
            return Apply(expr.op, tuple(map(expression, expr.args)))
        if not isinstance(expr, Access) or expr.tensor not in roots:
            return expr
        root = roots[expr.tensor]
        at = dict(zip(cascade.einsum(expr.tensor).output.ranks, expr.indices, strict=True))
        (read,) = (one for one in cascade.einsum(changes[root][0]).reads if one.tensor == root)
        return Access(root, tuple(at[i.plain] if i.plain else i for i in read.indices))

    einsums = tuple(
        Einsum(einsum.output, expression(einsum.expr), einsum.reduce, einsum.reduced)
        for einsum in cascade.einsums
        if einsum.name not in gone
    )
    return msgspec.structs.replace(cascade, einsums=einsums)


def _with(one: Matching, cascade: Cascade, changes: Changes) -> Changed:
    """What was found without changes, in the cascade with them."""
    names = set(one.einsums)
    last = {name: changes[name][-1] if name in changes else name for name in one.tensors.values()}
    inside = {
        name for name in names & changes.keys()
        if any(reader.name in names for reader in cascade.consumers(last[name]))
    }  # fmt: skip
    own = {name: tensor if tensor in names else last[tensor] for name, tensor in one.tensors.items()}
    names |= {change for name in inside for change in changes[name]}
    einsums = tuple(sorted(names, key=cascade.einsum_places.__getitem__))
    matching = msgspec.structs.replace(
        one, tensors=own, einsums=einsums, bounds=masks(cascade, tuple(map(cascade.einsum, einsums)))
    )
    return Changed(
        matching=matching,
        changes={name: changes[tensor] for name, tensor in own.items() if tensor in inside},
    )
