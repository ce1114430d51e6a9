"""Encoders of texts with the head that tells masked words: BERT, DistilBERT, ALBERT as pretrained."""

from __future__ import annotations

import msgspec

from einsim.workloads.graphs.builder import GraphBuilder
from einsim.workloads.graphs.graph import OperatorGraph
from einsim.workloads.graphs.networks.attending import BERT, attention, feed_forward
from einsim.workloads.graphs.networks.entry import NetworkEntry, Size

DISTILBERT = "Sanh et al., arXiv 1910.01108"
ALBERT = "Lan et al., arXiv 1909.11942"


class _Masked(msgspec.Struct, frozen=True, kw_only=True):
    """`embedded` is the width of a word's row and of the head's last layer, `types` kinds of tokens."""

    source: str
    words: int
    layers: int
    embedded: int = 768
    types: int = 2
    shared: bool = False


_MASKED = {
    "bert-base-mlm": _Masked(source=BERT, words=30522, layers=12),
    "distilbert-base-mlm": _Masked(source=DISTILBERT, words=30522, layers=6, types=0),
    "albert-base-mlm": _Masked(source=ALBERT, words=30000, layers=12, embedded=128, shared=True),
}
_WIDTH, _HEADS, _POSITIONS = 768, 12, 512


def _masked(name: str, size: Size) -> OperatorGraph:
    """Embeddings, layers with norms after each residual, and of every token the scores of all words."""
    row = _MASKED[name]
    b = GraphBuilder(name, row.source, size)
    batch, seq = size.batch, size.seq
    words = b.input(seq, name="words")
    with b.within("embed"):
        table = b.weight("embed.words", row.words, row.embedded)
        x = b.node("Gather", "words", [table, words], (batch, seq, row.embedded), axis=0)
        x = b.add(x, b.part(b.weight("embed.positions", _POSITIONS, row.embedded), 0, seq, axis=0))
        if row.types:
            kinds = b.input(seq, name="types")
            types = b.weight("embed.types", row.types, row.embedded)
            x = b.add(x, b.node("Gather", "types", [types, kinds], (batch, seq, row.embedded), axis=0))
        x = b.layer_norm(x, 1e-12)
        x = b.linear(x, _WIDTH, name="widen") if row.embedded != _WIDTH else x
    for at in range(row.layers):
        with b.within(f"layer{at}", weights="layer" if row.shared else ""):
            x = b.layer_norm(b.add(x, attention(b, x, _HEADS)), 1e-12, "norm1")
            x = b.layer_norm(b.add(x, feed_forward(b, x, 4 * _WIDTH)), 1e-12, "norm2")
    with b.within("head"):
        x = b.layer_norm(b.linear(x, row.embedded, act="gelu", name="transform"), 1e-12)
        scores = b.node(
            "MatMul", "scores", [x, b.transpose(table, 1, 0)], (batch, seq, row.words)
        )  # the embedding's table once more
        return b.graph(b.add(scores, b.weight("head.bias", row.words)))


ENTRIES = tuple(
    NetworkEntry(name=name, source=row.source, build=_masked, seq=128) for name, row in _MASKED.items()
)
