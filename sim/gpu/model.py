"""The timing model of one kernel launch: occupancy, what its blocks cost on every pipe, its time on a GPU."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from einsim.accel.gpu.machine import Gpu
from einsim.sim.gpu.case import Launch, Work
from einsim.sim.gpu.dispatch import OVERLAP, makespan
from einsim.sim.gpu.factors import Efficiency

WARP = 32
GROUP = 128  # threads of a warp group
SCHEDULERS = 4  # of an SM; a block with one warp for each has no other to fill its waits [NVIDIA]
REGISTERS_UNIT = 8  # a thread's registers are given out in eights [CUDA occupancy calculator, 9.0]


class DramTraffic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What crosses DRAM in one launch: bytes, those of them written, the share of first reads that does, and
    that of reads of data read before.
    """

    dram_bytes: float
    dram_write_bytes: float
    missing: float
    lost: float = 0.0


class LaunchTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds of a launch, those of them that it takes to start, blocks resident on an SM, and seconds that
    each pipe alone would need.
    """

    seconds: float
    start_s: float
    residents: int
    bounds: dict[str, float]


def occupancy(launch: Launch, gpu: Gpu) -> int:
    """Blocks that an SM holds at once: warps, registers and shared memory, at least one."""
    sm = gpu.sm
    warps = -(-launch.threads // WARP)
    registers = -(-max(launch.registers, 1) // REGISTERS_UNIT) * REGISTERS_UNIT * warps * WARP
    limits = (
        sm.blocks,
        sm.warps // warps,
        sm.registers // registers,
        sm.shared_bytes // (launch.shared_bytes + sm.block_shared_bytes),
    )
    return max(1, min(limits))


def pipes(work: Work, gpu: Gpu, warps: int, far: float = 1.0, products: bool = False) -> tuple[float, ...]:
    """SM clocks that each pipe needs for the work: issue, FMA, SFU, tensor, shared memory, barriers, L2 port.

    far: share of the bytes read that doesn't come from L1. products: tiles come by TMA, at their own rate
    from L2, and are written to shared memory beside what warp groups read of it.
    """
    sm, far_read_bytes = gpu.sm, work.global_read_bytes * far
    port = gpu.l2_tile_bytes_per_clock / gpu.sms if products else sm.l2_bytes_per_clock
    parts = work.shared_read_bytes, work.shared_write_bytes
    return (
        (work.fma_ops + work.alu_ops + work.sfu_ops + work.uniform_ops) / sm.issue_lanes,
        work.fma_ops / sm.fma,
        work.sfu_ops / sm.sfu,
        work.tensor_flops / sm.tensor_flops
        + work.sparse_tensor_flops / sm.sparse_tensor_flops
        + work.wgmma_flops / sm.wgmma_flops
        + work.sparse_wgmma_flops / sm.sparse_wgmma_flops,
        (max(parts) if products else sum(parts)) / sm.shared_bytes_per_clock,
        work.barriers * warps / sm.barrier_warps,
        far_read_bytes / port + work.global_write_bytes / sm.l2_bytes_per_clock,
    )


def together(clocks: tuple[float, ...], staged: bool, in_turn: bool = False, products: bool = False) -> float:
    """Clocks of work that uses several pipes, which overlap in part, or not at all where a warp uses them in
    turn; loads of a staged kernel overlap wholly, and shared memory with the products of warp groups.
    """
    kept = clocks[:-1] if staged else clocks
    if products:
        issue, fma, sfu, tensor, shared, *rest = kept
        kept = (issue, fma, sfu, max(tensor, shared), *rest)
    norm = 1.0 if in_turn else OVERLAP
    return max(float(sum(each**norm for each in kept) ** (1.0 / norm)), clocks[-1])


PIPES = ("issue", "fma", "sfu", "tensor", "shared", "barrier", "l2-port")


def launch_time(
    launch: Launch, gpu: Gpu, traffic: DramTraffic, clock_hz: float, efficiency: Efficiency
) -> LaunchTime:
    """Seconds of one launch at a clock, its start included."""
    far = from_l2(launch, gpu)
    warps = -(-launch.threads // WARP)
    before, step, after = (
        pipes(work, gpu, warps, far, launch.products)
        for work in (launch.prologue, launch.step, launch.epilogue)
    )
    steps = np.array([run.steps for run in launch.runs], dtype=np.float64)
    counts = np.array([run.blocks for run in launch.runs], dtype=np.int64)
    grid, all_steps = int(counts.sum()), float(counts @ steps)
    residents = min(occupancy(launch, gpu), -(-grid // gpu.sms))

    ends = [b + a for b, a in zip(before, after, strict=True)]
    staged = launch.stages > 1
    products = launch.products
    local = together(tuple(ends), staged, products=products) + steps * together(
        step, staged, products=products
    )
    local = np.maximum(local, gpu.overhead.block_s * gpu.sms * clock_hz)
    alone = unhidden(launch, gpu, traffic, before, step, after, steps, efficiency)

    reads = launch.step.global_read_bytes * steps + (
        launch.prologue.global_read_bytes + launch.epilogue.global_read_bytes
    )
    writes = launch.step.global_write_bytes * steps + (
        launch.prologue.global_write_bytes + launch.epilogue.global_write_bytes
    )
    moved = reads * far + writes
    crossing = traffic.dram_bytes + traffic.dram_write_bytes * (gpu.dram_write_cost - 1.0)
    l2_rate = gpu.l2_tile_bytes_per_clock if products else gpu.l2_bytes_per_clock
    l2_s = (reads * far / l2_rate + writes * gpu.l2_write_cost / gpu.l2_bytes_per_clock) / clock_hz
    dram_s = moved / max(float(counts @ moved), 1.0) * crossing / gpu.dram_bytes_per_s
    shared = np.maximum(l2_s / efficiency.rate, dram_s)

    span = makespan(
        counts,
        alone / clock_hz,
        local / clock_hz / efficiency.rate,
        shared,
        not staged,
        launch.waits is not None and launch.waits[1] > 0,
        gpu.sms,
        residents,
    )
    span += filling(float(counts @ shared), gpu, traffic, clock_hz)
    dispatch_s = grid * gpu.overhead.block_s
    touch_s = 0.0
    if moved.max() > 0:
        touch_s = gpu.overhead.start_s + traffic.missing * gpu.overhead.cold_touch_s
    device = gpu.sms * clock_hz
    bounds = {n: (e * grid + s * all_steps) / device for n, e, s in zip(PIPES, ends, step, strict=True)}
    bounds |= {"l2": float(counts @ l2_s), "dram": float(counts @ dram_s), "dispatch": dispatch_s}
    start_s = gpu.overhead.launch_s + touch_s
    after_s = launch.after_waits * gpu.latency.l2 / clock_hz
    seconds = start_s + math.hypot(max(span, dispatch_s), beyond(launch, gpu) / clock_hz) + after_s
    return LaunchTime(seconds=seconds, start_s=start_s, residents=residents, bounds=bounds)


def filling(shared_s: float, gpu: Gpu, traffic: DramTraffic, clock_hz: float) -> float:
    """Seconds until the memory that blocks wait for is as busy as it gets: a load's latency, of what takes
    long; what is read at once is over before.
    """
    latency = gpu.latency
    first_s = (latency.l2 + (latency.dram - latency.l2) * traffic.missing) / clock_hz
    return first_s * shared_s / (first_s + shared_s)


def beyond(launch: Launch, gpu: Gpu) -> float:
    """Clocks that L2 needs for rows of tiles that lie beyond their matrix.

    Those of asynchronous copies are requests for one line of each step; blocks of an SM that come after one
    another are at other steps, and so many lines are served in the square root of their number at a time.
    """
    lines = max(1.0, launch.grid / gpu.sms)
    requests = launch.hot_requests / (gpu.l2_line_requests * math.sqrt(lines))
    return requests + launch.edge_rows / gpu.l2_edge_rows


def unhidden(
    launch: Launch,
    gpu: Gpu,
    traffic: DramTraffic,
    before: tuple[float, ...],
    step: tuple[float, ...],
    after: tuple[float, ...],
    steps: np.ndarray[tuple[int], np.dtype[np.float64]],
    efficiency: Efficiency,
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """SM clocks of a block that has the SM for itself, by run: pipes in turn with latencies."""
    latency, staged = gpu.latency, launch.stages > 1
    reads = max(float(launch.total.global_read_bytes), 1.0)
    from_dram = min(traffic.missing * launch.unique_read_bytes / reads, 1.0)
    far = latency.l2 + (latency.dram - latency.l2) * from_dram + (latency.tile if launch.products else 0.0)
    flying = max(launch.bytes_in_flight * launch.threads, 1)
    rounds = launch.step.global_read_bytes / flying
    barrier = latency.barrier + latency.shared
    barriers = launch.step.barriers * barrier
    if launch.products and launch.in_turn:
        loop = steps * max(turns(step, launch, gpu, efficiency), rounds * far) + far * efficiency.latency
    elif staged:
        loop = steps * max(
            together(step, staged, launch.in_turn and launch.threads <= SCHEDULERS * WARP, launch.products)
            / efficiency.rate
            + barriers * efficiency.latency,
            rounds * far,
        )
        loop += far * efficiency.latency
    else:
        waits, each = steps * rounds * far, together(step, staged) / efficiency.rate
        if launch.waits is not None:
            new, again = launch.waits
            share = from_l2(launch, gpu, again=True)
            beyond = latency.dram - latency.l2
            far = latency.l2 + beyond * traffic.missing
            back = latency.l1 + (latency.l2 + beyond * traffic.lost - latency.l1) * share
            shared = first_wave(launch, gpu) * beyond * traffic.missing
            waits = np.full_like(steps, new * far + again * back + launch.shared_waits * shared)
            each = max(each, chain(launch.step, launch, gpu) * efficiency.latency)
        loop = steps * (each + barriers * efficiency.latency)
        loop += waits * efficiency.latency
    ends = np.full_like(steps, latency.block_start)
    for work, clocks in ((launch.prologue, before), (launch.epilogue, after)):
        waits_once = (far if work.global_read_bytes else 0.0) + work.barriers * barrier
        clocks_together = together(clocks, staged, products=launch.products)
        ends += max(clocks_together / efficiency.rate, chain(work, launch, gpu) * efficiency.latency)
        ends += waits_once * efficiency.latency
    return np.asarray(loop + ends)


def turns(step: tuple[float, ...], launch: Launch, gpu: Gpu, efficiency: Efficiency) -> float:
    """Clocks of a step of warp groups that compute on what they multiply.

    A group's operations wait for one another, and the first of them for half of its own products; the busiest
    pipe of all groups overlaps with that chain in a norm of 2.
    """
    groups = launch.threads // GROUP - 1  # the last one loads
    tensor = step[PIPES.index("tensor")]
    waits = tensor / groups / 2 / efficiency.rate
    waits += chain(launch.step, launch, gpu, GROUP * groups) * efficiency.latency
    return float((waits**OVERLAP + (max(step[:-1]) / efficiency.rate) ** OVERLAP) ** (1.0 / OVERLAP))


def chain(work: Work, launch: Launch, gpu: Gpu, threads: int = 0) -> float:
    """Clocks of a thread's operations one after the other, each waiting for the last; of all threads, or so
    many.
    """
    return (work.fma_ops + work.alu_ops + work.sfu_ops) / (threads or launch.threads) * gpu.latency.dependent


def first_wave(launch: Launch, gpu: Gpu) -> float:
    """Share of the blocks that find in DRAM what all blocks read."""
    return min(1.0, occupancy(launch, gpu) * gpu.sms / launch.grid)


def from_l2(launch: Launch, gpu: Gpu, *, again: bool = False) -> float:
    """Share of the bytes read that comes from L2 or beyond, of all reads or of those of data read before.

    Only blocks that walk their own data in several passes find it in L1: all of it while the residents' data
    fits, none at twice its size.
    """
    total = launch.total.global_read_bytes
    if launch.waits is None or total <= 0:
        return 1.0
    here = min(occupancy(launch, gpu), -(-launch.grid // gpu.sms))
    footprint = here * launch.unique_read_bytes / launch.grid + launch.shared_reads
    kept = min(1.0, max(0.0, 2.0 - footprint / gpu.sm.l1_bytes))
    if again:
        return 1.0 - kept
    return 1.0 - kept * max(0.0, 1.0 - launch.unique_read_bytes / total)
