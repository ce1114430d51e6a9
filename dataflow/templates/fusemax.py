"""FuseMax's mapping of 1-pass attention: all Einsums fused over blocks of keys, on both arrays.

Source: Nayak et al., FuseMax, MICRO 2024 (arXiv 2406.10491) and its artifact. A block of `m0` keys lies along
the rows, queries along the columns and lanes. The queries whose state stays on chip while all keys stream by
are the largest divisor of the query tiles that fits next to one block of K and of V.
"""

from __future__ import annotations

from accel.machine import Machine, Unit
from dataflow.footprint import tile_bytes
from dataflow.mapping import Compute, Mapping, Node, Pipeline, Sequence, chain, keep
from dataflow.templates.gemm import levels, room_bytes
from dataflow.templates.roles import place
from dataflow.templates.sizes import divisors, outer_ranks
from specs.errors import EinsimError
from workloads.cascade import Cascade

STATE = ("RM", "RD", "RNV")
#: Tiles in flight: BQK and SLN of this many tiles live in the array's registers (4 x 2 values of 2 bytes).
DEPTH = 4


def interleaved(cascade: Cascade, machine: Machine) -> Mapping:
    """Software-pipelined tiles: both arrays stay busy ("+Binding" in the paper)."""
    return _build(cascade, machine, stalled=False)


def stalled(cascade: Cascade, machine: Machine) -> Mapping:
    """One tile at a time: each block's maximum stalls the array ("+Architecture" in the paper)."""
    return _build(cascade, machine, stalled=True)


def _build(cascade: Cascade, machine: Machine, *, stalled: bool) -> Mapping:
    _check(cascade)
    leaf = Leaves(cascade, machine, everything_on_matrix=True)
    name = "fusemax-stalled" if stalled else "fusemax-interleaved"
    body = leaf.stalled() if stalled else leaf.pipelined()
    registers = (
        *_registers(machine, leaf, "BQK SLN", leaf.matrix, DEPTH),
        *_registers(machine, leaf, "PRM SPD", leaf.vector, 2),
    )
    return _fused(cascade, machine, name, leaf, body, registers, per_row=())


def on_flat(cascade: Cascade, machine: Machine) -> Mapping:
    """The 1-pass cascade where the matrix unit only multiplies and a vector unit does the rest ("+Cascade" in the
    paper, on FLAT's machine). Tiles of BQK and SLN go through the buffer. Runs on any machine with both units."""
    _check(cascade)
    leaf = Leaves(cascade, machine, everything_on_matrix=False)
    registers = _registers(machine, leaf, "PRM SPD", leaf.vector, 2)
    return _fused(cascade, machine, "fusemax-on-flat", leaf, leaf.pipelined(), registers, per_row=("BQK", "SLN"))


def _check(cascade: Cascade) -> None:
    missing = [name for name in ("BQK", "RNV", "SLNV", "AV") if cascade.producer(name) is None]
    if missing:
        raise EinsimError(
            f"mapping template fusemax: needs the 1-pass attention cascade (got {cascade.name}); set passes=1"
        )


class Leaves:
    """Computes of one tile, each on its unit."""

    def __init__(self, cascade: Cascade, machine: Machine, *, everything_on_matrix: bool) -> None:
        self.cascade = cascade
        self.machine = machine
        self.planar = everything_on_matrix
        self.matrix = machine.matrix_units[0]
        self.on_matrix = ("BQK", "SLNV", "LM", "SLN", "SLD") if everything_on_matrix else ("BQK", "SLNV")
        self.width = min(self.matrix.dims.get("cols", self.matrix.pes), cascade.size("p"))
        self.extents = {rank.name: 1 for rank in cascade.ranks} | {
            "p": self.width, "m0": cascade.size("m0"), "e": cascade.size("e"), "f": cascade.size("f")
        }  # fmt: skip
        self.vector = machine.unit(place(cascade, machine, cascade.einsum("RNV"), self.extents).unit)

    def __call__(self, einsum: str) -> Compute:
        """Keys along the rows and queries along the columns where the array does it all; else the fastest way."""
        if self.planar and einsum in self.on_matrix:
            return Compute(einsum=einsum, unit=self.matrix.name, spatial={"rows": ("m0",), "cols": ("p",)})
        return place(self.cascade, self.machine, self.cascade.einsum(einsum), self.extents)

    def pipelined(self) -> Node:
        """All Einsums of a tile, overlapping with those of other tiles."""
        order = ("BQK", "LM", "RM", "SLN", "SLD", "PRM", "SPD", "RD", "SLNV", "SPNV", "RNV")
        return Pipeline(children=tuple(self(name) for name in order))

    def stalled(self) -> Node:
        """One tile after the other; only the denominator's update overlaps with the next tile."""
        middle = Pipeline(children=tuple(self(name) for name in ("SLN", "SLD", "PRM", "SPD", "SLNV", "SPNV")))
        serial = Sequence(children=(self("BQK"), self("LM"), self("RM"), middle, self("RNV")))
        return Pipeline(children=(serial, self("RD")))


def _registers(machine: Machine, leaf: Leaves, tensors: str, unit: Unit, buffers: int) -> tuple[Node | None, ...]:
    """Keep small tiles in a unit's registers where they fit, else in its memory."""
    size = sum(tile_bytes(leaf.cascade, machine, leaf.cascade.einsum(name).output, leaf.extents) for name in tensors.split())
    room = unit.registers.bytes_per_pe * unit.pes if unit.registers is not None else 0
    if size * buffers <= room:
        return (keep(tensors, unit.name, buffers=buffers),)
    return tuple(keep(tensors, memory, buffers=buffers) for memory in levels(machine, unit.reads_from))


def _fused(
    cascade: Cascade,
    machine: Machine,
    name: str,
    leaf: Leaves,
    body: Node,
    registers: tuple[Node | None, ...],
    per_row: tuple[str, ...],
) -> Mapping:
    memories = levels(machine, leaf.matrix.reads_from)

    def held(tensors: str | tuple[str, ...], buffers: int = 2) -> list[Node | None]:
        return [keep(tensors, memory, buffers=buffers) for memory in memories]

    width = leaf.width
    rows, spare = _resident_queries(cascade, machine, memories, width, per_row)
    ranks = [{term.rank for side in (bound.left, bound.right) for term in side.terms} for bound in cascade.bounds]
    masks = [bound for bound, names in zip(cascade.bounds, ranks, strict=True) if "p" in names]
    if len(masks) > 1 or any(hasattr(bound, "lengths") for bound in masks):
        # With a window the first block of keys differs from one tile of queries to the next: queries go outside.
        rows = width
    tile = chain(*held("LM SLD SLNV SPNV", DEPTH), *held(per_row), *registers, body)
    inner = chain(("m1", 1), *held("K V"), ("p", width), tile)
    last = chain(("p", width), *held("AV"), leaf("AV"))
    tree = chain(
        *((rank, 1) for rank in outer_ranks(cascade, "AV", ("f", "p"))),
        ("p", rows),
        *held("Q", 2 if spare else 1),
        *held(STATE, 2 if spare else 1),
        Pipeline(children=(inner, last)),
    )
    return Mapping(cascade=cascade.name, machine=machine.name, template=name, tree=tree)


def _resident_queries(
    cascade: Cascade, machine: Machine, memories: tuple[str, ...], width: int, per_row: tuple[str, ...]
) -> tuple[int, bool]:
    """Queries kept on chip, as the artifact counts them: (E + 1 + 1 + F) values a query, and the tile's rows
    of BQK and SLN where they go through the buffer; one block of K and of V beside them. Also whether two
    sets of them fit, so that the next is loaded in time."""
    value = cascade.tensor("Q").bits // 8 or 1
    e, f, m0 = cascade.size("e"), cascade.size("f"), cascade.size("m0")
    capacity = room_bytes(machine, memories, {})
    tiles = -(-cascade.size("p") // width)
    per_query = (e + f + 2 + len(per_row) * m0) * value
    blocks = m0 * (e + f) * value
    small = width * value * ((2 + 2 * f) * DEPTH + 2 * f + 4) + 2 * len(per_row) * m0 * width * value
    room = (capacity - blocks) // (per_query * width)
    sizes = [size for size in divisors(tiles) if size <= room]
    chosen = max(sizes, default=1)
    state = chosen * width * (e + f + 2) * value
    while chosen > 1 and state + 2 * blocks + small > capacity:  # the small tiles beside it need room too
        chosen = max(size for size in divisors(tiles) if size < chosen)
        state = chosen * width * (e + f + 2) * value
    return chosen * width, 2 * state + 2 * blocks + small <= capacity
