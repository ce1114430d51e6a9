"""Laws of the launch model: occupancy is the tightest limit, and more of anything is never slower."""

from __future__ import annotations

import math

import msgspec
import pytest

from einsim.accel.gpu.machine import load_gpu
from einsim.sim.gpu.case import Launch, Work, even
from einsim.sim.gpu.factors import Efficiency
from einsim.sim.gpu.kernels.gemm_f16 import VARIANTS, hot_requests
from einsim.sim.gpu.model import DramTraffic, first_wave, from_l2, launch_time, occupancy

GPU = load_gpu("h200-sxm")
LAUNCH = Launch(
    kernel="k", runs=even(300, 10), threads=256, registers=64, shared_bytes=20_000, stages=3, bytes_in_flight=64,
    step=Work(tensor_flops=10**6, shared_read_bytes=30_000, global_read_bytes=16_384, barriers=1),
    epilogue=Work(global_write_bytes=4096),
)  # fmt: skip
TRAFFIC = DramTraffic(dram_bytes=5e7, dram_write_bytes=1e6, missing=1.0)


def seconds(
    launch: Launch = LAUNCH, clock_hz: float = GPU.clock_hz, rate: float = 1.0, latency: float = 1.0
) -> float:
    return launch_time(launch, GPU, TRAFFIC, clock_hz, Efficiency(rate=rate, latency=latency)).seconds


@pytest.mark.parametrize(
    ("change", "blocks"),
    [
        ({}, 4),  # 65536 / (64 * 256)
        ({"registers": 32, "shared_bytes": 0}, 8),  # 64 warps of 8
        ({"registers": 65}, 3),  # 72 registers in eights
        ({"registers": 16, "threads": 32, "shared_bytes": 0}, 32),
        ({"shared_bytes": 100_000}, 2),  # 101024 of 233472
    ],
)
def test_occupancy_is_the_tightest_limit(change: dict[str, int], blocks: int) -> None:
    assert occupancy(msgspec.structs.replace(LAUNCH, **change), GPU) == blocks


def test_no_launch_beats_its_bounds() -> None:
    time = launch_time(LAUNCH, GPU, TRAFFIC, GPU.clock_hz, Efficiency())
    assert time.seconds >= max(time.bounds.values()) + GPU.overhead.launch_s


def test_a_higher_clock_or_rate_or_less_latency_is_never_slower() -> None:
    assert seconds(clock_hz=GPU.clock_hz) <= seconds(clock_hz=0.8 * GPU.clock_hz)
    assert seconds(rate=1.2) <= seconds(rate=1.0)
    assert seconds(latency=0.5) <= seconds(latency=1.0)


def test_more_steps_and_more_blocks_are_never_faster() -> None:
    for blocks, steps in ((300, 20), (600, 10), (301, 10)):
        more = msgspec.structs.replace(LAUNCH, runs=even(blocks, steps))
        assert seconds(more) >= seconds() * (1 - 1e-9)


def test_rows_beyond_the_matrix_ask_for_one_line_and_can_only_cost() -> None:
    tiling = VARIANTS["256x128x64s3"]
    assert hot_requests(256, 1280, 4096, tiling) == 0
    assert hot_requests(128, 1280, 4096, tiling) == 128 * 10 * 4096 * 2 // 512
    free = seconds(msgspec.structs.replace(LAUNCH, hot_requests=10))
    assert free == pytest.approx(seconds(), rel=1e-5)
    many = seconds(msgspec.structs.replace(LAUNCH, hot_requests=10**8))
    lines = LAUNCH.grid / GPU.sms  # blocks of an SM that come after one another are at other lines
    assert many >= 10**8 / GPU.l2_line_requests / math.sqrt(lines) / GPU.clock_hz > free
    edges = seconds(msgspec.structs.replace(LAUNCH, edge_rows=10**8))
    assert edges >= 10**8 / GPU.l2_edge_rows / GPU.clock_hz


def test_one_warp_a_scheduler_pays_for_pipes_that_take_turns() -> None:
    turns = msgspec.structs.replace(
        LAUNCH, in_turn=True, runs=even(132, 1000), step=Work(tensor_flops=10**6, sfu_ops=10**4)
    )
    at_once = msgspec.structs.replace(turns, in_turn=False)
    assert seconds(turns) == seconds(at_once)  # eight warps: two a scheduler
    four = [msgspec.structs.replace(each, threads=128) for each in (turns, at_once)]
    assert seconds(four[0]) > 1.05 * seconds(four[1])


def test_a_walk_in_passes_waits_for_l1_l2_or_dram() -> None:
    one = msgspec.structs.replace(
        LAUNCH, stages=1, waits=(4, 8), unique_read_bytes=300 * 4096, runs=even(300, 1)
    )
    wide = msgspec.structs.replace(one, unique_read_bytes=300 * 400_000)  # a row that L1 doesn't hold
    assert from_l2(one, GPU, again=True) == 0.0
    assert from_l2(wide, GPU, again=True) == 1.0
    assert seconds(wide) > seconds(one)
    assert seconds(msgspec.structs.replace(one, waits=(8, 8))) > seconds(one)


PRODUCTS = Launch(
    kernel="p", runs=even(132, 64), threads=384, registers=168, shared_bytes=200_000, stages=4, products=True,
    bytes_in_flight=512, step=Work(wgmma_flops=4 * 10**6, shared_read_bytes=80_000, global_read_bytes=49_152),
    unique_read_bytes=10**6,
)  # fmt: skip


def step_of(launch: Launch, **work: int) -> Launch:
    return msgspec.structs.replace(launch, step=msgspec.structs.replace(launch.step, **work))


def test_operands_of_warp_groups_hide_behind_their_products_until_shared_memory_is_the_longer() -> None:
    tensor = PRODUCTS.step.wgmma_flops / GPU.sm.wgmma_flops
    hidden = int(0.99 * tensor * GPU.sm.shared_bytes_per_clock)
    assert seconds(step_of(PRODUCTS, shared_read_bytes=hidden)) == seconds(
        step_of(PRODUCTS, shared_read_bytes=0)
    )
    assert seconds(step_of(PRODUCTS, shared_read_bytes=2 * hidden)) > 1.8 * seconds(PRODUCTS)
    # by mma.sync a warp reads them itself
    own = msgspec.structs.replace(PRODUCTS, products=False)
    assert seconds(own) > seconds(PRODUCTS)


def test_groups_that_compute_on_their_products_take_longer_than_the_chain_and_than_the_busiest_pipe() -> None:
    turning = msgspec.structs.replace(PRODUCTS, in_turn=True)
    computing = step_of(turning, sfu_ops=16_384, alu_ops=80_000)
    clocks = seconds(computing) * GPU.clock_hz / 64
    threads = computing.threads - 128
    chain = (16_384 + 80_000) / threads * GPU.latency.dependent
    tensor = computing.step.wgmma_flops / GPU.sm.wgmma_flops
    assert max(chain + tensor / 4, tensor, 16_384 / GPU.sm.sfu) < clocks < 1.2 * (chain + tensor / 4 + tensor)


def test_what_all_blocks_read_is_in_dram_for_the_first_of_them_only() -> None:
    alone = Launch(
        kernel="r", runs=even(132, 8), threads=256, registers=32, bytes_in_flight=16, waits=(4, 20),
        step=Work(alu_ops=2560, global_read_bytes=4096), unique_read_bytes=132 * 8 * 2048,
    )  # fmt: skip
    quiet = DramTraffic(dram_bytes=1e4, dram_write_bytes=0.0, missing=1.0)

    def clocks(launch: Launch) -> float:
        return launch_time(launch, GPU, quiet, GPU.clock_hz, Efficiency()).seconds * GPU.clock_hz

    waiting = msgspec.structs.replace(alone, shared_waits=16)
    beyond = GPU.latency.dram - GPU.latency.l2
    assert clocks(waiting) - clocks(alone) == pytest.approx(16 * beyond, rel=0.05)
    assert first_wave(waiting, GPU) == 1.0
    slots = 132 * occupancy(alone, GPU)
    assert first_wave(msgspec.structs.replace(waiting, runs=even(10 * slots, 8)), GPU) == pytest.approx(0.1)
