"""FuseMax's mapping of 1-pass attention: all Einsums fused over blocks of keys, on both arrays.

Source: Nayak et al., FuseMax, MICRO 2024 (arXiv 2406.10491) and its artifact. A block of `m0` keys lies along
the rows, queries along the columns and lanes. The queries whose state stays on chip while all keys stream by
are the largest divisor of the query tiles that fits next to one block of K and of V.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType

import msgspec

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.footprint import tile_bytes
from einsim.dataflow.holds import may_hold
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, Node, Pipeline, Sequence, chain, keep
from einsim.dataflow.schedule import schedules
from einsim.dataflow.templates.gemm import levels, room_bytes
from einsim.dataflow.templates.roles import place
from einsim.dataflow.templates.sizes import divisors, outer_ranks
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade, SameBlock

STATE = ("RM", "RD", "RNV")
#: Blocks of a tile that its Einsums pass on, besides BQK, SLN, PRM and SPD.
PASSED = ("LM", "SLD", "SLNV", "SPNV")


def interleaved(cascade: Cascade, machine: Machine) -> Mapping:
    """Software-pipelined tiles: both arrays stay busy ("+Binding" in the paper)."""
    return _scheduled(_Fused(cascade, machine, "fusemax-interleaved", planar=True))


def stalled(cascade: Cascade, machine: Machine) -> Mapping:
    """One tile at a time: each block's maximum stalls the array ("+Architecture" in the paper)."""
    return _Fused(cascade, machine, "fusemax-stalled", planar=True).mapping({})


def on_flat(cascade: Cascade, machine: Machine) -> Mapping:
    """The 1-pass cascade where the matrix unit only multiplies and a vector unit does the rest ("+Cascade" in
    the paper, on FLAT's machine). BQK and SLN go through the buffer. Runs on any machine with both units.
    """
    return _scheduled(_Fused(cascade, machine, "fusemax-on-flat", planar=False))


def _scheduled(fused: _Fused) -> Mapping:
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
        apart = any(machine.memory(name).copies > 1 for name in levels(machine, self.matrix.reads_from))
        self.cores = ("p",) if apart else None  # a core has only its own queries of what a tile makes

    def __call__(self, einsum: str) -> Compute:
        """Keys along the rows, queries along the columns where the array does it all; else the fastest."""
        if self.planar and einsum in self.on_matrix:
            return Compute(einsum=einsum, unit=self.matrix.name, spatial={"rows": ("m0",), "cols": ("p",)})
        return place(self.cascade, self.machine, self.cascade.einsum(einsum), self.extents, self.cores)

    def pipelined(self) -> Node:
        """All Einsums of a tile, overlapping with those of other tiles."""
        order = ("BQK", "LM", "RM", "SLN", "SLD", "PRM", "SPD", "RD", "SLNV", "SPNV", "RNV")
        return Pipeline(children=tuple(self(name) for name in order))

    def stalled(self) -> Node:
        """One tile after the other; only the denominator's update overlaps with the next tile."""
        middle = Pipeline(children=tuple(self(name) for name in ("SLN", "SLD", "PRM", "SPD", "SLNV", "SPNV")))
        serial = Sequence(children=(self("BQK"), self("LM"), self("RM"), middle, self("RNV")))
        return Pipeline(children=(serial, self("RD")))


class _Fused:
    """The tree of the fused mapping, for given numbers of buffers."""

    def __init__(self, cascade: Cascade, machine: Machine, name: str, *, planar: bool) -> None:
        _check(cascade)
        self.cascade = cascade
        self.machine = machine
        self.name = name
        self.leaf = Leaves(cascade, machine, everything_on_matrix=planar)
        self.planar = planar
        self.memories = levels(machine, self.leaf.matrix.reads_from)

    def mapping(self, buffers: MappingType[str, int]) -> Mapping:
        """The mapping; blocks that `buffers` doesn't name are double-buffered."""
        leaf, width = self.leaf, self.leaf.width
        body = leaf.stalled() if self.name == "fusemax-stalled" else leaf.pipelined()
        rows, spare = self._resident_queries(buffers)
        if self._windowed():
            # The first block of keys then differs from one tile of queries to the next: queries go outside.
            rows = width
        tile = chain(
            *self._held(PASSED, buffers),
            *self._near(("BQK", "SLN"), buffers, leaf.matrix if self.planar else None),
            *self._near(("PRM", "SPD"), buffers, leaf.vector),
            body,
        )
        inner = chain(("m1", 1), *self._held(("K", "V"), {}), ("p", width), tile)
        last = chain(("p", width), *self._held(("AV",), {}), leaf("AV"))
        sets = dict.fromkeys(("Q", *STATE), 2 if spare else 1)
        tree = chain(
            *((rank, 1) for rank in outer_ranks(self.cascade, "AV", ("f", "p"))),
            ("p", rows),
            *self._held(("Q",), sets),
            *self._held(STATE, sets),
            Pipeline(children=(inner, last)),
        )
        return Mapping(cascade=self.cascade.name, machine=self.machine.name, template=self.name, tree=tree)

    def _windowed(self) -> bool:
        masks = [
            bound for bound in self.cascade.bounds
            if "p" in {term.rank for side in (bound.left, bound.right) for term in side.terms}
        ]  # fmt: skip
        return len(masks) > 1 or any(isinstance(bound, SameBlock) for bound in masks)

    def _held(self, tensors: tuple[str, ...], buffers: MappingType[str, int]) -> list[Node | None]:
        """Keeps in every on-chip memory on the way to the units, one for each number of buffers."""
        by_count: dict[int, list[str]] = {}
        for tensor in tensors:
            by_count.setdefault(buffers.get(tensor, 2), []).append(tensor)
        return [
            keep(tuple(name for name in names if self._may_hold(memory, name)), memory, buffers=count)
            for memory in self.memories
            for count, names in sorted(by_count.items())
        ]

    def _may_hold(self, memory: str, tensor: str) -> bool:
        users = (*self.cascade.consumers(tensor), self.cascade.producer(tensor))
        return all(
            may_hold(self.cascade, self.machine, memory, self.leaf(einsum.name), tensor)
            for einsum in users
            if einsum is not None and self.machine.memory(memory).holds
        )

    def _near(
        self, tensors: tuple[str, ...], buffers: MappingType[str, int], unit: Unit | None
    ) -> list[Node | None]:
        """Keeps in a unit's registers where the blocks fit there, else in its memory."""
        if unit is not None and unit.registers is not None:
            outputs = [self.cascade.einsum(name).output for name in tensors]
            sizes = [tile_bytes(self.cascade, self.machine, output, self.leaf.extents) for output in outputs]
            need = sum(size * buffers.get(name, 2) for name, size in zip(tensors, sizes, strict=True))
            if need <= unit.registers.bytes_per_pe * unit.pes:
                return [keep((name,), unit.name, buffers=buffers.get(name, 2)) for name in tensors]
        return self._held(tensors, buffers)

    def _resident_queries(self, buffers: MappingType[str, int]) -> tuple[int, bool]:
        """Queries kept on chip, and whether two sets of them fit, so that the next is loaded in time.

        As the artifact counts them: (E + 1 + 1 + F) values a query, the tile's rows of BQK and SLN where they
        go through the buffer, and one block of K and of V beside them.
        """
        cascade, width = self.cascade, self.leaf.width
        value = cascade.tensor("Q").bits // 8 or 1
        e, f, m0 = cascade.size("e"), cascade.size("f"), cascade.size("m0")
        capacity = room_bytes(self.machine, self.memories, {})
        tiles = -(-cascade.size("p") // width)
        rows = ("BQK", "SLN") if not self.planar else ()
        per_query = (e + f + 2 + len(rows) * m0) * value
        blocks = m0 * (e + f) * value
        passed = {"LM": 1, "SLD": 1, "SLNV": f, "SPNV": f, "PRM": 1, "SPD": 1} | dict.fromkeys(rows, m0)
        small = width * value * (sum(size * buffers.get(name, 2) for name, size in passed.items()) + 2 * f)
        room = (capacity - blocks) // (per_query * width)
        sizes = [size for size in divisors(tiles) if size <= room]
        chosen = max(sizes, default=1)
        state = width * (e + f + 2) * value
        while (
            chosen > 1 and chosen * state + 2 * blocks + small > capacity
        ):  # the blocks in flight need room too
            chosen = max(size for size in divisors(tiles) if size < chosen)
        return min(chosen * width, cascade.size("p")), 2 * chosen * state + 2 * blocks + small <= capacity
