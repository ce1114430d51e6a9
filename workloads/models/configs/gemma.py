"""Gemma 2 and 3: norms around each block, windows in most layers, soft caps or normed queries."""

from __future__ import annotations

from msgspec.structs import replace

from einsim.specs.errors import MISSING
from einsim.workloads.models.configs.decoder import FULL, SLIDING, language_model
from einsim.workloads.models.configs.reading import ModelConfig
from einsim.workloads.models.network import Embedding, Layer, Mlp, Network, SoftmaxAttention


def gemma2(config: ModelConfig) -> Network:
    """Every other layer, from the first on, has a window."""
    sizes = _Sizes(config, {})
    block = replace(_attention(sizes), soft_cap=config.number("attn_logit_softcapping", 50.0))
    windows = _windows(sizes, block, every=2, window=4096)
    return _network(sizes, "gemma2", windows, config.number("final_logit_softcapping", 30.0))


_GEMMA3 = {
    "vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
}  # fmt: skip
"""What the published files of the larger models leave to the configuration class."""


def gemma3_text(config: ModelConfig) -> Network:
    """One layer in six, the last of each six, sees all tokens; queries and keys are normed."""
    sizes = _Sizes(config, _GEMMA3)
    block = replace(_attention(sizes), qk_norm="head", soft_cap=config.number("attn_logit_softcapping"))
    every = config.size("sliding_window_pattern", config.size("_sliding_window_pattern", 6))
    windows = _windows(sizes, block, every=every, window=4096)
    return _network(sizes, "gemma3_text", windows, config.number("final_logit_softcapping"))


def gemma3(config: ModelConfig) -> Network:
    """The text model of a Gemma 3 that sees; what it sees comes in as tokens."""
    return gemma3_text(config.part("text_config"))


class _Sizes:
    """Sizes by key, with the kind's own defaults."""

    def __init__(self, config: ModelConfig, defaults: dict[str, int]) -> None:
        self.config, self.defaults = config, defaults

    def __getitem__(self, key: str) -> int:
        return self.config.size(key, self.defaults.get(key))


def _attention(sizes: _Sizes) -> SoftmaxAttention:
    heads = sizes["num_attention_heads"]
    biases = "qkvo" if sizes.config.flag("attention_bias") else ""
    kv_heads = sizes.config.kv_heads(heads, sizes.defaults.get("num_key_value_heads"))
    return SoftmaxAttention(
        heads=heads, kv_heads=kv_heads, head_dim=sizes["head_dim"], biases=biases, rotary=True
    )


def _windows(sizes: _Sizes, block: SoftmaxAttention, every: int, window: int) -> list[SoftmaxAttention]:
    layers = sizes["num_hidden_layers"]
    types = sizes.config.layer_types(layers, (SLIDING, FULL))
    if types is None:
        types = tuple(FULL if (at + 1) % every == 0 else SLIDING for at in range(layers))
    size = sizes.config.size("sliding_window", window)
    return [replace(block, window=size if each == SLIDING else 0) for each in types]


def _network(sizes: _Sizes, kind: str, mixers: list[SoftmaxAttention], soft_cap: float) -> Network:
    config = sizes.config
    key = "hidden_act" if config.value("hidden_activation") is MISSING else "hidden_activation"
    activation = config.activation(key, "gelu_pytorch_tanh")
    mlp = Mlp(inner=sizes["intermediate_size"], activation=activation, gated=True)
    layers = [Layer(mixer=mixer, mlp=mlp, norm="rmsnorm", placement="sandwich") for mixer in mixers]
    embedding = Embedding(vocabulary=sizes["vocab_size"], scaled=True)
    return language_model(config, kind, layers, tied=True, embedding=embedding, soft_cap=soft_cap,
                          sizes=(sizes["vocab_size"], sizes["hidden_size"]))  # fmt: skip
