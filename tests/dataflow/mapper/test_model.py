"""The compiled model gives what the analytical model gives, tick for tick and byte for byte."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small import BOUNDED, SHIFTED, TEXTS, cascade, machine

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.account import static_counts
from einsim.dataflow.analytical import analyse, engine_ticks
from einsim.dataflow.chain import chain_ticks
from einsim.dataflow.cores import cores_ranks
from einsim.dataflow.footprint import tile_bytes
from einsim.dataflow.held import home_bytes
from einsim.dataflow.layout import lay_out
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.band import views_of
from einsim.dataflow.mapper.exact import counted, simple
from einsim.dataflow.mapper.fronts import Contexts
from einsim.dataflow.mapper.kernel import roots
from einsim.dataflow.mapper.model import cost
from einsim.dataflow.mapper.nest import Inside
from einsim.dataflow.mapper.point import GroupPoint, NestPoint, Point, mapping
from einsim.dataflow.mapper.pools import Pools
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapper.tables import tables
from einsim.dataflow.mapper.vectors import loops_of, sample_nest
from einsim.dataflow.passing import LACKS, MOVES, WHOLE, passed
from einsim.dataflow.turns import arithmetic_name
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse


def agree(space: MapSpace, point: Point) -> None:
    """One point of the space against legality, the lowered program and the analytical model."""
    work, chip, scale = space.cascade, space.machine, space.scale
    tree = mapping(work, chip, point)
    check(tree, work, chip)
    program = lower(tree, work, chip)
    result = analyse(program, chip)
    engines = len(scale.engines)
    groups = [sum(space.row(nest)[0] for nest in group.nests) for group in point.groups]
    rows = np.array(groups)
    counts = static_counts(program)
    ticks = dict.fromkeys(scale.engines, 0)
    host = {unit.name: unit.mode_of for unit in chip.units if unit.mode_of}  # modes take their array's time
    turns = {arithmetic_name(chip, unit.name) for unit in chip.units}
    for op in program.ops:
        for engine, busy in engine_ticks(op, counts[op.id]).items():
            if engine not in turns:
                ticks[host.get(engine, engine)] += busy
    assert list(ticks.values()) == list(rows[:, :engines].sum(axis=0))
    bound = sum(int(row[:engines].max()) for row in rows)
    bound = max(bound, chain_ticks(program, counts))  # which the model leaves out
    assert -(-bound // scale.ticks_per_cycle) == result.cycles
    joules = rows[:, engines].sum() + scale.leakage_w * scale.tick_s * bound
    assert joules == pytest.approx(
        result.energy_stated_j, rel=1e-12
    )  # the same terms, added in another order
    held = rows[:, engines + 1 :].max(axis=0)
    layout = lay_out(tree, work)
    late = 0
    for home, path in layout.homes:
        if home.tensor in point.resident and home.memory == point.global_buffer:
            size = home_bytes(home, path, layout, work, chip)
            narrow = tile_bytes(work, chip, next(work.accesses(home.tensor)), work.sizes)
            assert narrow <= size <= space.bytes_of(home.tensor)  # which counts with partial sums
            held[scale.memories.index(home.memory)] += size
            late += size * bool(home.place)  # an input is there from its first reader on only
    for name, most in zip(scale.memories[1:], held[1:], strict=True):
        least = most - (late if name == point.global_buffer else 0)
        assert least <= program.buffers.get(name, 0) <= most


@settings(max_examples=16, deadline=None)
@given(seed=st.integers(0, 10**9), levels=st.integers(1, 2), systolic=st.booleans())
def test_the_model_is_the_analytical_model(seed: int, levels: int, systolic: bool) -> None:
    rng = random.Random(seed)
    space = MapSpace(
        cascade=cascade(rng, largest=9), machine=machine(rng, levels, systolic=systolic), menu="all",
        buffers=rng.choice((1, 2)),
    )  # fmt: skip
    assume(not space.why_not_exact)
    point = space.sample(rng)
    assume(point is not None)
    assert point is not None
    agree(space, point)


@settings(max_examples=14, deadline=None)
@given(
    seed=st.integers(0, 10**9), levels=st.integers(1, 2), systolic=st.booleans(),
    texts=st.sampled_from(((BOUNDED, 9), (SHIFTED, 6))),
)  # fmt: skip
def test_the_model_counts_what_bounds_leave_and_halos_share(
    seed: int, levels: int, systolic: bool, texts: Any
) -> None:
    rng = random.Random(seed)
    work, chip = cascade(rng, texts[1], texts[0]), machine(rng, levels, systolic=systolic)
    space = MapSpace(cascade=work, machine=chip, menu="all", buffers=rng.choice((1, 2)))
    point = space.sample(rng)
    assume(point is not None)
    assert point is not None
    assume(not any(simple(work, chip, einsum) for einsum in work.einsums))
    nests = [one.nest for group in point.groups for one in group.nests]
    assume(all(counted(work, chip, work.einsum(nest.einsum), nest.node) for nest in nests))
    agree(space, point)


@pytest.mark.parametrize("bounds", ["where m <= p\n", "where m <= p\nwhere p < m + 300\n"])
def test_long_ranks_that_bounds_tie_are_counted_as_exactly(bounds: str) -> None:
    chip, rng, agreed = load_machine("fusemax-cloud"), random.Random(3), 0
    work = parse(f"{bounds}Z[m,p] = A[m,k] * B[k,p]", name="long", sizes={"m": 3000, "p": 2500, "k": 64})
    space = MapSpace(cascade=work, machine=chip, menu="steps")
    while agreed < 5:
        point = space.sample(rng)
        assert point is not None
        (nest,) = (one for group in point.groups for one in group.nests)
        long = all(tile > 100 for rank, tile in zip(nest.nest.loops, nest.tiles, strict=True) if rank != "k")
        if long and counted(work, chip, work.einsums[0], nest.nest.node):
            agree(space, point)
            agreed += 1


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9), j=st.integers(1, 4), p=st.integers(1, 4))
def test_the_model_counts_what_is_read_at_both_halves(seed: int, j: int, p: int) -> None:
    rng = random.Random(seed)
    text = "Y[c*J+j,p] = X[c*J+j,p] * A[c*J+j] + X[J-c*J+j,p] * B[c*J+j]"
    work, chip = parse(text, name="rotary", sizes={"c": 2, "j": j, "p": p}), machine(rng, 2, systolic=True)
    space = MapSpace(cascade=work, machine=chip, buffers=rng.choice((1, 2)))
    point = space.sample(rng)
    assume(point is not None)
    assert point is not None
    (einsum,) = work.einsums
    assert not simple(work, chip, einsum)
    assume(counted(work, chip, einsum, point.groups[0].nests[0].nest.node))
    agree(space, point)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**9), texts=st.sampled_from((TEXTS, BOUNDED, SHIFTED)), systolic=st.booleans())
def test_no_point_of_a_nest_is_below_its_bound(seed: int, texts: Any, systolic: bool) -> None:
    rng = random.Random(seed)
    work, chip = cascade(rng, 7, texts), machine(rng, rng.randint(1, 2), systolic=systolic)
    space = MapSpace(cascade=work, machine=chip, menu="all", buffers=rng.choice((1, 2)))
    every = (einsum for einsum in work.einsums if not einsum.iterative)
    nests = [nest for einsum in every for nest in space.nests(einsum, Inside())]
    assume(nests)
    nest = rng.choice(nests)
    loops, table = loops_of(space.tiles, nest), tables(work, chip, nest, space.scale)
    assume(all(loops.menus(())))
    points = [sample_nest(space.tiles, nest, (), rng) for _ in range(20)]
    rows, _ = cost(table, np.array([one.tiles for one in points]), np.array([one.chosen for one in points]))
    unit, parts = np.zeros((1, rows.shape[1])), np.zeros((1, table.first[-1], rows.shape[1]))
    views = views_of(table.band, table.sizes)
    roots(table, views, loops.roots(np.zeros((1, 0), np.int64)), 0, unit, parts)
    least = unit + np.minimum.reduceat(parts, table.first[:-1], axis=1).sum(axis=1)
    assert np.all(rows >= least * (1 - 1e-12))


@pytest.mark.parametrize("preset", ["tpu-v4i", "flat-edge", "eyeriss-like", "sa8295p", "u280-flightllm"])
def test_the_model_is_the_analytical_model_on_presets(preset: str) -> None:
    chip = load_machine(preset)
    work = parse("Z[b,m,n] = A[b,m,k] * B[b,k,n]", name="gemm", sizes={"b": 3, "m": 200, "n": 77, "k": 130})
    rng = random.Random(7)
    space = MapSpace(cascade=work, machine=chip)
    for _ in range(8):
        point = space.sample(rng)
        assert point is not None
        agree(space, point)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_every_point_simulates_with_the_same_traffic(seed: int) -> None:
    rng = random.Random(seed)
    work, chip = cascade(rng, largest=5), machine(rng, rng.randint(1, 2), systolic=rng.random() < 0.3)
    point = MapSpace(cascade=work, machine=chip).sample(rng)
    assume(point is not None)
    assert point is not None
    program = lower(mapping(work, chip, point), work, chip)
    bound, run = analyse(program, chip), simulate(program, chip)
    assert run.traffic == bound.traffic
    assert run.cycles >= bound.cycles


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_the_model_refuses_what_legality_refuses(seed: int) -> None:
    rng = random.Random(seed)
    work, chip = cascade(rng, largest=4, texts=TEXTS[:4]), machine(rng, rng.randint(1, 2))
    space = MapSpace(cascade=work, machine=chip)
    (einsum,) = work.einsums
    (inside,) = space.insides((einsum,))
    nest = rng.choice(list(space.nests(einsum, inside)))
    point = rng.choice(list(itertools.islice(space.nest_points(nest), 500)))
    _, legal = space.row(point)
    assert legal == _legal(work, chip, point, inside)


def _legal(work: Cascade, chip: Machine, nest: NestPoint, inside: Inside) -> bool:
    point = Point(groups=(GroupPoint(inside=inside, nests=(nest,)),))
    try:
        check(mapping(work, chip, point), work, chip)
    except EinsimError:
        return False
    return True


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_the_model_counts_the_parts_that_cores_have(seed: int) -> None:
    rng = random.Random(seed)
    sizes = {"m": rng.randint(1, 3), "n": rng.randint(1, 3), "k": rng.randint(2, 9)}
    text = rng.choice(("Z[m,n] = A[m,k] * B[k,n]", "Z[m,n] = max[k](A[m,k,n])"))
    work, chip = parse(text, name="parts", sizes=sizes), machine(rng, 2, systolic=True)
    chip = msgspec.structs.replace(
        chip, multicast=rng.random() < 0.6,
        memories=tuple(msgspec.structs.replace(one, copies=1, capacity_bytes=None) for one in chip.memories),
        units=tuple(
            msgspec.structs.replace(
                unit, dims={"cores": rng.randint(2, 4), **dict.fromkeys([*unit.dims][-2:], 3)}
            )
            for unit in chip.units
        ),
    )  # fmt: skip
    space = MapSpace(cascade=work, machine=chip, buffers=rng.choice((1, 2)))
    (einsum,) = work.einsums
    (inside,) = space.insides((einsum,))
    nests = [nest for nest in space.nests(einsum, inside) if cores_ranks(nest.node) == ("k",)]
    assume(not space.why_not_exact and nests)
    nest = sample_nest(space.tiles, rng.choice(nests), (), rng)
    agree(space, Point(groups=(GroupPoint(inside=inside, nests=(nest,)),)))


def test_rows_of_many_points_are_the_rows_of_each() -> None:
    rng = random.Random(1)
    space = MapSpace(cascade=cascade(rng, texts=TEXTS[:1]), machine=machine(rng, 2))
    (einsum,) = space.cascade.einsums
    (inside,) = space.insides((einsum,))
    nest = next(space.nests(einsum, inside))
    points = list(space.nest_points(nest))[::97]
    table = tables(space.cascade, space.machine, nest, space.scale)
    rows, legal = cost(table, np.array([p.tiles for p in points]), np.array([p.chosen for p in points]))
    for point, row, good in zip(points, rows, legal, strict=True):
        assert np.array_equal(space.row(point)[0], row)
        assert space.row(point)[1] == good


@pytest.mark.parametrize("seed", range(4))
def test_orders_of_a_layout_share_its_arrays(seed: int) -> None:
    rng = random.Random(seed)
    space = MapSpace(cascade=cascade(rng), machine=machine(rng, 2, systolic=True))
    contexts = Contexts(space, "latency", float("inf"), lambda: False, Pools())
    for group in space.fusions():
        for inside in itertools.islice(space.insides(group), 8):
            for entry in (entry for einsum in group for entry in contexts.pool(einsum, inside)):
                fresh = tables(space.cascade, space.machine, entry.nest, space.scale)
                for mine, theirs in zip(entry.table, fresh, strict=True):
                    assert np.array_equal(mine, theirs)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_what_passes_along_a_dimension_is_what_its_lanes_use(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 4))
    extents = data.draw(st.lists(st.integers(1, 5), min_size=count, max_size=count))
    kinds = data.draw(st.lists(st.sampled_from((LACKS, MOVES, WHOLE)), min_size=count, max_size=count))
    core = data.draw(st.integers(-1, count - 1))
    assume(core < 0 or kinds[core] != WHOLE)
    lanes, cores = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 3))
    apart = core >= 0 and data.draw(st.booleans())
    pairs = set()
    for number in range(cores if core >= 0 else 1):
        own = [
            [at for at in range(extent) if rank != core or at % cores == number]
            for rank, extent in enumerate(extents)
        ]
        for place, values in enumerate(itertools.product(*own)):
            if all(kind != WHOLE or not at for kind, at in zip(kinds, values, strict=True)):
                mine = tuple(at for kind, at in zip(kinds, values, strict=True) if kind == MOVES)
                pairs.add((number * apart, place // lanes, mine))
    found = passed(
        np.array(extents, np.float64), np.array(kinds, np.int64), count, float(lanes), core, float(cores),
        apart,
    )  # fmt: skip
    assert found == len(pairs)
