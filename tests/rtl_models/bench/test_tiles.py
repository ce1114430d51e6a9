"""Drivers and monitors of tile streams, on the example's array: what was sent is what crossed, with its cycles."""

from __future__ import annotations

from einsim.rtl_models.build import run_bench
from einsim.rtl_models.simulator import choose

BENCH = """
import cocotb, numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from einsim.cocotb import *

@cocotb.test(timeout_time=100, timeout_unit="us")
async def tiles_cross_as_they_were_sent(dut):
    rng = np.random.default_rng(0)
    Clock(dut.aclk, 2, unit="ns").start()
    dut.m_axis_tready.value = 0
    source = TileSource(dut.aclk, valid=dut.s_axis_tvalid, ready=dut.s_axis_tready, data=dut.s_axis_tdata,
                        last=dut.s_axis_tlast, bits=8, gaps=random_gaps(1, 0.3))
    sink = TileSink(dut.aclk, valid=dut.m_axis_tvalid, ready=dut.m_axis_tready, data=dut.m_axis_tdata, bits=32,
                    count=10, pattern=[1, 0])
    watch = TileMonitor(dut.aclk, valid=dut.s_axis_tvalid, ready=dut.s_axis_tready, data=dut.s_axis_tdata,
                        last=dut.s_axis_tlast, bits=8, count=16)
    out = Monitor(dut.aclk, valid=dut.m_axis_tvalid, ready=dut.m_axis_tready, data=dut.m_axis_tdata)
    await reset(dut.aclk, dut.aresetn, active_low=True)
    watchers = [cocotb.start_soon(each.watch()) for each in (watch, out)]
    sent = [rng.integers(-128, 128, (k, 16)) for k in (3, 1, 4)]
    sending = cocotb.start_soon(source.send_tiles(sent))
    coverage = Coverage(SHAPES)
    for tile in sent:
        found = await sink.receive_tile(6)
        assert (found.values == tile[:, :6].T @ tile[:, 6:]).all()
        coverage.hit(*shape_bins(6, 10, len(tile), 6, 10))
    await sending
    await RisingEdge(dut.aclk)  # the watchers see the last edge too
    assert [tile.values.tolist() for tile in watch.tiles] == [tile.tolist() for tile in sent]
    assert all(a < b for tile in watch.tiles for a, b in zip(tile.cycles, tile.cycles[1:]))
    assert [word for _, word in out.words] == [word for _, word in sink.words]
    assert "one tile" not in coverage.missed and "ragged rows" in coverage.missed
"""


def test_tiles_cross_as_they_were_sent(repository, tmp_path):
    (tmp_path / "tile_bench.py").write_text(BENCH)
    sources = [repository / "examples" / "own_array_testbench" / "own_array.v"]
    assert run_bench(choose("icarus"), sources, "own_array", "tile_bench", tmp_path) == []
