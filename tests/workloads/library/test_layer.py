"""Whole layers equal a transformer layer written in plain numpy, prompt and decode step alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf, expit, softmax

from einsim.specs.errors import SpecError
from einsim.workloads.dimensions import Dimensions
from einsim.workloads.execute import execute
from einsim.workloads.library.layer import layer_workload
from einsim.workloads.load import load_workload
from einsim.workloads.settings import read_settings

RNG = np.random.default_rng(11)


def norm(kind, x, w, tag):
    if kind == "rmsnorm":
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[f"G{tag}"]
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w[f"G{tag}"] + w[f"B{tag}"]


def act(kind, x):
    match kind:
        case "relu":
            return np.maximum(x, 0)
        case "silu" | "swiglu":
            return x * expit(x)
        case "gelu":
            return x * (1 + erf(x / np.sqrt(2))) / 2
    return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def ffn(kind, x, w):
    up = x @ w["W1"]
    inner = act(kind, x @ w["WG"]) * up if kind in ("swiglu", "geglu") else act(kind, up)
    return inner @ w["W2"]


def rotate(x, w):
    """x[..., e, t]: each element turns with the one half a head away."""
    half = x.shape[-2] // 2
    partner = np.concatenate([x[..., half:, :], x[..., :half, :]], axis=-2)
    return x * w["COS"] + partner * w["SIN"]


def attend(q, k, v, seen, out):
    """q[b,h,g,e,p], k[b,h,e,m], v[b,h,f,m], seen[m,p], out[h,g,f,d] to [b,p,d]."""
    weights = softmax(np.where(seen, np.einsum("bhgep,bhem->bhgmp", q, k), -np.inf), axis=3)
    return np.einsum("bhgmp,bhfm,hgfd->bpd", weights, v, out)


def project(x, weight):
    """x[b,p,d] by weight[d,h,g,e] or [d,h,e] to heads first and tokens last."""
    if weight.ndim == 4:
        return np.einsum("bpd,dhge->bhgep", x, weight)
    return np.einsum("bpd,dhe->bhep", x, weight)


def grouped(weight, axis):
    """A weight with a group rank of 1 where the cascade has none."""
    return weight if weight.ndim == 4 else np.expand_dims(weight, axis)


def layer(model, w, m, p, window):
    x = w["X"]
    first = norm(model.norm, x, w, 1) if model.order == "pre" else x
    q, k = project(first, grouped(w["WQ"], 2)), project(first, w["WK"])
    if model.rope:
        q, k = rotate(q, w), rotate(k, w)
    v = project(first, w["WV"])
    made = {"K": k, "V": v}
    k, v = w.get("K", k), w.get("V", v)
    key, query = np.arange(m)[:, None], np.arange(p)[None, :] + m - p
    seen = (key <= query) | (not (model.causal or "K" in w))
    if window:
        seen &= query - key < window
    middle = x + attend(q, k, v, seen, grouped(w["WO"], 1))
    if model.order == "post":
        inner = norm(model.norm, middle, w, 1)
        return norm(model.norm, inner + ffn(model.activation, inner, w), w, 2), made
    if "KX" in w:
        crossed = project(norm(model.norm, middle, w, 3), grouped(w["WQX"], 2))
        everything = np.ones((w["KX"].shape[-1], p), bool)
        middle = middle + attend(crossed, w["KX"], w["VX"], everything, grouped(w["WOX"], 1))
    return middle + ffn(model.activation, norm(model.norm, middle, w, 2), w), made


BASE = {"hidden": 6, "heads": 4, "head_dim": 4, "ffn": 5}
MODELS = {
    "bert": Dimensions(**BASE),
    "trxl": Dimensions(**BASE, activation="relu"),
    "gpt2": Dimensions(**BASE, activation="gelu_tanh", order="pre", causal=True),
    "t5": Dimensions(**BASE, activation="geglu", norm="rmsnorm", order="pre", cross=True),
    "llama": Dimensions(
        **BASE, kv_heads=2, activation="swiglu", norm="rmsnorm", order="pre", rope=True, causal=True
    ),
    "mistral": Dimensions(
        **BASE, kv_heads=2, activation="swiglu", norm="rmsnorm", order="pre", rope=True, causal=True, window=3
    ),
}


def built(model, **given):
    workload = layer_workload("layer", model)
    return workload.build(read_settings(workload.parameters, given, "layer"))


@pytest.mark.parametrize("passes", [3, 2, 1])
@pytest.mark.parametrize("name", MODELS)
def test_a_prompt_through_a_layer(name, passes):
    model = MODELS[name]
    cascade = built(model, seq=7, b=2, passes=passes, m0=3)
    weights = {tensor.name: RNG.normal(size=cascade.shape(tensor.name)) for tensor in cascade.inputs}
    expected, made = layer(model, weights, 7, 7, model.window)
    found = execute(cascade, weights)
    np.testing.assert_allclose(found["Y"], expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found["K"], made["K"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("passes", [3, 1])
@pytest.mark.parametrize("name", ["gpt2", "t5", "llama", "mistral"])
def test_a_decode_step_through_a_layer(name, passes):
    model = MODELS[name]
    cascade = built(model, phase="decode", seq=7, b=2, p=2, passes=passes, m0=3)
    weights = {tensor.name: RNG.normal(size=cascade.shape(tensor.name)) for tensor in cascade.inputs}
    expected, made = layer(model, weights, 7, 2, model.window)
    found = execute(cascade, weights)
    np.testing.assert_allclose(found["Y"], expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found["KN"], made["K"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["VN"], made["V"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (
            "bert", {"phase": "decode"},
            "layer phase: a bidirectional layer has no decode step (got 'decode'); causal=true makes it a decoder",
        ),
        ("gpt2", {"p": 3, "seq": 7}, "layer p: must equal seq (7) in prefill; phase=decode takes fewer tokens (got 3)"),
        (
            "gpt2", {"p": 9, "seq": 7, "phase": "decode"},
            "layer p: must be <= seq (7), which counts the new tokens too (got 9)",
        ),
    ],
)  # fmt: skip
def test_impossible_phases_are_told(name, given, message):
    with pytest.raises(SpecError) as error:
        built(MODELS[name], **given)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"seq": 8, "causal": True}, {"K", "V", "Y"}),
        ({"seq": 8, "causal": False}, {"Y"}),
        ({"seq": 8, "causal": True, "phase": "decode"}, {"KN", "VN", "Y"}),
    ],
)
def test_a_decoder_leaves_its_cache_in_memory(settings, left):
    given = {name: str(value).lower() for name, value in settings.items()}
    cascade = load_workload("decoder-layer", given)
    assert {tensor.name for tensor in cascade.outputs} == left
