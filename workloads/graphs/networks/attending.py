"""Networks of attention and the convolutional one made after them: ViT, DeiT, BERT, Swin, ConvNeXt."""

from __future__ import annotations

import math

from einsim.workloads.graphs.builder import GraphBuilder
from einsim.workloads.graphs.graph import Constant, OperatorGraph
from einsim.workloads.graphs.networks.entry import NetworkEntry, Size

VIT = "Dosovitskiy et al., arXiv 2010.11929"
DEIT = "Touvron et al., arXiv 2012.12877"
BERT = "Devlin et al., arXiv 1810.04805"
SWIN = "Liu et al., arXiv 2103.14030"
CONVNEXT = "Liu et al., arXiv 2201.03545"

# Rows of a patch, width, layers, heads, inner width.
_VITS = {
    "vit-b-16": (16, 768, 12, 12, 3072), "vit-b-32": (32, 768, 12, 12, 3072),
    "vit-l-16": (16, 1024, 24, 16, 4096),
    "vit-l-32": (32, 1024, 24, 16, 4096), "deit-tiny": (16, 192, 12, 3, 768),
    "deit-small": (16, 384, 12, 6, 1536),
}  # fmt: skip
_BERTS = {"bert-base-uncased": (768, 12, 12), "bert-large-uncased": (1024, 24, 16)}
"""Width, layers, heads."""
_SWINS = {"swin-t": (96, (2, 2, 6, 2)), "swin-s": (96, (2, 2, 18, 2)), "swin-b": (128, (2, 2, 18, 2))}
"""First width, layers of each stage."""
_WINDOW = 7
_CONVNEXTS = {
    "convnext-tiny": (96, (3, 3, 9, 3)), "convnext-small": (96, (3, 3, 27, 3)),
    "convnext-base": (128, (3, 3, 27, 3)),
}  # fmt: skip
"""First width, blocks of each stage."""


def attention(b: GraphBuilder, x: str, heads: int, bias: str = "", mask: str = "") -> str:
    """Softmax attention of x[b,p,d] to itself, with projections; a bias or a mask is added to the scores."""
    batch, tokens, width = b.shapes[x]
    size = width // heads
    split = []
    for name, order in (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3))):
        split.append(
            b.transpose(b.reshape(b.linear(x, width, name=name), batch, tokens, heads, size), *order)
        )
    query, key, value = split
    scores = b.node("MatMul", "scores", [query, key], (batch, heads, tokens, tokens))
    scores = b.scale(scores, b.number(1 / math.sqrt(size)))
    scores = b.add(scores, bias, "bias") if bias else scores
    if mask and b.shapes[mask][0] == batch:
        scores = b.add(scores, mask, "mask")
    elif mask:  # of windows, which the batch has several times
        windows = b.shapes[mask][0]
        several = b.reshape(scores, batch // windows, windows, heads, tokens, tokens)
        several = b.add(several, b.reshape(mask, 1, windows, 1, tokens, tokens), "mask")
        scores = b.reshape(several, batch, heads, tokens, tokens)
    weights = b.node("Softmax", "softmax", [scores], b.shapes[scores], axis=-1)
    found = b.node("MatMul", "context", [weights, value], (batch, heads, tokens, size))
    return b.linear(b.reshape(b.transpose(found, 0, 2, 1, 3), batch, tokens, width), width, name="output")


def feed_forward(b: GraphBuilder, x: str, inner: int) -> str:
    """Two products around GELU."""
    return b.linear(b.linear(x, inner, act="gelu", name="ffn1"), b.shapes[x][-1], name="ffn2")


def _vit(name: str, size: Size) -> OperatorGraph:
    patch, width, layers, heads, inner = _VITS[name]
    b = GraphBuilder(name, DEIT if name.startswith("deit") else VIT, size)
    x = b.conv(b.image(224), width, patch, stride=patch, pad=0, norm=False, act="", name="patches")
    batch, _, rows, columns = b.shapes[x]
    count = rows * columns
    x = b.transpose(b.reshape(x, batch, width, count), 0, 2, 1)
    first = b.weight("class", 1, 1, width)
    if batch > 1:
        first = b.node("Expand", "class.expand", [first, b.whole(batch, 1, width)], (batch, 1, width))
    x = b.add(b.concat(first, x), b.weight("positions", 1, count + 1, width), "embed")
    for at in range(layers):
        with b.within(f"layer{at}"):
            x = b.add(x, attention(b, b.layer_norm(x, 1e-6, "norm1"), heads))
            x = b.add(x, feed_forward(b, b.layer_norm(x, 1e-6, "norm2"), inner))
    x = b.layer_norm(b.reshape(b.part(x, 0, 1), batch, width), 1e-6, "norm")
    return b.graph(b.linear(x, 1000, name="head"))


def _bert(name: str, size: Size) -> OperatorGraph:
    width, layers, heads = _BERTS[name]
    b = GraphBuilder(name, BERT, size)
    batch, seq = size.batch, size.seq
    words, kinds = b.input(seq, name="words"), b.input(seq, name="types")
    with b.within("embed"):
        x = b.node(
            "Gather", "words", [b.weight("embed.words", 30522, width), words], (batch, seq, width), axis=0
        )
        kind = b.node(
            "Gather", "types", [b.weight("embed.types", 2, width), kinds], (batch, seq, width), axis=0
        )
        x = b.add(b.add(x, b.part(b.weight("embed.positions", 512, width), 0, seq, axis=0)), kind)
        x = b.layer_norm(x, 1e-12)
    for at in range(layers):
        with b.within(f"layer{at}"):
            x = b.layer_norm(b.add(x, attention(b, x, heads)), 1e-12, "norm1")
            x = b.layer_norm(b.add(x, feed_forward(b, x, 4 * width)), 1e-12, "norm2")
    first = b.reshape(b.part(x, 0, 1), batch, width)
    return b.graph(x, b.linear(first, width, act="tanh", name="pooler"))


def _rolled(b: GraphBuilder, x: str, by: int) -> str:
    """An image [b,y,x,d] that is moved up and left by so many, round its edges."""
    for axis in (1, 2):
        size = b.shapes[x][axis]
        at = by % size
        x = b.concat(b.part(x, at, size, axis), b.part(x, 0, at, axis), axis=axis)
    return x


def _swin_block(b: GraphBuilder, x: str, heads: int, shift: int) -> str:
    batch, rows, columns, width = b.shapes[x]
    down, across, tokens = rows // _WINDOW, columns // _WINDOW, _WINDOW**2
    path = f"{b.path}."
    table = b.weight(f"{path}table", (2 * _WINDOW - 1) ** 2, heads)
    places = b.constants["places"] = Constant((tokens * tokens,), _places())
    b.shapes["places"] = places.shape
    bias = b.node("Gather", "bias", [table, "places"], (tokens * tokens, heads), axis=0)
    bias = b.reshape(b.transpose(b.reshape(bias, tokens, tokens, heads), 2, 0, 1), 1, heads, tokens, tokens)
    y = b.layer_norm(x, name="norm1")
    y = _rolled(b, y, shift) if shift else y
    y = b.transpose(b.reshape(y, batch, down, _WINDOW, across, _WINDOW, width), 0, 1, 3, 2, 4, 5)
    y = b.reshape(y, batch * down * across, tokens, width)
    mask = b.weight(f"mask.{down}x{across}", down * across, 1, tokens, tokens, learnt=False) if shift else ""
    y = b.reshape(attention(b, y, heads, bias, mask), batch, down, across, _WINDOW, _WINDOW, width)
    y = b.reshape(b.transpose(y, 0, 1, 3, 2, 4, 5), batch, rows, columns, width)
    x = b.add(x, _rolled(b, y, -shift) if shift else y)
    return b.add(x, feed_forward(b, b.layer_norm(x, name="norm2"), 4 * width))


def _places() -> tuple[float, ...]:
    """Rows of the table of relative positions, for each pair of tokens in a window."""
    at = [(token // _WINDOW, token % _WINDOW) for token in range(_WINDOW**2)]
    span = 2 * _WINDOW - 1
    return tuple(float((y - v + _WINDOW - 1) * span + x - u + _WINDOW - 1) for y, x in at for v, u in at)


def _swin(name: str, size: Size) -> OperatorGraph:
    width, stages = _SWINS[name]
    b = GraphBuilder(name, SWIN, size)
    x = b.conv(b.image(224), width, 4, stride=4, pad=0, norm=False, act="", name="patches")
    x = b.layer_norm(b.transpose(x, 0, 2, 3, 1), name="patches.norm")
    batch = size.batch
    for stage, count in enumerate(stages):
        heads = (width << stage) // 32
        for at in range(count):
            with b.within(f"stage{stage}.{at}"):
                x = _swin_block(b, x, heads, _WINDOW // 2 if at % 2 and b.shapes[x][1] > _WINDOW else 0)
        if stage < len(stages) - 1:
            with b.within(f"merge{stage}"):
                _, rows, columns, channels = b.shapes[x]
                y = b.transpose(
                    b.reshape(x, batch, rows // 2, 2, columns // 2, 2, channels), 0, 1, 3, 4, 2, 5
                )
                y = b.layer_norm(b.reshape(y, batch, rows // 2, columns // 2, 4 * channels))
                x = b.linear(y, 2 * channels, bias=False, name="reduce")
    x = b.layer_norm(x, name="norm")
    x = b.node("ReduceMean", "mean", [x, b.whole(1, 2)], (batch, b.shapes[x][-1]), keepdims=0)
    return b.graph(b.linear(x, 1000, name="head"))


def _convnext(name: str, size: Size) -> OperatorGraph:
    width, stages = _CONVNEXTS[name]
    b = GraphBuilder(name, CONVNEXT, size)

    def normed(y: str) -> str:
        return b.transpose(b.layer_norm(b.transpose(y, 0, 2, 3, 1), 1e-6), 0, 3, 1, 2)

    x = b.conv(b.image(224), width, 4, stride=4, pad=0, norm=False, act="", name="stem")
    with b.within("stem"):
        x = normed(x)
    for stage, count in enumerate(stages):
        channels = width << stage
        if stage:
            with b.within(f"down{stage}"):
                x = b.conv(normed(x), channels, 2, stride=2, pad=0, norm=False, act="")
        for at in range(count):
            with b.within(f"stage{stage}.{at}"):
                y = b.conv(x, channels, 7, groups=channels, norm=False, act="", name="depthwise")
                y = feed_forward(b, b.layer_norm(b.transpose(y, 0, 2, 3, 1), 1e-6), 4 * channels)
                y = b.scale(y, b.weight(f"{b.path}.gamma", channels))
                x = b.add(x, b.transpose(y, 0, 3, 1, 2))
    x = b.layer_norm(b.flat(b.global_mean(x)), 1e-6)
    return b.graph(b.linear(x, 1000, name="head"))


ENTRIES = (
    *(NetworkEntry(name=name, source=DEIT if name.startswith("deit") else VIT, build=_vit) for name in _VITS),
    *(NetworkEntry(name=name, source=BERT, build=_bert, seq=128) for name in _BERTS),
    *(NetworkEntry(name=name, source=SWIN, build=_swin) for name in _SWINS),
    *(NetworkEntry(name=name, source=CONVNEXT, build=_convnext) for name in _CONVNEXTS),
)
