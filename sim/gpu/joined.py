"""Kernels in turn as one `Result`: times, energies and bytes add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from einsim.accel.gpu.machine import Gpu
from einsim.dataflow.result import Result, Slice
from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.parts import KernelPart
from einsim.sim.gpu.result import Choice, choose, result, stalled
from einsim.workloads.cascade import Cascade


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """A cascade's kernels in turn, and what they cost together."""

    kernels: tuple[KernelCase, ...]
    result: Result


def joined(chosen: Sequence[KernelPart], gpu: Gpu, cascade: Cascade) -> Joined:
    """The quickest kernel of every part, one after the other, each with its inputs in DRAM."""
    choices = [choose(part.found.cases, gpu) for part in chosen]
    singles = [
        result(choice, gpu, cascade, part.found.notes) for choice, part in zip(choices, chosen, strict=True)
    ]
    cycles, bound_by = sum(one.cycles for one in singles), Counter[str]()
    energy_by, seconds_by = Counter[str](), Counter[str]()
    traffic: dict[str, Counter[str]] = {}
    at, slices = 0.0, list[Slice]()
    for choice, one in zip(choices, singles, strict=True):
        bound_by.update(one.bound_by)
        energy_by.update(one.energy_by)
        seconds_by.update(choice.prediction.bounds)
        for memory, moved in one.traffic.items():
            traffic.setdefault(memory, Counter()).update(moved)
        slices += (_later(each, at) for each in one.timeline)
        at += one.timeline[-1].end_cycle
    bottleneck = max(bound_by, key=lambda name: bound_by[name])
    starts = sum(round(choice.prediction.start_s * choice.prediction.clock_hz) for choice in choices)
    stalls = stalled(bound_by, bottleneck, cycles, starts)
    latency_s = sum(one.latency_s for one in singles)
    whole = msgspec.structs.replace(
        singles[0],
        mapping="\n".join(one.mapping for one in singles),
        cycles=cycles,
        latency_s=latency_s,
        dram_bytes=sum(one.dram_bytes for one in singles),
        utilization={name: min(1.0, each / latency_s) for name, each in seconds_by.items()},
        stalls=stalls,
        stalls_by_unit={bottleneck: stalls},
        energy_by=dict(energy_by),
        traffic={memory: dict(moved) for memory, moved in traffic.items()},
        bottleneck=bottleneck,
        bound_by=dict(bound_by),
        buffers={"shared": max(one.buffers["shared"] for one in singles)},
        timeline=tuple(slices),
        notes=(
            *(map(_told, chosen, choices)),
            "each kernel is taken to find its inputs in DRAM",
            "a GPU has one model, of its kernels, whatever level is asked for",
        ),
    )
    return Joined(kernels=tuple(choice.case for choice in choices), result=whole)


def _told(part: KernelPart, choice: Choice) -> str:
    """Which kernel computes a part's Einsums, or that none does, and its time."""
    who, spent = ", ".join(part.einsums), f"{choice.prediction.seconds * 1e6:.3g} us"
    if not part.known:
        return f"{who}: no kernel was captured of this, priced as a copy of as many bytes, {spent}"
    return f"{who}: kernel {choice.case.family}, variant {choice.case.variant}, {spent}"


def _later(one: Slice, cycles: float) -> Slice:
    return msgspec.structs.replace(
        one, start_cycle=one.start_cycle + cycles, end_cycle=one.end_cycle + cycles
    )
