"""A network as frozen values: embedding, layers, final norm and head. Equal layers are one value.

Values are counted in elements; what has no effect on cost (dropout, epsilons, rotary bases and their scaling)
has no place here.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import msgspec

NormKind = Literal["rmsnorm", "layernorm"]
Placement = Literal["pre", "post", "output", "sandwich", "parallel", "parallel-two"]
"""Where a layer's norms stand: before each block (pre), after each residual (post, BERT), on each block's
output (output, OLMo 2), before and after each block (sandwich, Gemma 2); or attention and feed-forward
network beside each other after one norm (parallel, Falcon, Phi) or a norm each (parallel-two, GPT-NeoX)."""


class SoftmaxAttention(msgspec.Struct, frozen=True, kw_only=True):
    """Softmax attention with grouped queries; every feature that its cost depends on.

    `biases` are letters of "qkvo". `rotary` rotates positions: a head that is rotated in part is charged as
    if it all were, at most three operations an element of Q and K. `window` and `chunk` are in tokens, 0 for
    none: of a window each query sees that many latest keys, of chunks those of its own.
    """

    heads: int
    kv_heads: int
    head_dim: int
    causal: bool = True
    biases: str = ""
    qk_norm: Literal["", "head", "all", "plain"] = ""
    """RMS norm of Q and K over each head (with a gain, or plain without one) or over all heads at once."""
    rotary: bool = False
    window: int = 0
    chunk: int = 0
    soft_cap: float = 0.0
    alibi: bool = False
    relative: bool = False
    """A bias by the distance of query and key, from a table that all layers share (T5)."""
    sinks: bool = False


class LatentAttention(msgspec.Struct, frozen=True, kw_only=True):
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): `rank` + `rope_dim` values cached a token.

    `query_rank` 0 projects queries straight from the tokens.
    """

    heads: int
    rank: int
    query_rank: int
    key_dim: int
    rope_dim: int
    value_dim: int


class Selective(msgspec.Struct, frozen=True, kw_only=True):
    """Mamba's selective state space (Gu & Dao, arXiv 2312.00752). `norms` are RMS norms of dt, B and C."""

    inner: int
    state: int
    taps: int
    step_rank: int
    conv_bias: bool = True
    bias: bool = False
    norms: Literal["", "gain", "plain"] = ""


class StateSpace(msgspec.Struct, frozen=True, kw_only=True):
    """Mamba 2's state space (Dao & Gu, arXiv 2405.21060): heads of `head_dim`, B and C shared by groups."""

    heads: int
    head_dim: int
    groups: int
    state: int
    taps: int
    conv_bias: bool = True


class ShortConv(msgspec.Struct, frozen=True, kw_only=True):
    """LFM2's gated short convolution of `taps`."""

    taps: int


Mixer = SoftmaxAttention | LatentAttention | Selective | StateSpace | ShortConv


class Mlp(msgspec.Struct, frozen=True, kw_only=True):
    """A feed-forward network of two products, or of three with a gate."""

    inner: int
    activation: str
    gated: bool = False
    bias: bool = False


class Moe(msgspec.Struct, frozen=True, kw_only=True):
    """A mixture: `per_token` of `experts` for each token, and one that all share (arXiv 2401.06066).

    `choice_bias` is a value an expert that is added for the choice only (DeepSeek-V3).
    """

    experts: int
    per_token: int
    expert: Mlp
    shared: Mlp | None = None
    shared_gate: bool = False
    score: Literal["softmax", "sigmoid"] = "softmax"
    router_bias: bool = False
    choice_bias: bool = False


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer. `cross` attends to an encoder's tokens, between mixer and feed-forward network."""

    mixer: Mixer
    mlp: Mlp | Moe | None
    norm: NormKind
    placement: Placement = "pre"
    cross: SoftmaxAttention | None = None


class Patches(msgspec.Struct, frozen=True, kw_only=True):
    """An image in `count` patches of `values` each, which don't overlap, and `special` tokens beside."""

    count: int
    values: int
    special: int = 1
    bias: bool = True

    @property
    def tokens(self) -> int:
        """What the layers see of an image."""
        return self.count + self.special


class Stem(msgspec.Struct, frozen=True, kw_only=True):
    """Whisper's stem: two convolutions over time of three taps, the second of stride two."""

    channels: int


class Embedding(msgspec.Struct, frozen=True, kw_only=True):
    """What makes tokens of a model's input; tables are read by rows. `width` 0 is the hidden size.

    `tied` reads a table that is counted elsewhere: T5's encoder and decoder have one. `norm` stands before
    the projection from `width`, if there is one. With `positions_inside` that has no bias, and positions are
    as wide as the hidden state and added after it (OPT-350M).
    """

    vocabulary: int = 0
    width: int = 0
    tied: bool = False
    positions: int = 0
    positions_inside: bool = False
    types: int = 0
    norm: NormKind | None = None
    scaled: bool = False
    patches: Patches | None = None
    stem: Stem | None = None


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """A product over the last hidden states, after the final norm: a head or a pooler.

    `tied` reads the embedding's table; `one_token` takes one token of each sequence in every phase. With a
    `width` a first product leads to it, without bias (OPT-350M).
    """

    name: str
    outputs: int
    tied: bool = False
    bias: bool = False
    activation: str = ""
    soft_cap: float = 0.0
    one_token: bool = False
    width: int = 0


class Quantization(msgspec.Struct, frozen=True, kw_only=True):
    """Stored matrices of the layers: bits of a value, and of the scale and the zero point (0: none) of each
    group of so many (0: no scales).

    Tables, heads, gains and biases stay in 16 bits; with `experts_only` the other matrices do too, and
    without `routers` the matrices that choose experts: files leave them as they were trained.
    """

    bits: int
    group: int = 0
    scale_bits: int = 16
    zero_bits: int = 0
    experts_only: bool = False
    routers: bool = False


class Network(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A whole network; `encoder` is the one whose tokens its layers' `cross` attends to.

    `buckets` are the rows of a table of relative positions that its attention shares (T5). `pool` is one more
    layer at the end in which a learnt query attends to all tokens (SigLIP).
    """

    name: str
    kind: str
    hidden: int
    embedding: Embedding
    layers: tuple[Layer, ...]
    norm: NormKind | None
    projections: tuple[Projection, ...] = ()
    buckets: int = 0
    pool: Layer | None = None
    encoder: Network | None = None
    quantization: Quantization | None = None
    source: str = ""

    @property
    def decodes(self) -> bool:
        """Whether it makes tokens one after the other."""
        mixers = [layer.mixer for layer in self.layers]
        return all(not isinstance(mixer, SoftmaxAttention) or mixer.causal for mixer in mixers)

    @cached_property
    def _kinds(self) -> dict[Layer, tuple[int, ...]]:
        found: dict[Layer, tuple[int, ...]] = {}
        for at, layer in enumerate(self.layers):
            found[layer] = (*found.get(layer, ()), at)
        return found

    def kinds(self) -> tuple[LayerKind, ...]:
        """The distinct layers, in the order in which they come first."""
        return tuple(LayerKind(layer, places) for layer, places in self._kinds.items())


class LayerKind(msgspec.Struct, frozen=True):
    """Equal layers and the places where they stand."""

    layer: Layer
    places: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.places)
