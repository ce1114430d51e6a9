"""`config.json` files: every key that changes cost is honoured or refused, faults name file, line and key."""

from __future__ import annotations

import json

import pytest

from einsim.specs.errors import SpecError
from einsim.workloads.models.configs import KINDS, read_network
from einsim.workloads.models.network import Moe, Quantization
from tests.workloads.models.published import CONFIGS

FULL = "full_attention"


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write_config(name, **changes):
        config = {key: value for key, value in {**CONFIGS[name], **changes}.items() if value != "absent"}
        (tmp_path / "config.json").write_text(json.dumps(config, indent=2))
        return tmp_path / "config.json"

    return write_config


@pytest.fixture
def read(write):
    from pathlib import Path

    def read_config(name, **changes):
        write(name, **changes)
        return read_network(Path("config.json"))

    return read_config


def windows(network):
    return [layer.mixer.window for layer in network.layers]


def test_a_network_is_named_as_its_folder(tmp_path):
    (tmp_path / "llama-3-8b").mkdir()
    path = tmp_path / "llama-3-8b" / "config.json"
    path.write_text(json.dumps(CONFIGS["llama-3-8b"]))
    assert (read_network(path).name, read_network(path).source) == ("llama-3-8b", str(path))


def test_tabs_are_blanks(write):
    path = write("gpt2")
    path.write_text(path.read_text().replace("  ", "\t"))
    assert read_network(path).hidden == 768


def test_windows_of_qwen2_start_where_the_file_says(read):
    assert set(windows(read("qwen2-0.5b"))) == {0}
    found = windows(read("qwen2-0.5b", use_sliding_window=True, max_window_layers=20))
    assert found == [0] * 20 + [32768] * 4
    types = ["full_attention", "sliding_attention"] * 12
    assert windows(read("qwen2-0.5b", layer_types=types)) == [0, 32768] * 12


def test_windows_alternate(read):
    assert windows(read("gemma-2-2b")) == [4096, 0] * 13
    assert windows(read("gemma-3-1b"))[:7] == [512] * 5 + [0, 512]
    assert windows(read("gemma-3-1b", sliding_window_pattern=2))[:4] == [512, 0, 512, 0]
    assert windows(read("gpt-oss-20b")) == [128, 0] * 12
    assert set(windows(read("mistral-7b"))) == {4096}
    assert set(windows(read("mistral-7b", sliding_window=None))) == {0}


def test_llama4_sees_chunks_where_it_rotates(read):
    mixers = [layer.mixer for layer in read("llama-4-scout").layers]
    assert [mixer.chunk for mixer in mixers[:4]] == [8192, 8192, 8192, 0]
    assert [mixer.rotary for mixer in mixers[:4]] == [True, True, True, False]


def test_biases_are_those_of_the_file(read):
    def biases(*given, **changes):
        return read(*given, **changes).layers[0].mixer.biases

    assert [biases("llama-3-8b"), biases("llama-3-8b", attention_bias=True)] == ["", "qkvo"]
    assert [biases("qwen1.5-moe-a2.7b"), biases("qwen1.5-moe-a2.7b", qkv_bias=False)] == ["qkv", ""]
    assert [biases("falcon-7b"), biases("falcon-7b", bias=True)] == ["", "qkvo"]
    assert [biases("vit-base-16"), biases("vit-base-16", qkv_bias=False)] == ["qkvo", "o"]
    assert read("llama-3-8b", mlp_bias=True).layers[0].mlp.bias


def test_falcons_norms_and_heads_follow_its_age(read):
    def form(**changes):
        layer = read("falcon-7b", **changes).layers[0]
        return layer.placement, layer.mixer.kv_heads, layer.mixer.alibi

    assert form() == ("parallel", 1, False)
    assert form(parallel_attn=False, multi_query=False, alibi=True) == ("pre", 71, True)
    assert form(new_decoder_architecture=True) == ("parallel-two", 71, False)
    assert form(new_decoder_architecture=True, num_ln_in_parallel_attn=1)[0] == "parallel"


def test_experts_stand_where_the_file_says(read):
    def sparse(network):
        return [at for at, layer in enumerate(network.layers) if isinstance(layer.mlp, Moe)]

    assert sparse(read("deepseek-v3")) == list(range(3, 61))
    assert sparse(read("qwen3-30b-a3b", decoder_sparse_step=2))[:3] == [1, 3, 5]
    assert sparse(read("qwen3-30b-a3b", mlp_only_layers=[0, 1]))[:2] == [2, 3]
    assert sparse(read("llama-4-scout", **scout(moe_layers=[1, 3]))) == [1, 3]
    assert sparse(read("llama-4-scout", **scout(moe_layers=[]))) == []
    assert sparse(read("llama-4-scout", **scout(moe_layers=None))) == list(range(48))
    assert sparse(read("jamba-v0.1"))[:3] == [1, 3, 5]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"quant_method": "gptq", "bits": 4, "group_size": 128},
            Quantization(bits=4, group=128, zero_bits=4),
        ),
        ({"quant_method": "awq", "bits": 3, "group_size": -1}, Quantization(bits=3, zero_bits=3)),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, Quantization(bits=8, routers=True)),
        ({"quant_method": "fp8"}, Quantization(bits=8, scale_bits=32)),
        (
            {"quant_method": "fp8", "weight_block_size": [128, 128]},
            Quantization(bits=8, group=16384, scale_bits=32),
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 64}}},
            },
            Quantization(bits=4, group=64),
        ),
    ],
)
def test_quantization_gives_the_weights_width(read, given, expected):
    assert read("llama-3-8b", quantization_config=given).quantization == expected


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("llma", "near it: llama, llama4"),
        ("whispr", "near it: whisper"),
        ("qwen3_next", "near it: qwen3, qwen3_moe, qwen2, qwen2_moe"),
        ("phi4", "near it: phi3, phi"),
        ("phi3small", "near it: phi3, phi"),
        ("optimus", "none of the known kinds is near: " + ", ".join(KINDS)),
        ("gpt_bigcode", "near it: gpt_oss, gpt2, gpt_neox"),
        ("cohere", "none of the known kinds is near: " + ", ".join(KINDS)),
    ],
)
def test_an_unknown_kind_names_those_that_are_near(read, kind, hint):
    with pytest.raises(SpecError) as error:
        read("llama-3-8b", model_type=kind)
    first, _, last = hint.partition(": ")
    found = str(error.value).split("; ")[1].partition(": ")
    assert (found[0], set(found[2].split(", "))) == (first, set(last.split(", ")))


def scout(**changes):
    return {"text_config": {**CONFIGS["llama-4-scout"]["text_config"], **changes}}


FAULTS = [
    ("llama-3-8b", {"model_type": "absent"}, "config.json:1 model_type: is missing"),
    ("llama-3-8b", {"model_type": 3}, "config.json:2 model_type: must be text (got 3)"),
    ("llama-3-8b", {"hidden_size": "absent"}, "config.json:1 hidden_size: is missing"),
    ("llama-3-8b", {"vocab_size": "absent"}, "config.json:1 vocab_size: is missing"),
    (
        "bert-base", {"num_attention_heads": "absent", "num_attention_head": 12},
        "config.json:1 num_attention_heads: is missing; did you mean 'num_attention_head'?",
    ),
    ("llama-3-8b", {"hidden_size": "4096"}, "config.json:6 hidden_size: must be a whole number (got '4096')"),
    ("llama-3-8b", {"hidden_size": -1}, "config.json:6 hidden_size: must be 1 to 2**40 (got -1)"),
    ("llama-3-8b", {"num_hidden_layers": 0}, "config.json:9 num_hidden_layers: must be 1 to 2**40 (got 0)"),
    ("llama-3-8b", {"num_hidden_layers": True}, "config.json:9 num_hidden_layers: must be a whole number (got true)"),
    ("llama-3-8b", {"num_key_value_heads": 5}, "config.json:10 num_key_value_heads: must divide the 32 query heads (got 5)"),
    ("llama-3-8b", {"attention_bias": "yes"}, "config.json:5 attention_bias: must be true or false (got 'yes')"),
    ("llama-3-8b", {"head_dim": 63}, "config.json:1: rotary positions need an even head size, not 63"),
    ("llama-3-8b", {"hidden_act": "gelo"}, "config.json:3 hidden_act: unknown activation 'gelo'; did you mean 'gelu'?"),
    ("bert-base", {"num_attention_heads": 7}, "config.json:1: hidden size 768 is not a multiple of 7 attention heads"),
    # Keys that change what other kinds cost.
    ("llama-3-8b", {"sliding_window": 4096}, "config.json:13 sliding_window: has no meaning for a model of kind 'llama' (got 4096)"),
    ("mistral-7b", {"num_local_experts": 8}, "config.json:11 num_local_experts: has no meaning for a model of kind 'mistral' (got 8)"),
    ("gpt2", {"num_key_value_heads": 2}, "config.json:11 num_key_value_heads: has no meaning for a model of kind 'gpt2' (got 2)"),
    (
        "siglip-base-16", {"vision_config": {"q_lora_rank": 3}},
        "config.json:5 vision_config.q_lora_rank: has no meaning for a model of kind 'siglip' (got 3)",
    ),
    # Forms that aren't known.
    ("mamba-130m", {"hidden_act": "relu"}, "config.json:12 hidden_act: must be silu, around which its state space is made (got 'relu')"),
    ("deepseek-v3", {"head_dim": 100}, "config.json:35 head_dim: must be the 64 rotated elements, or all 192 (got 100)"),
    ("phi-2", {"qk_layernorm": True}, "config.json:10 qk_layernorm: must be false: a layer norm of queries and keys isn't known (got true)"),
    ("bert-base", {"position_embedding_type": "relative_key"}, "config.json:11 position_embedding_type: must be absolute: biases by position aren't known of this kind (got 'relative_key')"),
    ("mixtral-8x7b", {"num_experts_per_tok": 9}, "config.json:11 num_experts_per_tok: must be <= 8, the experts that there are (got 9)"),
    ("t5-small", {"feed_forward_proj": "mixed-gelu"}, "config.json:11 feed_forward_proj: must be an activation or gated-ACTIVATION (got 'mixed-gelu')"),
    ("mamba2-130m", {"num_heads": 23}, "config.json:6 num_heads: times head_dim (64) must be the inner size 1536 (got 23)"),
    ("qwen2-0.5b", {"layer_types": ["full_attention"]}, "config.json:14 layer_types: must list 24 layers (got ['full_attention'])"),
    (
        "llama-3-8b", {"quantization_config": {"quant_method": "gtpq"}},
        "config.json:14 quantization_config.quant_method: unknown way of quantization (got 'gtpq'); did you mean 'gptq'?",
    ),
    # Lists of layers.
    ("lfm2-1.2b", {"full_attn_idxs": [2, 99]}, "full_attn_idxs: must list layers from 0 to 15 (got [2, 99])"),
    ("lfm2-1.2b", {"full_attn_idxs": [2, 2]}, "full_attn_idxs: must list each layer once (got [2, 2])"),
    ("qwen3-30b-a3b", {"mlp_only_layers": [-1]}, "mlp_only_layers: must list layers from 0 to 47 (got [-1])"),
    ("llama-4-scout", scout(moe_layers=[48]), "text_config.moe_layers: must list layers from 0 to 47 (got [48])"),
    ("llama-4-scout", scout(no_rope_layers=[1] * 47 + [2]), "text_config.no_rope_layers: must be 1 for each layer that rotates, 0 for others"),
    ("jamba-v0.1", {"attn_layer_offset": 8}, "attn_layer_offset: must be less than 8, the layers of a period (got 8)"),
    ("llama-3-8b", {"layer_types": [FULL] * 31}, "layer_types: must list 32 layers"),
    ("llama-3-8b", {"layer_types": [FULL] * 31 + ["sliding_attention"]}, "layer_types: unknown kind of layer 'sliding_attention'"),
    ("deepseek-v3", {"layer_types": [FULL]}, "layer_types: must list 61 layers"),
    ("mamba-130m", {"layer_types": [FULL] * 24}, "layer_types: has no meaning for a model of kind 'mamba'"),
    # Rotary positions.
    (
        "llama-3.2-1b", {"rope_scaling": {"rope_type": "banana"}},
        "rope_scaling.rope_type: unknown kind of scaling 'banana'; known: default, linear, dynamic, yarn, longrope, su, llama3, mrope",
    ),
    ("gemma-3-1b", {"rope_scaling": {"type": "yarm"}}, "rope_scaling.type: unknown kind of scaling 'yarm'; did you mean 'yarn'?"),
    ("gemma-3-1b", {"rope_parameters": {"full_attention": {"rope_type": "x"}}}, "rope_parameters.full_attention.rope_type: unknown kind of scaling 'x'"),
    ("llama-3-8b", {"rope_scaling": 3}, "rope_scaling: must be a table of keys (got 3)"),
    ("clip-vit-b-32", {"vision_config": 3}, "config.json:5 vision_config: must be a table of keys (got 3)"),
    ("vit-base-16", {"patch_size": 225}, "config.json:11 patch_size: must be <= 224, the image's size (got 225)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "message"), FAULTS)
def test_a_fault_names_file_line_and_key(read, name, changes, message):
    with pytest.raises(SpecError) as error:
        read(name, **changes)
    found = str(error.value)
    if message.startswith("config.json"):
        assert found == message
    else:  # the line is that of the key in a long file
        assert found.partition(" ")[2].startswith(message)
        assert found.startswith("config.json:")


def test_kinds_of_layers_may_be_listed_where_all_are_alike(read):
    assert read("llama-3-8b", layer_types=[FULL] * 32).layers == read("llama-3-8b").layers
    assert read("deepseek-v3", layer_types=[FULL] * 61).layers == read("deepseek-v3").layers
    assert set(windows(read("mistral-7b", layer_types=["sliding_attention"] * 32))) == {4096}


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "longrope", "llama3", None])
def test_scalings_of_rotary_positions_change_nothing(read, kind):
    plain = read("llama-3-8b")
    assert read("llama-3-8b", rope_scaling={"rope_type": kind, "factor": 8.0}).layers == plain.layers
    assert read("llama-3-8b", rope_scaling={"type": kind, "factor": 8.0}).layers == plain.layers


@pytest.mark.parametrize("text", ["", "[]", "3", '{"model_type": "llama"', '{"model_type": "llama",}', "\0"])
def test_what_is_no_table_of_keys_is_told_in_one_line(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        read_network(path)
    assert "\n" not in str(error.value)


def test_what_is_cut_off_is_no_json_and_null_is_no_table(tmp_path):
    path = tmp_path / "config.json"
    for text, said in (
        ('{"model_type": "llama"', "1: is not valid JSON: expected ',' or '}', but got '<stream end>'"),
        ("null", "1: must be a mapping at its root (got null)"),
    ):
        path.write_text(text)
        assert refused(path) == f"{path}:{said}"


def refused(path):
    """What a file is refused with, "" where it is read."""
    try:
        read_network(path)
    except SpecError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", CONFIGS)
def test_no_key_that_is_left_out_or_of_a_wrong_type_is_a_traceback(write, name):
    """Each key of each file left out, and replaced by what it can't be: read, or refused in one line."""
    for key in CONFIGS[name]:
        for value in ("absent", [], {"a": 1}, "x", -1, 1.5):
            assert "\n" not in refused(write(name, **{key: value}))


LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers")


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name in CONFIGS for key in LAYERS if key in CONFIGS[name]]
)
def test_layers_are_counted_within_a_bound(write, name, key):
    """Each is a value of its own: 2**40 of them took all memory, or for ever."""
    with pytest.raises(SpecError, match=rf"{key}: must be \d to 4096 \(got 1099511627776\)"):
        read_network(write(name, **{key: 2**40}))
