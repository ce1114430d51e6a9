"""One measurement: bind, check, rotate, warm up, time, vendor, energy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median
from typing import Any

import msgspec

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels.sizes import refuse
from einsim.specs.errors import EinsimError
from einsim.validation.gpu.device import Device, DeviceBuffers, ReplayTiming
from einsim.validation.gpu.kernels.problem import Problem
from einsim.validation.gpu.kernels.registry import FAMILIES, family_hash
from einsim.validation.gpu.measurement import Measurement
from einsim.validation.gpu.plan import TOLERANCE
from einsim.validation.gpu.power import Meter, Reading
from einsim.validation.gpu.vendor import torch_version, vendor_seconds

ROTATION = 4  # times L2 that the rotating buffers cover
MAX_BUFFERS = 128
MAX_LAUNCHES = 256  # of one graph
WARM_UP_S = 0.03
SETTLE_S = (
    0.25  # kernels that reach the power cap: the clock needs some tenths of a second to settle under it
)
# families that stay within two percent without settling
COOL = (
    "micro",
    "micro-hopper",
    "micro-tiles",
    "copy",
    "rmsnorm",
    "rope",
    "swiglu",
    "gemv",
    "short-conv",
    "top-k",
)
IDLE_S = 0.25


class WrongResultError(EinsimError):
    """A kernel's output does not match float64 numpy."""


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How long to look: seconds of one graph, replays, seconds of energy replay (0: none), and whether to
    time the vendor.
    """

    graph_s: float = 0.004
    replays: int = 12
    energy_s: float = 0.0
    vendor: bool = True


def checked(case: KernelCase, device: Device) -> tuple[Problem, DeviceBuffers, float]:
    """A bound problem, its memory and its error, after two launches over poisoned outputs. Raises
    WrongResultError if it is wrong, SpecError before any launch for sizes that the kernel doesn't take.
    """
    refuse(case)
    memory = DeviceBuffers(device)
    problem: Problem = FAMILIES[case.family].bind(case, memory)
    for _ in range(2):
        memory.poison()
        problem.launch(device.stream)
        device.sync()
    error = problem.check()
    limit = TOLERANCE[case.bits]
    if not error <= limit:
        raise WrongResultError(f"relative error {error:.3g} against float64, must be <= {limit}")
    return problem, memory, error


def rotation(case: KernelCase, device: Device, footprint_bytes: int, l2: str) -> int:
    """How many sets of buffers: enough to cover L2 several times, one when warm or when one set does."""
    if l2 == "warm":
        return 1
    return max(1, min(MAX_BUFFERS, math.ceil(ROTATION * device.l2_bytes / max(footprint_bytes, 1))))


def measure(case: KernelCase, device: Device, meter: Meter, l2: str, effort: Effort) -> Measurement:
    """One row. Raises WrongResultError when the kernel is wrong, DeviceError when a CUDA call fails."""
    problem, memory, error = checked(case, device)
    buffers = rotation(case, device, memory.bytes, l2)
    memories = [DeviceBuffers(device) for _ in range(buffers - 1)]
    problems = [problem, *(FAMILIES[case.family].bind(case, m) for m in memories)]
    # dependent loads touch little of a large working set: only a flush makes the next launch miss again
    flushed = l2 == "cold" and (buffers * memory.bytes < ROTATION * device.l2_bytes or case.family == "micro")

    def once() -> None:
        for item in problems:
            item.launch(device.stream)

    once()
    rough = max(device.seconds(once, flushed) / buffers, 1e-6)
    repeat = (
        1 if flushed else max(1, min(math.ceil(effort.graph_s / (rough * buffers)), MAX_LAUNCHES // buffers))
    )

    def rounds() -> None:
        for _ in range(repeat):
            once()

    graph = device.capture(rounds)
    launches = repeat * buffers
    energy = ReplayEnergy()
    if effort.energy_s:
        energy = replay_energy(
            device,
            meter,
            lambda: device.replay(graph),
            replay_s=rough * launches,
            launches=launches,
            seconds=effort.energy_s,
        )
    warm_up_s = WARM_UP_S if case.family in COOL else SETTLE_S
    for _ in range(max(1, math.ceil(warm_up_s / (rough * launches)))):
        device.replay(graph)
    device.sync()
    replays = max(4, min(effort.replays, math.ceil(0.15 / (rough * launches))))
    readings: list[Reading] = []
    timing: ReplayTiming = device.time(
        lambda: device.replay(graph),
        launches,
        replays,
        flushed,
        lambda: readings.extend(meter.read() for _ in range(3)),
    )
    device.destroy(graph)
    vendor_s = vendor_or_nan(device, problems, repeat, replays, flushed) if effort.vendor else math.nan
    attributes = [kernel_attributes(kernel) for kernel in problem.compiled]
    return Measurement(
        device=device.name,
        sms=device.sms,
        driver=meter.driver,
        cuda=device.cuda_driver,
        numba_cuda=version("numba-cuda"),
        torch=torch_version(),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        source_hash=family_hash(case.family),
        family=case.family,
        variant=case.variant,
        sizes=";".join(f"{rank}={size}" for rank, size in case.sizes.items()),
        l2=l2,
        median_s=timing.median_s,
        p10_s=timing.p10_s,
        p90_s=timing.p90_s,
        launches=launches,
        replays=replays,
        buffers=buffers,
        vendor_s=vendor_s,
        error=error,
        sm_mhz=int(median(r.sm_mhz for r in readings)),
        memory_mhz=int(median(r.memory_mhz for r in readings)),
        celsius=int(median(r.celsius for r in readings)),
        registers="+".join(str(a[0]) for a in attributes),
        local_bytes="+".join(str(a[1]) for a in attributes),
        shared_bytes="+".join(str(a[2]) for a in attributes),
        energy_j=energy.joules,
        energy_s=energy.seconds,
        energy_launch_s=energy.launch_s,
        idle_w=energy.idle_w,
        energy_sm_mhz=energy.sm_mhz,
    )


def kernel_attributes(kernel: Any) -> tuple[int, int, int]:
    """(registers a thread, local bytes a thread, static shared bytes a block) as the driver loaded it."""
    overload = next(iter(kernel.overloads.values()))
    return overload.regs_per_thread, overload.local_mem_per_thread, overload.shared_mem_per_block


def vendor_or_nan(device: Device, problems: list[Problem], repeat: int, replays: int, cold: bool) -> float:
    """The vendor's seconds; NaN where torch refuses the case (it says so in its own words, which are
    printed).
    """
    try:
        return vendor_seconds(device, problems, repeat, replays, cold)
    except (RuntimeError, NotImplementedError) as error:
        print(f"  vendor: {str(error).splitlines()[0][:160]}", flush=True)
        return math.nan


class ReplayEnergy(msgspec.Struct, frozen=True, kw_only=True):
    """What a long replay drew: joules a launch, seconds replayed, seconds a launch, idle watts around it,
    SM clock during it.
    """

    joules: float = math.nan
    seconds: float = math.nan
    launch_s: float = math.nan
    idle_w: float = math.nan
    sm_mhz: int = 0


def replay_energy(
    device: Device,
    meter: Meter,
    replay: Callable[[], None],
    *,
    replay_s: float,
    launches: int,
    seconds: float,
) -> ReplayEnergy:
    """Replay for about `seconds`, with the counter read at its edges and the idle power of the gaps taken
    out.
    """
    count = max(1, math.ceil(seconds / replay_s))
    before_w = meter.idle_w(IDLE_S)
    start, joules = meter.edge()
    clocks: list[int] = []
    looked = [time.perf_counter()]

    def look() -> None:
        """The SM clock, every tenth of a second."""
        if time.perf_counter() - looked[0] > 0.1:
            clocks.append(meter.read().sm_mhz)
            looked[0] = time.perf_counter()

    def work() -> None:
        for _ in range(count):
            replay()
            look()

    busy_s = device.seconds(work, cold=False, meanwhile=look)
    stop, after = meter.edge()
    time.sleep(0.1)
    idle_w = (before_w + meter.idle_w(IDLE_S)) / 2
    drawn = after - joules - idle_w * max(0.0, stop - start - busy_s)
    total = count * launches
    return ReplayEnergy(
        joules=drawn / total,
        seconds=busy_s,
        launch_s=busy_s / total,
        idle_w=idle_w,
        sm_mhz=int(median(clocks or [0])),
    )
