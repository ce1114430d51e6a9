"""Captures are read strictly and written so that they read back."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from einsim.specs.errors import SpecError
from einsim.validation.gpu.fit import CAPTURES
from einsim.validation.gpu.measurement import FIELDS, Measurement, append, read

ROW = read(CAPTURES / "nvidia-h200.csv")[0]


def test_a_row_reads_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    row = msgspec.structs.replace(ROW, vendor_s=math.nan, median_s=1.25e-5)
    append(path, row)
    append(path, row)
    first, second = read(path)
    assert repr(first) == repr(second) == repr(row)


def test_a_strange_header_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SpecError, match=r"bad\.csv:1 header: must be device,sms,"):
        read(path)


def test_a_wrong_value_is_refused_with_its_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    append(path, ROW)
    text = path.read_text().splitlines()
    cells = text[1].split(",")
    cells[FIELDS.index("launches")] = "many"
    path.write_text("\n".join([text[0], text[1], ",".join(cells)]) + "\n")
    with pytest.raises(SpecError, match=r"bad\.csv:3 launches: must be int \(got 'many'\)"):
        read(path)


def test_a_short_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(",".join(FIELDS) + "\nNVIDIA\n")
    with pytest.raises(SpecError, match=r"bad\.csv:2 row: must have 31 cells \(got 1\)"):
        read(path)


def test_ranks_are_numbers() -> None:
    assert isinstance(ROW, Measurement)
    assert all(isinstance(size, int) for size in ROW.ranks.values())
