"""An op at a time, its operands staged whole in the near memory before it starts, as XLA runs a TPU.

An op is a product with what is done to its result point by point, or a run of Einsums that multiply nothing.
In one buffer each, operands and results stand whole in the memory that the units read: loading, computing and
storing follow each other. A result that another op reads stays there where there is room. Where an op's
result has no room it leaves by tiles; where its operands have none, tiles of both come in two buffers, the
reduction innermost, so that operands come again for each tile of the result. Attention of which several heads
share keys and whose scores have no room is one op, by blocks of queries whose scores stay.

What fits is as rows for fitting show it of a TPU v6e, whose 128 MiB are shared with tiles in flight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.leaf import array_cycles
from einsim.dataflow.mapping import Compute, Keep, Loop, Node, Pipeline, chain, keep, walk
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.mapping import Sequence as InTurn
from einsim.dataflow.spatial import along_cores, place, roles
from einsim.dataflow.templates.blocks import Block, blocks, touched
from einsim.dataflow.templates.fusemax import on_flat
from einsim.dataflow.templates.nest import moving
from einsim.dataflow.templates.sizes import extent_of, flat_tile
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.recognised import attentions

MOST_IN_ALL: Final = 5 / 6
"""Share of the memory that an op's tensors, and what stays, take together at most."""
MOST_OF_ONE: Final = 3 / 4
"""Share of the memory that one tensor takes at most."""
TILE_RESULTS: Final = 2**20
"""Sums of a tile: 4 MiB of float32."""
TILE_ROWS: Final = 1024
"""Rows of a tile's first operand at most: a square tile moves least."""
BLOCK: Final = 1024
"""Queries of a step of a kernel; its keys are a block of the cascade's."""
FEW_ROWS: Final = 8
"""Rows below which a product's weights stream by: those of a register of the vector unit."""
TILE_BYTES: Final = 2**24
"""Bytes of a tile's operands in two buffers."""


Tiles = dict[str, int]


def staged(cascade: Cascade, machine: Machine) -> LoopTree:
    """The mapping of a whole cascade. EinsimError where it carries state that is no attention's, and where
    units read several memories.
    """
    if attentions(cascade, 1):
        return kernel(cascade, machine)
    return Stages(cascade, machine).mapping()


def kernel(cascade: Cascade, machine: Machine) -> LoopTree:
    """Attention in one pass as a kernel written by hand: a grid of steps, each a block of keys for a block of
    queries of a head, in which one op follows the other, while the next block's operands come.
    """
    fused = on_flat(cascade, machine)
    queries = {
        node.rank for node, above in walk(fused.tree) for one in above
        if isinstance(node, Loop) and isinstance(one, Loop) and node.rank == one.rank
    }  # fmt: skip
    return msgspec.structs.replace(
        fused, template="staged", tree=_in_steps(fused.tree, queries, cascade), notes=()
    )


def _in_steps(node: Node, queries: set[str], cascade: Cascade) -> Node:
    """The tree with blocks of so many queries, and children that follow each other."""
    if isinstance(node, Compute):
        einsum = cascade.einsum(node.einsum)
        if not einsum.reduced or "lanes" not in node.spatial:
            return node
        lanes = tuple(rank for rank in einsum.ranks if rank not in einsum.iterative)
        return msgspec.structs.replace(node, spatial={**node.spatial, "lanes": lanes})
    if isinstance(node, Loop) and node.rank in queries:
        tile = min(BLOCK, cascade.size(node.rank))
        return msgspec.structs.replace(node, tile=tile, body=_in_steps(node.body, queries, cascade))
    if isinstance(node, Loop):
        return msgspec.structs.replace(node, body=_in_steps(node.body, queries, cascade))
    if isinstance(node, Keep):
        body = _in_steps(node.body, queries, cascade)
        return msgspec.structs.replace(node, buffers=min(node.buffers, 2), body=body)
    return InTurn(children=tuple(_in_steps(child, queries, cascade) for child in node.children))


class Stages:
    """The ops of a cascade on a machine, and what of their results stays in the near memory."""

    def __init__(self, cascade: Cascade, machine: Machine) -> None:
        self.cascade, self.machine = cascade, machine
        if cascade.overwritten or any(einsum.iterative for einsum in cascade.einsums):
            raise EinsimError(f"{cascade.name} carries state, which no op of `staged` does")
        near = {unit.reads_from if isinstance(unit.reads_from, str) else "" for unit in machine.units}
        memory = machine.memory(near.pop()) if len(near) == 1 and "" not in near else machine.dram
        if memory.parents != (machine.dram.name,) or memory.capacity_bytes is None:
            raise EinsimError(f"{machine.name}: its units don't share one memory of stated size beside DRAM")
        self.near, self.capacity = memory, memory.capacity_bytes
        self.ops = tuple(map(tuple, _ops(cascade)))
        self.stays = self._staying()

    def size(self, tensor: str) -> int:
        """Bytes of a whole tensor."""
        bits = max(self.cascade.tensor(tensor).bits, self.near.value_bits)
        return math.prod(self.cascade.shape(tensor)) * bits // 8

    def outer(self, op: Block) -> tuple[str, ...]:
        """Tensors of an op that come from outside or are read there."""
        inside = {einsum.name for einsum in op}
        return tuple(
            name
            for name in touched(op)
            if name not in inside
            or self.cascade.is_output(name)
            or any(one.name not in inside for one in self.cascade.consumers(name))
        )

    def has_room(self, names: set[str] | frozenset[str]) -> bool:
        """Whether tensors have room whole."""
        sizes = [self.size(name) for name in names]
        return max(sizes) <= MOST_OF_ONE * self.capacity and sum(sizes) <= MOST_IN_ALL * self.capacity

    def _staying(self) -> frozenset[str]:
        """Intermediate results that stay, the smallest first, as long as every op has room for its own."""
        made = {einsum.name for einsum in self.cascade.einsums if not self.cascade.is_output(einsum.name)}
        between = [name for op in self.ops for name in self.outer(op) if name in made]
        stays: frozenset[str] = frozenset()
        for name in sorted(dict.fromkeys(between), key=self.size):
            if all(self.has_room({name, *stays, *self.outer(op)}) for op in self.ops):
                stays |= {name}
        return stays

    def mapping(self) -> LoopTree:
        """The mapping."""
        nodes = [self.tree(op) for op in self.ops]
        if any(name not in self.stays for name in self._of_grouped()):
            op = self.cascade.einsums
            nodes = [self._nest(op, self._shared(op, results=True), set(), in_turn=True)]
        body = nodes[0] if len(nodes) == 1 else InTurn(children=tuple(nodes))
        stay = tuple(name for op in self.ops for name in touched(op) if name in self.stays)
        around = keep(tuple(dict.fromkeys(stay)), self.near.name, buffers=1)
        return LoopTree(
            cascade=self.cascade.name, machine=self.machine.name, template="staged", tree=chain(around, body)
        )

    def _of_grouped(self) -> tuple[str, ...]:
        """What is between the ops of a cascade that is attention of several heads on each head of keys."""
        for one in attentions(self.cascade, 3) if len(self.ops) > 1 else ():
            if one.whole and one.group > 1:
                made = {*one.matching.einsums, *one.changed("QK")}
                between = {name for op in self.ops for name in self.outer(op)}
                return tuple(name for name in made & between if not self.cascade.is_output(name))
        return ()

    def tree(self, op: Block) -> Node:
        """The nodes of an op."""
        outer, made = self.outer(op), {einsum.name for einsum in op}
        operands = {name for name in outer if name not in made}
        product = op[0] if op[0].contracts else None
        if product is not None and not self._few(product):
            if self.has_room({*outer, *self.stays}):
                return self._nest(op, self._rows(product) if len(outer) < len(touched(op)) else {}, {*outer})
            if self.has_room({*operands, *self.stays}):
                rows = self._rows(product)
                one = all(tile == self.cascade.size(rank) for rank, tile in rows.items())
                return self._nest(op, rows, {*outer} if one else operands)
        if product is not None:
            tiles = self._square(product)
            return self._nest(op, {**tiles, **self._reduced(product, tiles)}, set())
        whole = {*outer} if self.has_room({*outer, *self.stays}) else set()
        return self._nest(op, self._shared(op), whole)

    def _few(self, product: Einsum) -> bool:
        """Whether a product has so few rows that its weights stream by and nothing is staged."""
        part = roles(self.cascade, product)
        return min(extent_of(self.cascade, part.m), extent_of(self.cascade, part.n)) < FEW_ROWS

    def _rows(self, product: Einsum) -> Tiles:
        """Tiles of a product's result of whole rows."""
        part = roles(self.cascade, product)
        row = extent_of(self.cascade, part.n) * self.cascade.tensor(product.name).bits // 8
        rows = min(TILE_ROWS, 2 ** ((TILE_BYTES // row).bit_length() - 1)) if row <= TILE_BYTES else 1
        return flat_tile(self.cascade, (*part.batch, *part.m), rows)

    def _shared(self, op: Block, *, results: bool = False) -> Tiles:
        """Tiles of the ranks that all results of an op have, of so many points, or so many `results`."""
        shared = tuple(
            rank
            for rank in op[0].output.ranks
            if all(rank in einsum.output.ranks and rank not in einsum.reduced for einsum in op)
        )
        most = max(extent_of(self.cascade, einsum.output.ranks if results else einsum.ranks) for einsum in op)
        return flat_tile(self.cascade, shared, max(1, TILE_RESULTS * extent_of(self.cascade, shared) // most))

    def _square(self, product: Einsum) -> Tiles:
        """Tiles of a product's result."""
        part, found, left = roles(self.cascade, product), Tiles(), TILE_RESULTS
        for ranks, most in ((part.m, TILE_ROWS), (part.n, TILE_RESULTS), (part.batch, TILE_RESULTS)):
            some = flat_tile(self.cascade, ranks, min(most, left))
            left //= math.prod(some.values())
            found = {**some, **found} if ranks == part.batch else {**found, **some}
        return found

    def _reduced(self, product: Einsum, tiles: Tiles) -> Tiles:
        """The tile of the reduced ranks with which both operands fit in two buffers."""
        part, each = roles(self.cascade, product), 0
        for tensor, ranks in ((part.a, part.m), (part.b, part.n)):
            beside = math.prod(tiles[rank] for rank in (*ranks, *part.batch))
            each += 2 * beside * self.cascade.tensor(tensor).bits // 8
        return flat_tile(self.cascade, part.k, 2 ** max(8, (TILE_BYTES // each).bit_length() - 1))

    def _placed(self, einsum: Einsum, extents: Tiles) -> Compute:
        """The layout that takes fewest cycles, whichever rank of the result the cores share out."""
        node = place(self.cascade, self.machine, einsum, extents)
        unit = self.machine.unit(node.unit)
        if "cores" not in unit.dims:
            return node
        every = [node, *(along_cores(node, (rank,)) for rank in einsum.output.ranks)]
        return min(every, key=lambda one: array_cycles(self.cascade, unit, einsum, one, extents))

    def _nest(self, op: Block, tiles: Tiles, whole: set[str], *, in_turn: bool = False) -> Node:
        """An op under loops over its tiles, the reduction innermost; tensors in `whole` are outside. What is
        done with a tile is a pipeline, or follows each other.
        """
        cascade, near = self.cascade, self.near.name
        sums = [(rank, tile) for rank, tile in tiles.items() if rank in op[0].reduced and op[0].contracts]
        loops = [(rank, tile) for rank, tile in tiles.items() if (rank, tile) not in sums]
        loops, sums = ([one for one in some if one[1] < cascade.size(one[0])] for some in (loops, sums))
        inner = [*loops, *sums]
        depths: dict[str, int] = {}
        for tensor in touched(op):
            if tensor not in self.stays and tensor not in whole:
                every = inner if _operand_of_first(op, tensor) else loops
                moved = moving(cascade, op, tensor)
                depths[tensor] = max(
                    (at + 1 for at, (rank, _) in enumerate(every) if rank in moved), default=0
                )

        def keeps(depth: int) -> Node | None:
            return keep(tuple(name for name, at in depths.items() if at == depth), near)

        computes: list[Node] = []
        for einsum in op:
            extents = {rank: tiles.get(rank, cascade.size(rank)) for rank in einsum.ranks}
            computes.append(self._placed(einsum, extents))
        first: list[Node | tuple[str, int] | None] = []
        for at, loop in enumerate(sums, len(loops)):
            first += [loop, keeps(at + 1)]
        computes[0] = chain(*first, computes[0])
        group = InTurn if in_turn else Pipeline
        body = computes[0] if len(op) == 1 else group(children=tuple(computes))
        outside = tuple(name for name in touched(op) if name in whole - self.stays)
        above: list[Node | tuple[str, int] | None] = [keep(outside, near, buffers=1), keeps(0)]
        for at, loop in enumerate(loops):
            above += [loop, keeps(at + 1)]
        return chain(*above, body)


def _operand_of_first(op: Block, tensor: str) -> bool:
    """Whether the first Einsum of an op reads a tensor that no other touches."""
    return tensor != op[0].name and tensor in touched(op[:1]) and tensor not in touched(op[1:])


def _ops(cascade: Cascade) -> Iterator[list[Einsum]]:
    """A product with what is done to its result point by point, or Einsums in a row that are no products."""
    op: list[Einsum] = []
    for einsum in (einsum for block in blocks(cascade) for einsum in block):
        follows = bool(op) and not einsum.contracts
        if follows and op[0].contracts:
            made = {one.name for one in op}
            alike = set(einsum.ranks) == set(op[0].output.ranks) and not einsum.reduced
            follows = alike and any(read.tensor in made for read in einsum.reads)
        if op and not follows:
            yield op
            op = []
        op = [*op, einsum]
    if op:
        yield op
