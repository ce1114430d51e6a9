"""Laws of the table of designs: sources are there, names are helped along."""

from __future__ import annotations

import pytest

from einsim.rtl_models.design import DESIGNS, find_design
from einsim.specs.errors import RuleError


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_every_source_is_there_and_the_last_one_holds_the_top(design):
    assert all(file.is_file() for file in design.files())
    text = design.files()[-1].read_text()
    assert f"module {design.name} " in text
    for name in design.parameters:
        assert f"parameter int {name} =" in text
    for name in (*design.config, *(f"{stream}_valid" for stream in design.streams)):
        assert name in text


def test_every_source_in_the_folder_belongs_to_a_design(repository):
    used = {file for design in DESIGNS.values() for file in design.files()}
    memory = repository / "rtl_models" / "parts" / "tile_memory.sv"  # only synthesised, by validation.fpga
    assert used | {memory} == set((repository / "rtl_models").rglob("*.sv"))


def test_a_wrong_name_is_told_the_nearest():
    with pytest.raises(RuleError, match="nm_chain"):
        find_design("nm_chian")
    with pytest.raises(RuleError, match="ROWS"):
        DESIGNS["nm_chain"].settings({"ROW": 3})
