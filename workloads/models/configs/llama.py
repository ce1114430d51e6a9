"""Decoders of the LLaMA line: llama (2, 3, 3.2), mistral, qwen2, qwen3, olmo2, phi3."""

from __future__ import annotations

from msgspec.structs import replace

from einsim.workloads.models.configs.decoder import FULL, SLIDING, attention, gated_mlp, language_model
from einsim.workloads.models.configs.reading import ModelConfig
from einsim.workloads.models.network import Layer, Network, SoftmaxAttention


def llama(config: ModelConfig) -> Network:
    """LLaMA; the scaling of rotary positions (3.1 and later) changes values only."""
    block = attention(config, "qkvo" if config.flag("attention_bias") else "")
    layer = Layer(mixer=block, mlp=gated_mlp(config, bias=config.flag("mlp_bias")), norm="rmsnorm")
    return language_model(config, "llama", [layer] * config.size("num_hidden_layers"))


def mistral(config: ModelConfig) -> Network:
    """Mistral, with its window where there is one."""
    block = replace(attention(config), window=config.size("sliding_window", 0))
    layer = Layer(mixer=block, mlp=gated_mlp(config), norm="rmsnorm")
    return language_model(config, "mistral", [layer] * config.size("num_hidden_layers"))


def qwen2(config: ModelConfig) -> Network:
    """Qwen2: biases of Q, K and V; the layers from `max_window_layers` on may have a window."""
    mlp = gated_mlp(config)
    mixers = late_windows(config, attention(config, "qkv"))
    return language_model(config, "qwen2", [Layer(mixer=mixer, mlp=mlp, norm="rmsnorm") for mixer in mixers])


def qwen3(config: ModelConfig) -> Network:
    """Qwen3: each head's query and key are normed."""
    mlp, mixers = gated_mlp(config), late_windows(config, qwen3_attention(config))
    return language_model(config, "qwen3", [Layer(mixer=mixer, mlp=mlp, norm="rmsnorm") for mixer in mixers])


def qwen3_attention(config: ModelConfig) -> SoftmaxAttention:
    """Heads of 128 unless the file says otherwise."""
    biases = "qkvo" if config.flag("attention_bias") else ""
    return replace(attention(config, biases, head_dim=128), qk_norm="head")


def late_windows(config: ModelConfig, block: SoftmaxAttention) -> list[SoftmaxAttention]:
    """Each layer's attention: with `use_sliding_window` a window in those from `max_window_layers` on."""
    layers, slides = config.size("num_hidden_layers"), config.flag("use_sliding_window")
    window, first = config.size("sliding_window", 0, least=0), config.size("max_window_layers", 0, least=0)
    types = config.layer_types(layers, (SLIDING, FULL))
    if types is None:
        types = tuple(SLIDING if slides and at >= first else FULL for at in range(layers))
    if SLIDING in types and not window:
        config.required("sliding_window")
    return [replace(block, window=window if each == SLIDING else 0) for each in types]


def olmo2(config: ModelConfig) -> Network:
    """OLMo 2: norms on each block's output, and of all queries and all keys at once."""
    block = attention(config, "qkvo" if config.flag("attention_bias") else "")
    layer = Layer(
        mixer=replace(block, qk_norm="all"), mlp=gated_mlp(config), norm="rmsnorm", placement="output"
    )
    return language_model(config, "olmo2", [layer] * config.size("num_hidden_layers"))


def phi3(config: ModelConfig) -> Network:
    """Phi-3: its fused projections are the usual ones side by side."""
    block = replace(
        attention(config, "qkvo" if config.flag("attention_bias") else ""),
        window=config.size("sliding_window", 0),
    )
    layer = Layer(mixer=block, mlp=gated_mlp(config), norm="rmsnorm")
    return language_model(config, "phi3", [layer] * config.size("num_hidden_layers"))
