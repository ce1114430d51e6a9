"""What a cocotb testbench imports: einsim's stepped arrays as golden models, drivers, monitors, scoreboard.

    from einsim.cocotb import Scoreboard, Sink, Source, golden_gemm

Golden models are the simulator's own; nothing here models a design a second time.
"""

from __future__ import annotations

from einsim.cocotb.golden import Golden, cycles_expected, golden_gemm
from einsim.rtl_models import RTL_DIR
from einsim.rtl_models.bench.coverage import PATTERNS, SHAPES, Coverage, shape_bins
from einsim.rtl_models.bench.job import Event
from einsim.rtl_models.bench.scoreboard import Scoreboard, lanes, pack, signed
from einsim.rtl_models.bench.streams import Monitor, Sink, Source, is_high, random_gaps, reset
from einsim.rtl_models.bench.tiles import Tile, TileMonitor, TileSink, TileSource
from einsim.rtl_models.build import run_bench
from einsim.rtl_models.simulator import available, choose
from einsim.sim.arrays.dsp_chain import ChainSpec, step_chain
from einsim.sim.arrays.exp_fixed import exp_fixed
from einsim.sim.arrays.fusemax import FuseMaxSpec
from einsim.sim.arrays.gemm import ArraySpec, Gemm
from einsim.sim.arrays.nm import compress
from einsim.sim.arrays.sorter import SorterSpec, prune, sort
from einsim.sim.arrays.step_fusemax import step_fusemax

__all__ = [
    "PATTERNS", "RTL_DIR", "SHAPES", "ArraySpec", "ChainSpec", "Coverage", "Event", "FuseMaxSpec", "Gemm",
    "Golden", "Monitor", "Scoreboard", "Sink", "SorterSpec", "Source", "Tile", "TileMonitor", "TileSink",
    "TileSource", "available", "choose", "compress",
    "cycles_expected", "exp_fixed", "golden_gemm", "is_high", "lanes", "pack", "prune", "random_gaps",
    "reset", "run_bench", "shape_bins", "signed", "sort", "step_chain", "step_fusemax",
]  # fmt: skip
