"""What bounds leave of tiles: of an operation's in a program, and at least of those of a list's nests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from einsim.accel.machine import Machine
from einsim.dataflow.cut import Cut
from einsim.dataflow.ends import Share
from einsim.dataflow.footprint import access_of
from einsim.dataflow.iteration import Path
from einsim.dataflow.mapping import Compute
from einsim.dataflow.mask import Mask, mask_of
from einsim.dataflow.program import Op, Program, ProgramLoop
from einsim.dataflow.templates.blocks import touched
from einsim.dataflow.templates.nest import LoopNest
from einsim.dataflow.tile_times import TileTimes
from einsim.specs.arrays import Floats
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Cascade, Einsum

#: Tiles of which what bounds leave is looked at one by one.
MOST_VISITED: Final = 1024

Kinds = tuple[Floats, Floats]
"""What tiles have of some ranks [kinds, ranks] and how many are so [kinds]."""

_KINDS: Final = Remembered[tuple[Kinds, Kinds]](100_000)


def share_of(cascade: Cascade, einsum: str) -> float:
    """Share of an Einsum's points that bounds leave."""
    whole = math.prod(cascade.size(rank) for rank in cascade.einsum(einsum).ranks)
    return cascade.points(einsum) / whole


def least_shares(cascade: Cascade, einsum: Einsum, nests: Sequence[LoopNest]) -> tuple[Floats, Floats]:
    """Shares [N] of an Einsum's work and tiles that are there in nests: of what it computes, and no more than
    of what it loads and stores, which fewer loops cut. Where tiles are not all as large, loads weigh them
    otherwise: then it is the share of the points.
    """
    mask, least, found = mask_of(cascade, einsum.ranks), share_of(cascade, einsum.name), dict[object, Share]()
    if not mask.tied:
        return np.ones(len(nests)), np.ones(len(nests))
    steps, shares = mask.tied & {*einsum.iterative}, list[Share]()  # which its leaf may walk by itself
    for nest in nests:
        cut = tuple((rank, tile) for rank, tile in (*nest.loops, *nest.parts) if rank in mask.tied)
        if cut not in found:
            loops = _loops(cascade, cut)
            plain = not steps and all(loop.extent % loop.tile == 0 for loop in loops)
            both = _known(cascade, mask, loops, _tied(mask, einsum.ranks)) if plain else None
            found[cut] = Share(least, least) if both is None else Share(_work(*both), _tiles(*both))
        shares.append(found[cut])
    work, tiles = np.array(shares).T
    return work, tiles


def _loops(cascade: Cascade, cut: Iterable[tuple[str, int]]) -> list[ProgramLoop]:
    """Loops over ranks with tiles, outermost first, that take more than one step."""
    made, found = dict[str, ProgramLoop](), list[ProgramLoop]()
    for rank, tile in cut:
        outer = made.get(rank)
        extent = cascade.size(rank) if outer is None else outer.tile
        if tile < extent:
            parent = None if outer is None else outer.id
            made[rank] = ProgramLoop(id=len(found), ranks=(rank,), extent=extent, tile=tile, parent=parent)
            found.append(made[rank])
    return found


def share_left(
    part: Cascade, machine: Machine, program: Program, op: Op, leaves: Mapping[str, Compute]
) -> Share:
    """Share of an operation's tiles that bounds leave, each cut to the box around what is left of it, in
    points or, of a compute, in cycles, if that is more; of many small ones the share of the points.
    """
    loops = [one for loop in op.path if loop not in op.when for one in _alone(part, program.loops[loop])]
    works, runs = [], []
    for einsum in part.einsums:
        mask = mask_of(part, einsum.ranks)
        if op.subject not in ((einsum.name,) if op.kind == "compute" else touched((einsum,))):
            continue
        ranks = einsum.ranks if op.kind == "compute" else access_of(einsum, op.subject).ranks
        key, mine = _tied(mask, ranks), [loop for loop in loops if loop.count > 1 and loop.rank in mask.tied]
        if (both := _known(part, mask, mine, key)) is None:
            works.append(share_of(part, einsum.name))
            runs.append(works[-1])
            continue
        (every, all_times), (left, times) = both
        works.append(_work(*both))
        runs.append(_tiles(*both))
        if op.kind == "compute":
            cycles = partial(_cycles, part, machine, leaves[einsum.name], loops, key)
            works.append(float(cycles(left) @ times / (cycles(every) @ all_times)))
    return Share(max(works), max(runs))


def _work(every: Kinds, left: Kinds) -> float:
    """Share of the points of all tiles that is left."""
    (whole, all_times), (some, times) = every, left
    return float(some.prod(axis=1) @ times / (whole.prod(axis=1) @ all_times))


def _tiles(every: Kinds, left: Kinds) -> float:
    """Share of all tiles of which something is left."""
    return float(left[0].all(axis=1) @ left[1] / every[1].sum())


def _tied(mask: Mask, ranks: Iterable[str]) -> tuple[str, ...]:
    """Those of some ranks that bounds tie."""
    return tuple(rank for rank in sorted(mask.tied) if rank in ranks)


def _known(
    part: Cascade, mask: Mask, loops: Sequence[ProgramLoop], key: tuple[str, ...]
) -> tuple[Kinds, Kinds] | None:
    """The kinds of all tiles and of what is left of them; None where there are too many to look at."""
    if math.prod(loop.count for loop in loops) > MOST_VISITED:
        return None
    sizes = tuple(part.size(rank) for rank in sorted(mask.tied))
    facts = mask.bounds, sizes, tuple((loop.rank, loop.tile) for loop in loops), key
    return _KINDS.get(facts, partial(_kinds, mask, tuple(loops), part.sizes, key))


def _alone(part: Cascade, loop: ProgramLoop) -> list[ProgramLoop]:
    """A loop over single points of several ranks as a loop over each, of which a mask cuts some."""
    many = enumerate(loop.ranks if len(loop.ranks) > 1 else ())
    one = partial(ProgramLoop, tile=1)
    return [one(id=-1 - at, ranks=(rank,), extent=part.size(rank)) for at, rank in many] or [loop]


def _kinds(
    mask: Mask, loops: tuple[ProgramLoop, ...], sizes: Mapping[str, int], key: tuple[str, ...]
) -> tuple[Kinds, Kinds]:
    """All tiles, and what a mask leaves of them, each cut to a box."""
    found = []
    for cut in (None, Cut((mask,), tuple(sorted(mask.tied)))):
        kinds = Path(loops, {}, sizes, key, cut=cut).instances()
        extents = np.array([kind[: len(key)] for kind in kinds], np.float64).reshape(len(kinds), len(key))
        found.append((extents, np.array(list(kinds.values()), np.float64)))
    every, left = found
    return every, left


def _cycles(
    part: Cascade, machine: Machine, node: Compute, loops: list[ProgramLoop], key: tuple[str, ...],
    left: Floats,
) -> Floats:  # fmt: skip
    """Cycles [kinds] of a leaf's tiles that have so much of some ranks [kinds, ranks]."""
    einsum, count = part.einsum(node.einsum), len(left)
    tiles = {**part.sizes, **{loop.rank: loop.tile for loop in loops}}  # of several the innermost loop's
    extents = {rank: np.full(count, float(tiles[rank])) for rank in einsum.ranks}
    extents |= dict(zip(key, np.maximum(left, 1).T, strict=True))
    return TileTimes(part, machine.unit(node.unit), einsum).of(node, extents, count) * left.all(axis=1)
