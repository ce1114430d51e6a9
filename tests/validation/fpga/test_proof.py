"""The bounded proof holds for the element and fails for every mutant of it."""

from __future__ import annotations

import pytest

from einsim.validation.fpga.proof import ELEMENT, prove_element
from einsim.validation.rtl.mutants import stored_mutants

# The swapped index needs an N:M element; the proof is of the dense one.
MUTANTS = [each for each in stored_mutants() if each.file == ELEMENT.name and each.kind != "swapped index"]


def test_the_element_keeps_its_contract():
    assert prove_element() == 0


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.kind)
def test_a_mutant_breaks_it(mutant, tmp_path):
    changed = tmp_path / ELEMENT.name
    changed.write_text(ELEMENT.read_text().replace(mutant.text, mutant.instead))
    assert prove_element(changed) == 1
