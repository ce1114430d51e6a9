"""What a unit takes from and gives to the memories next to it while it computes one tile."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from einsim.dataflow.mapping import Compute
from einsim.validation.oracle.points import Bools, Ints
from einsim.validation.oracle.store import AccessCounts, Place
from einsim.validation.oracle.unit import Laid, distinct
from einsim.workloads.cascade import Einsum
from einsim.workloads.expression import Access


def feed(
    einsum: Einsum, node: Compute, laid: Laid, touched: Mapping[Access, Ints], again: Bools, done: Bools,
    places: Mapping[str, Place], books: AccessCounts, *, results: bool, parts: bool,
) -> None:  # fmt: skip
    """Book one tile's operands, and its `results` where they are held anywhere; `parts` where several cores
    reduce those. `again`, `done`: of which points the result has been begun in an earlier tile, and is
    complete after this one.

    In every step each different value that the lanes use is read once, by all reads of its tensor together.
    Nothing but the stationary operand stays in the unit, unless a keep holds it in the registers.
    """
    for tensor in dict.fromkeys(access.tensor for access in einsum.reads):
        if tensor in node.chained:
            continue
        reads = [access for access in einsum.reads if access.tensor == tensor]
        element = np.concatenate([touched[access] for access in reads])
        step = np.concatenate([laid.streamed[access] for access in reads])
        core = np.concatenate([laid.core] * len(reads))
        places[tensor].fetch(core, element)
        _count(places[tensor], "read", core, step, element, np.zeros(len(element), dtype=bool))
        if node.stationarity == "row-stationary":  # each passes into a PE once, and each point reads it there
            books.registers[node.unit, "write"] += len(np.unique(element))
            books.registers[node.unit, "read"] += len(element)
    if results:
        _results(node, laid, touched[einsum.output], again, done, places[einsum.name], books, parts=parts)


def _count(
    place: Place, kind: str, core: Ints, step: Ints, element: Ints, partial: Bools, *, parts: bool = False
) -> None:
    """Book what passes the unit's edge in some steps; `parts` of a result are each core's own."""
    each = parts or place.cores > 1 or not place.machine.multicast
    apart = core if each else np.zeros_like(core)
    (apart, step, element, wide), _ = distinct(apart, step, element, partial.astype(np.int64))
    place.count(kind, element, distinct(apart, step)[1], wide > 0, spilling=True)


def _results(
    node: Compute, laid: Laid, target: Ints, again: Bools, done: Bools, place: Place, books: AccessCounts, *,
    parts: bool,
) -> None:  # fmt: skip
    """A result is added to once in each step that has a point of it.

    Output-stationary, that happens in the unit's registers, and it leaves when the tile ends; otherwise it
    leaves in each step and comes back for the next. What an earlier tile left is read before the first. All
    of that are partial sums, but for the last write of a result that is done. Where several cores reduce one
    result, each has its part of it: by itself in its own memory, else each is added to what is there.
    """
    lonely = parts and place.cores > 1
    core, step, element = (column[laid.worked] for column in (laid.core, laid.step, target))
    (element, core, step), _ = distinct(element, core, step)
    begins = np.ones(len(element), dtype=bool)  # a core's first step of a result
    begins[1:] = (element[1:] != element[:-1]) | (core[1:] != core[:-1])
    chosen = np.isin(target, np.unique(target[again]))
    if lonely:
        first, resumed = begins, place.there[core, element]
        if place.outer is not None:  # what parts will be added to comes first
            place.outer.fetch(laid.core[chosen], target[chosen])
    else:
        first = np.append(True, element[1:] != element[:-1])[: len(element)]
        place.fetch(laid.core[chosen], target[chosen])
        resumed = np.isin(element, target[chosen])
    partial = ~np.isin(element, target[done]) | lonely
    later = ~first | resumed
    if place.registers:
        books.registers[place.memory, "read"] += int(later.sum())
        books.registers[place.memory, "write"] += len(element)
        return
    last = np.append(element[1:] != element[:-1], True)[: len(element)]
    if node.stationarity in ("output-stationary", "row-stationary"):
        if not begins.all():
            books.registers[node.unit, "read"] += len(element)
            books.registers[node.unit, "write"] += len(element)
        books.merged[node.einsum] += int((begins & ~first).sum())
        last = np.append(element[begins][1:] != element[begins][:-1], True)[: begins.sum()]
        element, core, later, partial = element[begins], core[begins], later[begins], partial[begins]
        step = np.zeros_like(element)
    partial |= ~last
    if later.any():
        wide = np.ones(later.sum(), dtype=bool)
        _count(place, "read", core[later], step[later], element[later], wide, parts=parts)
    _count(place, "write", core, step, element, partial, parts=parts)
