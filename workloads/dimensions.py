"""Dimensions of known transformer models, each with its source."""

from __future__ import annotations

import msgspec


class Dimensions(msgspec.Struct, frozen=True, kw_only=True):
    """One layer's dimensions and how it is built; `layers` of them make the model.

    `cross` marks an encoder-decoder model: its decode step also attends to the encoder's tokens.
    """

    hidden: int
    heads: int
    head_dim: int
    ffn: int
    kv_heads: int = 0
    layers: int = 1
    activation: str = "gelu"
    norm: str = "layernorm"
    order: str = "post"
    rope: bool = False
    causal: bool = False
    cross: bool = False
    window: int = 0
    batch: int = 1
    source: str = ""

    @property
    def key_heads(self) -> int:
        """Key and value heads: as many as query heads unless queries are grouped."""
        return self.kv_heads or self.heads


_FUSEMAX = "Nayak et al., FuseMax, MICRO 2024 (arXiv 2406.10491), table of workloads; batch 64, 16-bit values"

DIMENSIONS: dict[str, Dimensions] = {
    # Layers: Devlin et al., arXiv 1810.04805.
    "bert-base": Dimensions(
        hidden=768, heads=12, head_dim=64, ffn=3072, layers=12, batch=64, source=_FUSEMAX
    ),
    # Layers: Dai et al., arXiv 1901.02860 (the large model); its relative positions are left out.
    "trxl": Dimensions(
        hidden=1024, heads=16, head_dim=64, ffn=4096, layers=18, activation="relu", batch=64, source=_FUSEMAX
    ),
    # Raffel et al., arXiv 1910.10683 (the small model): ReLU, RMS norm before each block.
    "t5": Dimensions(
        hidden=512, heads=8, head_dim=64, ffn=2048, layers=6, activation="relu", norm="rmsnorm", order="pre",
        cross=True, batch=64, source=_FUSEMAX,
    ),
    # Layers: Conneau & Lample, arXiv 1901.07291.
    "xlm": Dimensions(
        hidden=2048, heads=16, head_dim=128, ffn=8192, layers=12, batch=64, source=_FUSEMAX
    ),
    "llama2-7b": Dimensions(
        hidden=4096, heads=32, head_dim=128, ffn=11008, layers=32, activation="swiglu", norm="rmsnorm",
        order="pre", rope=True, causal=True,
        source="Touvron et al., arXiv 2307.09288, and its published config.json",
    ),
}  # fmt: skip

ALIASES: dict[str, str] = {
    "bert": "bert-base", "transformer-xl": "trxl", "t5-small": "t5", "llama2": "llama2-7b",
    "llama-2-7b": "llama2-7b",
}  # fmt: skip

MODEL_CHOICES: tuple[str, ...] = (*DIMENSIONS, *ALIASES)


def dimensions(model: str) -> Dimensions:
    """Dimensions of a known model or alias; KeyError otherwise."""
    return DIMENSIONS[ALIASES.get(model, model)]
