"""`einsim validate rtl` exits 0 on sound RTL and 1, with the difference, on a fault in it."""

from __future__ import annotations

import shutil

import pytest

from einsim.cli.main import main
from einsim.rtl_models import RTL_DIR, design


def test_a_fault_in_the_rtl_is_told_and_exits_with_1(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("EINSIM_RTL_CACHE", str(tmp_path / "builds"))
    monkeypatch.setattr(design, "RTL_DIR", shutil.copytree(RTL_DIR, tmp_path / "rtl"))
    assert main(["validate", "rtl", "--case", "top_n_sorter"]) == 0
    assert ", 0 outside it" in capsys.readouterr().out
    lane = tmp_path / "rtl" / "sorter" / "sorter_lane.sv"
    lane.write_text(lane.read_text().replace("incoming > least", "incoming >= least"))
    assert main(["validate", "rtl", "--case", "top_n_sorter"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "outside its limit" in said
    assert "elements work, expected" in said


def test_a_name_that_is_no_design_exits_with_2(capsys: pytest.CaptureFixture[str]):
    assert main(["validate", "rtl", "--case", "nm_chian"]) == 2
    assert "nm_chain" in capsys.readouterr().err
