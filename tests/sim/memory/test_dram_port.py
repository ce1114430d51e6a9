"""A machine whose DRAM is timed: the same traffic, never ahead of the pipe, and the jump stays exact."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.accel.memory import Memory
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Keep, Loop
from einsim.dataflow.templates import build_mapping
from einsim.sim.dram.controller import Controller
from einsim.sim.dram.simulate import Requests
from einsim.sim.dram.simulate import simulate as simulate_requests
from einsim.sim.dram.standard import FOLDER, names, standard
from einsim.sim.engine import Simulation, simulate
from einsim.sim.memory.dram_port import DramPort
from einsim.sim.memory.timed import dram
from einsim.sim.memory.timed import timed as with_port
from einsim.specs.errors import SpecError
from einsim.workloads.load import load_workload
from tests.dataflow.cases import program_case
from tests.sim.memory.small_dram import FILES, timed

TICKS = 7  # to a clock


def attention(**overrides):
    chip = load_machine("flat-cloud", {"array.rows": "8", "array.cols": "8", "vector.lanes": "8"} | overrides)
    values = {"passes": "3", "b": "1", "h": "4", "e": "16", "f": "16", "m": "256", "p": "256"}
    cascade = load_workload("attention", values)
    return lower(build_mapping(cascade, chip, "unfused"), cascade, chip), chip


def long_run(chip):
    """Attention of many heads, branch by branch, 16 rows of its softmax at a time."""
    values = {"passes": "3", "b": "2", "h": "64", "e": "64", "f": "64", "m": "64", "p": "64"}
    cascade = load_workload("attention", values)
    mapping = build_mapping(cascade, chip, "unfused")
    return lower(msgspec.structs.replace(mapping, tree=by_rows(mapping.tree)), cascade, chip)


def by_rows(node):
    if isinstance(node, Compute):
        return node
    if isinstance(node, Loop | Keep):
        rows = {"tile": 16} if isinstance(node, Loop) and node.rank == "p" and node.tile < 16 else {}
        return msgspec.structs.replace(node, body=by_rows(node.body), **rows)
    return type(node)(children=tuple(by_rows(child) for child in node.children))


def ran(program, chip, *, jump):
    program, ports = with_port(program, chip)
    run = Simulation(program, jump, ports=ports)
    run.go()
    return run, msgspec.structs.replace(run.result(chip), timeline=())


@pytest.mark.parametrize(
    ("refresh", "programs", "jumps"),
    [("average", 16, 1), ("exact", 5, 0), pytest.param("average", 40, 3, marks=pytest.mark.slow)],
)
def test_jump_equals_the_plain_run_with_timing_on(refresh, programs, jumps):
    """Time, traffic, energy by command, stalls and reasons; on standards whose rows come round quickly."""
    seed = done = jumped = 0
    while done < programs:
        seed += 1
        case = program_case(seed, largest=24)
        if case is None:
            continue
        work, chip, mapping = case
        pipe, chip = timed(chip, FILES[names()[seed % len(names())]], refresh=refresh)
        program = lower(mapping, work, chip)
        (_, plain), (run, result) = ran(program, chip, jump=False), ran(program, chip, jump=True)
        assert plain == result, seed
        ideal = lower(mapping, work, pipe)
        assert result.traffic == simulate(ideal, pipe).traffic
        assert result.cycles >= analyse(ideal, pipe).cycles
        done, jumped = done + 1, jumped + (run.skipped > 0)
    assert jumped >= jumps


def test_a_long_run_of_a_real_standard_jumps_and_is_the_plain_run():
    _, chip = attention(**{"dram.bandwidth": "25GB/s", "dram.timing": "ddr4-3200"})
    program = long_run(chip)
    (_, plain), (run, result) = ran(program, chip, jump=False), ran(program, chip, jump=True)
    assert plain == result
    assert run.skipped > 0.3 * run.ledger.last


class Somewhere:
    """Addresses that are said, not derived: `submit`'s position is the piece itself."""

    tensors = 3

    def pieces(self, op, key, position):
        return np.array([position], np.int64)

    def rows(self, pieces):
        return np.zeros(len(pieces), np.int64), (0,) * len(pieces)


def port_of(chosen, *, refresh="average", engines=1, row_hit_cap=0):
    memory = Memory(
        name="dram", parent=None, capacity_bytes=None, read_bytes_per_s=1, write_bytes_per_s=None,
        timing=chosen.name, refresh=refresh, row_hit_cap=row_hit_cap,
    )  # fmt: skip
    return DramPort(memory, chosen, TICKS, Somewhere(), engines)


def carried(port, transfers):
    """Ends in ticks of transfers (arrival in ticks, first byte, bytes, write), as an engine would see them."""
    ends, slots = [0] * len(transfers), {}

    def until(now):
        while -1 < (upcoming := port.upcoming()) <= now:
            for slot in port.ended(upcoming):
                ends[slots.pop(slot)] = upcoming

    for number, (arrival, first, size, write) in enumerate(transfers):
        until(arrival)
        actor = SimpleNamespace(op=SimpleNamespace(id=number), position=(first, size, 0, 0, write, 1))
        slots[port.submit(actor, (), arrival, 0)] = number
    until(1 << 60)
    return ends


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(names()), st.integers(0, 10**6), st.booleans(), st.sampled_from([0, 40, 700]))
def test_transfers_end_when_the_whole_stream_of_their_bursts_says(name, seed, refresh, gap):
    """Seven transfers at random times and places are one stream of requests that was known beforehand."""
    chosen, rng = standard(name), np.random.default_rng(seed)
    burst, arrivals = chosen.burst_bytes, np.cumsum(rng.integers(0, gap + 1, 7))
    places = rng.integers(0, 5000, 7) * burst
    sizes = rng.integers(1, 200, 7) * burst
    writes = rng.integers(0, 2, 7)
    transfers = list(
        zip((arrivals * TICKS).tolist(), places.tolist(), sizes.tolist(), writes.tolist(), strict=True)
    )
    addr = np.concatenate([place + np.arange(0, size, burst) for _, place, size, _ in transfers])
    owner = np.repeat(np.arange(7), sizes // burst)
    known = simulate_requests(
        chosen, Requests(addr, writes[owner], arrivals[owner]), Controller(refresh=refresh)
    )
    ends = [int(known.finish[owner == number].max()) * TICKS for number in range(7)]
    port = port_of(chosen, refresh="exact" if refresh else "average")
    assert carried(port, transfers) == ends
    port._run(port.ahead, 1 << 60, -1)
    for kind in range(4):  # ACT, PRE, RD, WR; refreshes go on after the last data in either
        assert int(port.ahead.channels.counts[:, kind].sum()) == known.commands.count(kind)


def test_transfers_of_one_bank_contend_and_those_of_two_do_not():
    """Tiles of one column of bursts: another row of the same bank waits for tRC, another bank does not."""
    chosen = msgspec.structs.replace(
        dram("ddr4-3200", 1), mapping=("row", "bank", "column", "group", "channel")
    )
    clocks, org = chosen.timing.clocks, chosen.organisation
    burst = chosen.burst_bytes
    bank = burst * org.bank_groups.value * org.bursts_per_row.value
    row = bank * org.banks_per_group.value
    same = carried(port_of(chosen), [(0, row * number, burst, 0) for number in range(6)])
    other = carried(port_of(chosen), [(0, bank * (number % 4), burst, 0) for number in range(4)])
    assert same[5] - same[4] == clocks.t_rc * TICKS
    assert other[3] - other[2] == max(clocks.t_rrd_l, clocks.t_ccd_l) * TICKS
    hits = carried(port_of(chosen), [(0, 0, burst, 0), (5000 * TICKS, burst * 4, burst, 0)])
    assert hits[1] == (5000 + clocks.cl + clocks.burst) * TICKS  # the row is open since the first


def test_a_change_of_direction_costs_the_turnaround():
    chosen = dram("ddr4-3200", 1)
    clocks, burst = chosen.timing.clocks, chosen.burst_bytes
    port = port_of(chosen)
    ends = carried(port, [(0, 0, burst, 0), (1, burst, burst, 1)])
    assert ends[1] - ends[0] == (clocks.t_rtw + clocks.cwl - clocks.cl) * TICKS


@pytest.mark.parametrize("name", ["ddr4-3200", "lpddr4x-4266"])
def test_a_run_bound_by_dram_gets_what_sequential_streams_get(name):
    peak = f"{dram(name, 0).peak_bytes_per_s / 1e9}GB/s"
    program, chip = attention(**{"dram.bandwidth": peak})
    ideal = simulate(program, chip)
    program, chip = attention(**{"dram.bandwidth": peak, "dram.timing": name})
    real = simulate(program, chip)
    moved = real.dram_bytes / real.latency_s / dram(name, 0).peak_bytes_per_s
    assert ideal.cycles < real.cycles
    assert moved <= 0.97
    assert real.traffic == ideal.traffic
    assert real.stalls_by_unit["array2d"]["bandwidth"] > ideal.stalls_by_unit["array2d"]["bandwidth"]


def test_refresh_by_bank_is_a_key_of_the_machine_and_costs_less_than_all_banks_at_once():
    took, energy = {}, {}
    for refresh in ("exact", "per-bank"):
        dram_keys = {"dram.bandwidth": "1TB/s", "dram.timing": "lpddr4x-4266", "dram.refresh": refresh}
        program, chip = attention(**dram_keys)
        result = simulate(program, chip)
        took[refresh], energy[refresh] = result.cycles, result.energy_by["dram refresh"] / result.latency_s
    assert took["per-bank"] < took["exact"]
    assert energy["per-bank"] == pytest.approx(energy["exact"], rel=0.05)  # the same rows are refreshed
    program, chip = attention(**{"dram.timing": "ddr4-3200", "dram.refresh": "per-bank"})
    with pytest.raises(
        SpecError, match=r"accel.dram.refresh: 'per-bank' needs a standard that states timing.t_rfc"
    ):
        simulate(program, chip)


def test_a_row_hit_cap_is_a_key_of_the_machine_that_shares_a_bank_out():
    """Two transfers of one bank: without a cap the rows of the first come first, with one they take turns."""
    chosen = msgspec.structs.replace(
        dram("ddr4-3200", 1), mapping=("row", "bank", "column", "group", "channel")
    )
    burst, org = chosen.burst_bytes, chosen.organisation
    row = burst * org.bank_groups.value * org.bursts_per_row.value * org.banks_per_group.value
    ends = {}
    for cap in (0, 2):
        port = port_of(chosen, engines=2, row_hit_cap=cap)
        ends[cap] = carried(port, [(0, 0, 128 * burst, 0), (0, row, 4 * burst, 0)])
    assert ends[2][1] < 0.7 * ends[0][1]
    _, chip = attention(**{"dram.timing": "ddr4-3200", "dram.row_hit_cap": "2"})
    assert chip.dram.row_hit_cap == 2
    with pytest.raises(SpecError, match=r"row_hit_cap: needs a timing, whose rows it is for \(got 2\)"):
        attention(**{"dram.row_hit_cap": "2"})


def with_options(path, text):
    """A standard with two ranks, as a user would write it."""
    text = text.replace("[row,", "[row, rank,")
    text = text.replace("  rows:", "  ranks: {value: 2, source: two}\n  rows:")
    path.write_text(text.replace("  cl:", "  t_rtrs: {value: 3, source: x}\n  cl:"), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("refresh", "cap"), [("exact", 3), ("per-bank", 1)])
def test_jump_equals_the_plain_run_with_every_option_on(tmp_path, refresh, cap):
    """Ranks, a row-hit cap, precharge standby, each way to refresh: the same time and energy by command."""
    name = with_options(tmp_path / "all.yaml", Path(FILES["lpddr4x-4266"]).read_text(encoding="utf-8"))
    seed = done = 0
    while done < 6:
        seed += 1
        case = program_case(seed, largest=24)
        if case is None:
            continue
        work, chip, mapping = case
        _, chip = timed(chip, name, refresh=refresh, row_hit_cap=cap)
        program = lower(mapping, work, chip)
        (_, plain), (_, result) = ran(program, chip, jump=False), ran(program, chip, jump=True)
        assert plain == result, seed
        background = result.energy_by["dram background"]
        table = standard(name).energy
        least, most = (
            watts.value * result.latency_s for watts in (table.precharge_standby_w, table.background_w)
        )
        assert least <= background < most
        done += 1


def test_a_long_run_jumps_with_ranks_a_cap_and_standby(tmp_path):
    name = with_options(tmp_path / "all.yaml", (FOLDER / "ddr4-3200.yaml").read_text(encoding="utf-8"))
    _, chip = attention(**{"dram.bandwidth": "25GB/s", "dram.timing": name, "dram.row_hit_cap": "16"})
    program = long_run(chip)
    (_, plain), (run, result) = ran(program, chip, jump=False), ran(program, chip, jump=True)
    assert plain == result
    assert run.skipped > 0.05 * run.ledger.last


@pytest.mark.parametrize(
    "name", [names()[0], *(pytest.param(n, marks=pytest.mark.slow) for n in names()[1:])]
)
def test_refresh_where_it_falls_costs_what_it_costs_on_average(name):
    took = {}
    for refresh in ("average", "exact"):
        program, chip = attention(**{"dram.bandwidth": "1TB/s", "dram.timing": name, "dram.refresh": refresh})
        took[refresh] = simulate(program, chip).cycles
    clocks = standard(name).timing.clocks
    reopening = (clocks.t_rp_all + clocks.t_rcd_read + clocks.t_ras) / clocks.t_refi
    assert took["exact"] == pytest.approx(took["average"], rel=0.03 + reopening)


def test_energy_is_by_command_and_says_where_its_figures_are_from():
    program, chip = attention(**{"dram.bandwidth": "25GB/s", "dram.timing": "hbm2e"})
    pipe_program, pipe = attention(**{"dram.bandwidth": "25GB/s"})
    run, result = ran(program, chip, jump=True)
    port, table, seconds = run.ports["dram"], dram("hbm2e", 0).energy, result.latency_s
    done = port.commands(seconds)
    expected = {
        "dram activate": done["activate"] * table.activate_pj.value * 1e-12,
        "dram read": done["read"] * table.read_pj.value * 1e-12,
        "dram write": done["write"] * table.write_pj.value * 1e-12,
        "dram refresh": done["refresh"] * table.refresh_pj.value * 1e-12,
    }
    background = result.energy_by["dram background"]
    assert (
        16 * table.precharge_standby_w.value * seconds < background < 16 * table.background_w.value * seconds
    )
    assert {name: result.energy_by[name] for name in expected} == pytest.approx(expected)
    assert "dram" not in result.energy_by
    assert sum(result.energy_by.values()) == pytest.approx(result.energy_j)
    assert done["refresh"] == int(seconds * 1.6e9 / 6240) * 16
    bursts = done["read"] + done["write"]
    assert bursts * 32 >= result.dram_bytes  # whole bursts
    note = next(note for note in result.notes if note.startswith("dram by hbm2e"))
    assert f"{bursts:,} bursts" in note
    assert table.activate_pj.source in note
    assert "hbm2e.energy.activate_pj" in result.assumed
    ideal = simulate(pipe_program, pipe)
    assert "dram" in ideal.energy_by
    assert {k: v for k, v in ideal.energy_by.items() if k not in ("dram", "leakage")} == {
        k: v for k, v in result.energy_by.items() if not k.startswith("dram") and k != "leakage"
    }


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (
            {"dram.timing_channels": "4"},
            "--set dram.timing_channels: needs a timing, whose channels it counts (got 4)",
        ),
        (
            {"dram.refresh": "exact"},
            "--set dram.refresh: needs a timing, whose refresh it is (got 'exact')",
        ),
        (
            {"dram.bandwidth": "9GB/s", "buffer_port.bandwidth": "9GB/s", "buffer_port.timing": "hbm2"},
            "--set buffer_port.timing: only DRAM, the memory without a parent, has one (got 'hbm2')",
        ),
    ],
)
def test_a_timing_that_makes_no_sense_is_refused(settings_, message):
    with pytest.raises(SpecError) as caught:
        load_machine("flat-cloud", settings_)
    assert str(caught.value) == message


def test_an_unknown_standard_is_refused_with_the_near_one():
    with pytest.raises(SpecError, match=r"dram: no standard of that name \(got 'hbm2f'\); did you mean"):
        dram("hbm2f", 0)


@pytest.mark.parametrize("clock", ["1.5Hz", "100kHz"])
def test_a_cycle_of_many_refreshes_is_refused_in_one_line(clock):
    slow = {"clock": clock, "dram.timing": "ddr4-3200", "dram.bandwidth": "25GB/s"}
    program, chip = attention(**slow)
    with pytest.raises(
        SpecError, match=r"^accel\.clock: must be >= 1\.282e\+05 Hz, one cycle a refresh, where dram "
    ):
        simulate(program, chip)


@pytest.mark.parametrize("refresh", ["exact", "average"])
def test_a_slow_clock_of_an_odd_rate_ends_as_late_as_the_pipe_alone(refresh):
    # A tick is so short there that the run's ticks pass 2^63.
    odd = {"clock": "200000.37Hz", "dram.bandwidth": "25GB/s"}
    ideal, chip = attention(**odd)
    program, timed_chip = attention(**odd, **{"dram.timing": "ddr4-3200", "dram.refresh": refresh})
    quick, slow = simulate(ideal, chip), simulate(program, timed_chip)
    assert with_port(program, timed_chip)[0].ticks_per_cycle * slow.cycles > 2**63
    assert quick.latency_s <= slow.latency_s < 1.01 * quick.latency_s
