"""Convolutions equal scipy's correlation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from einsim.workloads.execute import execute
from einsim.workloads.library import build

RNG = np.random.default_rng(13)


def inputs_of(cascade):
    return {tensor.name: RNG.normal(size=cascade.shape(tensor.name)) for tensor in cascade.inputs}


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_a_convolution_is_a_correlation_summed_over_channels(b, c, k, r, stride):
    cascade = build("conv", b=b, c=c, k=k, y=4, x=3, r=r, q=2, stride=stride)
    w = inputs_of(cascade)
    assert w["I"].shape == (b, c, 3 * stride + r, 2 * stride + 2)
    found = execute(cascade, w)["O"]
    for image in range(b):
        for out in range(k):
            full = sum(correlate(w["I"][image, at], w["W"][out, at], "valid") for at in range(c))
            np.testing.assert_allclose(found[image, out], full[::stride, ::stride], atol=1e-10)


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_then_pointwise(stride):
    cascade = build("depthwise-separable", b=2, c=3, k=4, y=4, x=5, stride=stride)
    w = inputs_of(cascade)
    found = execute(cascade, w)["PW"]
    for image in range(2):
        depth = [correlate(w["I"][image, c], w["WD"][c], "valid")[::stride, ::stride] for c in range(3)]
        expected = np.einsum("cyx,kc->kyx", np.clip(depth, 0, 6), w["WP"])
        np.testing.assert_allclose(found[image], expected, atol=1e-10)


@pytest.mark.parametrize("seq", [1, 2, 9])
def test_the_gated_short_convolution_sees_the_present_and_its_last_taps(seq):
    cascade = build("gated-short-convolution", b=2, seq=seq, d=4, i=3, r=3)
    w = inputs_of(cascade)
    gated = (w["X"] @ w["WB"]) * (w["X"] @ w["WX"])
    mixed = np.zeros_like(gated)
    for t in range(seq):
        for tap in range(min(3, t + 1)):
            mixed[:, t] += gated[:, t - tap] * w["WK"][:, tap]
    expected = ((w["X"] @ w["WC"]) * mixed) @ w["WO"]
    np.testing.assert_allclose(execute(cascade, w)["O"], expected, atol=1e-10)
    assert cascade.points("CV") == 2 * 3 * sum(min(3, t + 1) for t in range(seq))
