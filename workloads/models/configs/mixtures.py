"""Decoders with mixtures of experts: mixtral, qwen2_moe, qwen3_moe, gpt_oss, llama4, deepseek_v2 and v3."""

from __future__ import annotations

from msgspec.structs import replace

from einsim.workloads.models.configs.decoder import (
    CHUNKED,
    FULL,
    SLIDING,
    attention,
    gated_mlp,
    language_model,
)
from einsim.workloads.models.configs.llama import late_windows, qwen3_attention
from einsim.workloads.models.configs.reading import ModelConfig
from einsim.workloads.models.network import LatentAttention, Layer, Mlp, Moe, Network, SoftmaxAttention


def mixtral(config: ModelConfig) -> Network:
    """Mixtral: two of eight experts in each layer."""
    block = replace(attention(config), window=config.size("sliding_window", 0))
    moe = _moe(config, "num_local_experts", gated_mlp(config), 2)
    layer = Layer(mixer=block, mlp=moe, norm="rmsnorm")
    return language_model(config, "mixtral", [layer] * config.size("num_hidden_layers"))


def qwen2_moe(config: ModelConfig) -> Network:
    """Qwen2's mixture: experts and one gated network that all tokens share."""
    shared = gated_mlp(config, "shared_expert_intermediate_size")
    moe = _moe(config, "num_experts", gated_mlp(config, "moe_intermediate_size"), 4)
    moe = replace(moe, shared=shared, shared_gate=True)
    biases = "qkv" if config.flag("qkv_bias", True) else ""
    mixers = late_windows(config, attention(config, biases))
    return language_model(config, "qwen2_moe", _sparse_steps(config, mixers, moe))


def qwen3_moe(config: ModelConfig) -> Network:
    """Qwen3's mixture: nothing is shared."""
    moe = _moe(config, "num_experts", gated_mlp(config, "moe_intermediate_size"), 8)
    return language_model(
        config, "qwen3_moe", _sparse_steps(config, late_windows(config, qwen3_attention(config)), moe)
    )


def _moe(config: ModelConfig, experts: str, expert: Mlp, per_token: int) -> Moe:
    count, chosen = config.size(experts), config.size("num_experts_per_tok", per_token)
    if chosen > count:
        raise config.error("num_experts_per_tok", f"must be <= {count}, the experts that there are")
    return Moe(experts=count, per_token=chosen, expert=expert)


def _sparse_steps(config: ModelConfig, mixers: list[SoftmaxAttention], moe: Moe) -> list[Layer]:
    """Every `decoder_sparse_step`-th layer has experts, save those in `mlp_only_layers`."""
    step, dense = config.size("decoder_sparse_step", 1), config.places("mlp_only_layers", len(mixers)) or ()
    sparse = [at not in dense and (at + 1) % step == 0 for at in range(len(mixers))]
    plain = moe if all(sparse) else gated_mlp(config)
    return [
        Layer(mixer=mixer, mlp=moe if has else plain, norm="rmsnorm")
        for mixer, has in zip(mixers, sparse, strict=True)
    ]


def gpt_oss(config: ModelConfig) -> Network:
    """gpt-oss: a sink a head, every other layer with a window, experts with biases and a clipped gate."""
    layers, window = config.size("num_hidden_layers"), config.size("sliding_window", 128)
    types = config.layer_types(layers, (SLIDING, FULL))
    if types is None:
        types = tuple(SLIDING if at % 2 == 0 else FULL for at in range(layers))
    block = attention(config, "qkvo" if config.flag("attention_bias", True) else "", head_dim=64)
    block = replace(block, sinks=True)
    config.only("hidden_act", "silu", rule="must be silu, which its gate is made of")
    expert = Mlp(inner=config.size("intermediate_size"), activation="clipped", gated=True, bias=True)
    moe = replace(_moe(config, "num_local_experts", expert, 4), router_bias=True)
    mixers = [replace(block, window=window if each == SLIDING else 0) for each in types]
    return language_model(
        config, "gpt_oss", [Layer(mixer=mixer, mlp=moe, norm="rmsnorm") for mixer in mixers]
    )


def llama4_text(config: ModelConfig) -> Network:
    """Llama 4: three of four layers rotate positions and see their chunk; one expert beside a shared one."""
    layers = config.size("num_hidden_layers")
    every, step = config.size("no_rope_layer_interval", 4), config.size("interleave_moe_layer_step", 1)
    rotated = config.whole_numbers("no_rope_layers") or tuple(
        int((at + 1) % every != 0) for at in range(layers)
    )
    if len(rotated) != layers:
        raise config.error("no_rope_layers", f"must list {layers} layers")
    if not {*rotated} <= {0, 1}:
        raise config.error("no_rope_layers", "must be 1 for each layer that rotates, 0 for others")
    types = config.layer_types(layers, (CHUNKED, FULL)) or tuple(
        CHUNKED if each else FULL for each in rotated
    )
    block = attention(config, "qkvo" if config.flag("attention_bias") else "", head_dim=128)
    plain, chunk = config.flag("use_qk_norm", True), config.size("attention_chunk_size", 8192)
    mixers = [
        replace(block, rotary=bool(turns), qk_norm="plain" if plain and turns else "",
                chunk=chunk if each == CHUNKED else 0)
        for turns, each in zip(rotated, types, strict=True)
    ]  # fmt: skip
    expert = gated_mlp(config)
    moe = replace(_moe(config, "num_local_experts", expert, 1), shared=expert, score="sigmoid")
    sparse = config.places("moe_layers", layers)
    sparse = tuple(range(step - 1, layers, step)) if sparse is None else sparse
    dense = moe if len(sparse) == layers else gated_mlp(config, "intermediate_size_mlp")
    return language_model(config, "llama4_text", [
        Layer(mixer=mixer, mlp=moe if at in sparse else dense, norm="rmsnorm")
        for at, mixer in enumerate(mixers)
    ])  # fmt: skip


def llama4(config: ModelConfig) -> Network:
    """The text model of a Llama 4; what it sees comes in as tokens."""
    return llama4_text(config.part("text_config"))


def deepseek_v2(config: ModelConfig) -> Network:
    """DeepSeek-V2: latent attention; first layers are dense, the others have shared and routed experts."""
    return _deepseek(config, "deepseek_v2", "softmax", choice_bias=False)


def deepseek_v3(config: ModelConfig) -> Network:
    """DeepSeek-V3: scores by sigmoid, a bias for the choice. Its layers that predict further aren't run."""
    config.size("num_nextn_predict_layers", 0, least=0)
    return _deepseek(config, "deepseek_v3", "sigmoid", choice_bias=True)


def _deepseek(config: ModelConfig, kind: str, score: str, choice_bias: bool) -> Network:
    layers, heads = config.size("num_hidden_layers"), config.size("num_attention_heads")
    config.only("attention_bias", False, rule="must be false: latent attention with biases isn't known")
    config.only("num_key_value_heads", heads, rule=f"must be the {heads} query heads: all share a latent")
    mixer = LatentAttention(
        heads=heads, rank=config.size("kv_lora_rank"), query_rank=config.size("q_lora_rank", 0),
        key_dim=config.size("qk_nope_head_dim"), rope_dim=config.size("qk_rope_head_dim"),
        value_dim=config.size("v_head_dim"),
    )  # fmt: skip
    turned, whole = mixer.rope_dim, mixer.key_dim + mixer.rope_dim
    config.only("head_dim", turned, whole, rule=f"must be the {turned} rotated elements, or all {whole}")
    expert, dense = gated_mlp(config, "moe_intermediate_size"), gated_mlp(config)
    shared = config.size("n_shared_experts", 0, least=0)
    moe = replace(
        _moe(config, "n_routed_experts", expert, 8), choice_bias=choice_bias,
        score=config.text("scoring_func", score),
        shared=replace(expert, inner=shared * expert.inner) if shared else None,
    )  # fmt: skip
    if moe.score not in {"softmax", "sigmoid"}:
        raise config.error("scoring_func", "must be softmax or sigmoid")
    first, every = config.size("first_k_dense_replace", 0, least=0), config.size("moe_layer_freq", 1)
    return language_model(config, kind, [
        Layer(mixer=mixer, mlp=moe if at >= first and at % every == 0 else dense, norm="rmsnorm")
        for at in range(layers)
    ])  # fmt: skip
