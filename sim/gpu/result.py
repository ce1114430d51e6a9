"""A predicted kernel as a `Result`, like that of any other machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from einsim.accel.gpu.machine import Gpu
from einsim.dataflow.result import Result, Slice
from einsim.sim.breakdown import STARTS
from einsim.sim.gpu.case import KernelCase, Launch
from einsim.sim.gpu.factors import origin, read_factors
from einsim.sim.gpu.model import occupancy
from einsim.sim.gpu.predict import Prediction, predict
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads.cascade import Cascade

LEVEL = "kernel"
BANDWIDTH, DEPENDENCY = "bandwidth", "dependency"
MEMORIES = ("l2", "dram", "l2-port")


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel chosen for a cascade on a GPU, and what it was predicted to take."""

    case: KernelCase
    prediction: Prediction


def choose(cases: Sequence[KernelCase], gpu: Gpu, variant: str = "auto") -> Choice:
    """The variant that is named, or the quickest; SpecError for a name that isn't there."""
    named = tuple(case for case in cases if variant in ("auto", case.variant))
    if not named:
        names = tuple(case.variant for case in cases)
        rule = f"unknown kernel variant (auto, {', '.join(names)})"
        raise SpecError("", rule, got=variant, where="--mapping", hint=near(variant, names))
    factors = {name: read_factors(origin(gpu, name))[name] for name in {case.family for case in named}}
    choices = [
        Choice(case=case, prediction=predict(case, gpu, efficiency=factors[case.family])) for case in named
    ]
    return min(choices, key=lambda choice: choice.prediction.seconds)


def result(choice: Choice, gpu: Gpu, cascade: Cascade, notes: Sequence[str] = ()) -> Result:
    """Time, energy by component, traffic, and where the time went, in SM clocks as the power cap leaves them.

    The pipe that needs most time is the bottleneck. Its stalls: `fill and drain` is the launches' start and
    first touch, `bandwidth` what L2 or DRAM need beyond it, `dependency` the rest (latency that residents
    don't hide, waves and tails, pipes that overlap only in part).
    """
    case, found = choice.case, choice.prediction
    clock, cycles = found.clock_hz, round(found.seconds * found.clock_hz)
    bound_by = {name: round(seconds * clock) for name, seconds in found.bounds.items()}
    bottleneck = found.binding
    stalls = stalled(bound_by, bottleneck, cycles, round(found.start_s * clock))
    work = case.total
    at, slices = 0.0, list[Slice]()
    for launch, seconds in zip(case.launches, found.launch_seconds, strict=True):
        end = at + seconds * clock
        slices.append(Slice(engine="gpu", name=launch.kernel, start_cycle=at, end_cycle=end))
        at = end
    told = (
        f"kernel {case.family}, variant {case.variant}: {case.summary}",
        f"clock {clock / 1e6:.0f} MHz" + (", held down by the power cap" if clock < gpu.clock_hz else ""),
        _calibrated(case, gpu),
        "inputs are taken to lie in DRAM",
        "a GPU has one model, of its kernels, whatever level is asked for",
        *notes,
    )
    return Result(
        workload=cascade.name,
        accel=gpu.name,
        level=LEVEL,
        mapping="\n".join(mapped(launch, gpu) for launch in case.launches),
        cycles=cycles,
        latency_s=found.seconds,
        dram_bytes=round(found.dram_bytes),
        utilization={name: min(1.0, seconds / found.seconds) for name, seconds in found.bounds.items()},
        stalls=stalls,
        stalls_by_unit={bottleneck: stalls},
        energy_by=found.energy_by,
        traffic={
            "dram": {
                "read": round(found.dram_bytes - found.dram_write_bytes),
                "written": round(found.dram_write_bytes),
            },
            "l2": {"read": work.global_read_bytes, "written": work.global_write_bytes},
            "shared": {"read": work.shared_read_bytes, "written": work.shared_write_bytes},
        },
        bottleneck=bottleneck,
        bound_by=bound_by,
        by_einsum={},
        buffers={"shared": max(launch.shared_bytes for launch in case.launches)},
        timeline=tuple(slices),
        notes=told,
        assumed=tuple(path for path, source in gpu.sources.items() if source.startswith("assumed")),
        macs=cascade.macs,
    )


def stalled(bound_by: Mapping[str, int], bottleneck: str, cycles: int, starts: int) -> dict[str, int]:
    """What the bottleneck waited for: kernels' starts, L2 or DRAM beyond it, and the rest."""
    busy = min(bound_by[bottleneck], cycles)
    first = min(starts, cycles - busy)
    slowest = max(bound_by[name] for name in MEMORIES)
    wanting = min(max(0, slowest - busy), cycles - busy - first)
    return {STARTS: first, BANDWIDTH: wanting, DEPENDENCY: cycles - busy - first - wanting}


def _calibrated(case: KernelCase, gpu: Gpu) -> str:
    """On what the family's factors were fitted, and whether the rate of its products is another device's."""
    rates = {"sm.wgmma_flops": case.total.wgmma_flops, "sm.sparse_wgmma_flops": case.total.sparse_wgmma_flops}
    sources = (gpu.sources.get(path, "") for path, flops in rates.items() if flops)
    other = next((source for source in sources if source.startswith("assumed")), "")
    device = origin(gpu, case.family)
    text = f"calibrated on kernels captured on {'this device' if device == gpu.name else device}"
    return text + (f"; rates of wgmma: {other}" if other else "") + "; errors: docs/gpu.md"


def mapped(launch: Launch, gpu: Gpu) -> str:
    """One launch in words: its grid, its tile and what an SM holds of it."""
    tile = " ".join(f"{rank}={size}" for rank, size in launch.tile.items())
    return (
        f"{launch.kernel}: {launch.grid} blocks of {launch.threads} threads, tile {tile or '-'}, "
        f"{launch.stages} stage{'s' * (launch.stages > 1)}, {occupancy(launch, gpu)} a multiprocessor "
        f"({launch.registers} registers a thread, {launch.shared_bytes} bytes of shared memory)"
    )
