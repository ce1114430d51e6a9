"""`config.json` files of the six kinds become the layers they describe; faults name file, line and key."""

from __future__ import annotations

import json

import pytest

from einsim.specs.errors import SpecError
from einsim.workloads.config import KINDS, read_config
from einsim.workloads.load import load_workload

# Keys and values as the published configuration of each model has them, those that matter and some that don't.
CONFIGS = {
    "bert": {
        "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu",
        "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12, "num_hidden_layers": 12,
        "pad_token_id": 0, "vocab_size": 30522,
    },
    "gpt2": {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2",
        "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_inner": None, "n_layer": 12, "n_positions": 1024,
    },
    "llama": {
        "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 4096,
        "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32, "rms_norm_eps": 1e-05,
        "rope_scaling": None, "torch_dtype": "float16", "vocab_size": 32000,
    },
    "mistral": {
        "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "model_type": "mistral",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rope_theta": 10000.0,
        "sliding_window": 4096,
    },
    "qwen2": {
        "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864, "model_type": "qwen2",
        "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "sliding_window": 32768,
        "use_sliding_window": False,
    },
    "t5": {
        "d_ff": 1024, "d_kv": 64, "d_model": 512, "feed_forward_proj": "gated-gelu", "is_encoder_decoder": True,
        "model_type": "t5", "num_heads": 6, "num_layers": 8, "vocab_size": 32128,
    },
}  # fmt: skip


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write_config(kind, **changes):
        data = {key: value for key, value in {**CONFIGS[kind], **changes}.items() if value != "absent"}
        (tmp_path / "config.json").write_text(json.dumps(data, indent=2))
        return "config.json"

    return write_config


def read(name):
    from pathlib import Path

    return read_config(Path(name))


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize(
    "value", [None, True, -1, 0, 1.5, 1e3, 1e308, 2**70, "", "x", "a\n", [], [[1, "x"]], {}, {"a": {}}]
)
def test_a_value_of_any_type_is_read_or_refused_with_its_key(write, kind, value):
    for key in CONFIGS[kind]:
        try:
            read(write(kind, **{key: value}))
        except SpecError as error:
            assert error.where.startswith("config.json:")  # noqa: PT017
            assert error.path in (key, "") or "head" in error.path  # noqa: PT017


def test_every_kind_is_tried():
    assert set(CONFIGS) == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bert", {"hidden": 768, "heads": 12, "head_dim": 64, "ffn": 3072, "layers": 12, "causal": False}),
        ("gpt2", {"hidden": 768, "ffn": 3072, "activation": "gelu_tanh", "order": "pre", "causal": True}),
        (
            "llama",
            {"hidden": 4096, "key_heads": 32, "head_dim": 128, "ffn": 11008, "rope": True, "window": 0},
        ),
        ("mistral", {"key_heads": 8, "window": 4096, "norm": "rmsnorm", "activation": "swiglu"}),
        ("qwen2", {"heads": 14, "key_heads": 2, "head_dim": 64, "window": 0}),
        (
            "t5",
            {"hidden": 512, "heads": 6, "head_dim": 64, "ffn": 1024, "activation": "geglu", "cross": True},
        ),
    ],
)
def test_dimensions_follow_the_file(write, kind, expected):
    found = read(write(kind))
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize("kind", [kind for kind in CONFIGS if kind != "bert"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("passes", ["3", "1"])
def test_prompt_and_decode_step_become_cascades(write, kind, phase, passes):
    cascade = load_workload(write(kind), {"phase": phase, "seq": "1K", "passes": passes})
    assert cascade.size("m") == 1024
    assert cascade.size("p") == (1 if phase == "decode" else 1024)
    assert [tensor.name for tensor in cascade.outputs][-1] == "Y"
    inputs = {tensor.name for tensor in cascade.inputs}
    assert ({"K", "V"} <= inputs) == (phase == "decode")


def test_tabs_are_blanks(write, tmp_path):
    text = (tmp_path / write("gpt2")).read_text()
    (tmp_path / "config.json").write_text(text.replace("  ", "\t"))
    assert read("config.json").hidden == 768


def test_a_window_bounds_the_points(write):
    cascade = load_workload(write("mistral", sliding_window=100), {"seq": "1K"})
    assert cascade.points("GM") == 32 * sum(min(p + 1, 100) for p in range(1024))


def test_llama_weights_of_a_layer_are_those_of_the_published_model(write):
    cascade = load_workload(write("llama"), {"phase": "decode", "seq": "128"})
    weights = sum(cascade.elements(name) for name in ("WQ", "WK", "WV", "WO", "WG", "W1", "W2", "G1", "G2"))
    # 6 738 415 616 parameters in all, less embeddings, head and last norm, over 32 layers.
    assert weights == (6_738_415_616 - 2 * 32000 * 4096 - 4096) // 32


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("llama", {"model_type": "llma"}, "config.json:9 model_type: unsupported kind (got 'llma'); did you mean 'llama'?"),
        (
            "llama", {"model_type": "whisper"},
            "config.json:9 model_type: unsupported kind (got 'whisper'); known: bert, gpt2, llama, mistral, qwen2, t5",
        ),
        ("llama", {"model_type": "absent"}, "config.json:1 model_type: is missing"),
        ("llama", {"hidden_size": "absent"}, "config.json:1 hidden_size: is missing"),
        (
            "bert", {"num_attention_heads": "absent", "num_attention_head": 12},
            "config.json:1 num_attention_heads: is missing; did you mean 'num_attention_head'?",
        ),
        ("llama", {"hidden_size": "4096"}, "config.json:6 hidden_size: must be a whole number (got '4096')"),
        ("llama", {"hidden_size": -1}, "config.json:6 hidden_size: must be 1 to 2**40 (got -1)"),
        ("llama", {"num_key_value_heads": 5}, "config.json:12 num_key_value_heads: must divide the 32 query heads (got 5)"),
        ("bert", {"num_attention_heads": 7}, "config.json:1: hidden size 768 is not a multiple of 7 attention heads"),
        ("bert", {"hidden_act": "gelo"}, "config.json:6 hidden_act: unknown activation 'gelo'; did you mean 'gelu'?"),
        ("llama", {"hidden_act": "relu"}, "config.json:5 hidden_act: must be silu or a gelu, for the gated network (got 'relu')"),
        ("t5", {"feed_forward_proj": "mixed-gelu"}, "config.json:5 feed_forward_proj: must be an activation or gated-ACTIVATION (got 'mixed-gelu')"),
        ("bert", {"hidden_act": []}, "config.json:6 hidden_act: must be text (got [])"),
        ("bert", {"hidden_act": {"a": 1}}, "config.json:6 hidden_act: must be text (got {'a': 1})"),
        ("t5", {"feed_forward_proj": 5}, "config.json:5 feed_forward_proj: must be text (got 5)"),
        ("mistral", {"sliding_window": "x"}, "config.json:10 sliding_window: must be a whole number (got 'x')"),
        ("qwen2", {"use_sliding_window": "no"}, "config.json:10 use_sliding_window: must be true or false (got 'no')"),
        ("llama", {"head_dim": 1e3}, "config.json:17 head_dim: must be a whole number (got 1000.0)"),
        ("llama", {"head_dim": 63}, "config.json:1: rotary positions need an even head size, not 63"),
    ],
)  # fmt: skip
def test_a_fault_names_file_line_and_key(write, kind, changes, message):
    with pytest.raises(SpecError) as error:
        read(write(kind, **changes))
    assert str(error.value) == message
