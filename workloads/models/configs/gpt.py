"""Earlier decoders: gpt2, gpt_neox, opt, falcon, bloom, phi."""

from __future__ import annotations

from einsim.workloads.models.configs.decoder import language_model
from einsim.workloads.models.configs.reading import ModelConfig
from einsim.workloads.models.network import Embedding, Layer, Mlp, Network, Placement, SoftmaxAttention


def gpt2(config: ModelConfig) -> Network:
    """GPT-2: learnt positions, biases, norms before each block."""
    hidden, heads, vocabulary = config.size("n_embd"), config.size("n_head"), config.size("vocab_size")
    config.only("add_cross_attention", False, rule="must be false: GPT-2 has no encoder here")
    mlp = Mlp(
        inner=config.size("n_inner", 4 * hidden), bias=True,
        activation=config.activation("activation_function", "gelu_new"),
    )  # fmt: skip
    layer = Layer(mixer=_heads(config, hidden, heads, "qkvo"), mlp=mlp, norm="layernorm")
    return language_model(
        config, "gpt2", [layer] * config.size("n_layer"), norm="layernorm", tied=True,
        embedding=Embedding(vocabulary=vocabulary, positions=config.size("n_positions")),
        sizes=(vocabulary, hidden),
    )  # fmt: skip


def _heads(
    config: ModelConfig, hidden: int, heads: int, biases: str,
    kv_heads: int = 0, rotary: bool = False, alibi: bool = False,
) -> SoftmaxAttention:  # fmt: skip
    return SoftmaxAttention(
        heads=heads, kv_heads=kv_heads or heads, head_dim=config.head_dim(hidden, heads), biases=biases,
        rotary=rotary, alibi=alibi,
    )  # fmt: skip


def gpt_neox(config: ModelConfig) -> Network:
    """GPT-NeoX and Pythia: attention and feed-forward network beside each other, each with its norm."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    biases = "qkvo" if config.flag("attention_bias", True) else ""
    block = _heads(config, hidden, heads, biases, rotary=config.number("rotary_pct", 0.25) > 0)
    mlp = Mlp(
        inner=config.size("intermediate_size"), bias=True, activation=config.activation("hidden_act", "gelu")
    )
    placement: Placement = "parallel-two" if config.flag("use_parallel_residual", True) else "pre"
    layer = Layer(mixer=block, mlp=mlp, norm="layernorm", placement=placement)
    return language_model(config, "gpt_neox", [layer] * config.size("num_hidden_layers"), norm="layernorm")


def opt(config: ModelConfig) -> Network:
    """OPT: two positions more than tokens. The one of 350M is narrower outside, with its norms after each
    block and none at the end.
    """
    hidden, heads, vocabulary = (
        config.size("hidden_size"),
        config.size("num_attention_heads"),
        config.size("vocab_size"),
    )
    outside, before = config.size("word_embed_proj_dim", hidden), config.flag("do_layer_norm_before", True)
    narrow = outside if outside != hidden else 0
    gains = "must be true: norms without gains aren't known of OPT"
    config.only("layer_norm_elementwise_affine", True, rule=gains)
    ends = before and not config.flag("_remove_final_layer_norm")
    bias = config.flag("enable_bias", True)
    mlp = Mlp(
        inner=config.size("ffn_dim"), bias=bias, activation=config.activation("activation_function", "relu")
    )
    layer = Layer(
        mixer=_heads(config, hidden, heads, "qkvo" if bias else ""), mlp=mlp, norm="layernorm",
        placement="pre" if before else "post",
    )  # fmt: skip
    positions = config.size("max_position_embeddings") + 2
    return language_model(
        config, "opt", [layer] * config.size("num_hidden_layers"), norm="layernorm" if ends else None,
        tied=True, head_width=narrow,
        embedding=Embedding(
            vocabulary=vocabulary, positions=positions, width=narrow, positions_inside=bool(narrow),
        ),
    )  # fmt: skip


def falcon(config: ModelConfig) -> Network:
    """Falcon: one key head or groups of heads, beside its feed-forward network unless it is an early one."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    new, parallel = config.flag("new_decoder_architecture"), config.flag("parallel_attn", True)
    grouped, alibi = config.flag("multi_query", True), config.flag("alibi")
    counted = config.kv_heads(heads, key="num_kv_heads")
    kv_heads = counted if new else 1 if grouped else heads
    bias = config.flag("bias")
    block = _heads(config, hidden, heads, "qkvo" if bias else "", kv_heads, rotary=not alibi, alibi=alibi)
    mlp = Mlp(
        inner=config.size("ffn_hidden_size", 4 * hidden), bias=bias,
        activation=config.activation("activation", "gelu"),
    )  # fmt: skip
    norms = config.size("num_ln_in_parallel_attn", 2 if new else 1)
    placement: Placement = "pre"
    if parallel or new:
        placement = "parallel-two" if new and norms == 2 else "parallel"
    layer = Layer(mixer=block, mlp=mlp, norm="layernorm", placement=placement)
    return language_model(
        config, "falcon", [layer] * config.size("num_hidden_layers"), norm="layernorm", tied=True
    )


def bloom(config: ModelConfig) -> Network:
    """BLOOM: biases by distance of keys (ALiBi), and a norm of the embedding."""
    key = "n_embed" if "n_embed" in config.names() else "hidden_size"
    hidden, vocabulary = config.size(key), config.size("vocab_size")
    heads = config.size("num_attention_heads" if "num_attention_heads" in config.names() else "n_head")
    layer = Layer(
        mixer=_heads(config, hidden, heads, "qkvo", alibi=True), norm="layernorm",
        mlp=Mlp(inner=4 * hidden, activation="gelu_tanh", bias=True),
    )  # fmt: skip
    layers = config.size("num_hidden_layers" if "num_hidden_layers" in config.names() else "n_layer")
    return language_model(
        config, "bloom", [layer] * layers, norm="layernorm", tied=True, sizes=(vocabulary, hidden),
        embedding=Embedding(vocabulary=vocabulary, norm="layernorm"),
    )  # fmt: skip


def phi(config: ModelConfig) -> Network:
    """Phi-1 to 2: one norm for both blocks, biases everywhere, in the head too."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    config.only("qk_layernorm", False, rule="must be false: a layer norm of queries and keys isn't known")
    block = _heads(config, hidden, heads, "qkvo", config.kv_heads(heads), rotary=True)
    mlp = Mlp(
        inner=config.size("intermediate_size"),
        bias=True,
        activation=config.activation("hidden_act", "gelu_new"),
    )
    layer = Layer(mixer=block, mlp=mlp, norm="layernorm", placement="parallel")
    layers = [layer] * config.size("num_hidden_layers")
    return language_model(config, "phi", layers, norm="layernorm", head_bias=True)
