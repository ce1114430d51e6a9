"""Random points of a map space."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from einsim.dataflow.mapper.point import GroupPoint, NestPoint, Point
from einsim.dataflow.mapper.tiles import menu
from einsim.dataflow.mapper.vectors import menus
from einsim.workloads.cascade import Einsum

if TYPE_CHECKING:
    from einsim.dataflow.mapper.space import MapSpace


def sample(space: MapSpace, rng: random.Random, tries: int = 200) -> Point | None:
    """A random point whose groups each fit their memories; None where `tries` found none."""
    if space.resident is None:
        return sample(rng.choice(space.spaces()), rng, tries)
    fusions = {tuple(e.name for e in group): group for group in space.fusions()}
    names = tuple(einsum.name for einsum in space.cascade.einsums)
    for _ in range(tries):
        parts: list[tuple[str, ...]] = []
        at = 0
        while at < len(names):
            parts.append(rng.choice([part for part in fusions if part == names[at : at + len(part)]]))
            at += len(parts[-1])
        found = [_sample_group(space, fusions[part], rng) for part in parts]
        groups = tuple(group for group in found if group is not None)
        if len(groups) == len(parts):
            return Point(groups=groups, resident=space.resident, hub=space.hub)
    return None


def _sample_group(space: MapSpace, group: tuple[Einsum, ...], rng: random.Random) -> GroupPoint | None:
    inside = rng.choice(list(space.insides(group)))
    shared = tuple(
        rng.choice(menu(space.cascade.size(rank), space.menu, space.width, space.cores)[:-1])
        for rank in inside.shared
    )
    points = []
    for einsum in group:
        found = [nest for nest in space.nests(einsum, inside) if all(menus(space, nest, shared))]
        if not found:
            return None
        nest = rng.choice(found)
        tiles: list[int] = []
        left = {rank: space.cascade.size(rank) for rank in nest.loops}
        for at, (rank, sizes) in enumerate(zip(nest.loops, menus(space, nest, shared), strict=True)):
            whole = left[rank]
            below = [size for size in sizes if size < whole]
            left[rank] = sizes[0] if at < len(shared) else rng.choice([*below, whole])
            tiles.append(left[rank])
        chosen = tuple(rng.randrange(len(choices)) for choices in nest.choices)
        points.append(NestPoint(nest=nest, tiles=tuple(tiles), chosen=chosen))
    made = GroupPoint(inside=inside, nests=tuple(points))
    return made if space.total(made)[1] else None
