"""FuseMax's tiles by hand: what one tile of 256 keys by 256 queries takes on each array.

2D, in cycles: BQK E, max 1, exp as six macs behind an add 7, sum 1, SLNV F (the max is visible 256 later).
1D: RM 1, PRM 7, SPD 1, RD 1, SPNV F, RNV F, and the final division F once for all M1 tiles.
"""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.workloads.load import load_workload

WIDTH = 256


def run(template, seq, e=64, heads=1):
    machine = load_machine("fusemax-cloud")
    sizes = {"m": str(seq), "p": str(seq), "e": str(e), "f": str(e), "b": "1", "h": str(heads)}
    work = load_workload("attention-1pass", sizes)
    program = lower(build_mapping(work, machine, template), work, machine)
    tiles = heads * (seq // WIDTH) ** 2
    return tiles, program, machine


def tile_2d(e):
    return e + 1 + 7 + 1 + e


def tile_1d(e):
    return 1 + 7 + 1 + 1 + e + e


def test_every_operation_of_a_tile():
    _, program, _ = run("fusemax-interleaved", 1024)
    found = {}
    for op in program.ops:
        if op.kind == "compute":
            (cost,) = op.costs.values()
            found[op.name] = (op.engine, cost.ticks // program.ticks_per_cycle)
    assert found == {
        "BQK": ("array2d", 64), "LM": ("array2d", 1), "RM": ("array1d", 1), "SLN": ("array2d", 7),
        "SLD": ("array2d", 1), "PRM": ("array1d", 7), "SPD": ("array1d", 1), "RD": ("array1d", 1),
        "SLNV": ("array2d", 64), "SPNV": ("array1d", 64), "RNV": ("array1d", 64), "AV": ("array1d", 64),
    }  # fmt: skip
    maximum = next(op for op in program.ops if op.name == "LM")
    assert maximum.latency_ticks == 256 * program.ticks_per_cycle


@pytest.mark.parametrize(("seq", "e"), [(1024, 64), (4096, 64), (4096, 128), (16384, 64)])
def test_interleaved_tiles_keep_the_vector_array_busy(seq, e):
    """138 + 64 / M1 cycles a tile at E = F = 64; the analytical model is exactly that."""
    tiles, program, machine = run("fusemax-interleaved", seq, e)
    steps = seq // WIDTH
    found = analyse(program, machine)
    assert found.bound_by["array2d"] == tiles * tile_2d(e)
    assert found.bound_by["array1d"] == tiles * tile_1d(e) + (tiles // steps) * e
    assert found.cycles == max(found.bound_by["array2d"], found.bound_by["array1d"])
    if e == 64:
        assert found.cycles * steps == tiles * (138 * steps + 64)


@pytest.mark.parametrize(("seq", "e"), [(1024, 64), (4096, 64), (4096, 128)])
def test_stalled_tiles_wait_for_their_maximum(seq, e):
    """458 cycles a tile at E = F = 64: E, 1, the 256 of the max, RM 1, the longer of both middles, F."""
    tiles, program, machine = run("fusemax-stalled", seq, e)
    middle = 7 + 1 + e  # SLN, SLD and SLNV on one array, PRM, SPD and SPNV on the other: the same
    tile = e + (1 + 256) + 1 + middle + e
    assert tile == 458 or e != 64
    found = analyse(program, machine)
    chain = tiles * (tile - 1) + e  # RM and PRM take turns on their array, not for want of data; AV is last
    assert found.cycles == max(tiles * tile, chain)


@pytest.mark.parametrize("template", ["fusemax-interleaved", "fusemax-stalled"])
def test_the_simulator_adds_only_filling_and_draining(template):
    """The gap to the bound is paid once for a block of queries, so it doesn't grow with the keys' tiles."""
    shares = []
    for seq in (4096, 16384):
        _, program, machine = run(template, seq)
        bound, found = analyse(program, machine), simulate(program, machine)
        assert bound.cycles <= found.cycles <= 1.05 * bound.cycles
        assert bound.traffic == found.traffic
        shares.append(found.cycles / bound.cycles)
    assert shares[1] <= shares[0]


def test_the_stall_of_the_maximum_is_a_dependency():
    tiles, program, machine = run("fusemax-stalled", 4096)
    stalls = simulate(program, machine).stalls_by_unit["array2d"]
    waiting = tiles * (458 - tile_2d(64))
    assert abs(stalls["dependency"] - waiting) <= 0.01 * waiting
    assert stalls["bandwidth"] == 0


@pytest.mark.parametrize("template", ["fusemax-interleaved", "fusemax-stalled"])
@pytest.mark.parametrize("seq", [1, 128, 256])
def test_a_lone_step_finds_the_initial_state_and_waits_for_none(seq: int, template: str) -> None:
    machine = load_machine("fusemax-cloud")
    work = load_workload("attention-1pass", {"seq": str(seq), "b": "1", "h": "2"})
    program = lower(build_mapping(work, machine, template), work, machine)
    bound, found = analyse(program, machine), simulate(program, machine)
    assert found.traffic == bound.traffic
    assert found.cycles >= bound.cycles
