"""Blocks dealt to cores: waves and tails, tenants, shares of what all cores share, bytes that cross once."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.launch import LaunchCost
from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.accel.power import Power
from einsim.accel.registers import RegisterFile
from einsim.dataflow.analytical import analyse
from einsim.dataflow.dealt import Deal, block_of, blocks_of, core_of, dealt_order, reads_of, tenants
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, chain, keep
from einsim.sim.dealing import deal_out
from einsim.sim.engine import simulate
from einsim.specs.errors import SpecError
from einsim.workloads.notation import parse

GHZ = 10**9
CORES = 8
FREE = LaunchCost()


def machine(*, shared=64, dram=32, latency=0, room=2**20, launch=FREE, cores=CORES, power=None):
    memories = (
        Memory(name="dram", parent=None, capacity_bytes=None, read_bytes_per_s=dram * GHZ, write_bytes_per_s=None,
               latency_cycles=latency, read_pj=10.0, write_pj=10.0),
        Memory(name="l2", parent="dram", capacity_bytes=room, read_bytes_per_s=shared * GHZ, write_bytes_per_s=None,
               latency_cycles=latency // 2, read_pj=3.0, write_pj=3.0),
        Memory(name="near", parent="l2", copies=cores, capacity_bytes=cores * 2**16, read_bytes_per_s=cores * 64 * GHZ,
               write_bytes_per_s=None, read_pj=1.0, write_pj=1.0),
    )  # fmt: skip
    unit = Unit(
        name="mm", kind="array", dims={"cores": cores, "rows": 8, "cols": 8}, reads_from="near",
        ops={"mac": OpCost(energy_pj=1.0, latency_cycles=20)},
        registers=RegisterFile(bytes_per_pe=64, read_pj=0.0, write_pj=0.0),
    )  # fmt: skip
    return Machine(
        name="many", family="generic", clock_hz=float(GHZ), memories=memories, units=(unit,), multicast=False,
        leakage_w=0.5, launch=launch, power=power,
    )  # fmt: skip


def product(m, n, k=64):
    return parse("Z[m,n] = A[m,k] * B[k,n]", name="product", sizes={"m": m, "n": n, "k": k})


def deal(slots=1, together=1, buffers=2, step=8):
    leaf = Compute(einsum="Z", unit="mm", spatial={"rows": ("m",), "cols": ("n",)})
    tree = chain(keep("Z", "mm", buffers=1), ("k", step), keep("A B", "near", buffers=buffers), leaf)
    block = Mapping(cascade="product", machine="many", template="by hand", tree=tree)
    return Deal(block=block, tiles={"m": 16, "n": 16}, through="l2", slots=slots, together=together)


def one(here, chip, work, given, missing):
    """Seconds of so many blocks on a core of a machine that is all at work."""
    core = core_of(chip, given, CORES, missing)
    return simulate(tenants(lower(given.block, block_of(given, work), core), here), core).latency_s


@pytest.mark.parametrize("waves", [1, 2, 3, 7])
@pytest.mark.parametrize("slots", [1, 2])
def test_whole_waves_take_so_many_times_what_one_takes(waves, slots):
    chip, given = machine(), deal(slots)
    work = product(16 * waves, 16 * CORES * slots)
    missing = [min(1.0, size) for size in _missing(chip, given, work)]
    found = deal_out(given, work, chip)
    assert found.latency_s == pytest.approx(waves * one(slots, chip, work, given, tuple(missing)), rel=1e-9)


def _missing(chip, given, work):
    reads = reads_of(given, work, chip)
    through = 2 * 16 * 64 * 2 * blocks_of(given, work)
    return (reads.outside["A"] + reads.outside["B"]) / through, 1.0


def test_a_tail_takes_a_wave_of_fewer_cores():
    """Nine blocks on eight cores: the ninth has the shared memory's rate for an eighth of the cores."""
    chip, given = machine(shared=16, dram=10**6), deal()
    whole = deal_out(given, product(16, 16 * 8), chip).latency_s
    more = deal_out(given, product(16, 16 * 9), chip).latency_s
    core = core_of(chip, given, 1, (0.01, 0.01))
    alone = simulate(lower(given.block, block_of(given, product(16, 16)), core), core).latency_s
    assert alone < whole
    assert more == pytest.approx(whole + alone, rel=0.02)


def test_slots_hide_latency_and_never_take_longer_than_in_turn():
    chip = machine(latency=200)
    work = product(16 * 4, 16 * CORES)
    times = [deal_out(deal(slots), work, chip).latency_s for slots in (1, 2, 4)]
    assert times == sorted(times, reverse=True)
    assert times[2] < 0.6 * times[0]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 7), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3), st.sampled_from([4, 16, 64]),
    st.sampled_from([2, 8, 100]), st.sampled_from([0, 30]), st.sampled_from([2**12, 2**20]),
)  # fmt: skip
def test_the_analytical_level_is_a_lower_bound_with_the_same_bytes_and_energy_of_actions(
    m, n, slots, buffers, shared, dram, latency, room
):
    chip, work = machine(shared=shared, dram=dram, latency=latency, room=room), product(16 * m, 16 * n, 24)
    given = deal(slots, together=2, buffers=buffers)
    bound, ran = (deal_out(given, work, chip, level=level) for level in ("analytical", "sim"))
    assert bound.latency_s <= ran.latency_s * (1 + 1e-9)
    assert bound.traffic == ran.traffic
    actions = [{k: v for k, v in each.energy_by.items() if k != "leakage"} for each in (bound, ran)]
    assert actions[0] == actions[1]
    for each in (bound, ran):
        assert all(sum(rows.values()) == each.cycles for rows in each.breakdown_by_unit.values())


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_blocks_are_walked_in_groups_of_rows(m, n, together):
    twin = [
        (row, col)
        for first in range(0, m, together) for col in range(n) for row in range(first, min(m, first + together))
    ]  # fmt: skip
    found = dealt_order(deal(together=together), product(16 * m, 16 * n))
    assert [tuple(map(int, place)) for place in found] == (
        twin if together > 1 else [(row, col) for row in range(m) for col in range(n)]
    )


@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 4), st.integers(1, 2))
def test_what_does_not_fit_is_read_once_for_each_wave_that_shares_it(m, n, together, slots):
    given, work = deal(slots, together), product(16 * m, 16 * n)
    small, large = machine(room=1), machine(room=2**30)
    order = [tuple(map(int, place)) for place in dealt_order(given, work)]
    waves = [order[at : at + CORES * slots] for at in range(0, len(order), CORES * slots)]
    rows = sum(len({row for row, _ in wave}) for wave in waves)
    cols = sum(len({col for _, col in wave}) for wave in waves)
    part = 16 * 64 * 2
    assert reads_of(given, work, small).outside == {
        "A": rows * part,
        "B": cols * part,
        "Z": m * n * 16 * 16 * 2,
    }
    assert reads_of(given, work, large).outside["A"] == m * part
    assert reads_of(given, work, large).outside["B"] == n * part


def test_what_a_cache_of_least_recent_use_reads_is_no_less_than_the_rule_says_where_all_fits():
    """Blocks of a wave read step by step; a cache that holds all of both operands misses each line once."""
    given, work, chip = deal(together=4), product(16 * 6, 16 * 10), machine()
    order = dealt_order(given, work)
    seen, missed = set(), 0
    for at in range(0, len(order), CORES):
        for step in range(8):
            for row, col in order[at : at + CORES]:
                for line in (("A", int(row), step), ("B", int(col), step)):
                    missed += line not in seen
                    seen.add(line)
    found = reads_of(given, work, chip).outside
    assert found["A"] + found["B"] == missed * 16 * 8 * 2


def test_tenants_share_a_cores_engines():
    chip, given, work = machine(latency=40), deal(), product(16, 16)
    core = core_of(chip, given, 1)
    program = lower(given.block, block_of(given, work), core)
    alone, busy = simulate(program, core), analyse(program, core).bound_by
    for count in (2, 3, 5):
        both = simulate(tenants(program, count), core)
        assert both.cycles <= count * alone.cycles
        assert both.cycles >= count * max(value for name, value in busy.items() if name != "schedule")
        assert both.traffic["near"] == {name: count * size for name, size in alone.traffic["near"].items()}
        assert both.cycles == simulate(tenants(program, count), core, jump=False).cycles


def test_no_more_blocks_are_handed_out_than_the_front_end_can():
    launch = LaunchCost(per_block_s=1e-6, block_start_s=3e-6, start_s=5e-6)
    work = product(16 * 4, 16 * CORES)
    chip, free = machine(launch=launch), machine()
    found = deal_out(deal(), work, chip).latency_s
    assert found >= 5e-6 + 4 * CORES * 1e-6
    last = deal_out(deal(), product(16, 16), free).latency_s
    assert found <= 5e-6 + 4 * CORES * 1e-6 + 3e-6 + 2 * last
    assert deal_out(deal(), product(16, 16), chip).latency_s == pytest.approx(8e-6 + last, rel=1e-6)


@pytest.mark.parametrize("level", ["analytical", "sim"])
def test_a_dealt_run_meets_the_power_cap_too(level):
    work, given = product(16 * 6, 16 * CORES * 2), deal(2)
    free = deal_out(given, work, machine(), level=level)
    cap = 0.5 + (free.power_w - 0.5) * 0.6
    held = deal_out(given, work, machine(power=Power(cap_w=cap)), level=level)
    assert held.power_w == pytest.approx(cap, rel=1e-5)
    assert held.latency_s > free.latency_s


def test_more_of_what_cores_share_is_never_slower():
    work = product(16 * 3, 16 * CORES)
    times = [deal_out(deal(2), work, machine(shared=rate)).latency_s for rate in (2, 4, 8, 16, 64, 256)]
    assert times == sorted(times, reverse=True)


def test_a_hundred_and_thirty_two_cores_are_dealt_to_at_once():
    chip, work = machine(cores=132), product(16 * 64, 16 * 132)
    found = deal_out(deal(2, together=8), work, chip)
    assert found.utilization["mm"] == pytest.approx(
        64 * 132 * 16 * 16 * 64 / 64 / (132 * found.latency_s * GHZ), rel=1e-6
    )
    assert math.isfinite(found.latency_s)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"tiles": {"k": 8}}, r"deal\.tiles\.k: each block must compute results of its own"),
        ({"tiles": {"m": 15}}, r"deal\.tiles\.m: must divide the 64 points"),
        ({"tiles": {"x": 1}}, r"deal\.tiles\.x: no rank of this name"),
        ({"tiles": {}}, "must name a rank"),
        ({"through": "near"}, "must be one memory for all cores"),
        ({"through": "l3"}, "no memory of this name"),
        ({"slots": 0}, r"deal\.slots: must be >= 1"),
        ({"together": 0}, r"deal\.together: must be >= 1"),
    ],
)
def test_what_cannot_be_dealt_is_refused(change, rule):
    with pytest.raises(SpecError, match=rule):
        deal_out(msgspec.structs.replace(deal(), **change), product(64, 64), machine())


def test_machines_whose_cores_share_reads_are_refused():
    with pytest.raises(SpecError, match="needs multicast: false"):
        deal_out(deal(), product(64, 64), msgspec.structs.replace(machine(), multicast=True))
    assert np.isfinite(deal_out(deal(), product(64, 64), machine()).latency_s)
