"""One step of a model: what a cascade of a part is made for."""

from __future__ import annotations

from typing import Literal

import msgspec

from einsim.specs.errors import SpecError
from einsim.workloads.blocks.attention import DEFAULT_M0
from einsim.workloads.settings import Settings

Phase = Literal["prefill", "decode", "encode"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """`tokens` new ones of each of `batch` sequences: a prompt, a decode step, or an encoder's whole input.

    In a decode step `cached` tokens came before them. `source` are the tokens of the encoder that a decoder
    attends to. `passes` over the keys and `m0` are those of `einsim.workloads.blocks.attention`; `absorb`
    chooses the form of latent attention: None absorbs projections of keys and values in decode steps only.
    `load`, `skew` and `capacity` say how tokens fall on experts (`einsim.workloads.models.mixture.routing`).
    """

    phase: Phase
    tokens: int
    batch: int = 1
    cached: int = 0
    source: int = 0
    passes: Literal["3", "2", "1"] = "3"
    m0: int = DEFAULT_M0
    absorb: bool | None = None
    load: tuple[int, ...] = ()
    skew: float = 0.0
    capacity: float = 0.0

    def __post_init__(self) -> None:
        for name in ("tokens", "batch"):
            if getattr(self, name) < 1:
                raise SpecError(name, "must be >= 1", got=getattr(self, name))
        if self.cached < 0 or (self.cached and self.phase != "decode"):
            raise SpecError("cached", "counts tokens before a decode step only", got=self.cached)

    @property
    def decode(self) -> bool:
        """Whether a cache is read."""
        return self.phase == "decode"

    @property
    def absorbs(self) -> bool:
        """Whether latent attention works on the latents themselves."""
        return self.decode if self.absorb is None else self.absorb

    def settings(self, **mask: int | bool | tuple[int, ...] | None) -> Settings:
        """As the library's text of attention takes them."""
        return Settings({"passes": self.passes, "m0": self.m0, **mask}, "step")
