"""Encoders with decoders that attend to them: t5 and whisper."""

from __future__ import annotations

from einsim.workloads.models.configs.reading import ACTIVATIONS, ModelConfig
from einsim.workloads.models.network import Embedding, Layer, Mlp, Network, Projection, SoftmaxAttention, Stem


def t5(config: ModelConfig) -> Network:
    """T5: a bias by distance that all layers of a side share, RMS norms, one table of words."""
    hidden, heads, vocabulary = config.size("d_model"), config.size("num_heads"), config.size("vocab_size")
    size, buckets = config.size("d_kv"), config.size("relative_attention_num_buckets", 32)
    mlp, layers = _t5_mlp(config), config.size("num_layers")
    tied = config.flag("tie_word_embeddings", True)

    def side(causal: bool, relative: bool) -> SoftmaxAttention:
        return SoftmaxAttention(heads=heads, kv_heads=heads, head_dim=size, causal=causal, relative=relative)

    encoder = Network(
        name="t5 encoder", kind="t5", hidden=hidden, embedding=Embedding(vocabulary=vocabulary, tied=True),
        layers=(Layer(mixer=side(False, True), mlp=mlp, norm="rmsnorm"),) * layers, norm="rmsnorm",
        buckets=buckets, quantization=config.quantization(),
    )  # fmt: skip
    layer = Layer(mixer=side(True, True), mlp=mlp, norm="rmsnorm", cross=side(False, False))
    return Network(
        name="t5", kind="t5", hidden=hidden, embedding=Embedding(vocabulary=vocabulary),
        layers=(layer,) * config.size("num_decoder_layers", layers), norm="rmsnorm", buckets=buckets,
        projections=(Projection(name="head", outputs=vocabulary, tied=tied),), encoder=encoder,
        quantization=config.quantization(),
    )  # fmt: skip


def _t5_mlp(config: ModelConfig) -> Mlp:
    """`feed_forward_proj` is an activation or gated-ACTIVATION; gated-gelu is the one by tanh."""
    name = config.text("feed_forward_proj", "relu")
    gated, _, act = name.rpartition("-")
    if gated not in {"", "gated"} or act not in ACTIVATIONS:
        raise config.error("feed_forward_proj", "must be an activation or gated-ACTIVATION")
    kind = "gelu_tanh" if name == "gated-gelu" else ACTIVATIONS[act]
    return Mlp(inner=config.size("d_ff"), activation=kind, gated=bool(gated))


def whisper(config: ModelConfig) -> Network:
    """Whisper: frames of sound through two convolutions; keys have no bias; the head is the words' table."""
    hidden, vocabulary = config.size("d_model"), config.size("vocab_size")
    act = config.activation("activation_function", "gelu")

    def side(role: str, causal: bool) -> SoftmaxAttention:
        heads = config.size(f"{role}_attention_heads")
        dim = config.head_dim(hidden, heads)
        return SoftmaxAttention(heads=heads, kv_heads=heads, head_dim=dim, causal=causal, biases="qvo")

    def mlp(role: str) -> Mlp:
        return Mlp(inner=config.size(f"{role}_ffn_dim"), activation=act, bias=True)

    encoder = Network(
        name="whisper encoder", kind="whisper", hidden=hidden, norm="layernorm",
        embedding=Embedding(
            stem=Stem(channels=config.size("num_mel_bins", 80)),
            positions=config.size("max_source_positions", 1500),
        ),
        layers=(Layer(mixer=side("encoder", False), mlp=mlp("encoder"), norm="layernorm"),)
        * config.size("encoder_layers"),
        quantization=config.quantization(),
    )  # fmt: skip
    layer = Layer(
        mixer=side("decoder", True), mlp=mlp("decoder"), norm="layernorm", cross=side("decoder", False)
    )
    embedding = Embedding(vocabulary=vocabulary, positions=config.size("max_target_positions", 448))
    return Network(
        name="whisper", kind="whisper", hidden=hidden, embedding=embedding, norm="layernorm",
        layers=(layer,) * config.size("decoder_layers"), encoder=encoder,
        projections=(Projection(name="head", outputs=vocabulary, tied=True),),
        quantization=config.quantization(),
    )  # fmt: skip
