"""Groups of neighbouring Einsums, and the ways to cut a cascade into them."""

from __future__ import annotations

from collections.abc import Iterator

from einsim.workloads.cascade import Einsum


def joined(group: tuple[Einsum, ...]) -> bool:
    """Whether each Einsum after the first shares a tensor with one before it: fusing strangers gains nothing
    that the groups' order does not.
    """
    seen = {group[0].name}
    for einsum in group[1:]:
        if not any(access.tensor in seen for access in einsum.reads):
            return False
        seen.add(einsum.name)
    return True


def cuts(names: tuple[str, ...], groups: frozenset[tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Every way to cut `names` into allowed groups."""
    if not names:
        yield ()
        return
    for count in range(1, len(names) + 1):
        if names[:count] in groups:
            for rest in cuts(names[count:], groups):
                yield (names[:count], *rest)
