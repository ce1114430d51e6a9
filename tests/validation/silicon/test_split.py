"""The split is the one that was committed before the first fit, and about a third of the names are for fitting."""

from __future__ import annotations

import pytest

from einsim.validation.silicon.split import FIT, HELD_OUT, side
from einsim.workloads.load import network_names

# sha256("silicon/NAME") mod 3 is 0 for these; computed with coreutils' sha256sum, not with the code here.
KNOWN = {
    "resnet-18": FIT, "resnet-50": HELD_OUT, "mobilenet-v2": HELD_OUT, "mobilenet-v3-large": FIT, "vit-b-16": FIT,
    "gemm 1x384x384": FIT, "llama2-7b": FIT,
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_sides_stay_as_they_were_committed(name):
    assert side(name) == KNOWN[name]


def test_about_a_third_of_the_networks_are_for_fitting():
    # Of N names by chance N/3 with a deviation of sqrt(2N)/3: four of them is what a fair hash keeps to.
    names = network_names()
    fit = sum(side(name) == FIT for name in names)
    assert abs(fit - len(names) / 3) <= 4 * (2 * len(names)) ** 0.5 / 3
