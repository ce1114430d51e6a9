"""What decoders of the LLaMA line share: attention, gated feed-forward network, embedding and head."""

from __future__ import annotations

from collections.abc import Iterable

from einsim.workloads.models.configs.reading import ModelConfig
from einsim.workloads.models.network import (
    Embedding,
    LatentAttention,
    Layer,
    Mlp,
    Network,
    NormKind,
    Projection,
    SoftmaxAttention,
)

SLIDING, FULL, CHUNKED = "sliding_attention", "full_attention", "chunked_attention"


def attention(config: ModelConfig, biases: str = "", head_dim: int | None = None) -> SoftmaxAttention:
    """Rotated grouped queries as the usual keys give them."""
    heads = config.size("num_attention_heads")
    found = SoftmaxAttention(
        heads=heads, kv_heads=config.kv_heads(heads), biases=biases, rotary=True,
        head_dim=config.head_dim(config.size("hidden_size"), heads, head_dim),
    )  # fmt: skip
    if found.head_dim % 2:
        rule = f"rotary positions need an even head size, not {found.head_dim}"
        raise config.document.error(config.path, rule)
    return found


def gated_mlp(config: ModelConfig, key: str = "intermediate_size", bias: bool = False) -> Mlp:
    """Three products around an activation, SiLU unless the file has another."""
    activation = config.activation("hidden_act", "silu")
    return Mlp(inner=config.size(key), activation=activation, gated=True, bias=bias)


def language_model(
    config: ModelConfig, kind: str, layers: Iterable[Layer], *,
    norm: NormKind | None = "rmsnorm", tied: bool = False, embedding: Embedding | None = None,
    head_bias: bool = False, soft_cap: float = 0.0, sizes: tuple[int, int] | None = None, head_width: int = 0,
) -> Network:  # fmt: skip
    """Layers between an embedding and a head over its vocabulary, which `tie_word_embeddings` may share.

    `sizes` are those of vocabulary and hidden state where the usual keys don't give them.
    """
    layers = tuple(layers)
    _equal_kinds(config, layers)
    vocabulary, hidden = sizes or (config.size("vocab_size"), config.size("hidden_size"))
    head = Projection(
        name="head", outputs=vocabulary, tied=config.flag("tie_word_embeddings", tied), bias=head_bias,
        soft_cap=soft_cap, width=head_width,
    )  # fmt: skip
    return Network(
        name=kind, kind=kind, hidden=hidden, embedding=embedding or Embedding(vocabulary=vocabulary),
        layers=layers, norm=norm, projections=(head,), quantization=config.quantization(),
    )  # fmt: skip


def _equal_kinds(config: ModelConfig, layers: tuple[Layer, ...]) -> None:
    """A list of layers' kinds in the file of a kind whose layers all attend alike may only say so."""
    mixers = {layer.mixer for layer in layers}
    if config.asked("layer_types") or len(mixers) != 1:
        return
    match mixers.pop():
        case SoftmaxAttention(window=window):
            config.layer_types(len(layers), (SLIDING if window else FULL,))
        case LatentAttention():
            config.layer_types(len(layers), (FULL,))
