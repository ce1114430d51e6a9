"""What belongs with a product: an Einsum that adds inputs of fewer ranks to its results point by point, as a
bias. It stands right behind the product and counts as no further Einsum of a group.
"""

from __future__ import annotations

from functools import lru_cache

from einsim.dataflow.mapper.nest import plain
from einsim.workloads.cascade import Cascade, Einsum


def product_of(cascade: Cascade, einsum: Einsum) -> str:
    """The product with which an Einsum belongs; "" if with none."""
    return _product_of(cascade, einsum.name)


@lru_cache(maxsize=4096)
def _product_of(cascade: Cascade, name: str) -> str:
    einsum = cascade.einsum(name)
    made = [access for access in einsum.reads if cascade.producer(access.tensor) is not None]
    if len(made) != 1 or einsum.reduced or einsum.iterative:
        return ""
    maker, points = cascade.producer(made[0].tensor), set(einsum.output.ranks)
    fewer = all(set(access.ranks) < points for access in einsum.reads if access is not made[0])
    alike = set(made[0].ranks) == points and maker is not None and set(maker.output.ranks) == points
    evenly = all(plain(cascade, access) for access in (einsum.output, *einsum.reads))
    sums = maker is not None and maker.contracts and not maker.iterative
    return made[0].tensor if fewer and alike and evenly and sums and len(einsum.reads) > 1 else ""


def in_order(cascade: Cascade) -> tuple[Einsum, ...]:
    """The Einsums of a cascade, each that belongs with a product right behind it."""
    behind: dict[str, list[Einsum]] = {}
    for einsum in cascade.einsums:
        behind.setdefault(product_of(cascade, einsum), []).append(einsum)
    return tuple(one for first in behind[""] for one in (first, *behind.get(first.name, ())))


def size_of(cascade: Cascade, group: tuple[Einsum, ...]) -> int:
    """Einsums of a group, but for those whose product is in it."""
    names = {einsum.name for einsum in group}
    return sum(product_of(cascade, einsum) not in names for einsum in group)
