"""Laws of the six-mac exp: its constants follow from their definition, and it is close to exp."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.polynomial import chebyshev, polynomial

from einsim.sim.arrays.exp_fixed import FRACTION_BITS, HORNER, LOG2E, LOG2E_BITS, exp_fixed


def test_the_constants_are_what_their_comments_say():
    assert round(math.log2(math.e) * 2**LOG2E_BITS) == LOG2E
    in_t = chebyshev.cheb2poly(chebyshev.chebinterpolate(lambda t: 2 ** ((t + 1) / 2), 5))
    in_f = np.zeros(1)
    for coefficient in in_t[::-1]:  # t = 2 f - 1
        in_f = polynomial.polyadd(polynomial.polymul(in_f, [-1, 2]), [coefficient])
    assert tuple(round(c * 2**FRACTION_BITS) for c in in_f[::-1]) == HORNER


@pytest.mark.parametrize("bits", [4, 8, 12, 20])
def test_it_is_within_three_units_of_the_last_place_of_exp_and_never_rises_by_more(bits):
    x = np.linspace(-20 * 2**bits, 0, 4000).astype(np.int64)
    ours = np.array([exp_fixed(int(v), bits) for v in x])
    assert np.abs(ours - np.exp(x / 2**bits) * 2**FRACTION_BITS).max() < 3
    assert (np.diff(ours) >= -2).all()
    assert ours.min() >= 0


def test_exp_of_zero_is_one_and_of_very_little_is_zero():
    assert exp_fixed(0, 8) == 1 << FRACTION_BITS
    assert exp_fixed(-(1 << 40), 8) == 0
