"""An entry of the library of networks: a name, where it is published, and what builds it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from einsim.workloads.graphs.builder import Size
from einsim.workloads.graphs.graph import OperatorGraph

__all__ = ["NetworkEntry", "Size"]


class NetworkEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`build` takes the name and the sizes. `seq` are tokens of a text, 0 for a network of images; of those
    some take one size of image only (`fixed`), by the product after their last pool.
    """

    name: str
    source: str
    build: Callable[[str, Size], OperatorGraph]
    seq: int = 0
    fixed: bool = False
