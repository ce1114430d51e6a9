"""Networks of published models have the parameters that are published, counted from their cascades."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import erf

from einsim.workloads.execute import execute
from einsim.workloads.models import ends
from einsim.workloads.models.configs import KINDS, read_network
from einsim.workloads.models.network import (
    Embedding,
    Layer,
    Mlp,
    Patches,
    Projection,
    Quantization,
    SoftmaxAttention,
    Stem,
)
from einsim.workloads.models.parts import (
    active_parameters,
    kv_bytes_per_token,
    parameters,
    parts,
    state_bytes,
    weight_bytes,
)
from einsim.workloads.models.step import Step
from tests.workloads.models import reference
from tests.workloads.models.published import CONFIGS, OWN, PUBLISHED


@pytest.fixture
def network(tmp_path):
    def read(name, **changes):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps({**CONFIGS[name], **changes}, indent=2))
        return read_network(folder / "config.json")

    return read


def test_every_kind_is_tried():
    tried = {str(config["model_type"]) for config in CONFIGS.values()}
    tried |= {"siglip_vision_model", "llama4_text", "gemma3"}  # read within their whole, or as its text
    assert tried == set(KINDS)
    assert {*PUBLISHED, *OWN} == set(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_those_published(network, name):
    expected = PUBLISHED.get(name) or OWN[name]()
    assert parameters(network(name)) == expected  # the bar is 0.1 %; all are equal


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("mixtral-8x7b", 12.9e9),  # Jiang et al., arXiv 2401.04088: 13B active
        ("deepseek-v3", 37e9),  # DeepSeek-AI, arXiv 2412.19437: 37B, the embedding's rows not counted whole
        ("llama-4-scout", 17e9),  # model card
        ("gpt-oss-20b", 3.6e9 + 201088 * 2880),  # model card: 3.6B, the embedding's table not counted
        ("qwen3-30b-a3b", 3.3e9),  # model card
        ("jamba-v0.1", 12e9),  # Lieber et al., arXiv 2403.19887
        ("qwen1.5-moe-a2.7b", 2.7e9),  # model card
    ],
)
def test_active_parameters_are_those_published(network, name, published):
    assert active_parameters(network(name)) == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("name", [name for name, config in CONFIGS.items() if "experts" not in str(config)])
def test_without_experts_all_parameters_are_active(network, name):
    found = network(name)
    assert active_parameters(found) == parameters(found)


@pytest.mark.parametrize(
    "name", ["llama-3.2-1b", "mixtral-8x7b", "deepseek-v2-lite", "gemma-2-2b", "qwen3-30b-a3b"]
)
def test_parameters_depend_on_no_step(network, name):
    found = network(name)
    for step in (
        Step(phase="prefill", tokens=100, batch=3),
        Step(phase="decode", tokens=1, cached=300),
        Step(phase="decode", tokens=1, cached=300, batch=64),
    ):
        assert sum(part.parameters for part in parts(found, step)) == parameters(found)


def test_equal_layers_are_one_part(network):
    names = [part.name for part in parts(network("llama-3-8b"), Step(phase="prefill", tokens=64))]
    assert names == ["embedding", "layer 0-31", "final-norm", "head"]
    kinds = network("gemma-3-1b").kinds()
    assert [kind.count for kind in kinds] == [22, 4]
    assert kinds[1].places == (5, 11, 17, 23)
    assert [kind.count for kind in network("jamba-v0.1").kinds()] == [12, 16, 4]
    assert [kind.count for kind in network("deepseek-v3").kinds()] == [3, 58]
    names = [part.name for part in parts(network("gemma-2-2b"), Step(phase="decode", tokens=1))]
    assert names[1:3] == ["layer 0-24 by 2", "layer 1-25 by 2"]
    names = [part.name for part in parts(network("gemma-3-1b"), Step(phase="decode", tokens=1))]
    assert names[1:3] == ["layer 0-4, 6-10, 12-16, 18-22, 24-25", "layer 5-23 by 6"]


def test_only_the_last_token_of_a_prompt_goes_through_the_head(network):
    for step, tokens in (
        (Step(phase="prefill", tokens=64), 1),
        (Step(phase="decode", tokens=2, cached=9), 2),
    ):
        head = parts(network("llama-3-8b"), step)[-1].cascade
        assert head.macs == tokens * 4096 * 128256


def test_macs_of_a_prompt_are_two_products_a_weight(network):
    """llama-2-7b on one sequence: each matrix once a token, the head once, attention as its points say."""
    tokens = 128
    found = sum(
        part.count * part.cascade.macs
        for part in parts(network("llama-2-7b"), Step(phase="prefill", tokens=tokens))
    )
    matrices = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    attention = 32 * 2 * 4096 * tokens * (tokens + 1) // 2
    norms = (2 * 32 * tokens + 1) * 4096  # sums of squares
    assert found == tokens * matrices + attention + norms + 4096 * 32000


def test_mistral_decodes_over_its_window_only(network):
    layer = parts(network("mistral-7b"), Step(phase="decode", tokens=1, cached=32767))[1]
    assert [layer.cascade.shape(name) for name in layer.cache] == [(1, 8, 128, 4096)] * 2


def test_mixtral_decodes_one_token_by_two_experts(network):
    found = {
        part.name: part.cascade
        for part in parts(network("mixtral-8x7b"), Step(phase="decode", tokens=1, cached=99))
    }
    experts = found["layer 0-31 experts"]
    assert (experts.size("x"), experts.size("n")) == (2, 1)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("deepseek-v3", 61 * 576),  # arXiv 2412.19437, 2.1.1: d_c = 512 and d_h^R = 64 a layer
        ("llama-3-8b", 32 * 2 * 8 * 128), ("falcon-7b", 32 * 2 * 64), ("lfm2-1.2b", 6 * 2 * 8 * 64),
        ("jamba-v0.1", 4 * 2 * 8 * 128), ("mamba-130m", 0), ("bert-base", 0),
    ],
)  # fmt: skip
def test_values_cached_a_token(network, name, values):
    assert kv_bytes_per_token(network(name)) == 2 * values
    assert kv_bytes_per_token(network(name), bits=8) == values


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mamba-130m", 24 * 1536 * (16 + 3)), ("mamba2-130m", 24 * (24 * 64 * 128 + 3 * (1536 + 2 * 128))),
        ("jamba-v0.1", 28 * 8192 * (16 + 3)), ("lfm2-1.2b", 10 * 2 * 2048), ("llama-3-8b", 0),
    ],
)  # fmt: skip
def test_values_of_a_state(network, name, values):
    assert state_bytes(network(name)) == 2 * values


def test_quantized_weights(network):
    awq = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}
    matrices = 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    rest = parameters(network("llama-3-8b")) - matrices
    assert weight_bytes(network("llama-3-8b")) == 2 * (matrices + rest)
    assert weight_bytes(network("llama-3-8b", **awq)) == matrices * (4 + 20 / 128) / 8 + 2 * rest
    head = 128256 * 4096
    assert weight_bytes(network("llama-3-8b", **awq), Quantization(bits=8)) == matrices + head + 2 * (
        rest - head
    )
    # Blocks of 128 x 128: as their scales, a 4,096th of the bytes, aren't read, they aren't stored. Routers, norms,
    # the table and the head are in 16 bits as in the published checkpoint, whose index says 688,586,727,753
    # bytes in all, of which a layer that predicts further, 61, isn't run.
    v3 = network("deepseek-v3")
    router, norms = 58 * (7168 * 256 + 256), 61 * (2 * 7168 + 1536 + 512) + 7168
    rest = 2 * 129280 * 7168 + router + norms
    assert weight_bytes(v3) == parameters(v3) + rest
    # Model card of gpt-oss-20b: 4.25 bits a value of the experts' matrices; the checkpoint is 12.8 GiB.
    assert weight_bytes(network("gpt-oss-20b")) == pytest.approx(12.8 * 2**30, rel=0.01)


def run(cascade):
    rng = np.random.default_rng(5)
    w = {tensor.name: rng.normal(size=cascade.shape(tensor.name)) for tensor in cascade.inputs}
    return w, execute(cascade, w)


STEP = Step(phase="encode", tokens=5, batch=2)


def test_an_embedding_adds_rows_norms_and_widens_them():
    w, found = run(
        ends.embedding(Embedding(vocabulary=9, width=4, positions=8, types=2, norm="layernorm"), 6, STEP)
    )
    rows = reference.norm("layernorm", w["TOK"] + w["POS"] + w["TYP"], w, "0")
    np.testing.assert_allclose(found["X"], rows @ w["WX"] + w["BX"])
    inside = Embedding(vocabulary=9, width=4, positions=8, positions_inside=True)
    w, found = run(ends.embedding(inside, 6, STEP))
    np.testing.assert_allclose(found["X"], w["TOK"] @ w["WX"] + w["POS"])
    w, found = run(ends.embedding(Embedding(vocabulary=9, scaled=True), 6, STEP))
    np.testing.assert_allclose(found["X"], w["TOK"] * np.sqrt(6))


def test_patches_are_a_convolution_that_doesnt_overlap():
    w, found = run(ends.embedding(Embedding(patches=Patches(count=4, values=12, special=2)), 6, STEP))
    np.testing.assert_allclose(found["X"], w["I"] @ w["WP"] + w["BP"] + w["POS"])
    np.testing.assert_allclose(found["XT"], w["CLS"] + w["POST"])


def test_whispers_stem_is_two_convolutions():
    w, found = run(ends.embedding(Embedding(stem=Stem(channels=3), positions=5), 6, STEP))

    def gelu(x):
        return x * (1 + erf(x / np.sqrt(2))) / 2

    sound = w["I"]
    first = np.stack([np.einsum("bar,kar->bk", sound[:, :, y : y + 3], w["W1"]) for y in range(10)], -1)
    first = np.pad(gelu(first + w["B1"][:, None]), [(0, 0), (0, 0), (1, 1)])
    second = np.stack(
        [np.einsum("bkr,dkr->bd", first[:, :, 2 * p : 2 * p + 3], w["W2"]) for p in range(5)], 1
    )
    np.testing.assert_allclose(found["X"], gelu(second + w["B2"]) + w["POS"], rtol=1e-7, atol=1e-9)


def test_a_head_caps_what_it_makes():
    w, found = run(ends.projection(Projection(name="head", outputs=7, bias=True, soft_cap=3.0), 6, STEP))
    np.testing.assert_allclose(found["Y"], 3 * np.tanh((w["X"] @ w["WH"] + w["BH"]) / 3))
    w, found = run(ends.projection(Projection(name="head", outputs=7, width=3), 6, STEP))
    np.testing.assert_allclose(found["Y"], w["X"] @ w["WN"] @ w["WH"])
    w, found = run(
        ends.projection(Projection(name="pooler", outputs=6, bias=True, activation="tanh"), 6, STEP)
    )
    np.testing.assert_allclose(found["Y"], np.tanh(w["X"] @ w["WH"] + w["BH"]))


def test_a_pool_attends_from_one_learnt_query():
    block = SoftmaxAttention(heads=3, kv_heads=3, head_dim=4, causal=False, biases="qkvo")
    layer = Layer(mixer=block, mlp=Mlp(inner=5, activation="gelu_tanh", bias=True), norm="layernorm")
    w, found = run(ends.pool(layer, 6, STEP))
    probe = np.broadcast_to(w["PRB"], (2, 1, 6))
    z = reference.attention(block, probe, reference.crossed(w), w["U"])
    expected = z + reference.mlp(layer.mlp, reference.norm("layernorm", z, w, "2"), w)
    np.testing.assert_allclose(found["Y"], expected, rtol=1e-7)


def test_relative_positions_are_as_many_as_distances():
    assert ends.relative_positions(3, Step(phase="encode", tokens=5)).size("x") == 9
    assert ends.relative_positions(3, Step(phase="decode", tokens=1, cached=5)).size("x") == 6
