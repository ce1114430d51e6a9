"""Trip ranges, extents and instance counts against enumeration point by point."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.dataflow.cut import Cut
from einsim.dataflow.iteration import Path
from einsim.dataflow.mask import Mask
from einsim.dataflow.program import ProgramLoop
from einsim.specs.errors import SpecError
from einsim.workloads.cascade import Bound, Index, SameBlock, Term
from einsim.workloads.notation import parse

LAWS = settings(max_examples=60, deadline=None, derandomize=True)
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
    """Loops over two or three ranks, some twice, tiles that need not divide, and an Einsum's mask or none."""
    rng = random.Random(seed)
    names = rng.choice([("m", "p"), ("u", "v", "p")])
    sizes = {name: rng.randint(1, 9 if len(names) == 2 else 4) for name in names}
    text = f"rank {', '.join(f'{name} = {size}' for name, size in sizes.items())}\n"
    text += f"Z[{','.join(names)}] = A[{','.join(names)}]"
    work = msgspec.structs.replace(parse(text), bounds=bounds(rng, sizes))
    order = [*names, *(name for name in names if rng.random() < 0.4)]
    rng.shuffle(order)
    order = [name for name in order if rng.random() < 0.85] or [names[0]]
    loops, last = [], {}
    for number, name in enumerate(order):
        extent = loops[last[name]].tile if name in last else sizes[name]
        tile = rng.randint(1, extent)
        loops.append(ProgramLoop(id=number, ranks=(name,), tile=tile, extent=extent, parent=last.get(name)))
        last[name] = number
    when = {loop.id: rng.choice(("first", "last")) for loop in loops if rng.random() < 0.15}
    mask = Mask(work, names)
    cut = Cut((mask,), tuple(mask.tied)) if mask else None
    return Path(tuple(loops), when, sizes, names, cut=cut), when, work


def enumerated(path, when):
    """Every position, by trying all tiles: those in which the bounds leave something, seen from outside inward."""
    masks = path.cut.masks if path.cut else ()

    def inner(at, position, ranges, seen):
        if at == path.depth:
            yield tuple(position)
            return
        loop = path.loops[at]
        start, extent = ranges[loop.rank]
        trips = range(-(-extent // loop.tile))
        pinned = when.get(loop.id)
        if pinned:
            trips = trips[:1] if pinned == "first" else trips[-1:]
        for index in trips:
            own = (start + index * loop.tile, min(loop.tile, extent - index * loop.tile))
            box = seen if pinned else {**seen, loop.rank: own}
            if pinned or all(mask.trim(box) is not None for mask in masks):
                yield from inner(at + 1, [*position, index], {**ranges, loop.rank: own}, box)

    yield from inner(0, [], {name: (0, size) for name, size in path.sizes.items()}, {})


def walked(path):
    found = []
    position = path.first()
    while position is not None:
        found.append(tuple(position))
        if not path.advance(position):
            break
    return found


@LAWS
@given(SEEDS)
def test_positions_are_those_of_enumeration(seed):
    path, when, _ = random_path(seed)
    assert walked(path) == list(enumerated(path, when))


@LAWS
@given(SEEDS)
def test_every_point_that_bounds_keep_is_in_one_position(seed):
    path, when, work = random_path(seed)
    if when:
        return
    mask = Mask(work, path.sizes)
    total = 0
    for position in walked(path):
        box = path.box(position)
        total += mask.points(box, path.sizes)
        left = mask.trim(box) if mask else box
        assert path.key(position)[: len(path.sizes)] == tuple(
            left.get(rank, (0, size))[1] for rank, size in path.sizes.items()
        )
    assert total == work.points("Z")


@LAWS
@given(SEEDS)
def test_instances_are_counted_without_visiting_them(seed):
    path, _, _ = random_path(seed)
    assert path.instances() == Counter(path.key(position) for position in walked(path))
    assert path.total() == len(walked(path))


@LAWS
@given(SEEDS)
def test_tiles_of_one_key_have_the_same_points(seed):
    path, _, work = random_path(seed)
    if path.cut is None:
        return
    mask, seen = Mask(work, path.sizes), {}
    for position in walked(path):
        count = mask.points(path.box(position), path.sizes)
        assert seen.setdefault(path.key(position), count) == count


@LAWS
@given(SEEDS)
def test_a_stretch_holds_the_iterations_that_bounds_cut_alike(seed):
    path, when, _ = random_path(seed)
    for position in walked(path):
        for slot in range(path.depth):
            if path.loops[slot].id in when:
                continue
            first, stop = path.stretch(list(position), slot)
            assert first <= position[slot] < stop


@LAWS
@given(SEEDS, st.integers(1, 4))
def test_before_goes_back_within_the_loop_or_borrows(seed, steps):
    """`before` at the innermost slot walks the positions backwards; without borrow it stops at the loop's start."""
    path, when, _ = random_path(seed)
    if when or path.cut:
        return
    positions = [list(at) for at in walked(path)]
    for number, position in enumerate(positions):
        target = list(position)
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
    path, when, _ = random_path(seed)
    positions = walked(path)
    rng = random.Random(other)
    asked = [rng.randrange(loop.count + 1) for loop in path.loops]
    if when:
        return  # a pinned slot is always asked for at its own end, which `Actor.target` takes from the span
    expected = max((at for at in positions if list(at) <= asked), default=None)
    found = path.floor(asked)
    assert (None if found is None else tuple(found)) == expected


def test_iterations_that_bounds_cut_each_otherwise_are_not_listed_without_end():
    """Three billion took all memory (drawn input 404:2970)."""
    loop = ProgramLoop(id=0, ranks=("c",), tile=2, extent=2**22)
    assert loop.each(3, 5) == [(3, 4), (4, 5)]
    with pytest.raises(
        SpecError, match="for c: bounds cut 2,097,152 tiles each otherwise, at most 1,048,576"
    ):
        loop.each(0, loop.count)
    work = parse(f"rank m = {2**22}, p = {2**22}\nZ[m] = A[m,p]")
    work = msgspec.structs.replace(work, bounds=(Bound(Index((rank("m"),)), Index((rank("p"),))),))
    mask = Mask(work, ("m", "p"))
    path = Path(
        (msgspec.structs.replace(loop, ranks=("m",), tile=1),),
        {},
        work.sizes,
        ("m",),
        cut=Cut((mask,), ("m", "p")),
    )
    with pytest.raises(SpecError, match="for m: bounds cut"):
        path.instances()
