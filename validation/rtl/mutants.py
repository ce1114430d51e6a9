"""Mutants: single faults put into the RTL, each of which the runs must catch.

A fault is one replaced text. A mutant is caught when a run differs, or when it doesn't build or end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from rtl_models.build import build, run_jobs
from rtl_models.design import find_design
from rtl_models.simulator import Simulator, SimulatorError
from validation.rtl.grid import Batch, grid

TIMEOUT_S: Final = 20.0
"""A sound batch takes a second or two; a mutant that never ends is caught by this."""


class Mutant(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """In `file`, the only occurrence of `text` becomes `instead`; judged on runs of `design`."""

    kind: str
    design: str
    file: str
    text: str
    instead: str


def mutant(kind: str, design: str, file: str, text: str, instead: str) -> Mutant:
    """One line of the table."""
    return Mutant(kind=kind, design=design, file=file, text=text, instead=instead)


_OS, _WS, _CH, _FX = "systolic_os", "systolic_ws", "nm_chain", "fusemax_array"

MUTANTS: Final = (
    mutant("not cleared", _OS, "pe_os.sv", "if (a[1]) kept = 0;", ""),
    mutant("wrong sign", _OS, "pe_os.sv", "sum = kept + product;", "sum = kept - product;"),
    mutant("unsigned operand", _OS, "pe_os.sv", "logic signed [W-1:0] chosen, value;", "logic [W-1:0] chosen, value;"),
    mutant("swapped index", _OS, "pe_os.sv", "chosen = a[3+g*W+:W];", "chosen = a[3+(G-1-g)*W+:W];"),
    mutant("wrong skew", _OS, "systolic_os.sv", "delay_line #(.DEPTH(r), .WIDTH(AW))", "delay_line #(.DEPTH(r + 1), .WIDTH(AW))"),
    mutant("unmasked lane", _OS, "systolic_os.sv", "slot_valid && c < cols_used", "slot_valid"),
    mutant("ignores valid", _OS, "systolic_os.sv", "(!slot_valid || (a_valid && b_valid))", "(!slot_valid || a_valid)"),
    mutant("ignores ready", _OS, "systolic_os.sv", "(out_valid == 0 || out_ready)", "1'b1"),
    mutant("off by one", _OS, "os_sequencer.sv", "t < lead + slots &&", "t < lead + slots - 1 &&"),
    mutant("off by one", _OS, "os_sequencer.sv", "period = slots + rows_used + cols_used + 3;", "period = slots + rows_used + cols_used + 2;"),
    mutant("lost condition", _OS, "os_sequencer.sv", "if (slots < R) period = R;", ""),
    mutant("wrong count", _OS, "os_sequencer.sv", "rows_left <= rows_left - R;", "rows_left <= rows_left - C;"),
    mutant("shadow too early", _WS, "pe_ws.sv", "if (x[2]) w = shadow;", "w = shadow;"),
    mutant("sum not passed on", _WS, "pe_ws.sv", "sum = above + product;", "sum = product;"),
    mutant("stale words", _WS, "systolic_ws.sv", "rst || (flush && advance)", "rst"),
    mutant("stale words", _WS, "systolic_ws.sv", "rst || (advance && flush)", "rst"),
    mutant("wrong row", _WS, "systolic_ws.sv", "h_slot && h_row == i", "h_slot && h_row == R - 1 - i"),
    mutant("wrong tap", _WS, "systolic_ws.sv", "taps[(r-s)*XW+:XW]", "taps[(r-s+1)*XW+:XW]"),
    mutant("off by one", _WS, "ws_sequencer.sv", "t < h_from + h_count;", "t <= h_from + h_count;"),
    mutant("no prologue", _WS, "ws_sequencer.sv", "prologue <= convention == 2;", "prologue <= 0;"),
    mutant("wrong order", _WS, "ws_sequencer.sv", "h_cols_left <= h_cols_left - C;", "h_cols_left <= n_size;"),
    mutant("missing register", _CH, "dsp_slice.sv", "cascade_out <= cascade_in + product;", "cascade_out <= cascade_in + a * b;"),
    mutant("narrow sum", _CH, "dsp_slice.sv", "logic signed [2*W-1:0] product;", "logic signed [W-1:0] product;"),
    mutant("wrong window", _CH, "nm_chain.sv", "{2{a_data[(r*VALUES+(i/2)*4)*W+:4*W]}}", "{2{a_data[(r*VALUES+i*4)*W+:4*W]}}"),
    mutant("dropped carry-over", _CH, "nm_chain.sv", "if (!first_out) total_next", "if (first_out) total_next"),
    mutant("early last", _CH, "chain_sequencer.sv", "beat_valid && slots_left <= span", "beat_valid && slots_left < span"),
    mutant("wrong drain", _CH, "chain_sequencer.sv", "drain == LENGTH + 1", "drain == LENGTH"),
    mutant("later of equals", "top_n_sorter", "sorter_lane.sv", "incoming > least", "incoming >= least"),
    mutant("earliest loses", "top_n_sorter", "sorter_lane.sv", "size <= least", "size < least"),
    mutant("no magnitude", "top_n_sorter", "sorter_lane.sv", "if (held < 0) size = -size;", ""),
    mutant("not cleared", "top_n_sorter", "sorter_lane.sv", "if (first) full_now = 0;", ""),
    mutant("dropped valid", "top_n_sorter", "top_n_sorter.sv", "out_valid <= taken;", "out_valid <= 0;"),
    mutant("three buffers", "loaded_array", "tile_loader.sv", "ready_tiles < 2", "ready_tiles < 3"),
    mutant("wrong half", "loaded_array", "tile_loader.sv", "r_a_half <= !r_a_half;", ""),
    mutant("reloads B", "loaded_array", "tile_loader.sv", "w_rows_left != m_size", "1'b0"),
    mutant("wrong coefficient", _FX, "pe_fusemax.sv", "coefficient = 3661;", "coefficient = 3660;"),
    mutant("minimum", _FX, "pe_fusemax.sv", "wide > above", "wide < above"),
    mutant("logical shift", _FX, "pe_fusemax.sv", "scaled = scaled >>> shift;", "scaled = scaled >> shift;"),
    mutant("padding counted", _FX, "pe_fusemax.sv", "row_real && whole >= -17", "whole >= -17"),
    mutant("forgets maximum", _FX, "fusemax_array.sv", "!pending_first && running_max", "pending_first && running_max"),
    mutant("waits too short", _FX, "fusemax_sequencer.sv", "now + R + 1;", "now + R;"),
    mutant("wrong depth", _FX, "fusemax_sequencer.sv", "ahead == DEPTH - 1", "ahead == DEPTH"),
)  # fmt: skip


def survivors(simulator: Simulator, mutants: tuple[Mutant, ...] = MUTANTS) -> Iterator[Mutant]:
    """The mutants that no run catches; there should be none."""
    batches = list(grid())
    for each in mutants:
        of_design = [batch for batch in batches if batch.design == each.design]
        if not any(caught(each, batch, simulator) for batch in of_design):
            yield each


def caught(each: Mutant, batch: Batch, simulator: Simulator) -> bool:
    """Whether a run of the batch differs on the mutant, or the mutant does not build or end."""
    design = find_design(each.design)
    with tempfile.TemporaryDirectory(prefix="einsim-mutant-") as work:
        sources = []
        changed = 0
        for file in design.files():
            text = file.read_text()
            if file.name == each.file:
                assert text.count(each.text) == 1, f"{each.file}: '{each.text}' stands there {text.count(each.text)} times"
                text, changed = text.replace(each.text, each.instead), changed + 1
            sources.append(Path(work, file.name))
            sources[-1].write_text(text)
        assert changed == 1, f"{each.file} is no source of {each.design}"
        try:
            built = build(design, simulator, batch.parameters, sources=sources, folder=Path(work, "build"))
            outcomes = run_jobs(built, batch.jobs, timeout_s=TIMEOUT_S)
        except SimulatorError:
            return True
    return any(not outcome.ok for outcome in outcomes)
