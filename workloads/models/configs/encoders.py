"""Encoders of text: bert, roberta, distilbert, electra. Without heads of a task: the model and its pooler."""

from __future__ import annotations

from einsim.workloads.models.configs.reading import ModelConfig
from einsim.workloads.models.network import Embedding, Layer, Mlp, Network, Projection, SoftmaxAttention

POOLER = "pooler"


def bert(config: ModelConfig) -> Network:
    """BERT: norms after each residual."""
    return _bert(config, "bert", pooled=True)


def roberta(config: ModelConfig) -> Network:
    """RoBERTa: BERT with other tables."""
    return _bert(config, "roberta", pooled=True)


def electra(config: ModelConfig) -> Network:
    """ELECTRA: an embedding that may be narrower than the layers, and no pooler."""
    return _bert(config, "electra", pooled=False, width=config.size("embedding_size", 128))


def _bert(config: ModelConfig, kind: str, pooled: bool, width: int = 0) -> Network:
    hidden = config.size("hidden_size")
    absolute = "must be absolute: biases by position aren't known of this kind"
    config.only("position_embedding_type", "absolute", rule=absolute)
    config.only("is_decoder", False, rule="must be false: it is read as an encoder")
    config.only("add_cross_attention", False, rule="must be false: it is read as an encoder")
    embedding = Embedding(
        vocabulary=config.size("vocab_size"), positions=config.size("max_position_embeddings", 512),
        types=config.size("type_vocab_size", 2), norm="layernorm", width=0 if width == hidden else width,
    )  # fmt: skip
    layer = _layer(
        config, hidden, config.size("num_attention_heads"), config.size("intermediate_size"), "hidden_act"
    )
    pooler = Projection(name=POOLER, outputs=hidden, bias=True, activation="tanh", one_token=True)
    return Network(
        name=kind, kind=kind, hidden=hidden, embedding=embedding, norm=None,
        layers=(layer,) * config.size("num_hidden_layers"), projections=(pooler,) if pooled else (),
        quantization=config.quantization(),
    )  # fmt: skip


def _layer(config: ModelConfig, hidden: int, heads: int, inner: int, act: str) -> Layer:
    block = SoftmaxAttention(
        heads=heads, kv_heads=heads, head_dim=config.head_dim(hidden, heads), causal=False, biases="qkvo"
    )
    mlp = Mlp(inner=inner, activation=config.activation(act, "gelu"), bias=True)
    return Layer(mixer=block, mlp=mlp, norm="layernorm", placement="post")


def distilbert(config: ModelConfig) -> Network:
    """DistilBERT: BERT without types of tokens and without a pooler."""
    hidden = config.size("dim")
    return Network(
        name="distilbert", kind="distilbert", hidden=hidden, norm=None,
        embedding=Embedding(
            vocabulary=config.size("vocab_size"), positions=config.size("max_position_embeddings", 512),
            norm="layernorm",
        ),
        layers=(_layer(config, hidden, config.size("n_heads"), config.size("hidden_dim"), "activation"),)
        * config.size("n_layers"),
        quantization=config.quantization(),
    )  # fmt: skip
