"""Laws of functional coverage."""

from __future__ import annotations

import pytest

from einsim.rtl_models.bench.coverage import SHAPES, Coverage, shape_bins


def test_coverage_counts_hits_and_names_what_was_missed():
    coverage = Coverage(SHAPES)
    coverage.hit(*shape_bins(4, 3, 9, 4, 3))
    assert coverage.hits["one tile"] == 1
    coverage.hit(*shape_bins(9, 7, 2, 4, 3))
    assert coverage.missed == ["one row", "one column"]
    assert coverage.share == 0.75


def test_a_bin_that_was_not_declared_is_refused():
    with pytest.raises(KeyError, match="no bin 'dens'"):
        Coverage(["dense"]).hit("dens")
