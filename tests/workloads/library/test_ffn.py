"""The feed-forward network equals its formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf, expit

from einsim.workloads.execute import execute
from einsim.workloads.library import build

RNG = np.random.default_rng(5)


def gelu_tanh(x):
    return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


ACTIVATIONS = {
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "gelu_tanh": gelu_tanh,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * expit(x),
    "swiglu": lambda x: x * expit(x),
    "geglu": gelu_tanh,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_network_equals_its_formula(activation):
    cascade = build("ffn", b=2, p=3, d=4, s=5, activation=activation)
    w = {tensor.name: RNG.normal(size=cascade.shape(tensor.name)) for tensor in cascade.inputs}
    up = w["X"] @ w["W1"]
    gated = activation in ("swiglu", "geglu")
    inner = ACTIVATIONS[activation](w["X"] @ w["WG"]) * up if gated else ACTIVATIONS[activation](up)
    np.testing.assert_allclose(execute(cascade, w)["FF2"], inner @ w["W2"], rtol=1e-9, atol=1e-12)


def test_sizes_and_activation_follow_the_model():
    bert, llama = build("ffn"), build("ffn", model="llama2-7b", seq=128)
    assert {rank.name: rank.size for rank in bert.ranks} == {
        "b": 64,
        "p": 4096,
        "d": 768,
        "s": 3072,
        "o": 768,
    }
    assert llama.producer("GATE") is not None
    assert llama.size("s") == 11008
