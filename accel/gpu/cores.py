"""A GPU as an ordinary machine: multiprocessors are cores with shared memory and an array, inside L2, DRAM.

All figures are the GPU's own. What its warps compute together is the shape of the array: the products of a
warp's (tensor) or a thread's (lanes) tile, at the clock that gives the pipe's measured rate.
"""

from __future__ import annotations

from typing import Final, Literal

from einsim.accel.gpu.machine import Gpu
from einsim.accel.launch import LaunchCost
from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.accel.power import Power
from einsim.accel.registers import RegisterFile

Pipe = Literal["tensor", "sparse", "lanes"]
L2, SHARED = "l2", "shared"
OVERLAP: Final[dict[Pipe, float]] = {"tensor": 2.0, "sparse": 2.0, "lanes": 1.0}
"""The norm of the model of kernels (`einsim.sim.gpu.dispatch`); a thread's products and loads take turns.
Chosen once, on rows of the fit split (lanes: of 1, 1.25 and 1.5, with errors of 4.9, 11.9 and 17.9 %).
"""
WORD_BYTES: Final = 4
STEPS: Final = 64
"""Hertz to which a clock is rounded, so that its 64ths are whole."""


def as_machine(gpu: Gpu, pipe: Pipe, rows: int, cols: int) -> Machine:
    """The GPU with the array of one pipe, of so many rows and columns; `sparse` is the tensor cores with one
    operand of 2:4, by dense-equivalent products.

    A barrier with what waits for shared memory behind it is the latency of a step's products.
    """
    sm, clock = gpu.sm, gpu.clock_hz
    rates: dict[Pipe, float] = {
        "tensor": sm.tensor_flops / 2, "sparse": sm.sparse_tensor_flops / 2, "lanes": sm.fma,
    }  # fmt: skip
    energies: dict[Pipe, float] = {
        "tensor": 2 * gpu.energy.tensor_flop_pj, "sparse": 2 * gpu.energy.sparse_tensor_flop_pj,
        "lanes": gpu.energy.lane_pj,
    }  # fmt: skip
    macs, mac_pj = rates[pipe], energies[pipe]
    unit_hz = float(round(clock * macs / (rows * cols) / STEPS) * STEPS)
    wait = round((gpu.latency.barrier + gpu.latency.shared) * unit_hz / clock)
    near = gpu.energy.shared_byte_pj
    memories = (
        Memory(
            name="dram", parent=None, capacity_bytes=None, shared_port=False,
            read_bytes_per_s=int(gpu.dram_bytes_per_s),
            write_bytes_per_s=int(gpu.dram_bytes_per_s / gpu.dram_write_cost),
            read_pj=gpu.energy.dram_byte_pj, write_pj=gpu.energy.dram_write_byte_pj,
            latency_cycles=round(gpu.latency.dram),
        ),
        Memory(
            name=L2, parent="dram", capacity_bytes=gpu.l2_bytes, shared_port=False,
            read_bytes_per_s=int(gpu.l2_bytes_per_clock * clock),
            write_bytes_per_s=int(gpu.l2_bytes_per_clock * clock / gpu.l2_write_cost),
            read_pj=gpu.energy.l2_byte_pj, write_pj=gpu.energy.l2_byte_pj,
            latency_cycles=round(gpu.latency.l2),
        ),
        Memory(
            name=SHARED, parent=L2, copies=gpu.sms, capacity_bytes=gpu.sms * sm.shared_bytes,
            read_bytes_per_s=int(gpu.sms * sm.shared_bytes_per_clock * clock), write_bytes_per_s=None,
            read_pj=near, write_pj=near, bus="l2-port",
            bus_bytes_per_s=int(gpu.sms * sm.l2_bytes_per_clock * clock),
        ),
    )  # fmt: skip
    unit = Unit(
        name=pipe, kind="array", dims={"cores": gpu.sms, "rows": rows, "cols": cols}, clock_hz=unit_hz,
        ops={"mac": OpCost(energy_pj=mac_pj, latency_cycles=wait)}, reads_from=SHARED, overlap=OVERLAP[pipe],
        registers=RegisterFile(
            bytes_per_pe=WORD_BYTES * sm.registers // (rows * cols), read_pj=0.0, write_pj=0.0
        ),
    )  # fmt: skip
    return Machine(
        name=gpu.name, family="gpu", clock_hz=clock, memories=memories, units=(unit,), multicast=False,
        leakage_w=gpu.energy.static_w,
        power=Power(cap_w=gpu.energy.cap_w, exponent=gpu.energy.clock_exponent),
        launch=LaunchCost(
            start_s=gpu.overhead.launch_s + gpu.overhead.start_s, first_touch_s=gpu.overhead.cold_touch_s,
            per_block_s=gpu.overhead.block_s, block_start_s=gpu.latency.block_start / clock,
        ),
        sources=gpu.sources,
    )  # fmt: skip
