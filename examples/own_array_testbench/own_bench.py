"""A cocotb testbench of a 6 x 10 array that is not einsim's: values and clocks against the simulator."""

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock

from einsim.cocotb import ArraySpec, Scoreboard, Sink, Source, golden_gemm, lanes, pack, random_gaps, reset

ARRAY = ArraySpec(rows=6, cols=10, dataflow="output-stationary")


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(k=[1, 7, 40], share=[0.0, 0.3])
async def tile_matches_einsim(dut: Any, k: int, share: float) -> None:
    """A tile of depth k, a share of the clocks waits: every value is einsim's."""
    rng = np.random.default_rng(k)
    a, b = rng.integers(-128, 128, (6, k)), rng.integers(-128, 128, (k, 10))
    Clock(dut.aclk, 2, unit="ns").start()
    dut.s_axis_tlast.value = dut.m_axis_tready.value = 0
    feed = Source(dut.aclk, valid=dut.s_axis_tvalid, ready=dut.s_axis_tready, data=dut.s_axis_tdata,
                  gaps=random_gaps(k, share))  # fmt: skip
    await reset(dut.aclk, dut.aresetn, active_low=True)

    beats = [pack([*a[:, i], *b[i]], 8) for i in range(k)]
    await feed.send(beats[:-1])
    dut.s_axis_tlast.value = 1
    await feed.send(beats[-1:])
    rows = Sink(dut.aclk, valid=dut.m_axis_tvalid, ready=dut.m_axis_tready, data=dut.m_axis_tdata,
                pattern=[1, 0, 1] if share else [])  # fmt: skip

    board = Scoreboard(golden_gemm(ARRAY, a, b, timed=False).events)
    for cycle, word in await rows.receive(6):
        for column, value in enumerate(lanes(word, 32, 10)):
            board.saw(column, value, cycle)
    board.check()
