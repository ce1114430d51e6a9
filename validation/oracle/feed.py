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
    places: Mapping[str, Place], books: AccessCounts, *, results: bool,
) -> None:  # fmt: skip
    """Book one tile's operands, and its `results` where they are held anywhere. `again`, `done`: of which
    points the result has been begun in an earlier tile, and is complete after this one.

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
    if results:
        _results(node, laid, touched[einsum.output], again, done, places[einsum.name], books)


def _count(place: Place, kind: str, core: Ints, step: Ints, element: Ints, partial: Bools) -> None:
    apart = core if place.cores > 1 or not place.machine.multicast else np.zeros_like(core)
    (apart, step, element, wide), _ = distinct(apart, step, element, partial.astype(np.int64))
    place.count(kind, element, distinct(apart, step)[1], wide > 0, spilling=True)


def _results(
    node: Compute, laid: Laid, target: Ints, again: Bools, done: Bools, place: Place, books: AccessCounts
) -> None:
    """A result is added to once in each step that has a point of it.

    Output-stationary, that happens in the unit's registers, and it leaves when the tile ends; otherwise it
    leaves in each step and comes back for the next. What an earlier tile left is read before the first. All
    of that are partial sums, but for the last write of a result that is done.
    """
    resumed = np.unique(target[again])
    if len(resumed):
        chosen = np.isin(target, resumed)
        place.fetch(laid.core[chosen], target[chosen])
    core, step, element = (column[laid.worked] for column in (laid.core, laid.step, target))
    (element, step, core), _ = distinct(element, step, core)
    first = np.ones(len(element), dtype=bool)
    first[1:] = element[1:] != element[:-1]
    partial = ~np.isin(element, target[done])
    later = ~first | np.isin(element, resumed)
    if place.registers:
        books.registers[place.memory, "read"] += int(later.sum())
        books.registers[place.memory, "write"] += len(element)
        return
    if node.stationarity == "output-stationary":
        if not first.all():
            books.registers[node.unit, "read"] += len(element)
            books.registers[node.unit, "write"] += len(element)
        element, core, later, partial = element[first], core[first], later[first], partial[first]
        step = np.zeros_like(element)
    else:
        partial |= np.append(~first[1:], False)
    if later.any():
        _count(place, "read", core[later], step[later], element[later], np.ones(later.sum(), dtype=bool))
    _count(place, "write", core, step, element, partial)
