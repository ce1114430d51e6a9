"""Trip ranges, extents and instance counts against enumeration point by point."""

from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.dataflow.iteration import Path
from einsim.dataflow.program import ProgramLoop
from einsim.workloads.cascade import Bound, Index, SameBlock, Term

LAWS = settings(max_examples=150, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32)


def rank(name, coefficient=1):
    return Term(coefficient, name)


def bounds(rng, sizes):
    """None, causal, a window, or documents; over m and p, or over m as m1 * M0 + m0."""
    left = Index((rank("m"),)) if "m" in sizes else Index((rank("u", sizes["v"]), rank("v")))
    right = Index((rank("p"),))
    causal = Bound(left, right)
    window = Bound(right, Index(left.terms, rng.randint(0, 3)))
    lengths = tuple(rng.randint(1, 4) for _ in range(rng.randint(1, 3)))
    chosen = [(), (causal,), (window,), (causal, window)]
    # Blocks over u * V + v are cut at both ends apart, which keeps tiles between two blocks: exact for plain m.
    documents = [(SameBlock(left, right, lengths),)] if "m" in sizes else []
    return rng.choice(chosen + documents)


def random_path(seed):
    """Loops over two or three ranks, some twice, tiles that need not divide, bounds on the inner ones."""
    rng = random.Random(seed)
    names = rng.choice([("m", "p"), ("u", "v", "p")])
    sizes = {name: rng.randint(1, 9 if len(names) == 2 else 4) for name in names}
    chosen = bounds(rng, sizes)
    order = [*names, *(name for name in names if rng.random() < 0.4)]
    rng.shuffle(order)
    order = [name for name in order if rng.random() < 0.85] or [names[0]]
    loops, last = [], {}
    for number, name in enumerate(order):
        extent = loops[last[name]].tile if name in last else sizes[name]
        others = {loop.rank for loop in loops} - {name}
        cuts = tuple(b for b in chosen if name in ranks_of(b) and (ranks_of(b) - {name}) & others)
        loops.append(
            ProgramLoop(id=number, ranks=(name,), tile=rng.randint(1, extent), extent=extent,
                        parent=last.get(name), bounds=cuts)
        )  # fmt: skip
        last[name] = number
    when = {loop.id: rng.choice(("first", "last")) for loop in loops if rng.random() < 0.15}
    return tuple(loops), when, sizes, tuple(dict.fromkeys(order))


def ranks_of(bound):
    return {term.rank for side in (bound.left, bound.right) for term in side.terms}


def value(index, point):
    return index.offset + sum(term.coefficient * point[term.rank] for term in index.terms)


def block(lengths, at):
    start = number = 0
    while True:
        length = lengths[min(number, len(lengths) - 1)]
        if at < start + length:
            return number
        start, number = start + length, number + 1


def satisfied(bound, ranges):
    """Whether some point of the box is kept by the bound."""
    names = sorted(ranks_of(bound))
    for values in itertools.product(*(range(a, a + n) for a, n in (ranges[name] for name in names))):
        point = dict(zip(names, values, strict=True))
        left, right = value(bound.left, point), value(bound.right, point)
        if isinstance(bound, SameBlock):
            if left >= 0 and right >= 0 and block(bound.lengths, left) == block(bound.lengths, right):
                return True
        elif left <= right:
            return True
    return False


def enumerated(loops, when, sizes):
    """Every position with the range of each rank, by trying all tiles."""

    def inner(at, position, ranges):
        if at == len(loops):
            yield tuple(position), dict(ranges)
            return
        loop = loops[at]
        start, extent = ranges[loop.rank]
        tiles = []
        for index in range(-(-extent // loop.tile)):
            offset = index * loop.tile
            own = {**ranges, loop.rank: (start + offset, min(loop.tile, extent - offset))}
            if all(satisfied(bound, own) for bound in loop.bounds):
                tiles.append((index, own))
        if loop.id in when:
            tiles = tiles[:1] if when[loop.id] == "first" else tiles[-1:]
        for index, own in tiles:
            yield from inner(at + 1, [*position, index], own)

    yield from inner(0, [], {name: (0, size) for name, size in sizes.items()})


@LAWS
@given(SEEDS)
def test_positions_and_extents_are_those_of_enumeration(seed):
    loops, when, sizes, keys = random_path(seed)
    path = Path(loops, when, sizes, keys)
    expected = list(enumerated(loops, when, sizes))
    position = path.first()
    found = []
    while position is not None:
        found.append((tuple(position), path.key(position)))
        if not path.advance(position):
            break
    assert found == [(at, tuple(ranges[name][1] for name in keys)) for at, ranges in expected]


@LAWS
@given(SEEDS)
def test_instances_are_counted_without_visiting_them(seed):
    loops, when, sizes, keys = random_path(seed)
    counts = {}
    for _, ranges in enumerated(loops, when, sizes):
        key = tuple(ranges[name][1] for name in keys)
        counts[key] = counts.get(key, 0) + 1
    path = Path(loops, when, sizes, keys)
    assert path.instances() == counts
    assert path.total() == sum(counts.values())


@LAWS
@given(SEEDS, st.integers(1, 4))
def test_before_goes_back_within_the_loop_or_borrows(seed, steps):
    """`before` at the innermost slot walks the positions backwards; without borrow it stops at the loop's start."""
    loops, _, sizes, keys = random_path(seed)
    path = Path(loops, {}, sizes, keys)
    positions = [list(at) for at, _ in enumerated(loops, {}, sizes)]
    for number, position in enumerate(positions):
        target = list(position)
        full = all(path.span(position, at)[0] < path.span(position, at)[1] for at in range(path.depth))
        if not full or any(loop.bounds for loop in loops):
            continue
        moved = path.before(target, path.depth - 1, steps, True)
        assert moved == (number >= steps)
        if moved:
            assert target == positions[number - steps]
        target = list(position)
        inside = position[-1] - path.span(position, path.depth - 1)[0]
        assert path.before(target, path.depth - 1, steps, False) == (inside >= steps)
        if inside >= steps:
            assert target == [*position[:-1], position[-1] - steps]


@LAWS
@given(SEEDS, SEEDS)
def test_floor_is_the_last_position_at_or_before(seed, other):
    loops, when, sizes, keys = random_path(seed)
    path = Path(loops, when, sizes, keys)
    positions = [at for at, _ in enumerated(loops, when, sizes)]
    rng = random.Random(other)
    asked = [rng.randrange(loop.count + 1) for loop in loops]
    for at, loop in enumerate(loops):
        if loop.id in when:
            first, stop = 0, loop.count
            asked[at] = first if when[loop.id] == "first" else stop - 1
    if when:
        return  # a pinned slot is always asked for at its own end, which `Actor.target` takes from the span
    expected = max((at for at in positions if list(at) <= asked), default=None)
    found = path.floor(asked)
    assert (None if found is None else tuple(found)) == expected
