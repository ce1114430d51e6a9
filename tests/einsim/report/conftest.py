"""A small result whose figures are easy to follow, and the machine that it claims to be of."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.result import EinsumCost, Result, Slice
from einsim.report.case import Case


@pytest.fixture
def result() -> Result:
    """100 cycles: array2d works 60 and waits 40, array1d works 30 and waits 70."""
    return Result(
        workload="small", accel="fusemax-cloud", level="sim", mapping="for m/256\n  QK <on> array2d",
        cycles=100, latency_s=1e-7, dram_bytes=2000,
        utilization={"array2d": 0.6, "array1d": 0.3},
        stalls={"bandwidth": 40}, stalls_by_unit={"array2d": {"bandwidth": 40}, "array1d": {"dependency": 70}},
        breakdown_by_unit={
            "array2d": {"busy": 60, "bandwidth:dram": 33, "bandwidth:gb": 7},
            "array1d": {"busy": 30, "dependency:Q<K": 70},
        },
        energy_by={"array2d": 3e-6, "dram": 1e-6}, traffic={"dram": {"Q": 1500, "K": 500}},
        bottleneck="array2d", bound_by={"array2d": 60},
        by_einsum={
            "QK": EinsumCost(unit="array2d", cycles=60, energy_stated_j=3e-6, points=4096),
            "SN": EinsumCost(unit="array1d", cycles=30, energy_stated_j=1e-6, points=64),
        },
        timeline=(
            Slice(engine="array2d", name="QK", start_cycle=0, end_cycle=10),
            Slice(engine="array1d", name="SN", start_cycle=10, end_cycle=15),
            Slice(engine="array2d", name="QK", start_cycle=90, end_cycle=100),
        ),
        notes=("a note with <b>markup</b>",), assumed=("array.registers.bytes_per_pe",), macs=4096,
    )  # fmt: skip


@pytest.fixture
def case(result: Result) -> Case:
    """The result on its preset, 4096 multiply-accumulates."""
    return Case(result=result, machine=load_machine("fusemax-cloud"), command="einsim run small")
