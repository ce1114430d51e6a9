"""FLAT's dataflow as a restriction of the map space: what it fixes, what stays free, and the search of it.

Fixed (Kao et al., FLAT, ASPLOS 2023): 3-pass attention, one head at a time, all six Einsums fused over a
block of queries; contractions on the matrix array with keys along its rows and queries along its columns,
softmax on the vector unit; QK, SN and A take the same bytes in turn.

Free: the queries of a block; the queries and keys of a tile; what softmax lays along the lanes; whether K
and V are kept for the head, for a block, or stream tile by tile; one or two blocks at a time; where the
block does not fit, the share of QK, SN and A that is spilled to DRAM (the smallest that fits: a larger one
only adds traffic), or the block as a whole goes through DRAM.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from typing import Literal

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.held import held_bytes
from einsim.dataflow.layout import lay_out
from einsim.dataflow.leaf import array_cycles
from einsim.dataflow.mapper.judged import judged
from einsim.dataflow.mapper.restrictions import check_memories
from einsim.dataflow.mapper.tiles import Menu, menu
from einsim.dataflow.mapping import Compute, Mapping, Node, Pipeline, chain, keep
from einsim.dataflow.result import Result
from einsim.dataflow.templates.flat import FlatChoice, flat
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade
from einsim.workloads.recognised import Attention, attentions

Level = Literal["head", "block", "tile"]
LEVELS: tuple[Level, ...] = ("head", "block", "tile")
EINSUMS = ("QK", "GM", "SN", "SD", "A", "AV")


class FlatPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One choice. `rows` queries in a block, `width` x `keys` in a tile, `lanes` the rank along the vector
    unit; `hold` says how long K and V stay; `blocks` at a time; not `fused`: QK and A go through DRAM.
    """

    rows: int
    width: int = 0
    keys: int = 0
    lanes: str = "m"
    hold: tuple[Level, Level] = ("tile", "tile")
    blocks: int = 1
    fused: bool = True


class FlatFound(msgspec.Struct, frozen=True, kw_only=True):
    """The fastest mapping, its analytical result, and how sure that is."""

    mapping: Mapping
    result: Result
    point: FlatPoint
    proven: bool
    nodes: int


class FlatSpace(msgspec.Struct, frozen=True, kw_only=True):
    """FLAT's mappings of a 3-pass attention on a machine with a two-dimensional array and a vector unit.

    `rows` fixes the queries of a block. EinsimError where the cascade or the machine is none of that kind.
    """

    cascade: Cascade
    machine: Machine
    rows: int | None = None

    @property
    def menu(self) -> Menu:
        """Its menu of tile sizes: the array's width halved and doubled."""
        return "steps"

    def __post_init__(self) -> None:
        check_memories(self.machine)
        if not any(one.whole for one in attentions(self.cascade, 3)):
            raise EinsimError(
                f"FLAT's dataflow: needs the 3-pass attention cascade (got {self.cascade.name}); set passes=3"
            )
        matrix = self.machine.matrix_units
        if not matrix or not self.machine.vector_units or not {"rows", "cols"} <= set(matrix[0].dims):
            raise EinsimError(f"FLAT's dataflow: needs an array and a vector unit (got {self.machine.name})")

    @property
    def one(self) -> Attention:
        """The cascade by the reference's names."""
        return attentions(self.cascade, 3)[0]

    def __str__(self) -> str:
        """The space in words, with its size."""
        return (
            f"FLAT's dataflow of {self.cascade.name} on {self.machine.name}: {self.count()} mappings\n"
            "fixed: one head at a time, all Einsums fused over a block of queries, QK and AV on "
            f"{self.machine.matrix_units[0].name}, softmax on {self.machine.vector_units[0].name}\n"
            "free: queries of a block, queries and keys of a tile, ranks along the lanes, how long K and V "
            "stay, blocks at a time, and the share spilled (the smallest that fits), or all through DRAM"
        )

    def points(self) -> Iterator[FlatPoint]:
        """Every choice."""
        cols, down = (self.machine.matrix_units[0].dims[dim] for dim in ("cols", "rows"))
        p, m = self.one.size("p"), self.one.size("m")
        for rows in (self.rows,) if self.rows else _halves(p, cols):
            for width, keys in itertools.product(_halves(min(rows, 2 * cols), cols), menu(m, "steps", down)):
                if keys < min(m, down):
                    continue
                for lanes, k, v, blocks in itertools.product(("m", "p"), LEVELS, LEVELS, (2, 1)):
                    yield FlatPoint(
                        rows=rows, width=width, keys=keys, lanes=lanes, hold=(k, v), blocks=blocks
                    )
            yield FlatPoint(rows=rows, fused=False)

    def count(self) -> int:
        """How many choices there are (capacities not yet looked at)."""
        return sum(1 for _ in self.points())

    def mapping(self, point: FlatPoint) -> Mapping:
        """The mapping of a choice; one that does not fit is refused by legality."""
        if not point.fused:
            choice = FlatChoice(rows=point.rows, resident=("Q", "AV"), on_chip=False, stationarity="weight")
            return flat(self.cascade, self.machine, choice)
        return _fused(self, point)

    def search(self, budget_s: float = math.inf) -> FlatFound:
        """The fastest mapping by the analytical model; among equals the one with the least DRAM traffic.

        Choices are taken in the order of bounds on both, until the next is no better than the best found.
        EinsimError where none fits.
        """
        deadline = time.monotonic() + budget_s
        bounds = _Bounds(self)
        queue = sorted((bounds.of(point), number, point) for number, point in enumerate(self.points()))
        best: tuple[float, int, FlatPoint, Mapping, Result] | None = None
        proven, nodes = True, 0
        for bound, _, point in queue:
            if bound[0] == math.inf or (best is not None and bound[:2] >= best[:2]):
                break
            if time.monotonic() > deadline and best is not None:
                proven = False
                break
            nodes += 1
            pair = judged(self.mapping(point), self.cascade, self.machine)
            if pair is None:
                continue
            ticks = pair[1].cycles + bounds.lost(point)
            if best is None or (ticks, pair[1].dram_bytes) < best[:2]:
                best = (ticks, pair[1].dram_bytes, point, *pair)
        if best is None:
            raise EinsimError(f"{self.machine.name}: no mapping of FLAT's dataflow fits")
        return FlatFound(mapping=best[3], result=best[4], point=best[2], proven=proven, nodes=nodes)


def _halves(size: int, width: int) -> list[int]:
    """The array's width halved and doubled, up to `size`, largest first."""
    found = {size}
    step = width
    while step >= 1:
        found.add(step)
        step //= 2
    step = width
    while step < size:
        found.add(step)
        step *= 2
    return sorted((value for value in found if value <= size), reverse=True)


def _fused(space: FlatSpace, point: FlatPoint) -> Mapping:
    """The tree of a fused choice, with the smallest share spilled that fits."""
    tree = _tree(space, point, 0.0)
    capacity = space.machine.memory(space.machine.matrix_units[0].memories["inputs"]).capacity_bytes
    notes: tuple[str, ...] = ()
    if capacity is not None:
        over = _held(space, tree) - capacity
        bits = space.cascade.tensor(space.one.tensor("QK")).bits
        block = point.rows * space.one.size("m") * max(1, bits // 8)
        again = point.blocks if _repeats(space, point) else 1
        if over > 0 and over < block * again:
            spill = math.ceil(over / again / block * 2**24) / 2**24
            tree = _tree(space, point, spill)
            notes = (f"{100 * spill:.2f} % of QK, SN and A is spilled to DRAM",)
    return msgspec.structs.replace(tree, notes=notes)


def _repeats(space: FlatSpace, point: FlatPoint) -> bool:
    around = any(space.cascade.size(rank) > 1 for rank in space.one.heads)
    return around or point.rows < space.one.size("p")


def _held(space: FlatSpace, tree: Mapping) -> int:
    memory = space.machine.matrix_units[0].memories["inputs"]
    return held_bytes(tree, lay_out(tree, space.cascade), space.cascade, space.machine).get(memory, 0)


def _nodes(space: FlatSpace, point: FlatPoint) -> dict[str, Compute]:
    """The Einsums, by the reference's names, on their units."""
    matrix, vector = space.machine.matrix_units[0], space.machine.vector_units[0]
    one = space.one
    along = {rank: (one.rank(rank),) if one.rank(rank) else () for rank in ("m", "p")}
    found = {}
    for name in EINSUMS:
        own = one.tensor(name)
        if name in ("QK", "AV"):
            spatial = _laid({"rows": along["m"], "cols": along["p"]})
            found[name] = Compute(einsum=own, unit=matrix.name, spatial=spatial)
        else:
            chained = one.tensors("SN") if name == "SD" else ()
            spatial = _laid({next(iter(vector.dims)): along[point.lanes]})
            found[name] = Compute(einsum=own, unit=vector.name, spatial=spatial, chained=chained)
    return found


def _laid(spatial: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {dim: ranks for dim, ranks in spatial.items() if ranks}


def _tree(space: FlatSpace, point: FlatPoint, spill: float) -> Mapping:
    nodes = _nodes(space, point)
    one = space.one
    memory = space.machine.matrix_units[0].memories["inputs"]
    hold = dict(zip("KV", point.hold, strict=True))

    def own(tensors: str) -> Node | None:
        return keep(one.tensors(tensors), memory)

    def kept(level: Level) -> Node | None:
        return own(" ".join(name for name in "KV" if hold[name] == level))

    def queries(tile: int) -> tuple[str, int] | None:
        return (one.rank("p"), tile) if one.rank("p") else None

    def stage(*einsums: str, stream: str = "") -> Node:
        leaves = tuple(nodes[name] for name in einsums)
        body: Node = leaves[0] if len(leaves) == 1 else Pipeline(children=leaves)
        streamed = own(stream) if hold.get(stream) == "tile" else None
        return chain((one.rank("m"), point.keys), streamed, body)

    stages = (
        stage("QK", stream="K"), stage("GM"), stage("SN", "SD"), stage("A"),
        chain(own("AV"), stage("AV", stream="V")),
    )  # fmt: skip
    tree = chain(
        *((rank, 1) for rank in one.heads),
        kept("head"),
        queries(point.rows) if point.rows < one.size("p") else None,
        kept("block"),
        keep(one.tensors("QK SN A"), memory, buffers=point.blocks, overlay=True, spill=spill),
        queries(point.width),
        own("Q"),
        own("GM SD"),
        Pipeline(children=stages),
    )
    return Mapping(
        cascade=space.cascade.name, machine=space.machine.name, template="flat-searched", tree=tree
    )


class _Bounds:
    """What a choice takes at least: cycles (with those lost to waiting), then bytes of DRAM."""

    def __init__(self, space: FlatSpace) -> None:
        self.space = space
        cascade, machine = space.cascade, space.machine
        one = space.one
        self.size = {rank: one.size(rank) for rank in "mpef"}
        self.value = {name: cascade.tensor(own).bits / 8 for name, own in one.matching.tensors.items()}
        self.heads = math.prod(map(cascade.size, one.heads))
        rate = machine.dram.read_bytes_per_s
        self.rate = rate / machine.clock_hz if rate else math.inf
        self.capacity = machine.memory(machine.matrix_units[0].memories["inputs"]).capacity_bytes
        self.units = {
            name: node.unit for name, node in _nodes(space, FlatPoint(rows=1, width=1, keys=1)).items()
        }
        self._busy: dict[tuple[int, int, str], dict[str, int]] = {}

    def of(self, point: FlatPoint) -> tuple[float, float, int, int]:
        """(cycles, bytes of DRAM, cycles of the array, minus tiles in flight): smaller is better.

        The first two are bounds; the others order what they leave equal.
        """
        m, p, e, f = (self.size[rank] for rank in "mpef")
        value = self.value
        blocks = -(-p // point.rows)
        traffic: float = p * (e * value["Q"] + f * value["AV"])
        if not point.fused:
            traffic += 2 * m * p * (value["QK"] + value["A"]) + blocks * m * (e * value["K"] + f * value["V"])
            traffic *= self.heads
            return math.ceil(traffic / self.rate), traffic, 0, 0
        tiles = blocks * -(-point.rows // point.width)
        times = {"head": 1, "block": blocks, "tile": tiles}
        traffic += m * (e * value["K"] * times[point.hold[0]] + f * value["V"] * times[point.hold[1]])
        spill = self._spill(point)
        if spill >= 1:
            return math.inf, math.inf, 0, 0
        traffic += spill * m * p * (3 * value["QK"] + 2 * value["SN"] + 2 * value["A"])
        traffic *= self.heads
        busy = self._cycles(point)
        cycles = float(max(math.ceil(traffic / self.rate), *busy.values())) + self.lost(point)
        flight = point.blocks * -(-point.rows // point.width)
        return cycles, traffic, busy[self.space.machine.matrix_units[0].name], -flight

    def _spill(self, point: FlatPoint) -> float:
        """The share that overflows: what everything else that is kept leaves no room for; 1 or more where
        nothing of the block fits.
        """
        if self.capacity is None:
            return 0.0
        m, e, f = (self.size[rank] for rank in "mef")
        turns = {"head": self.heads, "block": self.heads * -(-self.size["p"] // point.rows)}
        turns["row"] = turns["block"] * -(-point.rows // point.width)
        turns["tile"] = turns["row"] * -(-m // point.keys)
        twice = {level: 2 if turn > 1 else 1 for level, turn in turns.items()}
        block = point.rows * m * self.value["QK"] * (point.blocks if turns["block"] > 1 else 1)
        need = block + twice["row"] * point.width * (
            e * self.value["Q"] + self.value["GM"] + self.value["SD"] + f * self.value["AV"]
        )
        for name, level, inner in zip("KV", point.hold, (e, f), strict=True):
            keys = min(point.keys, m) if level == "tile" else m
            need += twice[level] * keys * inner * self.value[name]
        return max(0.0, (need - self.capacity) / block)

    def _cycles(self, point: FlatPoint) -> dict[str, int]:
        """Busy cycles of each unit for whole tiles of a head's share, times the heads."""
        tiles = self.size["p"] / point.width * self.size["m"] / point.keys * self.heads
        found: dict[str, int] = {}
        for name, cycles in self._tile(point).items():
            unit = self.units[name]
            found[unit] = found.get(unit, 0) + int(cycles * tiles)
        return found

    def _tile(self, point: FlatPoint) -> dict[str, int]:
        """Cycles of a whole tile of each Einsum."""
        key = (point.width, point.keys, point.lanes)
        if key not in self._busy:
            one, cascade = self.space.one, self.space.cascade
            inner = (*one.matching.ranks["e"], *one.matching.ranks["f"])
            extents = {
                rank.name: cascade.size(rank.name) if rank.name in inner else 1 for rank in cascade.ranks
            }
            extents |= {one.rank("m"): point.keys}
            extents |= {one.rank("p"): point.width} if one.rank("p") else {}
            self._busy[key] = {
                name: array_cycles(
                    cascade, self.space.machine.unit(node.unit), cascade.einsum(node.einsum), node, extents
                )
                for name, node in _nodes(self.space, point).items()
            }
        return self._busy[key]

    def lost(self, point: FlatPoint) -> float:
        """Cycles that the vector unit waits although no engine is busy all the time, as the simulator shows.

        With a single tile in flight, AV of one tile and QK of the next have only as long as A and GM take,
        and the first keys' QK nothing at all. With more, AV follows A tile by tile: where V streams in more
        slowly than A is made, spilled parts of A queue behind it at DRAM.
        """
        if not point.fused:
            return 0.0
        tile, value, spill = self._tile(point), self.value, self._spill(point)
        blocks = self.heads * -(-self.size["p"] // point.rows)
        wide = -(-point.rows // point.width)
        times = blocks * wide * -(-self.size["m"] // point.keys)
        points = point.width * point.keys
        streams = point.keys * self.size["f"] * value["V"] * (point.hold[1] == "tile")
        if point.blocks * wide == 1:
            streams += point.keys * self.size["e"] * value["K"] * (point.hold[0] == "tile")
            streams += spill * points * (2 * value["QK"] + value["SN"] + 2 * value["A"])
            late = max(streams / self.rate, tile["QK"] + tile["AV"]) - tile["GM"] - tile["A"]
            return blocks * (tile["QK"] + tile["AV"]) + times * max(0.0, late)
        if not spill or not streams:
            return 0.0
        streams += spill * points * (value["SN"] + 2 * value["A"])
        return times * max(0.0, streams / self.rate - tile["A"])
