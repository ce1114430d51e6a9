"""Which measured rows may be used to fit and which are held out: fixed before anything was fitted.

A row's side depends on what was run and on nothing else: not on the chip, the release, the widths, the size
of the image, or the value. A third of the names, by hash, are for fitting; all others are held out. So a
network is on one side for every chip, and no constant of any chip has seen a held-out network.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

Side = Literal["fit", "held-out"]
FIT: Side = "fit"
HELD_OUT: Side = "held-out"
ONE_IN = 3


def side(name: str) -> Side:
    """The side of what was run: a network's or model's name as einsim has it ("resnet-50"), a layer's or a
    product's shape ("gemm 1x384x384"), or a configuration whose resources are counted ("dpu-b512").
    """
    digest = int(sha256(f"silicon/{name}".encode()).hexdigest(), 16)
    return FIT if digest % ONE_IN == 0 else HELD_OUT
