"""Synthesis against the resource model."""

from __future__ import annotations

import pytest

from einsim.specs.errors import EinsimError, RuleError
from einsim.validation.fpga.counts import counts_of, stored
from einsim.validation.fpga.grid import DRAWN, DRAWS, MEMORY_DRAWS, DesignPoint, grid
from einsim.validation.fpga.suite import anew, judged, rows, run
from einsim.validation.fpga.synthesis import SynthesisError, grouped, run_yosys


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
        "RAM32M": 2,
        "RAM64X1D": 1,
        "SRL16E": 3,
    }
    assert grouped(cells) == {"dsp": 4, "bram36": 3, "uram": 2, "lut": 6 + 8 + 2 + 3, "ff": 9}


def test_a_fault_is_told_in_one_line(tmp_path):
    with pytest.raises(SynthesisError, match=r"Yosys: ERROR: .*nowhere"):
        run_yosys([f"read_verilog {tmp_path / 'nowhere.v'}"])


def test_an_unknown_design_is_told_the_nearest():
    with pytest.raises(RuleError, match="nm_chain"):
        next(run(["nm_chian"]))


def test_the_grid_is_drawn_the_same_every_time_and_all_of_it_is_stored():
    drawn = list(grid())
    assert drawn == list(grid())
    assert len(drawn) == DRAWS * len(DRAWN) + MEMORY_DRAWS
    assert {case.name for case in drawn} == set(stored())


def test_the_model_is_within_its_limits_on_the_stored_grid():
    found = [row for case in grid() for row in judged(case, counts_of(case), "stored")]
    wrong = [f"{row.case} {row.quantity}: {row.reference} {row.ours}" for row in found if not row.ok]
    assert not wrong, "\n".join(wrong)
    assert sum(row.quantity == "lut" for row in found) == DRAWS * len(DRAWN)
    assert sum(row.quantity in {"bram36", "uram"} for row in found) == MEMORY_DRAWS


def test_a_model_that_misses_a_dsp_a_block_or_a_sixth_of_the_luts_fails():
    case = next(grid())
    counts = counts_of(case)
    for quantity, other in (
        ("dsp", counts["dsp"] + 1), ("lut", round(1.25 * counts["lut"])), ("ff", round(1.25 * counts["ff"])),
    ):  # fmt: skip
        assert not all(row.ok for row in judged(case, {**counts, quantity: other}, ""))
    memory = list(grid())[-1]
    blocks = {name: count + 1 for name, count in counts_of(memory).items()}
    assert not all(row.ok for row in judged(memory, blocks, ""))


def test_a_case_that_was_not_synthesised_says_how_to():
    with pytest.raises(EinsimError, match=r"python -m einsim\.validation\.fpga\.counts"):
        counts_of(DesignPoint(design="nm_chain", parameters={"ROWS": 99}))


def test_one_size_synthesised_now_has_the_stored_counts():
    [case] = anew([case for case in grid() if case.design == "nm_chain"])
    assert case.synthesised() == counts_of(case)


@pytest.mark.slow
def test_resources_are_those_of_synthesis():
    wrong = [f"{row.case} {row.quantity}: {row.reference} {row.ours}" for row in rows() if not row.ok]
    assert not wrong, "\n".join(wrong)
