"""The rules that a whole cascade must keep: sizes, writes, shapes, state and order."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads.ahead import Dependence, ahead, dependences
from einsim.workloads.bound import Bound, SameBlock
from einsim.workloads.canonical.order import in_order
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Index
from einsim.workloads.order import components, cycle, loop_ranks
from einsim.workloads.points import MOST_STEPS, count_points, difference
from einsim.workloads.shape import radix, reach

LARGEST_RANK = 2**40
LARGEST_POINTS = 2**80
LARGEST_EXTENT = 2**42
"""Along one dimension of a tensor, halo and state included."""
MOST_EINSUMS = 20_000


def checked(cascade: Cascade, places: Mapping[str, str], rank_places: Mapping[str, str]) -> Cascade:
    """The cascade with its Einsums in the order of `canonical.order` and without bounds that all points keep;
    SpecError at the first broken rule.

    `places` says where each Einsum was written, `rank_places` each rank and, as "initial R", initial state.
    """
    for rank in cascade.ranks:
        where = rank_places.get(rank.name, cascade.source)
        if rank.size < 1:
            raise SpecError(f"ranks.{rank.name}", "must be >= 1", got=rank.size, where=where)
        if rank.size > LARGEST_RANK:
            raise SpecError(f"ranks.{rank.name}", "must be <= 2**40", got=rank.size, where=where)
    if len(cascade.einsums) > MOST_EINSUMS:
        rule = f"a cascade has at most {MOST_EINSUMS} Einsums"
        raise SpecError("einsums", rule, got=len(cascade.einsums), where=cascade.source)
    _check_blocks(cascade)
    for einsum in cascade.einsums:
        where = places.get(einsum.name, cascade.source)
        _check_write(cascade, einsum, where)
        if math.prod(cascade.size(rank) for rank in einsum.ranks) > LARGEST_POINTS:
            raise SpecError(f"einsums.{einsum.name}", "iterates more than 2**80 points", where=where)
    for tensor in cascade.tensors:
        _check_shape(cascade, tensor.name, places)
    _check_initial(cascade, places, rank_places)
    bounds = tuple(bound for bound in cascade.bounds if _cuts(bound, cascade.sizes))
    return msgspec.structs.replace(cascade, einsums=_ordered(cascade, places), bounds=bounds)


def _cuts(bound: Bound | SameBlock, sizes: Mapping[str, int]) -> bool:
    """Whether a bound leaves out a point: a causal one leaves all keys to a last query alone."""
    if isinstance(bound, SameBlock):
        return True
    coefficients, constant = difference(bound.right, bound.left)
    return constant + sum(min(0, value * (sizes[rank] - 1)) for rank, value in coefficients.items()) < 0


def _check_blocks(cascade: Cascade) -> None:
    sizes = cascade.sizes
    for bound in cascade.bounds:
        last = max(reach(index, sizes)[1] for index in (bound.left, bound.right))
        if isinstance(bound, SameBlock) and last // bound.lengths[-1] > MOST_STEPS:
            rule = f"blocks of {bound.lengths[-1]} make more than 2**20 of them"
            raise SpecError("where", rule, where=cascade.source)


def _check_write(cascade: Cascade, einsum: Einsum, where: str) -> None:
    sizes = cascade.sizes
    path = f"einsums.{einsum.name}"
    ranks = [rank for index in einsum.output.indices for rank in index.ranks]
    twice = [rank for rank in ranks if ranks.count(rank) > 1]
    if twice:
        raise SpecError(path, f"rank '{twice[0]}' is on the left twice", where=where)
    for index in einsum.output.indices:
        single = len(index.terms) == 1 and index.terms[0].coefficient == 1 and index.offset in (0, 1)
        if not single and not radix(index, sizes):
            rule = "an output index is a rank, the next step of one (m1+1) or parts of one (m1*M0+m0)"
            raise SpecError(path, rule, where=where)


def _check_shape(cascade: Cascade, name: str, places: Mapping[str, str]) -> None:
    """A rank alone as index fits the dimension's size; no index runs below 0 or past what is written."""
    sizes = cascade.sizes
    ranks = cascade.tensor(name).ranks
    producer = cascade.producer(name)
    for axis, declared in enumerate(ranks):
        for user, access in cascade.users(name):
            index = access.indices[axis]
            path, where = f"einsums.{user.name}", places.get(user.name, cascade.source)
            plain = index.plain
            if plain and sizes[plain] != sizes[declared]:
                rule = (
                    f"dimension {axis + 1} of tensor '{name}' is '{declared}' of size {sizes[declared]}, "
                    f"so rank '{plain}' of size {sizes[plain]} doesn't fit"
                )
                raise SpecError(path, rule, where=where)
            if max(map(abs, reach(index, sizes))) > LARGEST_EXTENT:
                raise SpecError(path, f"indexes dimension {axis + 1} of '{name}' past 2**42", where=where)
            if reach(index, sizes)[0] < 0 and _meets(cascade, user, index, -1):
                rule = f"dimension {axis + 1} of '{name}' is indexed below 0"
                raise SpecError(path, rule, got=reach(index, sizes)[0], where=where)
            if producer is not None:
                written = cascade.extent(producer.output.indices[axis], declared)
                needed = cascade.extent(index, declared)
                if needed > written and _meets(cascade, user, index, written):
                    far = f"up to {needed - 1}, past its last element {written - 1}"
                    rule = f"reads dimension {axis + 1} of '{name}' {far}"
                    raise SpecError(path, rule, where=where)


def _meets(cascade: Cascade, einsum: Einsum, index: Index, value: int) -> bool:
    """Whether any iterated point has an index as low as a negative value, or as high as any other."""
    sign = -1 if value < 0 else 1
    beyond = {term.rank: sign * term.coefficient for term in index.terms}, sign * (index.offset - value)
    box = {rank: (0, cascade.size(rank)) for rank in einsum.ranks}
    return count_points(cascade.bounds, cascade.sizes, box, (beyond,)) > 0


def _check_initial(cascade: Cascade, places: Mapping[str, str], others: Mapping[str, str]) -> None:
    states = [einsum.name for einsum in cascade.einsums if einsum.iterative]
    for name in cascade.initial:
        if name not in states:
            hint = near(name, states) if states else "no Einsum here is iterative"
            where = others.get(f"initial {name}", cascade.source)
            raise SpecError(f"initial.{name}", "no iterative Einsum writes it", where=where, hint=hint)
    for name in states:
        if name not in cascade.initial:
            hint = f"write `initial {name} = 0`, or -inf for a maximum"
            rule = "an iterative tensor needs its initial value"
            raise SpecError(f"einsums.{name}", rule, where=places.get(name, cascade.source), hint=hint)


def _ordered(cascade: Cascade, places: Mapping[str, str]) -> tuple[Einsum, ...]:
    order = in_order(cascade)
    if not order:
        around = cycle(cascade.einsums)
        rule = f"the cascade is cyclic: {' <- '.join(around)}"
        raise SpecError(f"einsums.{around[0]}", rule, where=places.get(around[0], cascade.source))
    for group in components(order):
        looped = loop_ranks(cascade, group)
        for einsum in group:
            gone = next((rank for rank in looped if rank not in einsum.output.ranks), "")
            if gone:
                rule, where = (
                    f"is part of a recurrence along '{gone}'",
                    places.get(einsum.name, cascade.source),
                )
                raise SpecError(f"einsums.{einsum.name}", f"{rule}, so it can't leave it", where=where)
        names = {einsum.name for einsum in group}
        for edge in dependences(cascade, group) if looped else ():
            if edge.within(names) and _reads_later(cascade, edge, looped):
                rule, name = f"reads a later step of '{edge.writer.name}' than is known", edge.reader.name
                raise SpecError(f"einsums.{name}", rule, where=places.get(name, cascade.source))
    return order


def _reads_later(cascade: Cascade, edge: Dependence, looped: tuple[str, ...]) -> bool:
    """Whether a part of a recurrence reads a step that comes after its own."""
    found = (ahead(cascade, edge, rank, {}) for rank in looped)
    return any(ends is not None and ends[1] > 0 for ends in found)
