"""The runs catch faults: none of the mutants survives."""

from __future__ import annotations

import pytest

from einsim.rtl_models.simulator import choose
from einsim.validation.rtl.mutants import stored_mutants, survivors

ONE_A_DESIGN = tuple({each.design: each for each in stored_mutants()}.values())


def test_one_mutant_of_every_design_is_caught():
    assert len(ONE_A_DESIGN) == 7
    assert list(survivors(choose("icarus"), ONE_A_DESIGN)) == []


@pytest.mark.slow
def test_all_mutants_are_caught():
    assert len(stored_mutants()) >= 20
    assert list(survivors(choose("icarus"), stored_mutants())) == []
