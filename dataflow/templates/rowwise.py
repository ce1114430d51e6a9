"""Convolutions on an array whose PEs keep rows: how much of a layer a tile takes, by one rule for all
layers.

Sums of a tile of the result stay in the near memory while its channels pass; filters come straight from
outside. In the chip's names: m filters, e rows and n images of a tile, p filters of a PE, q channels in
its window, r sets that add up, t sets with filters of their own.

1. A tile takes the filters, rows and images of most sums together, in whole banks, with room for the
   input rows of one channel in others. Rows are all that there are, folded where the array is narrower,
   or as many as fit its columns; at least three quarters of the PEs work; m divides the layer's filters;
   images come together where all rows do and m is no less than 64. Among equals it has fewest strips.
2. Then as many channels come together (q x r) as have room in the banks that are left, twice where one
   image is in a tile, and of equals the way with most sets for other filters. Folded sets don't add up
   with others.

Of Eyeriss it gives what is published of AlexNet's five layers (Chen et al., JSSC 2017, Table III) but for
CONV3, where the buffer's measured accesses say q = 3, r = 2 as well, and accesses, active PEs and time of
the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.mapping import Compute, Node, chain, keep
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.row_stationary import ROW_STATIONARY
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Access, Cascade, Einsum

FILTERS: Final = (96, 64, 32, 16)
"""Filters of a tile: tried from the most down."""
MANY: Final = 64
"""Filters of a tile from which on it takes several images."""
BUSY: Final = 0.75
"""Share of the PEs that work at least."""
OF_A_PE: Final = 16
"""Filters of a PE at most."""
BANK: Final = 4096
"""Bytes of a bank: 512 words of 64 bits, given to inputs or to sums as a whole."""
PREFETCHED: Final = 8192
"""Bytes of the near memory that prefetch filters."""


class ConvRanks(NamedTuple):
    """A convolution's ranks: images, filters, channels, rows and columns of the result and of the kernel."""

    b: str
    k: str
    c: str
    y: str
    x: str
    r: str
    s: str
    stride: int
    inputs: str
    weights: str


class TileShape(NamedTuple):
    """Filters, rows and images of a tile; filters and channels that a pass over the array takes; buffers."""

    m: int
    e: int
    n: int
    filters: int
    channels: int


def rowwise(cascade: Cascade, machine: Machine) -> LoopTree:
    """The mapping. EinsimError for a cascade that is no convolution, and a machine without such an array."""
    if len(cascade.einsums) != 1:
        raise EinsimError(f"{cascade.name}: `row-stationary` is for one convolution")
    einsum = cascade.einsums[0]
    ranks, unit = _ranks(cascade, einsum), _unit(machine)
    shape = _shape(cascade, machine, unit, ranks)
    near = str(unit.reads_from)
    size = cascade.sizes
    node = Compute(
        einsum=einsum.name, unit=unit.name, spatial={"rows": (ranks.r,), "cols": (ranks.y,)},
        stationarity=ROW_STATIONARY,
    )  # fmt: skip
    loops = [(ranks.k, shape.m), (ranks.y, shape.e), (ranks.b, shape.n)]
    inner = [(ranks.c, shape.channels)]
    last = [(ranks.k, shape.filters)] if shape.filters < shape.m else []
    above: list[Node | tuple[str, int] | None] = [one for one in loops if one[1] < size[one[0]]]
    above += [keep(einsum.name, near, buffers=1), *(one for one in inner if one[1] < size[one[0]])]
    tree = chain(*above, keep(ranks.inputs, near, buffers=2), *last, node)
    return LoopTree(cascade=cascade.name, machine=machine.name, template="row-stationary", tree=tree)


def _unit(machine: Machine) -> Unit:
    for unit in machine.units:
        if ROW_STATIONARY in unit.dataflows and isinstance(unit.reads_from, str):
            return unit
    raise EinsimError(f"{machine.name} has no row-stationary array beside one memory")


def _ranks(cascade: Cascade, einsum: Einsum) -> ConvRanks:
    """The ranks by what they do; EinsimError where an Einsum is no convolution of two dimensions."""
    rule = f"{einsum.name} is no convolution of images, channels, rows and columns"
    if not einsum.sums_products or len(einsum.reads) != 2 or len(einsum.output.ranks) != 4:
        raise EinsimError(rule)
    pairs = {access: _sliding(access, einsum) for access in einsum.reads}
    inputs = next((access for access, found in pairs.items() if len(found) == 2), None)
    weights = next((access for access, found in pairs.items() if not found), None)
    if inputs is None or weights is None:
        raise EinsimError(rule)
    (y, r, stride), (x, s, _) = pairs[inputs]
    mine, theirs = {*weights.ranks}, {*inputs.ranks}
    k = [rank for rank in einsum.output.ranks if rank in mine]
    b = [rank for rank in einsum.output.ranks if rank not in mine and rank not in (y, x)]
    c = [rank for rank in einsum.reduced if rank in mine & theirs and rank not in (r, s)]
    if any(len(some) != 1 for some in (k, b, c)) or {*mine} != {k[0], c[0], r, s}:
        raise EinsimError(rule)
    return ConvRanks(b[0], k[0], c[0], y, x, r, s, stride, inputs.tensor, weights.tensor)


def _sliding(access: Access, einsum: Einsum) -> list[tuple[str, str, int]]:
    """(rank of the result, reduced rank, stride) of each index in which one slides over the other."""
    found = []
    for index in access.indices:
        if len(index.ranks) == 2:
            terms = {term.rank: term.coefficient for term in index.terms}
            outer = [rank for rank in terms if rank in einsum.output.ranks]
            inner = [rank for rank in terms if rank in einsum.reduced]
            if len(outer) == len(inner) == 1 and terms[inner[0]] == 1:
                found.append((outer[0], inner[0], terms[outer[0]]))
    return found


def _shape(cascade: Cascade, machine: Machine, unit: Unit, ranks: ConvRanks) -> TileShape:
    """The tile by the rule of the module's text; EinsimError where none has room."""
    memory, size = machine.memory(str(unit.reads_from)), cascade.sizes
    bits = cascade.tensor(ranks.inputs).bits
    spads = unit.registers.by_role if unit.registers is not None else {}
    banks = ((memory.capacity_bytes or 0) - PREFETCHED) // BANK
    high, wide = unit.dims["rows"], unit.dims["cols"]
    kernel = size[ranks.r]

    def rows_of(e: int) -> int:
        """Bytes of the input rows of a channel of an image."""
        return ((e - 1) * ranks.stride + kernel) * cascade.shape(ranks.inputs)[-1] * bits // 8

    def whole(number: int) -> int:
        return -(-number // BANK)

    best: tuple[tuple[int, int, int], int, int, int] | None = None
    for e, sets in _heights(size[ranks.y], kernel, high, wide):
        if sets * kernel * e < BUSY * high * wide:
            continue
        for m in FILTERS:
            if size[ranks.k] % m:
                continue
            for n in (each for each in range(1, size[ranks.b] + 1) if size[ranks.b] % each == 0):
                sums = m * n * e * size[ranks.x] * bits // 8
                if (n > 1 and (m < MANY or e < size[ranks.y])) or whole(sums) + whole(n * rows_of(e)) > banks:
                    continue
                key = m * n * e, -math.ceil(size[ranks.y] / e), m
                best = max(best, (key, e, n, sets)) if best is not None else (key, e, n, sets)
    if best is None:
        raise EinsimError(f"{machine.name}: no rows of {cascade.name} have room in {memory.name}")
    (_, _, m), e, n, sets = best
    left = (banks - whole(m * n * e * size[ranks.x] * bits // 8)) * BANK
    window = spads.get("inputs", 0) * 8 // bits
    found: tuple[tuple[int, int, int], int, int] | None = None
    for r in range(1, (sets if e <= wide else 1) + 1):
        for q in range(1, window // size[ranks.s] + 1):
            if q * r > size[ranks.c] or (q * r > 1 and max(2, n) * rows_of(e) * q * r > left):
                continue
            t = sets // r
            p = min(OF_A_PE, spads.get("weights", 0) * 8 // bits // (q * size[ranks.s]), max(1, m // t))
            choice = (q * r, t, q), p * t, q * r
            found = max(found, choice) if found is not None else choice
    if found is None:
        raise EinsimError(
            f"{unit.name}: its windows are too short for {size[ranks.s]} columns of {cascade.name}"
        )
    return TileShape(m, e, n, found[1], found[2])


def _heights(rows: int, kernel: int, high: int, wide: int) -> Iterator[tuple[int, int]]:
    """Rows of a tile, and sets that work at once."""
    for e in range(1, rows + 1):
        pieces = math.ceil(e / wide)
        if pieces > 1 and (e < rows or pieces * kernel > high):
            continue
        yield e, high // kernel // pieces * (wide // e if pieces == 1 else 1)
