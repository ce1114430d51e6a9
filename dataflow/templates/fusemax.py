"""FuseMax's mapping of 1-pass attention: all Einsums fused over blocks of keys, on both arrays.

Source: Nayak et al., FuseMax, MICRO 2024 (arXiv 2406.10491) and its artifact. A block of `m0` keys lies along
the rows, queries along the columns and lanes. The queries whose state stays on chip while all keys stream by
are the largest divisor of the query tiles that fits next to one block of K and of V.
"""

from __future__ import annotations

from accel.machine import Machine, Unit
from dataflow.mapping import Compute, Mapping, Node, Pipeline, Sequence, chain, keep
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
    matrix, vector = machine.matrix_units[0], machine.vector_units[0]
    leaf = Leaves(machine, matrix, vector, everything_on_matrix=True)
    name = "fusemax-stalled" if stalled else "fusemax-interleaved"
    body = leaf.stalled() if stalled else leaf.pipelined()
    depth = DEPTH
    registers = (
        keep("BQK SLN", matrix.name, buffers=depth),
        keep("PRM SPD", vector.name, buffers=2),
    )
    return _fused(cascade, machine, name, leaf, body, registers, per_row=())


def on_flat(cascade: Cascade, machine: Machine) -> Mapping:
    """The 1-pass cascade on FLAT's machine: the array only multiplies, the vector unit does the rest
    ("+Cascade" in the paper). Tiles of BQK and SLN go through the buffer.
    """
    _check(cascade)
    matrix, vector = machine.matrix_units[0], machine.vector_units[0]
    leaf = Leaves(machine, matrix, vector, everything_on_matrix=False)
    registers = (keep("PRM SPD", vector.name, buffers=2),)
    return _fused(
        cascade, machine, "fusemax-on-flat", leaf, leaf.pipelined(), registers, per_row=("BQK", "SLN")
    )


def _check(cascade: Cascade) -> None:
    missing = [name for name in ("BQK", "RNV", "SLNV", "AV") if cascade.producer(name) is None]
    if missing:
        raise EinsimError(
            f"mapping template fusemax: needs the 1-pass attention cascade (got {cascade.name}); set passes=1"
        )


class Leaves:
    """Computes of one tile, each on its unit."""

    def __init__(self, machine: Machine, matrix: Unit, vector: Unit, *, everything_on_matrix: bool) -> None:
        self.matrix = matrix
        self.vector = vector
        self.on_matrix = {"BQK", "SLNV"} | ({"LM", "SLN", "SLD"} if everything_on_matrix else set())
        self.rows, self.cols = (name for name in matrix.dims if name in ("rows", "cols"))
        self.lanes = next(iter(vector.dims))

    def __call__(self, einsum: str) -> Compute:
        if einsum in self.on_matrix:
            return Compute(
                einsum=einsum, unit=self.matrix.name, spatial={self.rows: ("m0",), self.cols: ("p",)}
            )
        return Compute(einsum=einsum, unit=self.vector.name, spatial={self.lanes: ("p",)})

    def pipelined(self) -> Node:
        order = ("BQK", "LM", "RM", "SLN", "SLD", "PRM", "SPD", "RD", "SLNV", "SPNV", "RNV")
        return Pipeline(children=tuple(self(name) for name in order))

    def stalled(self) -> Node:
        middle = Pipeline(children=tuple(self(name) for name in ("SLN", "SLD", "PRM", "SPD", "SLNV", "SPNV")))
        serial = Sequence(children=(self("BQK"), self("LM"), self("RM"), middle, self("RNV")))
        return Pipeline(children=(serial, self("RD")))


def _fused(
    cascade: Cascade,
    machine: Machine,
    name: str,
    leaf: Leaves,
    body: Node,
    registers: tuple[object, ...],
    per_row: tuple[str, ...],
) -> Mapping:
    buffer = leaf.matrix.reads_from
    width = min(leaf.matrix.dims[leaf.cols], cascade.size("p"))
    rows, spare = _resident_queries(cascade, machine, buffer, width, per_row)
    small = "LM SLD SLNV SPNV"
    masked = any(len({t.rank for s in (b.left, b.right) for t in s.terms} & {"p"}) for b in cascade.bounds)
    causal_only = masked and len(cascade.bounds) == 1 and not hasattr(cascade.bounds[0], "lengths")
    inner: Node
    tile = chain(
        keep(small, buffer, buffers=DEPTH),
        keep(per_row, buffer, buffers=2) if per_row else None,
        *registers,  # type: ignore[arg-type]
        body,
    )
    if masked and not causal_only:
        # With a window the first block that a query tile needs differs from tile to tile: queries go outside.
        rows = width
    inner = chain(("m1", 1), keep("K V", buffer, buffers=2), ("p", width), tile)
    last = chain(("p", width), keep("AV", buffer, buffers=2), leaf("AV"))
    tree = chain(
        *((rank, 1) for rank in outer_ranks(cascade, "AV", ("f", "p"))),
        ("p", rows),
        keep("Q", buffer, buffers=2 if spare else 1),
        keep(" ".join(STATE), buffer, buffers=2 if spare else 1),
        Pipeline(children=(inner, last)),
    )
    return Mapping(cascade=cascade.name, machine=machine.name, template=name, tree=tree)


def _resident_queries(
    cascade: Cascade, machine: Machine, buffer: str, width: int, per_row: tuple[str, ...]
) -> tuple[int, bool]:
    """Queries kept on chip, as the artifact counts them: (E + 1 + 1 + F) values a query, and the tile's rows
    of BQK and SLN where they go through the buffer; one block of K and of V beside them. Also whether two
    sets of them fit, so that the next is loaded in time.
    """
    value = cascade.tensor("Q").bits // 8 or 1
    e, f, m0 = cascade.size("e"), cascade.size("f"), cascade.size("m0")
    capacity = machine.memory(buffer).capacity_bytes
    tiles = -(-cascade.size("p") // width)
    per_query = (e + f + 2 + len(per_row) * m0) * value
    blocks = m0 * (e + f) * value
    if capacity is None:
        return width * tiles, True
    room = (capacity - blocks) // (per_query * width)
    if room < 1:
        raise EinsimError(
            f"mapping template fusemax: memory '{buffer}' of {capacity} bytes can't hold one tile of {width} queries "
            f"({per_query * width + blocks} bytes)"
        )
    chosen = max(size for size in divisors(tiles) if size <= room)
    small = width * value * ((2 + 2 * f) * DEPTH + 2 * f)
    needed = (
        2 * (chosen * width * (e + f + 2) * value)
        + 2 * blocks
        + small
        + 2 * len(per_row) * m0 * width * value
    )
    return chosen * width, needed <= capacity
