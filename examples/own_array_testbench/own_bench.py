"""A cocotb testbench of a 6 x 10 array that is not einsim's: values and clocks against the simulator."""

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock

from einsim.cocotb import ArraySpec, Scoreboard, TileSink, TileSource, golden_gemm, random_gaps, reset

ARRAY = ArraySpec(rows=6, cols=10, dataflow="output-stationary")


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(k=[1, 7, 40], share=[0.0, 0.3])
async def tile_matches_einsim(dut: Any, k: int, share: float) -> None:
    """A tile of depth k, a share of the clocks waits: every value is einsim's."""
    rng = np.random.default_rng(k)
    a, b = rng.integers(-128, 128, (6, k)), rng.integers(-128, 128, (k, 10))
    Clock(dut.aclk, 2, unit="ns").start()
    dut.m_axis_tready.value = 0
    feed = TileSource(dut.aclk, valid=dut.s_axis_tvalid, ready=dut.s_axis_tready, data=dut.s_axis_tdata,
                      last=dut.s_axis_tlast, bits=8, gaps=random_gaps(k, share))  # fmt: skip
    sums = TileSink(dut.aclk, valid=dut.m_axis_tvalid, ready=dut.m_axis_tready, data=dut.m_axis_tdata,
                    bits=32, count=10, pattern=[1, 0, 1] if share else [])  # fmt: skip
    await reset(dut.aclk, dut.aresetn, active_low=True)

    await feed.send_tiles([np.hstack([a.T, b])])
    out = await sums.receive_tile(6)

    board = Scoreboard(golden_gemm(ARRAY, a, b, timed=False).events)
    board.saw_rows(out.values, out.cycles)
    board.check()
