"""FuseMax's mapping of 1-pass attention: all Einsums fused over blocks of keys, on both arrays.

Source: Nayak et al., FuseMax, MICRO 2024 (arXiv 2406.10491) and its artifact. A block of `m0` keys lies along
the rows, queries along the columns and lanes. The queries whose state stays on chip while all keys stream by
are the largest divisor of the query tiles that fits next to one block of K and of V. Queries of several heads
that share their keys, as grouped queries do, are queries of one tile and of one stay on chip. What changes
scores, such as a bias, is computed with each tile, in the array where that can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from functools import cache

import msgspec

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.footprint import tile_bytes
from einsim.dataflow.holds import homes_to, levels
from einsim.dataflow.leaf import partial_sum
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, Node, Pipeline, Sequence, chain, keep
from einsim.dataflow.schedule import schedules
from einsim.dataflow.spatial import place
from einsim.dataflow.templates.blocks import touched
from einsim.dataflow.templates.sizes import divisors, flat_tile
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.recognised import Attention, attentions

STATE = "RM RD RNV"
#: Blocks of a tile that its Einsums pass on, besides BQK, SLN, PRM and SPD.
PASSED = "LM SLD SLNV SPNV"


def interleaved(cascade: Cascade, machine: Machine, one: Attention | None = None) -> Mapping:
    """Software-pipelined tiles: both arrays stay busy ("+Binding" in the paper).

    Of `one` attention of the cascade, or its first, as all of these; EinsimError where it has none.
    """
    return _scheduled(_FusedTree(_found(cascade, one), machine, "fusemax-interleaved", planar=True))


def stalled(cascade: Cascade, machine: Machine, one: Attention | None = None) -> Mapping:
    """One tile at a time: each block's maximum stalls the array ("+Architecture" in the paper)."""
    return _FusedTree(_found(cascade, one), machine, "fusemax-stalled", planar=True).mapping({})


def on_flat(cascade: Cascade, machine: Machine, one: Attention | None = None) -> Mapping:
    """The 1-pass cascade where the matrix unit only multiplies and a vector unit does the rest ("+Cascade" in
    the paper, on FLAT's machine). BQK and SLN go through the buffer. Runs on any machine with both units.
    """
    return _scheduled(_FusedTree(_found(cascade, one), machine, "fusemax-on-flat", planar=False))


def _scheduled(fused: _FusedTree) -> Mapping:
    """The mapping with as many buffers for each block as its software pipeline needs, and one to spare.

    The spare one lets a unit run ahead over the ends of loops, where the steady schedule is interrupted.
    """
    program = lower(fused.mapping({}), fused.cascade, fused.machine)
    found = schedules(program)
    buffers = {name: count + 1 for schedule in found.values() for name, count in schedule.buffers().items()}
    notes = tuple(
        f"software pipeline: a tile every {schedule.ii / program.ticks_per_cycle:g} cycles, "
        f"{schedule.depth} in flight"
        for schedule in found.values()
    )
    return msgspec.structs.replace(fused.mapping(buffers), notes=notes)


def _found(cascade: Cascade, one: Attention | None) -> Attention:
    one = one or next(iter(attentions(cascade, 1)), None)
    if one is None:
        raise EinsimError(
            f"mapping template fusemax: needs the 1-pass attention cascade (got {cascade.name}); set passes=1"
        )
    return one


class Leaves:
    """Computes of one tile, each on its unit."""

    def __init__(self, one: Attention, machine: Machine, *, everything_on_matrix: bool) -> None:
        self.one = one
        self.cascade = cascade = one.cascade
        self.machine = machine
        self.queries = one.matching.ranks["p"]
        self.planar = everything_on_matrix
        if not machine.matrix_units:
            raise EinsimError(f"mapping template fusemax: needs an array (got {machine.name})")
        self.matrix = machine.matrix_units[0]
        if everything_on_matrix and not {"rows", "cols"} <= set(self.matrix.dims):
            raise EinsimError(
                f"mapping template fusemax: needs an array of rows and columns (got {machine.name})"
            )
        self.on_matrix = one.tensors("BQK SLNV LM SLN SLD" if everything_on_matrix else "BQK SLNV")
        if everything_on_matrix:
            changes = (cascade.einsum(name) for own in one.changes.values() for name in own)
            rows = (change for change in changes if one.rank("m0") in change.ranks)
            self.on_matrix += tuple(row.name for row in rows if all(map(self.matrix.supports, row.ops)))
        self.width = flat_tile(cascade, self.queries, self.matrix.dims.get("cols", self.matrix.pes))
        inner = (*one.matching.ranks["e"], *one.matching.ranks["f"], one.rank("m0"))
        self.extents = {rank.name: 1 for rank in cascade.ranks} | {rank: cascade.size(rank) for rank in inner}
        self.extents |= self.width
        state = cascade.einsum(one.tensor("RNV"))
        self.vector = machine.unit(place(cascade, machine, state, self.extents).unit)
        apart = any(
            machine.memory(name).copies > 1 for name in levels(machine, self.matrix.memories["inputs"])
        )
        self.cores = self.queries if apart else None  # a core has only its own queries of what a tile makes
        self.of, self.ways = cache(self._leaf), cache(self._ways)

    def __call__(self, einsum: str) -> Node:
        """The leaf of an Einsum, in keeps in memories that only its unit reads."""
        made = self.cascade.einsum(einsum)
        leaf = self.of(made)
        own = [
            keep((tensor,), memory)
            for tensor in touched((made,))
            for memory in self.ways(tensor)[leaf.einsum]
            if memory not in self.shared(tensor)
        ]
        return chain(*own, leaf)

    def _ways(self, tensor: str) -> dict[str, list[str]]:
        """Memories that may hold a tensor on the way to the unit of each Einsum that uses it, by Einsum."""
        users = (*self.cascade.consumers(tensor), self.cascade.producer(tensor))
        leaves = map(self.of, filter(None, users))
        return {leaf.einsum: homes_to(self.cascade, self.machine, leaf, tensor) for leaf in leaves}

    def alone(self, tensor: str) -> bool:
        """Whether the matrix unit makes a tensor and nobody else reads it."""
        return all(user.name in self.on_matrix for user, _ in self.cascade.users(tensor))

    def shared(self, tensor: str) -> tuple[str, ...]:
        """Memories, outermost first, in which all that use a tensor find it."""
        first, *others = self.ways(tensor).values()
        return tuple(memory for memory in first if all(memory in way for way in others))

    def _leaf(self, einsum: Einsum) -> Compute:
        """Keys along the rows, queries along the columns where the array does it all; else the fastest."""
        if self.planar and einsum.name in self.on_matrix:
            spatial: dict[str, tuple[str, ...]] = {"rows": (self.one.rank("m0"),)}
            if self.queries:
                wide = tuple(rank for rank in self.queries if self.width[rank] > 1)
                spatial["cols"] = wide or self.queries[-1:]
            return Compute(einsum=einsum.name, unit=self.matrix.name, spatial=spatial)
        return place(self.cascade, self.machine, einsum, self.extents, self.cores)

    def pipelined(self) -> Node:
        """All Einsums of a tile, overlapping with those of other tiles."""
        return Pipeline(children=self._each("BQK LM RM SLN SLD PRM SPD RD SLNV SPNV RNV"))

    def _each(self, names: str) -> tuple[Node, ...]:
        """Leaves of Einsums by the reference's names, each with its changes after it; a state's come last."""
        own = (self.one.tensors(n) if n in STATE.split() else self.one.changed(n) for n in names.split())
        return tuple(self(name) for some in own for name in some)

    def stalled(self) -> Node:
        """One tile after the other; only the denominator's update overlaps with the next tile."""
        middle = Pipeline(children=self._each("SLN SLD PRM SPD SLNV SPNV"))
        serial = Sequence(children=(*self._each("BQK LM RM"), middle, *self._each("RNV")))
        return Pipeline(children=(serial, *self._each("RD")))


class _FusedTree:
    """The tree of the fused mapping, for given numbers of buffers."""

    def __init__(self, one: Attention, machine: Machine, name: str, *, planar: bool) -> None:
        self.one = one
        self.cascade = one.cascade
        self.machine = machine
        self.name = name
        self.leaf = Leaves(one, machine, everything_on_matrix=planar)
        self.planar = planar
        # Rows of scores that the array alone makes and reads, and those that go through the buffer.
        rows = one.changed("BQK SLN")
        self.inside = tuple(name for name in rows if planar and self.leaf.alone(name))
        self.between = tuple(name for name in rows if name not in self.inside)
        self.besides = {wide: one.besides(wide=wide) for wide in (False, True)}
        self.memories = levels(machine, self.leaf.matrix.memories["inputs"])
        self.near = sorted((m.name for m in machine.memories), key=lambda name: len(levels(machine, name)))

    def mapping(self, buffers: MappingType[str, int]) -> Mapping:
        """The mapping; blocks that `buffers` doesn't name are double-buffered."""
        leaf, one = self.leaf, self.one
        body = leaf.stalled() if self.name == "fusemax-stalled" else leaf.pipelined()
        resident, spare = self._resident_queries(buffers)
        tile = chain(
            *self._held(one.changed(PASSED), buffers),
            *self._near(self.inside, buffers, leaf.matrix),
            *self._held(self.between, buffers),
            *self._near(one.tensors("PRM SPD"), buffers, leaf.vector),
            *self._held(self.besides[True], {}),
            body,
        )
        across = self._over_queries(leaf.width)
        inner = chain((one.rank("m1"), 1), *self._held(one.tensors("K V"), {}), *across, tile)
        final = (*(name for state in STATE.split() for name in one.changes.get(state, ())), one.tensor("AV"))
        leaves = tuple(map(leaf, final))
        end = leaves[0] if len(leaves) == 1 else Pipeline(children=leaves)
        last = chain(*across, *self._held(final, {}), end)
        sets = dict.fromkeys(one.tensors(f"Q {STATE}"), 2 if spare else 1)
        tree = chain(
            *((rank, 1) for rank in one.heads if rank not in leaf.queries),
            *self._held(self.besides[False], {}),
            *self._over_queries(resident),
            *self._held(one.tensors("Q"), sets),
            *self._held(one.tensors(STATE), sets),
            Pipeline(children=(inner, last)),
        )
        return Mapping(cascade=self.cascade.name, machine=self.machine.name, template=self.name, tree=tree)

    def _over_queries(self, tiles: MappingType[str, int]) -> list[tuple[str, int]]:
        """Loops over the queries; of heads that share their keys where a tile has not all of them."""
        last = self.leaf.queries[-1:]
        return [
            (rank, tile) for rank, tile in tiles.items() if rank in last or tile < self.cascade.size(rank)
        ]

    def _blocks(self) -> list[tuple[int, dict[str, int]]]:
        """Queries that may stay on chip together and in how many tiles, ascending: whole shares of the
        innermost rank, then of the next.
        """
        width = self.leaf.width
        count, block = 1, dict(width)
        found = [(1, block)]
        for rank in reversed(self.leaf.queries):
            size = self.cascade.size(rank)
            tiles = -(-size // width[rank])
            found += [
                (count * share, {**block, rank: min(share * width[rank], size)})
                for share in divisors(tiles)[1:]
            ]
            count, block = count * tiles, {**block, rank: size}
        return found

    def _held(self, tensors: tuple[str, ...], buffers: MappingType[str, int]) -> list[Node | None]:
        """Keeps in every on-chip memory on the way to the units, one for each number of buffers."""
        by_count: dict[int, list[str]] = {}
        for tensor in tensors:
            by_count.setdefault(buffers.get(tensor, 2), []).append(tensor)
        return [
            keep(tuple(name for name in names if memory in self.leaf.shared(name)), memory, buffers=count)
            for memory in self.near
            for count, names in sorted(by_count.items())
        ]

    def _near(
        self, tensors: tuple[str, ...], buffers: MappingType[str, int], unit: Unit
    ) -> list[Node | None]:
        """Keeps in a unit's registers where the blocks fit there, else in its memory."""
        if unit.registers is not None:
            cascade = self.cascade
            made = [cascade.einsum(name) for name in tensors]
            sizes = [
                tile_bytes(cascade, self.machine, e.output, self.leaf.extents, partial_sum(cascade, unit, e))
                for e in made
            ]
            need = sum(size * buffers.get(name, 2) for name, size in zip(tensors, sizes, strict=True))
            if need <= unit.registers.bytes_per_pe * unit.pes:
                return [keep((name,), unit.name, buffers=buffers.get(name, 2)) for name in tensors]
        return self._held(tensors, buffers)

    def _resident_queries(self, buffers: MappingType[str, int]) -> tuple[dict[str, int], bool]:
        """Queries kept on chip, and whether two sets of them fit, so that the next is loaded in time.

        As the artifact counts them: (E + 1 + 1 + F) values a query, the tile's rows of BQK and SLN where they
        go through the buffer, and one block of K and of V beside them.
        """
        one, width = self.one, math.prod(self.leaf.width.values())
        value = self.cascade.tensor(one.tensor("Q")).bits // 8 or 1
        e, f, m0 = map(one.size, ("e", "f", "m0"))
        capacity = room_bytes(self.machine, self.memories)
        per_query = (e + f + 2 + len(self.between) * m0) * value
        blocks = m0 * (e + f) * value
        passed = dict.fromkeys(one.changed("LM SLD PRM SPD"), 1) | dict.fromkeys(self.between, m0)
        passed |= dict.fromkeys(one.changed("SLNV SPNV"), f)
        small = width * value * (sum(size * buffers.get(name, 2) for name, size in passed.items()) + 2 * f)
        room = (capacity - blocks) // (per_query * width)
        state = width * (e + f + 2) * value
        flying = 2 * blocks + small  # the blocks in flight need room too
        choices = self._blocks()
        tiles, chosen = next(
            (
                (tiles, block)
                for tiles, block in reversed(choices)
                if tiles <= room and tiles * state + flying <= capacity
            ),
            choices[0],
        )
        return chosen, 2 * tiles * state + flying <= capacity


def room_bytes(machine: Machine, memories: tuple[str, ...]) -> int:
    """Bytes in the smallest memory on the way; in a memory of each core every core is taken to need all."""
    sizes = [
        capacity // machine.memory(name).copies
        for name in memories
        if (capacity := machine.memory(name).capacity_bytes) is not None
    ]
    return min(sizes, default=2**62)
