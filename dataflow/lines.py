"""Volumes along a line of keys: of those that grow by as much with each period, few are worked out.

Under a causal bound each block of rows has some more columns than the one before: as many kinds of tiles as
blocks. Along such a line a tile's extents and place grow evenly. What it does is a sum of products of extents
in whole folds, groups and accesses, and the larger or smaller of such sums: from one period of those to the
next it grows evenly too, but where another sum becomes the larger one. So a stretch of the line, a period
apart, is even where its two ends and its middle say so: what is convex or concave has one slope then. Where
they do not, its halves are looked at. One by one gives the same (`tests/dataflow/test_lines.py`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from einsim.dataflow.mask import Box
from einsim.dataflow.program import MemoryAccess
from einsim.dataflow.volume import Key, PortWork, Volume

LONG: Final = 64
"""Keys of a line at least, for which it is worth to look for an even stretch."""
SHORT: Final = 6
"""Values of a stretch up to which all are worked out."""

Numbers = tuple[int, ...]


def volumes(
    keys: Sequence[Key], boxes: Mapping[Key, Box], period: int, make: Callable[[Key], Volume]
) -> dict[Key, Volume]:
    """The volume of each key, of which `boxes` has the tile; folds and accesses divide `period` points."""
    found = dict.fromkeys(keys, Volume())
    for line, step in _lines(keys, boxes):
        apart = math.lcm(*(period // math.gcd(period, each) for each in step))
        if len(line) < LONG or len(line) < 2 * SHORT * apart:
            found.update((key, make(key)) for key in line)
            continue
        for first in range(apart):
            _fill(line[first::apart], make, found)
    return found


def _lines(keys: Sequence[Key], boxes: Mapping[Key, Box]) -> Iterator[tuple[Sequence[Key], Numbers]]:
    """Keys that follow each other by one step, as long as they do, and the step of their boxes."""
    begin, step = 0, None
    for at, (before, after) in enumerate(itertools.pairwise(keys)):
        here = _step(before, after, boxes)
        if step is None and at == begin:
            step = here
        elif here is None or here != step:
            yield keys[begin : at + 1], _moved(step)
            begin, step = at + 1, None
    yield keys[begin:], _moved(step)


def _moved(step: tuple[Numbers, Numbers] | None) -> Numbers:
    return step[1] if step else ()


def _step(before: Key, after: Key, boxes: Mapping[Key, Box]) -> tuple[Numbers, Numbers] | None:
    """By how much a key's numbers and its box's move to the next; None where the two are no neighbours."""
    one, other = boxes.get(before), boxes.get(after)
    if one is None or other is None or len(before) != len(after) or one.keys() != other.keys():
        return None
    moved = (here - there for rank in one for here, there in zip(other[rank], one[rank], strict=True))
    return tuple(b - a for a, b in zip(before, after, strict=True)), tuple(moved)


def _fill(keys: Sequence[Key], make: Callable[[Key], Volume], found: dict[Key, Volume]) -> None:
    """Find the volumes of keys that are a period apart."""
    known: dict[int, tuple[object, Numbers]] = {}

    def at(place: int) -> tuple[object, Numbers]:
        if place not in known:
            found[keys[place]] = volume = make(keys[place])
            known[place] = _shape(volume), _numbers(volume)
        return known[place]

    stretches = [(0, len(keys) - 1)]
    while stretches:
        first, last = stretches.pop()
        middle = (first + last) // 2
        if last - first < SHORT:
            for place in range(first, last + 1):
                at(place)
        elif _even([(place, *at(place)) for place in (first, first + 1, middle, last - 1, last)]):
            (_, start), (_, following), model = at(first), at(first + 1), found[keys[first]]
            slope = [b - a for a, b in zip(start, following, strict=True)]
            for place in range(first + 2, last):
                if place not in known:
                    here = [a + each * (place - first) for a, each in zip(start, slope, strict=True)]
                    found[keys[place]] = _with(model, iter(here))
        else:
            stretches += [(first, middle), (middle, last)]


def _even(places: Sequence[tuple[int, object, Numbers]]) -> bool:
    """Whether volumes have the same shape, and each number grows evenly."""
    (first, shape, start), (_, _, following), *_ = places
    return all(other == shape for _, other, _ in places) and all(
        there == a + (b - a) * (place - first)
        for place, _, numbers in places
        for a, b, there in zip(start, following, numbers, strict=True)
    )


def _shape(volume: Volume) -> object:
    """All of a volume that is no number which grows."""
    accesses = ((one.memory, one.tensor, one.steps) for one in volume.accesses)
    return (
        tuple(rate for rate, _ in volume.own), tuple((port, rate) for port, rate, _ in volume.streams),
        tuple(accesses), tuple(volume.actions), volume.active[0], volume.setup_cycles, volume.rounded,
        volume.overlap,
    )  # fmt: skip


def _numbers(volume: Volume) -> Numbers:
    accesses = ((one.read_bytes, one.write_bytes, one.run_bytes, one.pitch_bytes) for one in volume.accesses)
    return (
        *(amount for _, amount in volume.own), *(work.amount for work in volume.streams),
        *itertools.chain(*accesses), *volume.actions.values(), volume.points, volume.active[1],
    )  # fmt: skip


def _with(volume: Volume, number: Iterator[int]) -> Volume:
    """A volume of the same shape with other numbers, in the order of `_numbers`."""
    own = tuple((rate, next(number)) for rate, _ in volume.own)
    streams = tuple(PortWork(port, rate, next(number)) for port, rate, _ in volume.streams)
    accesses = tuple(
        MemoryAccess(
            memory=one.memory, tensor=one.tensor, read_bytes=next(number), write_bytes=next(number),
            run_bytes=next(number), pitch_bytes=next(number), steps=one.steps,
        ) for one in volume.accesses
    )  # fmt: skip
    return Volume(
        own=own, streams=streams, accesses=accesses, actions={name: next(number) for name in volume.actions},
        points=next(number), active=(volume.active[0], next(number)), setup_cycles=volume.setup_cycles,
        rounded=volume.rounded, overlap=volume.overlap,
    )  # fmt: skip
