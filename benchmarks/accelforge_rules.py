"""Energy and latency of a mapping on tpu-v4i by AccelForge's rules, from its loop nest alone.

This shares no code with einsim's model: it walks the tree, counts what each memory reads and writes, and
multiplies. The rules, from AccelForge 1.0.467's model and its tpu_v4i example:

- a tile held in a memory is fetched in every iteration of the loops above it (once more for each iteration of
  a loop that does not move it); four cores share nothing: what several of them want is read by each;
- an input is read from a core's own memory once for all columns of the array, a result is written there once
  for all rows and read again for all but its first partial sum, and so is a tile that leaves a memory;
  weights stay in the array for one tile;
- a component's time is its work over its rate, an Einsum takes as long as its slowest component, Einsums add.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from einsim import Cascade, Compute, Keep, Loop, Mapping
from einsim.dataflow.mapping import Node, children
from einsim.workloads.cascade import Access

READ_PJ = {"dram": 56.24, "gb": 15.04, "local": 1.992}
WRITE_PJ = {"dram": 56.24, "gb": 18.88, "local": 2.344}
MAC_PJ, CORES, WIDTH, CLOCK_HZ = 0.084, 4, 128, 1.05e9
Path = tuple[Node, ...]


def judge(mapping: Mapping, cascade: Cascade) -> tuple[float, float]:
    """(joules, seconds) of a mapping of a cascade of 8-bit values without bounds."""
    leaves = list(_leaves(mapping.tree, ()))
    joules = seconds = 0.0
    for above, leaf in leaves:
        actions: dict[tuple[str, str], float] = defaultdict(float)
        einsum = cascade.einsum(leaf.einsum)
        tiles = {rank: _tiles(cascade.size(rank), rank, above) for rank in einsum.ranks}
        for access in {access.tensor: access for access in (*einsum.reads, einsum.output)}.values():
            _move(actions, cascade, leaves, above, leaf, access, tiles)
        points = math.prod(cascade.size(rank) for rank in einsum.ranks)
        macs = points if einsum.ops == ("mac",) else 0
        joules += macs * MAC_PJ * 1e-12
        for (memory, kind), size in actions.items():
            joules += size * (READ_PJ if kind == "read" else WRITE_PJ)[memory] * 1e-12
        seconds += max(
            (actions["dram", "read"] + actions["dram", "write"]) / 614e9,
            actions["gb", "read"] / 2048e9, actions["gb", "write"] / 1024e9,
            _steps(leaf, tiles, einsum.ranks) / CLOCK_HZ,
        )  # fmt: skip
    return joules, seconds


def _leaves(node: Node, above: Path) -> Iterator[tuple[Path, Compute]]:
    if isinstance(node, Compute):
        yield above, node
    for child in children(node):
        yield from _leaves(child, (*above, node))


def _tiles(size: int, rank: str, above: Path) -> Counter[int]:
    """Extents of a rank's tiles below all loops over it, each with how often it occurs."""
    found = Counter({size: 1})
    for node in above:
        if isinstance(node, Loop) and node.rank == rank:
            inner: Counter[int] = Counter()
            for extent, times in found.items():
                inner[node.tile] += extent // node.tile * times
                if extent % node.tile:
                    inner[extent % node.tile] += times
            found = +inner
    return found


def _move(
    actions: dict[tuple[str, str], float], cascade: Cascade, leaves: list[tuple[Path, Compute]], above: Path,
    leaf: Compute, access: Access, tiles: dict[str, Counter[int]],
) -> None:  # fmt: skip
    """Count what the tensor's memories read and write for one leaf."""
    tensor = access.tensor
    output = tensor == leaf.einsum
    mine = {rank for index in access.indices for rank in index.ranks}
    size = float(math.prod(cascade.size(rank) for rank in mine))
    still = [rank for rank in tiles if rank not in mine]
    core = leaf.spatial.get("cores", ())
    apart = [rank for rank in core if rank in still]
    own = min(CORES, math.prod(max(tiles[rank]) for rank in apart)) if apart else 1
    outer = "dram"
    for at, node in enumerate(above):
        if not isinstance(node, Keep) or tensor not in node.tensors:
            continue
        here = {rank: _tiles(cascade.size(rank), rank, above[:at]) for rank in still}
        times = size * math.prod(here[rank].total() for rank in still)
        if _crosses(cascade, leaves, above[: at + 1], leaf, tensor):
            far, near = ("write", "read") if output else ("read", "write")
            every = 1.0
            if node.memory == "local" and apart:  # a last tile may have points for some of the cores only
                many = [(math.prod(e), math.prod(n)) for e, n in _combos(here[rank] for rank in apart)]
                every = sum(n * min(own, e) for e, n in many) / sum(n for _, n in many)
            actions[outer, far] += times * every
            actions[node.memory, near] += times * every
            if output:
                actions[outer, "read"] += times - size
                actions[node.memory, "write"] += times - size
        outer = node.memory
    times = 1.0
    for dim in ("rows", "cols", "lanes"):
        ranks = leaf.spatial.get(dim, ())
        if ranks and (set(ranks) & set(still)) == set(ranks):
            times *= _folds(ranks, core, apart, tiles, by_core=True)
            still = [rank for rank in still if rank not in ranks]
    for rank in still:
        times *= sum(n * (min(CORES, e) if rank in apart else 1) for e, n in tiles[rank].items())
    if output:
        actions[outer, "write"] += size * times
        actions[outer, "read"] += size * (times - 1)
    else:
        actions[outer, "read"] += size * times


def _combos(tiles: Iterable[Counter[int]]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Extents of tiles of several ranks together, each with how often they occur."""
    for each in itertools.product(*(found.items() for found in tiles)):
        yield tuple(e for e, _ in each), tuple(n for _, n in each)


def _folds(
    ranks: tuple[str, ...], core: tuple[str, ...], apart: list[str], tiles: dict[str, Counter[int]], *,
    by_core: bool,
) -> float:  # fmt: skip
    """Passes over one dimension of an array in all tiles: of all cores, or of the core with most."""
    combos: list[tuple[float, list[int]]] = [(1.0, [1] * CORES)]
    for rank in ranks:
        inner = []
        for times, points in combos:
            for extent, number in tiles[rank].items():
                share = [(extent + CORES - 1 - c) // CORES for c in range(CORES)]
                mine = share if rank in core else [extent] * CORES
                inner.append((times * number, [a * b for a, b in zip(points, mine, strict=True)]))
        combos = inner
    if by_core and set(apart) & set(ranks):
        return sum(times * sum(-(-here // WIDTH) for here in points) for times, points in combos)
    return sum(times * -(-max(points) // WIDTH) for times, points in combos)


def _steps(leaf: Compute, tiles: dict[str, Counter[int]], ranks: tuple[str, ...]) -> float:
    """Cycles of the core with most to do; loading the next weights is hidden."""
    core = leaf.spatial.get("cores", ())
    total = 1.0
    placed = set(core)
    for dim in ("rows", "cols", "lanes"):
        if leaf.spatial.get(dim):
            total *= _folds(leaf.spatial[dim], core, [], tiles, by_core=False)
            placed |= set(leaf.spatial[dim])
    for rank in ranks:
        if rank not in placed:
            total *= sum(e * n for e, n in tiles[rank].items())
    for rank in core:
        if not any(rank in leaf.spatial.get(dim, ()) for dim in ("rows", "cols", "lanes")):
            total *= sum(-(-e // CORES) * n for e, n in tiles[rank].items())
    return total


def _crosses(
    cascade: Cascade, leaves: list[tuple[Path, Compute]], scope: Path, leaf: Compute, tensor: str
) -> bool:
    """Whether data of a tensor crosses the border of a keep: the first inside that reads it loads it for
    all of them, or somebody outside reads it.
    """
    inside = [other for path, other in leaves if path[: len(scope)] == scope]
    made = any(other.einsum == tensor for other in inside)
    readers = {einsum.name for einsum in cascade.consumers(tensor)}
    if leaf.einsum != tensor:
        return not made and leaf is next(other for other in inside if other.einsum in readers)
    return not readers or any(other.einsum in readers and other not in inside for _, other in leaves)
