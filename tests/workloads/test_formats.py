"""Integer formats keep the laws of uniform quantisers: exact where they can be, 6.02 dB a bit, ties to even."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from einsim.workloads.formats import AFFINE, CHANNEL, GROUP, SYMMETRIC, Format, grid

RNG = np.random.default_rng(3)


def rounded(values, bits, blocks=None, scheme=SYMMETRIC):
    values = np.asarray(values, dtype=float)
    return grid(values, Format(bits=bits, scheme=scheme), blocks or values.shape).rounded(values)


def sqnr(values, found):
    return 10 * np.log10(np.mean(values**2) / np.mean((found - values) ** 2))


@pytest.mark.parametrize("bits", range(2, 17))
def test_representable_values_are_exact(bits):
    most = 2 ** (bits - 1) - 1
    values = 0.25 * np.array([-most, most, 0, 1, -1, most // 2])
    np.testing.assert_array_equal(rounded(values, bits), values)
    codes = np.array([0, 2**bits - 1, 1, 2 ** (bits - 1)])
    shifted = 0.5 * (codes - 1)
    np.testing.assert_array_equal(rounded(shifted, bits, scheme=AFFINE), shifted)


def test_ties_go_to_the_even_code_and_values_beyond_the_range_to_its_end():
    own = grid(np.array([-127.0, 127.0]), Format(bits=8), (2,))
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, 300.0, -300.0, np.inf, -np.inf])
    expected = [0, 2, 2, 0, -2, -2, 126, 127, -127, np.inf, -np.inf]
    np.testing.assert_array_equal(own.rounded(values), expected)


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_a_uniform_signal_has_the_closed_form_of_a_uniform_quantiser(bits):
    """Signal A^2 / 3, noise step^2 / 12: 20 log10(2 A / step), 6.02 dB a bit."""
    values = RNG.uniform(-1, 1, 200_000)
    steps = 2**bits - 2
    assert sqnr(values, rounded(values, bits)) == pytest.approx(20 * np.log10(steps), abs=0.05)
    steps = 2**bits - 1
    assert sqnr(values, rounded(values, bits, scheme=AFFINE)) == pytest.approx(20 * np.log10(steps), abs=0.05)


def test_a_zero_point_gains_a_bit_on_values_of_one_sign():
    values = RNG.uniform(0, 1, 100_000)
    gain = sqnr(values, rounded(values, 8, scheme=AFFINE)) - sqnr(values, rounded(values, 8))
    assert gain == pytest.approx(20 * np.log10(255 / 127), abs=0.1)
    assert (rounded(values, 8, scheme=AFFINE) >= 0).all()
    assert rounded([0.0, 3.0, 9.0], 2, scheme=AFFINE)[0] == 0  # 0 stays 0: masked points add nothing


def test_finer_blocks_on_scaled_channels_are_never_worse():
    values = RNG.normal(size=(8, 256)) * 4.0 ** np.arange(-4, 4)[:, None]
    errors = [
        np.mean((rounded(values, 4, blocks) - values) ** 2, axis=1)
        for blocks in ((8, 256), (1, 256), (1, 32), (1, 1))
    ]
    for coarse, fine in pairwise(errors):
        assert (fine <= coarse * (1 + 1e-12)).all()
    assert errors[1][0] < errors[0][0] / 50  # 17 dB
    np.testing.assert_allclose(errors[-1], 0, atol=1e-25)


def test_a_group_has_the_scale_of_its_own_values_the_last_one_too():
    values = RNG.normal(size=(3, 10))
    own = grid(values, Format(bits=8, per=GROUP, group=4), (1, 4))
    for first, end in ((0, 4), (4, 8), (8, 10)):
        expected = np.abs(values[:, first:end]).max(axis=1, keepdims=True) / 127
        np.testing.assert_array_equal(own.scale[:, first:end], np.broadcast_to(expected, (3, end - first)))


def test_zeros_and_infinities_make_no_scale():
    np.testing.assert_array_equal(rounded(np.zeros(4), 8), np.zeros(4))
    np.testing.assert_array_equal(rounded([-np.inf, 1.0, 0.0], 8), [-np.inf, 1.0, 0.0])
    np.testing.assert_array_equal(rounded([5e-324, 0.0], 8, scheme=AFFINE), [0.0, 0.0])


def test_formats_say_what_they_are():
    assert str(Format(bits=8, per=CHANNEL)) == "int8 per channel"
    assert str(Format(bits=4, per=GROUP, group=128, scheme=AFFINE)) == "int4 per 128 values, affine"
