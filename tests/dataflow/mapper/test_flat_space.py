"""FLAT's dataflow as a space: its bounds hold, its search is a brute force's, and nothing of FLAT's is faster."""

from __future__ import annotations

import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.flat_space import FlatPoint, FlatSpace, _Bounds
from einsim.dataflow.result import Result
from einsim.dataflow.templates.flat import flat
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.validation.papers.fusemax import suite
from einsim.workloads import library
from einsim.workloads.cascade import Cascade

CLOUD, EDGE = load_machine("flat-cloud"), load_machine("flat-edge")
CHOICES = suite().configurations["flat"].flat_choices


def work(seq: int | str, **sizes: int | str) -> Cascade:
    return library.build("attention", passes="3", seq=seq, **sizes)


def judged(space: FlatSpace, point: FlatPoint) -> Result | None:
    tree = space.mapping(point)
    try:
        check(tree, space.cascade, space.machine)
    except EinsimError:
        return None
    return analyse(lower(tree, space.cascade, space.machine), space.machine)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**9), seq=st.sampled_from((64, 256, 1024, 4096)), heads=st.integers(1, 3),
    edge=st.booleans(),
)  # fmt: skip
def test_no_mapping_is_below_its_bound(seed: int, seq: int, heads: int, edge: bool) -> None:
    space = FlatSpace(cascade=work(seq, b=1, h=heads, e=32), machine=EDGE if edge else CLOUD)
    point = random.Random(seed).choice(list(space.points()))
    bounds = _Bounds(space)
    cycles, traffic, *_ = bounds.of(point)
    result = judged(space, point)
    if result is None:
        return
    assert cycles < math.inf
    assert cycles <= (result.cycles + bounds.lost(point)) * (1 + 1e-12)
    assert traffic <= result.dram_bytes * (1 + 1e-12)


@pytest.mark.parametrize(("seq", "machine"), [(64, EDGE), (96, EDGE), (256, CLOUD)])
def test_the_search_finds_what_looking_at_every_point_finds(seq: int, machine: Machine) -> None:
    space = FlatSpace(cascade=work(seq, b=1, h=2, e=32), machine=machine, rows=seq // 2)
    bounds = _Bounds(space)
    every = [
        (result.cycles + bounds.lost(point), result.dram_bytes)
        for point in space.points()
        if (result := judged(space, point)) is not None
    ]
    found = space.search()
    assert found.proven
    assert (found.result.cycles + bounds.lost(found.point), found.result.dram_bytes) == min(every)
    assert len(every) > 50


@pytest.mark.parametrize("model", ["bert-base", "xlm"])
@pytest.mark.parametrize("seq", ["1K", "16K", "64K", "128K", "1M"])
def test_it_is_at_least_as_fast_as_what_flat_published(model: str, seq: str) -> None:
    cascade = work(seq, model=model)
    theirs = flat(cascade, CLOUD, CHOICES[str(cascade.size("e"))][seq])
    published = analyse(lower(theirs, cascade, CLOUD), CLOUD)
    found = FlatSpace(cascade=cascade, machine=CLOUD).search()
    assert found.proven
    assert found.result.latency_s <= published.latency_s * (1 + 1e-9)


@pytest.mark.parametrize("seq", [256, 1024])
def test_on_the_edge_it_beats_the_template_and_runs(seq: int) -> None:
    cascade = work(seq, b=8, h=2, e=64)
    found = FlatSpace(cascade=cascade, machine=EDGE).search()
    template = analyse(lower(flat(cascade, EDGE), cascade, EDGE), EDGE)
    program = lower(found.mapping, cascade, EDGE)
    run = simulate(program, EDGE)
    assert found.result.latency_s <= template.latency_s
    assert run.traffic == found.result.traffic
    assert run.cycles <= found.result.cycles * 1.05


def test_what_is_not_flats_is_refused() -> None:
    with pytest.raises(EinsimError, match="needs the 3-pass attention cascade"):
        FlatSpace(cascade=library.build("attention", passes="1", seq=512), machine=CLOUD)
    with pytest.raises(EinsimError, match="needs an array and a vector unit"):
        FlatSpace(cascade=work(512), machine=msgspec.structs.replace(CLOUD, units=CLOUD.matrix_units))


def test_it_is_printed_and_counted() -> None:
    space = FlatSpace(cascade=work(512, b=1, h=1, e=32), machine=EDGE)
    assert space.count() == len(list(space.points()))
    assert f"{space.count()} mappings" in str(space)
