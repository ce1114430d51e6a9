"""Synthesis against the resource model."""

from __future__ import annotations

import pytest

from specs.errors import RuleError
from validation.fpga.suite import fitted, rows, run
from validation.fpga.synthesis import SynthesisError, grouped, run_yosys


def test_cells_are_grouped_as_a_part_is_sold():
    cells = {
        "DSP48E1": 4,
        "LUT2": 3,
        "LUT6": 2,
        "INV": 1,
        "FDRE": 9,
        "RAMB18E2": 3,
        "RAMB36E2": 1,
        "URAM288": 2,
        "CARRY4": 7,
    }
    assert grouped(cells) == {"dsp": 4, "bram36": 3, "uram": 2, "lut": 6, "ff": 9}


def test_coefficients_go_through_both_sizes():
    logic = fitted({"dsp": 4, "lut": 500, "ff": 90}, {"dsp": 14, "lut": 900, "ff": 290})
    assert (logic.luts_per_dsp, logic.luts_of_control) == (40, 340)
    assert (logic.ffs_per_dsp, logic.ffs_of_control) == (20, 10)


def test_a_fault_is_told_in_one_line(tmp_path):
    with pytest.raises(SynthesisError, match=r"Yosys: ERROR: .*nowhere"):
        run_yosys([f"read_verilog {tmp_path / 'nowhere.v'}"])


def test_an_unknown_design_is_told_the_nearest():
    with pytest.raises(RuleError, match="nm_chain"):
        next(run(["nm_chian"]))


@pytest.mark.slow
def test_resources_are_those_of_synthesis():
    wrong = [f"{row.case} {row.quantity}: {row.reference} {row.ours}" for row in rows() if not row.ok]
    assert not wrong, "\n".join(wrong)
