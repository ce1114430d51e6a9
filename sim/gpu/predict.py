"""Predicts a kernel case on a GPU: its launches in order, what L2 keeps between them, energy, and the clock
that the power cap leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul

import msgspec

from einsim.accel.gpu.machine import Gpu
from einsim.sim.gpu.case import KernelCase, Launch
from einsim.sim.gpu.factors import Efficiency
from einsim.sim.gpu.model import DramTraffic, LaunchTime, from_l2, launch_time, occupancy

LOW_CLOCK = 0.75  # of the full clock: the second point from which time by clock is interpolated


class Prediction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A case as predicted: seconds and joules of all its launches, the clock, and bound seconds by pipe.

    launch_seconds: of each launch. start_s: what all launches take to start. energy_by: joules by component.
    """

    seconds: float
    joules: float
    clock_hz: float
    dram_bytes: float
    dram_write_bytes: float
    bounds: dict[str, float]
    launch_seconds: tuple[float, ...]
    start_s: float
    energy_by: dict[str, float]

    @property
    def binding(self) -> str:
        """The pipe that needs most time."""
        return max(self.bounds, key=lambda name: self.bounds[name])


def kept(footprint_bytes: float, gpu: Gpu) -> float:
    """The share of a footprint that L2 still has: all of it while it fits, none at twice its size."""
    return min(1.0, max(0.0, 2.0 - footprint_bytes / gpu.l2_bytes))


def traffic_of(launch: Launch, gpu: Gpu, warm: float, written: int) -> DramTraffic:
    """DRAM traffic of one launch.

    warm: share of its data that L2 already has. written: bytes that the launch before it left in L2.
    """
    unique = launch.unique_read_bytes + launch.unique_write_bytes
    reused = min(written, launch.unique_read_bytes)
    found = warm
    if launch.unique_read_bytes:
        found = max(warm, reused / launch.unique_read_bytes * kept(2.0 * reused, gpu))
    first = launch.unique_read_bytes * (1.0 - found)
    again = lost = 0.0
    if launch.tile.get("passes", 1) > 1:  # a block reads its own data again; blocks that share run together
        resident = min(1.0, occupancy(launch, gpu) * gpu.sms / launch.grid)
        total = launch.total.global_read_bytes
        lost = 1.0 - kept(unique * resident, gpu)
        again = max(0, total - launch.unique_read_bytes) * lost
    writes = launch.unique_write_bytes * (1.0 - warm)
    return DramTraffic(
        dram_bytes=first + again + writes, dram_write_bytes=writes, missing=1.0 - found, lost=lost
    )


def predict(
    case: KernelCase, gpu: Gpu, *, l2: str = "cold", efficiency: Efficiency | None = None
) -> Prediction:
    """Seconds and joules of one replay of the case; l2 is "cold" or "warm", as in a capture's rows."""
    eff = efficiency or Efficiency()
    warm = kept(float(case.unique_bytes), gpu) if l2 == "warm" else 0.0
    traffic, written = [], 0
    for launch in case.launches:
        traffic.append(traffic_of(launch, gpu, warm, written))
        written = launch.unique_write_bytes

    def at(clock_hz: float) -> list[LaunchTime]:
        return [
            launch_time(launch, gpu, crossing, clock_hz, eff)
            for launch, crossing in zip(case.launches, traffic, strict=True)
        ]

    core = core_joules(case, gpu)
    core_j, dram_bytes = sum(core.values()), sum(crossing.dram_bytes for crossing in traffic)
    written_bytes = sum(crossing.dram_write_bytes for crossing in traffic)
    dram_j = 1e-12 * (
        (dram_bytes - written_bytes) * gpu.energy.dram_byte_pj + written_bytes * gpu.energy.dram_write_byte_pj
    )
    times = at(gpu.clock_hz)
    seconds, clock = total(times), gpu.clock_hz
    if joules(gpu, seconds, core_j, dram_j, 1.0) > gpu.energy.cap_w * seconds:
        slow = total(at(LOW_CLOCK * gpu.clock_hz))
        slope = max(0.0, (slow - seconds) / (1.0 / LOW_CLOCK - 1.0))
        low, high = gpu.min_clock_hz / gpu.clock_hz, 1.0
        for _ in range(20):
            share = (low + high) / 2
            time = seconds + slope * (1.0 / share - 1.0)
            if joules(gpu, time, core_j, dram_j, share) > gpu.energy.cap_w * time:
                high = share
            else:
                low = share
        clock = low * gpu.clock_hz
        times = at(clock)
        seconds = total(times)
    share = (clock / gpu.clock_hz) ** gpu.energy.clock_exponent
    return Prediction(
        seconds=seconds,
        joules=joules(gpu, seconds, core_j, dram_j, clock / gpu.clock_hz),
        clock_hz=clock,
        dram_bytes=dram_bytes,
        dram_write_bytes=written_bytes,
        bounds={name: sum(time.bounds[name] for time in times) for name in times[0].bounds},
        launch_seconds=tuple(time.seconds for time in times),
        start_s=sum(time.start_s for time in times),
        energy_by={
            "static": gpu.energy.static_w * seconds,
            "dram": dram_j,
            **{name: each * share for name, each in core.items()},
        },
    )


def total(times: Sequence[LaunchTime]) -> float:
    """Seconds of launches in turn."""
    return sum(time.seconds for time in times)


def core_joules(case: KernelCase, gpu: Gpu) -> dict[str, float]:
    """Joules of all work inside the SMs and L2 at the full clock, by component."""
    work, e = case.total, gpu.energy
    far = [launch.total.global_read_bytes * from_l2(launch, gpu) for launch in case.launches]
    costs = [e.l2_tile_byte_pj if launch.products else e.l2_byte_pj for launch in case.launches]
    near = work.global_read_bytes - sum(far)  # from L1, at what shared memory costs
    shared = work.shared_read_bytes + work.shared_write_bytes + near
    picojoules = {
        "lanes": (work.fma_ops + work.alu_ops) * e.lane_pj,
        "sfu": work.sfu_ops * e.sfu_pj,
        "tensor": work.tensor_flops * e.tensor_flop_pj
        + work.sparse_tensor_flops * e.sparse_tensor_flop_pj
        + work.wgmma_flops * e.wgmma_flop_pj
        + work.sparse_wgmma_flops * e.sparse_wgmma_flop_pj,
        "shared": shared * e.shared_byte_pj,
        "l2": sum(map(mul, far, costs)) + work.global_write_bytes * e.l2_byte_pj,
    }
    return {name: each * 1e-12 for name, each in picojoules.items()}


def joules(gpu: Gpu, seconds: float, core_j: float, dram_j: float, share: float) -> float:
    """Energy when the clock is this share of the full one."""
    return gpu.energy.static_w * seconds + dram_j + core_j * float(share**gpu.energy.clock_exponent)
