"""Norms equal their formulas, whichever way they are computed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from einsim.workloads.execute import execute
from einsim.workloads.library import build

RNG = np.random.default_rng(17)


def run(name, **given):
    cascade = build(name, p=3, d=10, **given)
    w = {tensor.name: RNG.normal(size=cascade.shape(tensor.name)) for tensor in cascade.inputs}
    return w, execute(cascade, w)["Y"]


def test_softmax():
    w, found = run("softmax")
    np.testing.assert_allclose(found, softmax(w["X"], axis=1))


@pytest.mark.parametrize("variant", ["naive", "moments", "welford"])
def test_layernorm(variant):
    w, found = run("layernorm", variant=variant)
    x = w["X"]
    deviation = np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found, (x - x.mean(1, keepdims=True)) / deviation * w["G"] + w["B"], rtol=1e-9)


def test_rmsnorm():
    w, found = run("rmsnorm")
    x = w["X"]
    np.testing.assert_allclose(found, x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-5) * w["G"])
