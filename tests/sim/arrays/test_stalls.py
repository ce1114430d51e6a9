"""Laws of a fed array: unlimited ports change nothing, finite ones obey their bandwidth, waits add up."""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.arrays.gemm import CONVENTIONS, DATAFLOWS, ArraySpec, Gemm
from einsim.sim.arrays.stalls import Ports, _run, fed
from einsim.sim.arrays.systolic import elapsed, traffic
from einsim.specs.errors import RuleError


@st.composite
def cases(draw):
    size = st.integers(1, 60)
    nm = draw(st.none() | st.integers(1, 8).flatmap(lambda m: st.tuples(st.integers(1, m), st.just(m))))
    array = ArraySpec(
        rows=draw(st.integers(1, 12)),
        cols=draw(st.integers(1, 40)),
        dataflow=draw(st.sampled_from(DATAFLOWS)),
        convention=draw(st.sampled_from(CONVENTIONS)),
    )
    return array, Gemm(m=draw(size), n=draw(size), k=draw(size), nm=nm)


rates = st.floats(0.05, 50)


@settings(max_examples=120, deadline=None)
@given(case=cases())
def test_unlimited_ports_cost_nothing(case):
    result = fed(*case, Ports())
    assert result.cycles == result.array_cycles == elapsed(*case)


@settings(max_examples=120, deadline=None)
@given(case=cases(), load=rates, store=rates, faster=st.floats(1, 4))
def test_finite_ports_bound_the_time_waits_add_up_and_faster_is_never_slower(case, load, store, faster):
    slow = fed(*case, Ports(load_words_per_cycle=load, store_words_per_cycle=store))
    fast = fed(*case, Ports(load_words_per_cycle=load * faster, store_words_per_cycle=store * faster))
    assert slow.cycles >= fast.cycles >= slow.array_cycles
    assert slow.cycles >= slow.loaded_words / load
    assert slow.cycles >= slow.stored_words / store
    parts = (slow.first_load_cycles, slow.load_stall_cycles, slow.store_stall_cycles, slow.last_store_cycles)
    assert min(parts) >= 0
    assert slow.cycles == slow.array_cycles + sum(parts)


@settings(deadline=None)  # the first call compiles
@given(case=cases())
def test_words_are_those_at_the_edge_but_what_the_tile_before_left(case):
    result, edge = fed(*case, Ports()), traffic(*case)
    assert result.stored_words == edge.writes
    assert result.loaded_words <= edge.a_reads + edge.b_reads
    if case[0].stationary:
        assert result.loaded_words == edge.a_reads + edge.b_reads


def test_starved_by_a_slow_port_the_time_is_the_ports():
    array, gemm = ArraySpec(rows=8, cols=8, dataflow=DATAFLOWS[1]), Gemm(m=64, n=64, k=64)
    result = fed(array, gemm, Ports(load_words_per_cycle=0.5))
    assert result.loaded_words / 0.5 <= result.cycles <= 1.05 * result.loaded_words / 0.5


def test_a_gemm_of_1024_cubed_with_traffic_and_stalls_takes_under_a_tenth_of_a_second():
    gemm, ports = Gemm(m=1024, n=1024, k=1024), Ports(load_words_per_cycle=40, store_words_per_cycle=20)
    for dataflow in DATAFLOWS:
        array = ArraySpec(rows=32, cols=32, dataflow=dataflow)
        fed(array, gemm, ports)  # compiled
        start = time.perf_counter()
        fed(array, gemm, ports)
        traffic(array, gemm)
        assert time.perf_counter() - start < 0.1


def walk(begin, release, done, burst, load, store):
    """The rules of the fed array, looked at in every cycle; returns the end of the last store."""
    count, now, loads = len(begin), 0, 0
    loaded, began, left, stored = {}, {}, {}, {}
    port_free = 0
    while len(began) < count:
        while loads < count and now >= port_free and (loads < 2 or left.get(loads - 2, now + 1) <= now):
            loaded[loads] = port_free = now + load[loads]
            loads += 1
        tile = len(began)
        late = began[tile - 1] - begin[tile - 1] if tile else 0
        room = tile < 2 or stored[tile - 2] <= now + done[tile] - burst
        if loaded.get(tile, now + 1) <= now and now >= begin[tile] + late and room:
            began[tile], left[tile] = now, now + release[tile]
            stored[tile] = max(stored.get(tile - 1, 0), now + done[tile]) + store[tile]
            continue
        now += 1
    return began, max(stored.values())


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_the_recurrence_equals_a_walk_over_every_cycle(data):
    count = data.draw(st.integers(1, 8))
    numbers = st.lists(st.integers(0, 12), min_size=count, max_size=count)
    begin = np.cumsum(data.draw(numbers))
    begin -= begin[0]
    release, done, load, store = (np.array(data.draw(numbers)) for _ in range(4))
    done = np.maximum(done, 1)
    burst = data.draw(st.integers(1, int(done.min())))
    total = int((begin + done).max())
    waits = _run(begin, release, done, burst, load, store, total)
    began, end = walk(begin.tolist(), release.tolist(), done.tolist(), burst, load.tolist(), store.tolist())
    assert sum(waits[:3]) == began[count - 1] - begin[count - 1]
    assert waits[0] == load[0]
    assert total + sum(waits) == max(end, total + sum(waits[:3]))


def test_a_port_without_bandwidth_is_refused():
    with pytest.raises(RuleError, match=r"load_words_per_cycle: must be > 0, or null for unlimited \(got 0"):
        Ports(load_words_per_cycle=0)
    assert msgspec.structs.asdict(Ports()) == {"load_words_per_cycle": None, "store_words_per_cycle": None}
