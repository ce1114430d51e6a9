"""RTL against simulator: every run of the grid has the clocks and bits of einsim's stepped models."""

from __future__ import annotations

import pytest

from einsim.rtl_models.bench.coverage import PATTERNS
from einsim.rtl_models.grid import grid
from einsim.rtl_models.nm_chain.model import MODES
from einsim.specs.errors import RuleError
from einsim.validation.rtl.suite import rows, run, runs


def judged(found):
    assert found
    wrong = [
        f"{row.case} {row.quantity}: {row.reference} {row.ours} {row.note}" for row in found if not row.ok
    ]
    assert not wrong, "\n".join(wrong[:5])


def test_quick_grid_is_exact():
    judged(rows())


@pytest.mark.slow
def test_full_grid_is_exact():
    assert len(runs(full=True)) >= 500
    judged(rows(full=True))


def test_grids_hold_every_design_pattern_and_waits():
    quick = list(grid())
    assert {batch.design for batch in quick} == {batch.design for batch in grid(full=True)}
    assert len({batch.design for batch in quick}) == 7
    assert {f"{n}:{m}" for n, m in MODES if (n, m) != (1, 1)} | {"dense"} == set(PATTERNS)
    jobs = [job for batch in quick for job in batch.jobs]
    assert sum(any(sum(gaps) for gaps in job.gaps.values()) for job in jobs) > 80
    assert sum(0 in job.out_ready for job in jobs) > 80
    assert sum(job.clocks > job.cycles for job in jobs) > 80


def test_a_grid_is_the_same_every_time():
    assert [job.streams for job in runs(full=False)] == [job.streams for job in runs(full=False)]


def test_a_name_that_is_no_design_is_refused():
    with pytest.raises(RuleError, match="nm_chain"):
        next(run(["nm_chian"]))
