"""The designs: top module, sources, parameters with their defaults, configuration inputs and streams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from einsim.rtl_models import RTL_DIR
from einsim.specs.errors import RuleError
from einsim.specs.near import near


class Design(msgspec.Struct, frozen=True, kw_only=True):
    """One design, as a table row.

    All have clk, rst (synchronous, high), start, running, advance, out_valid (a bit a lane), out_data and
    active (a bit an element); `config` inputs are set before start and held. `streams` are valid/ready
    inputs NAME_valid, NAME_ready, NAME_data. `pausable`: outputs have out_ready, which freezes the design.
    """

    name: str
    about: str
    sources: tuple[str, ...]
    parameters: dict[str, int]
    config: tuple[str, ...]
    streams: tuple[str, ...]
    pausable: bool = True

    @property
    def bench(self) -> str:
        """The module of its cocotb test, beside the top module's source."""
        return f"einsim.rtl_models.{Path(self.sources[-1]).parent}.bench"

    def files(self) -> list[Path]:
        """The SystemVerilog files, absolute."""
        return [RTL_DIR / source for source in self.sources]

    def settings(self, given: Mapping[str, int]) -> dict[str, int]:
        """All parameters with `given` in place of defaults; RuleError for a name that isn't there."""
        for name in given:
            if name not in self.parameters:
                raise RuleError(
                    "no such parameter", got=name, hint=near(name, self.parameters), at=(self.name,)
                )
        return {**self.parameters, **given}


_LINE: Final = "parts/delay_line.sv"
_OS: Final = (_LINE, "systolic/pe_os.sv", "systolic/os_sequencer.sv", "systolic/systolic_os.sv")

_TABLE: Final = (
    Design(
        name="systolic_os",
        about="output-stationary systolic array, dense or N:M",
        sources=_OS,
        parameters={"R": 4, "C": 4, "W": 8, "ACC": 32, "G": 1, "IXW": 1},
        config=("convention", "m_size", "n_size", "slots", "tile_ready"),
        streams=("a", "b"),
    ),
    Design(
        name="systolic_ws",
        about="weight-stationary systolic array, dense or N:M; input-stationary on transposed operands",
        sources=(_LINE, "systolic/pe_ws.sv", "systolic/ws_sequencer.sv", "systolic/systolic_ws.sv"),
        parameters={"R": 4, "C": 4, "W": 8, "ACC": 32, "G": 1, "IXW": 1},
        config=("convention", "k_size", "n_size", "stream"),
        streams=("x", "h"),
    ),
    Design(
        name="nm_chain",
        about="DSP48 chains, dense, 2:4, 1:4 and 2:8 at run time",
        sources=(_LINE, "nm_chain/dsp_slice.sv", "nm_chain/chain_sequencer.sv", "nm_chain/nm_chain.sv"),
        parameters={"ROWS": 1, "COLS": 1, "LENGTH": 4, "W": 8, "P": 48},
        config=("mode", "m_size", "n_size", "slots"),
        streams=("a", "b"),
    ),
    Design(
        name="top_n_sorter",
        about="top-N sorter: keeps N of every M values, one value a lane and cycle",
        sources=("sorter/sorter_lane.sv", "sorter/top_n_sorter.sv"),
        parameters={"LANES": 4, "N": 2, "M": 8, "W": 8, "IXW": 3},
        config=("groups",),
        streams=("in",),
    ),
    Design(
        name="sorted_array",
        about="top-N sorter in front of the N:M output-stationary array: dense B in, pruned on the way",
        sources=(
            *_OS, "sorter/sorter_lane.sv", "sorter/top_n_sorter.sv", "sorted_array/sorted_array.sv",
        ),
        parameters={"R": 4, "C": 4, "N": 2, "M": 8, "W": 8, "ACC": 32, "IXW": 3},
        config=("convention", "m_size", "n_size", "slots", "groups"),
        streams=("a", "in"),
    ),
    Design(
        name="loaded_array",
        about="double-buffered tile loader, one word a cycle, in front of the output-stationary array",
        sources=(*_OS, "parts/lane_memory.sv", "tile_loader/tile_loader.sv", "tile_loader/loaded_array.sv"),
        parameters={"R": 4, "C": 4, "W": 8, "ACC": 32, "DEPTH": 32},
        config=("convention", "m_size", "n_size", "slots"),
        streams=("word",),
        pausable=False,
    ),
    Design(
        name="fusemax_array",
        about="FuseMax's 2D array: 1-pass attention, exp by six macs in fixed point",
        sources=(
            _LINE, "fusemax/pe_fusemax.sv", "fusemax/fusemax_sequencer.sv", "fusemax/fusemax_array.sv",
        ),
        parameters={"R": 4, "C": 4, "W": 8, "ACC": 32, "XW": 48, "DEPTH": 2, "SLOT": 4},
        config=("keys", "queries", "e_size", "f_size", "shift"),
        streams=("left", "top"),
    ),
)  # fmt: skip

DESIGNS: Final[Mapping[str, Design]] = {design.name: design for design in _TABLE}


def find_design(name: str) -> Design:
    """The design of this name; RuleError with the nearest name otherwise."""
    if name not in DESIGNS:
        raise RuleError("no such design", got=name, hint=near(name, DESIGNS))
    return DESIGNS[name]
