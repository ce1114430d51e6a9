"""Published networks by name, each a small table: `network_names()`, `entry(name)`, `build(name)`."""

from __future__ import annotations

from typing import Final

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads.graphs.graph import OperatorGraph
from einsim.workloads.graphs.networks import (
    attending,
    branching,
    detecting,
    mobile,
    plain,
    residual,
    slim,
    texts,
    yolo,
)
from einsim.workloads.graphs.networks.entry import NetworkEntry, Size

_MODULES = (residual, slim, plain, mobile, branching, detecting, attending, texts, yolo)
NETWORKS: Final[dict[str, NetworkEntry]] = {
    entry.name: entry for module in _MODULES for entry in module.ENTRIES
}


def network_names() -> tuple[str, ...]:
    """Names that `build` knows."""
    return tuple(NETWORKS)


def entry(name: str) -> NetworkEntry:
    """SpecError for an unknown name."""
    if name not in NETWORKS:
        raise SpecError("model", f"unknown network '{name}'", hint=near(name, NETWORKS))
    return NETWORKS[name]


def build(name: str, batch: int = 1, image: int = 0, columns: int = 0, seq: int = 0) -> OperatorGraph:
    """A network's graph for so many images or texts at once; rows of an image and tokens of a text as
    published where they are 0, columns as rows. SpecError for a size that it doesn't take.
    """
    found = entry(name)
    for key, value in (("batch", batch - 1), ("image", image), ("columns", columns), ("seq", seq)):
        if value < 0:
            raise SpecError(key, "must be >= 1", got=value + (key == "batch"))
    if seq and not found.seq:
        raise SpecError("seq", f"{name} takes images", got=seq)
    for key, value in (("image", image), ("columns", columns)):
        if value and (found.seq or found.fixed):
            raise SpecError(key, f"{name} takes {'texts' if found.seq else 'images of one size'}", got=value)
    return found.build(name, Size(batch=batch, image=image, columns=columns, seq=seq or found.seq))
