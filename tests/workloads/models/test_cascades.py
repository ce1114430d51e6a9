"""Layers of every kind equal numpy, and a decode step over a prompt's caches equals the prompt's last token."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from einsim.specs.errors import SpecError
from einsim.workloads.execute import execute
from einsim.workloads.models import mixture
from einsim.workloads.models.cascades import layer_cascade
from einsim.workloads.models.network import (
    LatentAttention,
    Layer,
    Mlp,
    Moe,
    Selective,
    ShortConv,
    SoftmaxAttention,
    StateSpace,
)
from einsim.workloads.models.roles import cache, pruned, states, weights, with_widths
from einsim.workloads.models.step import Step
from einsim.workloads.notation import parse
from tests.workloads.models import reference

HIDDEN, TOKENS, BATCH = 6, 7, 2
GROUPED = SoftmaxAttention(heads=4, kv_heads=2, head_dim=4, rotary=True)
PLAIN = SoftmaxAttention(heads=3, kv_heads=3, head_dim=4)
BIASED = SoftmaxAttention(heads=3, kv_heads=3, head_dim=4, biases="qkvo")
BOTH = SoftmaxAttention(heads=3, kv_heads=3, head_dim=4, causal=False, biases="qkvo")
GATED = Mlp(inner=5, activation="silu", gated=True)
GELU = Mlp(inner=5, activation="gelu_tanh", bias=True)


def with_(block, **changes):
    return type(block)(**{name: getattr(block, name) for name in block.__struct_fields__} | changes)


LAYERS = {
    "llama": Layer(mixer=GROUPED, mlp=GATED, norm="rmsnorm"),
    "llama with biases": Layer(mixer=with_(GROUPED, biases="qkvo"), mlp=with_(GATED, bias=True), norm="rmsnorm"),
    "mistral": Layer(mixer=with_(GROUPED, window=3), mlp=GATED, norm="rmsnorm"),
    "qwen2": Layer(mixer=with_(GROUPED, biases="qkv"), mlp=GATED, norm="rmsnorm"),
    "qwen3": Layer(mixer=with_(GROUPED, qk_norm="head"), mlp=GATED, norm="rmsnorm"),
    "olmo2": Layer(mixer=with_(GROUPED, qk_norm="all"), mlp=GATED, norm="rmsnorm", placement="output"),
    "gemma2": Layer(mixer=with_(GROUPED, soft_cap=2.0, window=4), mlp=with_(GATED, activation="gelu_tanh"),
                    norm="rmsnorm", placement="sandwich"),
    "gpt2": Layer(mixer=BIASED, mlp=GELU, norm="layernorm"),
    "opt": Layer(mixer=BIASED, mlp=with_(GELU, activation="relu"), norm="layernorm"),
    "bloom": Layer(mixer=with_(BIASED, alibi=True), mlp=GELU, norm="layernorm"),
    "falcon": Layer(mixer=with_(GROUPED, kv_heads=1), mlp=Mlp(inner=5, activation="gelu"), norm="layernorm",
                    placement="parallel"),
    "gpt_neox": Layer(mixer=with_(BIASED, rotary=True), mlp=GELU, norm="layernorm", placement="parallel-two"),
    "gpt_oss": Layer(mixer=with_(GROUPED, biases="qkvo", sinks=True, window=3),
                     mlp=Mlp(inner=5, activation="clipped", gated=True, bias=True), norm="rmsnorm"),
    "llama4": Layer(mixer=with_(GROUPED, qk_norm="plain", chunk=3), mlp=GATED, norm="rmsnorm"),
    "bert": Layer(mixer=BOTH, mlp=with_(GELU, activation="gelu"), norm="layernorm", placement="post"),
    "clip": Layer(mixer=BOTH, mlp=with_(GELU, activation="gelu_quick"), norm="layernorm"),
    "t5 encoder": Layer(mixer=with_(PLAIN, causal=False, relative=True), mlp=Mlp(inner=5, activation="relu"), norm="rmsnorm"),
    "t5": Layer(mixer=with_(PLAIN, relative=True), mlp=GATED, norm="rmsnorm", cross=with_(PLAIN, causal=False)),
    "whisper": Layer(mixer=with_(BIASED, biases="qvo"), mlp=GELU, norm="layernorm",
                     cross=with_(BOTH, biases="qvo")),
    "deepseek_v2": Layer(mixer=LatentAttention(heads=3, rank=5, query_rank=0, key_dim=4, rope_dim=2, value_dim=3),
                         mlp=GATED, norm="rmsnorm"),
    "deepseek_v3": Layer(mixer=LatentAttention(heads=3, rank=5, query_rank=4, key_dim=4, rope_dim=2, value_dim=3),
                         mlp=GATED, norm="rmsnorm"),
    "mamba": Layer(mixer=Selective(inner=8, state=3, taps=4, step_rank=2), mlp=None, norm="rmsnorm"),
    "mamba with biases": Layer(mixer=Selective(inner=8, state=3, taps=4, step_rank=2, bias=True, conv_bias=False),
                               mlp=None, norm="rmsnorm"),
    "falcon_mamba": Layer(mixer=Selective(inner=8, state=3, taps=4, step_rank=2, norms="plain"), mlp=None, norm="rmsnorm"),
    "jamba": Layer(mixer=Selective(inner=8, state=3, taps=4, step_rank=2, norms="gain"), mlp=GATED, norm="rmsnorm"),
    "mamba2": Layer(mixer=StateSpace(heads=4, head_dim=3, groups=2, state=3, taps=4), mlp=None, norm="rmsnorm"),
    "lfm2": Layer(mixer=ShortConv(taps=3), mlp=GATED, norm="rmsnorm"),
    "lfm2 attention": Layer(mixer=with_(GROUPED, qk_norm="head"), mlp=GATED, norm="rmsnorm"),
}  # fmt: skip
DECODERS = [name for name, layer in LAYERS.items() if getattr(layer.mixer, "causal", True)]


def drawn(cascade):
    rng = np.random.default_rng(14)
    return {tensor.name: rng.normal(size=cascade.shape(tensor.name)) for tensor in cascade.inputs}


def step_of(layer, **given):
    phase = "prefill" if getattr(layer.mixer, "causal", True) else "encode"
    return Step(**{"phase": phase, "tokens": TOKENS, "batch": BATCH, "source": 5, "m0": 3} | given)


def passes_of(layer):
    return ("3", "2", "1") if isinstance(layer.mixer, SoftmaxAttention | LatentAttention) else ("3",)


CASES = [(name, passes) for name, layer in LAYERS.items() for passes in passes_of(layer)]


@pytest.mark.parametrize(("name", "passes"), CASES)
def test_a_layer_equals_numpy(name, passes):
    layer = LAYERS[name]
    cascade = layer_cascade(layer, HIDDEN, step_of(layer, passes=passes))
    w = drawn(cascade)
    found = execute(cascade, w)["Y"]
    np.testing.assert_allclose(found, reference.layer(layer, w), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("name", "passes"), [case for case in CASES if case[0] in DECODERS])
def test_a_decode_step_equals_the_last_token_of_a_prompt(name, passes):
    layer = LAYERS[name]
    prompt = layer_cascade(layer, HIDDEN, step_of(layer))
    w = drawn(prompt)
    made = execute(prompt, w)
    step = step_of(layer, phase="decode", tokens=1, cached=TOKENS - 1, passes=passes)
    decode = layer_cascade(layer, HIDDEN, step)
    given = {}
    for tensor in decode.inputs:
        given[tensor.name] = carried(tensor.name, decode.shape(tensor.name), layer, {**w, **made})
    found = execute(decode, given)
    np.testing.assert_allclose(found["Y"][:, 0], made["Y"][:, -1], rtol=1e-7, atol=1e-9)
    for new, whole, axis in (("KN", "K", 3), ("VN", "V", 3), ("LATN", "LAT", 1), ("KRN", "KR", 2)):
        if new in found:
            np.testing.assert_allclose(found[new].take(-1, axis), made[whole].take(-1, axis), rtol=1e-9)
    if "H1" in found:
        np.testing.assert_allclose(found["H1"][:, 0], made["H"][-1], rtol=1e-9)


def carried(name, shape, layer, known):
    """What a decode step finds under a name after the tokens before it."""
    match name:
        case "X" | "COS" | "SIN":
            return known[name][:, -1:]
        case "REL":  # distances of the last query, which is the nearest to the last key
            return known[name][..., : shape[-1]]
        case "K" | "V":
            return known[name][..., -shape[-1] :]
        case "H0":
            return known["H"][-2]
        case "XS" | "BS" | "CS":
            inner = known["BX" if isinstance(layer.mixer, ShortConv) else f"{name[0]}I"]
            return np.stack([inner[:, TOKENS - 2 - r] for r in range(shape[1])], axis=1)
        case "WUK" | "WUV":
            return known[name]
    return known[name]


@pytest.mark.parametrize("name", ["deepseek_v2", "deepseek_v3"])
@pytest.mark.parametrize("tokens", [1, 3])
def test_absorbed_projections_change_no_value(name, tokens):
    step = step_of(LAYERS[name], phase="decode", cached=4, tokens=tokens)
    absorbed = layer_cascade(LAYERS[name], HIDDEN, step)
    plain = layer_cascade(LAYERS[name], HIDDEN, with_(step, absorb=False))
    w = drawn(absorbed)
    assert set(weights(absorbed)) == set(weights(plain))
    np.testing.assert_allclose(execute(absorbed, w)["Y"], execute(plain, w)["Y"], rtol=1e-8)


MIXTURES = {
    "mixtral": Moe(experts=8, per_token=2, expert=GATED),
    "qwen2_moe": Moe(experts=6, per_token=3, expert=GATED, shared=with_(GATED, inner=4), shared_gate=True),
    "deepseek_v3": Moe(experts=6, per_token=2, expert=GATED, shared=GATED, score="sigmoid", choice_bias=True),
    "gpt_oss": Moe(experts=5, per_token=2, router_bias=True,
                   expert=Mlp(inner=5, activation="clipped", gated=True, bias=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXTURES)
def test_a_layer_with_experts_equals_numpy(name):
    """The rows that an index would look up are moved by hand between the three cascades."""
    moe = MIXTURES[name]
    layer = Layer(mixer=GROUPED, mlp=moe, norm="rmsnorm")
    step = step_of(layer)
    body = layer_cascade(layer, HIDDEN, step)
    w = drawn(body)
    made = execute(body, w)
    rng = np.random.default_rng(3)
    one = mixture.routed(moe, HIDDEN, step)
    experts = {name: rng.normal(size=(moe.experts, *one.shape(name)[1:])) for name in weights(one)}
    x = made["R1"]
    expected, share, choice = reference.mixture(moe, reference.norm("rmsnorm", x, w, "2"), w, experts)
    np.testing.assert_allclose(made["RTP"], share, rtol=1e-8)
    rows = np.zeros((*choice.shape, HIDDEN))
    for at in np.ndindex(*choice.shape):  # one row after the other through its expert's cascade
        single = mixture.routed(with_(moe, experts=1, per_token=1), HIDDEN, Step(phase="decode", tokens=1))
        given = {name: value[choice[at]][None] for name, value in experts.items()}
        rows[at] = execute(single, {"XE": made["N2"][at[:2]][None, None], **given})["FF2"][0, 0]
    combine = mixture.combined(moe, HIDDEN, step)
    given = {"X": made.get("R2", x), "YE": rows, "GW": np.take_along_axis(share, choice, -1)}
    np.testing.assert_allclose(execute(combine, given)["Y"], x + expected, rtol=1e-7)


@pytest.mark.parametrize("tokens", [1, 2, 3, 7, 40, 1000])
def test_experts_are_charged_for_the_rows_that_are_routed(tokens):
    moe = MIXTURES["mixtral"]
    step = Step(phase="prefill", tokens=tokens)
    found = mixture.routing(moe, step)
    expected = 8 * (1 - (1 - 2 / 8) ** tokens)
    assert abs(found.experts - expected) <= 0.5
    assert found.expected == pytest.approx(expected, rel=1e-12)
    cascade = mixture.routed(moe, HIDDEN, step)
    assert cascade.macs == 2 * tokens * 3 * HIDDEN * 5
    assert cascade.size("x") == found.experts


def test_a_skew_touches_fewer_experts_with_the_same_work():
    moe = replace(MIXTURES["mixtral"], experts=64)
    even, skewed, given = (
        mixture.routing(moe, Step(phase="prefill", tokens=40, **how))
        for how in ({}, {"skew": 1.5}, {"load": (1,) * 4 + (0,) * 60})
    )
    assert even.places == skewed.places == given.places == 80
    assert given.experts == 4 < skewed.experts < even.experts
    # Two of the experts take nearly all: each of them is one of every token's, never twice.
    sure = mixture.routing(moe, Step(phase="prefill", tokens=9, load=(1000, 1000, 1) + (0,) * 61))
    assert (sure.experts, sure.places) == (2, 18)


def test_a_capacity_drops_what_is_over_it():
    moe = MIXTURES["mixtral"]
    step = Step(phase="prefill", tokens=40, load=(60, 20, 20, 20, 20, 20, 20, 20))
    # 80 pairs, even would be 10 an expert: the first expects 24.
    assert mixture.routing(moe, step).places == 80
    assert mixture.routing(moe, replace(step, capacity=1.2)).places == 80 - 24 + 12
    cascade = mixture.routed(moe, HIDDEN, replace(step, capacity=1.2))
    assert cascade.macs == 68 * 3 * HIDDEN * 5


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ((1, 2), "load: must list the 8 experts (got 2)"),
        ((1,) + (0,) * 7, "must give at least 2 experts some"),
    ],
)
def test_loads_that_cant_be_are_told(load, message):
    with pytest.raises(SpecError) as told:
        mixture.routing(MIXTURES["mixtral"], Step(phase="prefill", tokens=4, load=load))
    assert message in str(told.value)


def test_experts_on_several_rows_equal_numpy():
    moe, step = MIXTURES["gpt_oss"], Step(phase="prefill", tokens=4)
    cascade = mixture.routed(moe, HIDDEN, step)
    w = drawn(cascade)
    found = execute(cascade, w)["FF2"]
    for expert in range(cascade.size("x")):
        own = {name: value[expert] for name, value in w.items()}
        expected = reference.mlp(moe.expert, w["XE"][expert], own)
        for row in range(cascade.size("n")):
            inside = row * cascade.size("x") + expert < 8
            np.testing.assert_allclose(found[expert, row], expected[row] if inside else 0, rtol=1e-8)


def test_roles_are_told_apart():
    decode = layer_cascade(LAYERS["t5"], HIDDEN, step_of(LAYERS["t5"], phase="decode", tokens=1, cached=6))
    assert cache(decode) == ("K", "V", "KX", "VX")
    assert states(decode) == ()
    assert "WKX" not in weights(decode)
    assert {"X", "REL"}.isdisjoint(weights(decode))
    hybrid = layer_cascade(LAYERS["mamba2"], HIDDEN, step_of(LAYERS["mamba2"], phase="decode", tokens=1))
    assert states(hybrid) == ("XS", "BS", "CS", "H0")


def test_widths_go_by_role():
    layer = LAYERS["qwen3"]
    prompt = with_widths(layer_cascade(layer, HIDDEN, step_of(layer)), weight=4, activation=16, kv=8)
    assert {prompt.tensor(name).bits for name in weights(prompt) if name[0] == "W"} == {4}
    assert {prompt.tensor(name).bits for name in weights(prompt) if name[0] != "W"} == {16}
    assert [prompt.tensor(name).bits for name in ("K", "V", "X", "Q", "Y", "COS")] == [8, 8, 16, 16, 16, 16]
    step = step_of(layer, phase="decode", tokens=1, cached=6)
    decode = with_widths(layer_cascade(layer, HIDDEN, step), weight=4, activation=16, kv=8)
    assert [decode.tensor(name).bits for name in ("K", "V", "KN", "VN", "Q")] == [8, 8, 8, 8, 16]


def test_a_window_or_chunk_bounds_what_a_decode_step_reads():
    for name, most in (("mistral", 3), ("llama4", 3)):
        for cached in range(9):
            step = Step(phase="decode", tokens=1, cached=cached)
            keys = layer_cascade(LAYERS[name], HIDDEN, step).size("m")
            assert keys == (min(cached + 1, most) if name == "mistral" else cached % most + 1)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("bert", {"phase": "decode"}, "phase: a bidirectional layer has no decode step (got 'decode')"),
        ("mamba", {"phase": "decode", "tokens": 2}, "tokens: must be 1: a recurrence decodes token by token (got 2)"),
        ("t5", {"source": 0}, "source: must be >= 1: a layer attends to an encoder's tokens (got 0)"),
        ("llama", {"cached": 3}, "cached: counts tokens before a decode step only (got 3)"),
        ("llama", {"tokens": 0}, "tokens: must be >= 1 (got 0)"),
    ],
)  # fmt: skip
def test_impossible_steps_are_told(name, given, message):
    with pytest.raises(SpecError) as error:
        layer_cascade(LAYERS[name], HIDDEN, step_of(LAYERS[name], **given))
    assert str(error.value) == message


def test_experts_beyond_all_reason_are_refused():
    """Each has a chance of its own: 16 billion took all memory (drawn input 404:5060)."""
    step = Step(phase="prefill", tokens=9)
    assert mixture.routing(replace(MIXTURES["mixtral"], experts=2**16), step).places == 18
    with pytest.raises(SpecError, match="experts: must be at most 65,536"):
        mixture.routing(replace(MIXTURES["mixtral"], experts=2**16 + 1), step)


def test_pruned_matrices_keep_two_of_four_along_the_channels_that_they_sum_over():
    """A kernel of 8 input channels; not one of 3, nor a convolution a channel, nor biases."""
    text = "Z[k,x] = I[c,x+q] * W[k,c,q]\nY[k,x] = Z[k,x] + B[k]"
    for sizes, pattern in (({"c": 8}, ("2:4", "n:m")), ({"c": 3}, ())):
        work = pruned(parse(text, name="conv", sizes={"k": 4, "x": 5, "q": 3, **sizes}), 2, 4)
        found = {one.name: one.sparsity.patterns for one in work.tensors}
        assert found == {"Z": (), "I": (), "W": pattern, "Y": (), "B": ()}
    alone = parse("Z[k,x] = I[k,x+q] * W[k,q]", name="depthwise", sizes={"k": 4, "x": 5, "q": 4})
    assert pruned(alone, 2, 4) == alone
