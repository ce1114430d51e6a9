"""How many elements and bytes of a tensor a tile touches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import combinations

import msgspec
import numpy as np
from numpy.typing import NDArray

from einsim.accel.machine import Machine
from einsim.dataflow import rows
from einsim.dataflow.forms import as_held, compressed, packed
from einsim.dataflow.mask import Box, Mask
from einsim.specs.arrays import Floats
from einsim.specs.errors import SpecError
from einsim.workloads.cascade import Access, Cascade, Einsum, Index, Tensor
from einsim.workloads.sparsity import bytes_at, dense_bytes, run_bits, stored_bytes

MOST_TOGETHER = 6
"""Accesses of different shape that are counted together by inclusion and exclusion; more are visited."""
MOST_ELEMENTS = 2**22
"""Points that a count visits one by one at most."""


def relevant_ranks(cascade: Cascade, access: Access) -> frozenset[str]:
    """Ranks whose position decides which elements the access touches, but those along which only one step of
    a state is kept.
    """
    state = cascade.overwritten.get(access.tensor, ())
    return frozenset(access.ranks).difference(state)


def elements(cascade: Cascade, access: Access, box: Box, *, beyond: bool = False) -> int:
    """Distinct elements that an access touches in a box, of those that the tensor has or `beyond` it too."""
    touch = _Touch(cascade, access, box, None)
    inside = [
        len(found) if beyond or 0 <= found[0] <= found[-1] < size else sum(0 <= at < size for at in found)
        for found, size in zip(touch.dims, touch.sizes, strict=True)
    ]
    return math.prod(inside) if touch.separate else touch.count()


class Use(msgspec.Struct, frozen=True):
    """An access by the points of a box that a mask leaves; no mask: by all of them."""

    access: Access
    box: Box
    mask: Mask | None = None

    def plain(self, cascade: Cascade) -> bool:
        """Whether each point of the box has an element of its own, of a tensor that is no state."""
        return self.mask is None and self.access.apart and self.access.tensor not in cascade.overwritten


def touched(cascade: Cascade, uses: Iterable[Use]) -> int:
    """Distinct elements of one tensor that several uses touch together, each counted once.

    A dimension that steps along a state counts one step. SpecError where only a visit of more than
    2**22 points could tell.
    """
    uses = tuple(uses)
    if len(uses) == 1 and uses[0].plain(cascade):
        box = uses[0].box
        return math.prod(box[r][1] if r in box else cascade.size(r) for r in uses[0].access.ranks)
    sets = _touches(cascade, uses)
    sets = [one for one in sets if not any(one is not other and other.covers(one) for other in sets)]
    if len(sets) == 1:
        return sets[0].count()
    if all(one.separate for one in sets) and len(sets) <= MOST_TOGETHER:
        return sum(
            (-1) ** (size + 1)
            * math.prod(len(_common(dims)) for dims in zip(*(s.dims for s in chosen), strict=True))
            for size in range(1, len(sets) + 1)
            for chosen in combinations(sets, size)
        )
    return len(_visited(sets)) if sets else 0


def _touches(cascade: Cascade, uses: Iterable[Use]) -> list[_Touch]:
    """What different uses touch, as far as their masks leave anything."""
    found: dict[object, _Touch] = {}
    for use in uses:
        box = use.mask.trim(use.box) if use.mask else use.box
        if box is not None:
            touch = _Touch(cascade, use.access, box, use.mask)
            found.setdefault(touch.key, touch)
    return list(found.values())


class _Touch:
    """What one access touches: the values of each dimension, and whether all their combinations occur."""

    def __init__(self, cascade: Cascade, access: Access, box: Box, mask: Mask | None) -> None:
        state = set(cascade.overwritten.get(access.tensor, ()))
        self.cascade, self.box = cascade, box
        ranks = cascade.tensor(access.tensor).ranks
        kept = [
            axis for axis, rank in enumerate(ranks) if rank not in state
        ]  # H[0] reads a step of a state too
        self.indices = [access.indices[axis] for axis in kept]
        self.names = [ranks[axis] for axis in kept]
        self.sizes = [cascade.shape(access.tensor)[axis] for axis in kept]
        self.ranks = tuple(dict.fromkeys(rank for index in self.indices for rank in index.ranks))
        self.mask = mask if mask and set(self.ranks) & mask.tied and not mask.whole(box) else None
        self.dims = [values(index, box, cascade) for index in self.indices]
        apart = sum(len(index.ranks) for index in self.indices) == len(self.ranks)
        self.separate = apart and self.mask is None
        self.whole = {rank: box.get(rank, (0, cascade.size(rank))) for rank in self.ranks}
        ties = tuple(box.get(rank) for rank in sorted(self.mask.tied)) if self.mask else ()
        own, bounds = tuple(self.whole.values()), self.mask.bounds if self.mask else ()
        self.key = (tuple(self.indices), own, ties, bounds)

    def covers(self, other: _Touch) -> bool:
        """Whether every combination of values here, which all occur, holds all of the other's; of two that
        hold the same, the one with the smaller key does.
        """
        if not self.separate or not all(map(_within, other.dims, self.dims)):
            return False
        return not (other.separate and all(map(_within, self.dims, other.dims))) or repr(self.key) < repr(
            other.key
        )

    def count(self) -> int:
        if self.separate:
            return math.prod(map(len, self.dims))
        if self.mask is not None and all(injective(index, self.whole) for index in self.indices):
            return self.mask.points(self.box, self.ranks)
        return len(_visited([self]))

    def visit(self, lows: Sequence[int], sizes: Sequence[int]) -> NDArray[np.int64]:
        """Every touched element by its place in a box, point by point."""
        ranks = tuple(
            dict.fromkeys(
                (*self.ranks, *(sorted(self.mask.tied.difference(self.mask.within)) if self.mask else ()))
            )
        )
        sides = [self.box.get(rank, (0, self.cascade.size(rank))) for rank in ranks]
        if math.prod(extent for _, extent in sides) > MOST_ELEMENTS:
            raise SpecError(
                "mapping", f"{' '.join(ranks)} are tied in a way that only a visit of every point could count"
            )
        grid = np.meshgrid(
            *(np.arange(low, low + extent) for low, extent in sides), indexing="ij", sparse=True
        )
        at = dict(zip(ranks, grid, strict=True))
        place: NDArray[np.int64] = np.zeros((1,) * len(ranks), dtype=np.int64)
        for index, low, size in zip(self.indices, lows, sizes, strict=True):
            here = sum((term.coefficient * at[term.rank] for term in index.terms), np.int64(index.offset))
            place = place * size + here - low
        place = np.broadcast_to(place, tuple(extent for _, extent in sides))
        return place[self.mask.keeps(at, place.shape)] if self.mask else place.reshape(-1)


def _around(sets: Sequence[_Touch]) -> tuple[list[int], list[int]]:
    """First place and size of each dimension of what several accesses touch, maybe beyond the tensor."""
    sides = list(zip(*(one.dims for one in sets), strict=True))
    lows = [min(int(one[0]) for one in side) for side in sides]
    return lows, [max(int(one[-1]) for one in side) + 1 - low for side, low in zip(sides, lows, strict=True)]


def _visited(sets: Sequence[_Touch]) -> NDArray[np.int64]:
    """Places in the box around all of what several accesses touch, each once."""
    return np.unique(np.concatenate([one.visit(*_around(sets)) for one in sets]))


def values(index: Index, box: Box, cascade: Cascade) -> range | NDArray[np.int64]:
    """The different values of an index while its ranks run over a box: a range, or a sorted array."""
    found: range | NDArray[np.int64] = range(index.offset, index.offset + 1)
    totals: dict[str, int] = {}
    for term in index.terms:
        totals[term.rank] = totals.get(term.rank, 0) + term.coefficient
    for rank, coefficient in sorted(totals.items(), key=lambda item: abs(item[1])):
        low, extent = box.get(rank, (0, cascade.size(rank)))
        first, last = coefficient * low, coefficient * (low + extent - 1)
        found = _sum(found, range(min(first, last), max(first, last) + 1, abs(coefficient) or 1))
    return found


def _sum(one: range | NDArray[np.int64], other: range) -> range | NDArray[np.int64]:
    """All sums of a value of one and a value of the other."""
    if len(other) == 1:
        return (
            range(one.start + other[0], one.stop + other[0], one.step)
            if isinstance(one, range)
            else one + other[0]
        )
    if isinstance(one, range):
        if len(one) == 1:
            return range(other.start + one[0], other.stop + one[0], other.step)
        if other.step % one.step == 0 and other.step // one.step <= len(one):
            return range(one[0] + other[0], one[-1] + other[-1] + 1, one.step)
    return np.unique(np.asarray(one)[:, None] + np.asarray(other)[None, :])


def _common(several: Iterable[range | NDArray[np.int64]]) -> range | NDArray[np.int64]:
    """Values in all of them."""
    found: range | NDArray[np.int64] | None = None
    for one in several:
        if found is None:
            found = one
        elif isinstance(found, range) and isinstance(one, range) and found.step == one.step:
            if (found.start - one.start) % one.step:
                return range(0)
            found = range(max(found.start, one.start), min(found.stop, one.stop), one.step)
        else:
            found = np.intersect1d(np.asarray(found), np.asarray(one))
    return range(0) if found is None else found


def _within(one: range | NDArray[np.int64], other: range | NDArray[np.int64]) -> bool:
    return len(_common((one, other))) == len(one)


def injective(index: Index, box: Box) -> bool:
    """Whether different points of the index's ranks in the box have different values."""
    reach = 0
    for term in sorted(index.terms, key=lambda term: abs(term.coefficient)):
        extent = box[term.rank][1]
        if extent > 1 and abs(term.coefficient) <= reach:
            return False
        reach += abs(term.coefficient) * (extent - 1)
    return True


def plainly_alike(accesses: Sequence[Access], rank: str) -> bool:
    """Whether all accesses have a rank in the same indices, alone."""
    found = {tuple(index if rank in index.ranks else None for index in a.indices) for a in accesses}
    return len(found) == 1 and all(index is None or index.ranks == (rank,) for index in next(iter(found)))


def apart_of(einsum: Einsum) -> set[str]:
    """Ranks of tensors that an Einsum reads at indices which move apart, so that it depends on the place of a
    tile what of them two reads share.
    """
    tensors = {access.tensor for access in einsum.reads}
    reads = ([access for access in einsum.reads if access.tensor == tensor] for tensor in tensors)
    return {rank for accesses in reads for rank in ranks_apart(accesses)}


def ranks_apart(accesses: Sequence[Access]) -> set[str]:
    """Ranks of those indices of one tensor in which its accesses move apart."""
    places = zip(*(access.indices for access in accesses), strict=True)
    return {
        rank
        for indices in places
        if len({index.terms for index in indices}) > 1
        for index in indices
        for rank in index.ranks
    }


def coefficients(access: Access, rank: str) -> tuple[int, ...]:
    """Coefficients of a rank in each index."""
    return tuple(sum(t.coefficient for t in index.terms if t.rank == rank) for index in access.indices)


def runs(cascade: Cascade, machine: Machine, access: Access, extents: Mapping[str, int]) -> tuple[int, int]:
    """(bytes of a tile that lie side by side, bytes from one such run to the next); (0, 0) for a single run.

    Only a timed DRAM asks for it; on other machines it is (0, 0) too. Tensors are stored in the order of
    their dimensions; one that is kept compressed is stored tile by tile.
    """
    tensor = cascade.tensor(access.tensor)
    if not machine.dram.timing or packed(as_held(machine, machine.dram.name, tensor)):
        return 0, 0
    shape = cascade.shape(access.tensor)
    reach = []
    for index, size in zip(access.indices, shape, strict=True):
        steps = (abs(t.coefficient) * (extents.get(t.rank, cascade.size(t.rank)) - 1) for t in index.terms)
        reach.append(min(size, 1 + sum(steps)))
    run = pitch = 1
    for dim in range(len(shape) - 1, -1, -1):
        run, pitch = run * reach[dim], pitch * shape[dim]
        if reach[dim] < shape[dim]:
            outer = any(points > 1 for points in reach[:dim])
            return (dense_bytes(tensor, run), dense_bytes(tensor, pitch)) if outer else (0, 0)
    return 0, 0


def steps(cascade: Cascade, machine: Machine, access: Access) -> tuple[tuple[str, int], ...]:
    """Bits that a tile moves on in its tensor for each point of a rank; only a timed DRAM asks for it.

    A tensor that is kept compressed moves on by what it stores on average.
    """
    if not machine.dram.timing:
        return ()
    tensor, shape = cascade.tensor(access.tensor), cascade.shape(access.tensor)
    state = cascade.overwritten.get(access.tensor, ())
    pitch, found = tensor.bits, dict[str, int]()
    if packed(held := as_held(machine, machine.dram.name, tensor)):
        pitch = max(1, 8 * stored_bytes(held, math.prod(shape)) // math.prod(shape))
    for index, size in zip(reversed(access.indices), reversed(shape), strict=True):
        for term in index.terms:
            if term.rank not in state:
                found[term.rank] = found.get(term.rank, 0) + term.coefficient * pitch
        pitch *= size
    return tuple(found.items())


def tile_bytes(
    cascade: Cascade, machine: Machine, access: Access, extents: Mapping[str, int],
    tensor: Tensor | None = None,
) -> int:  # fmt: skip
    """Bytes that the tile takes in a memory without a codec: values and metadata where the machine keeps the
    tensor compressed. `tensor` is the one that is accessed as some memory has it (`einsim.dataflow.forms`).
    """
    box = {rank: (0, extent) for rank, extent in extents.items()}
    held = tensor or as_held(machine, "", cascade.tensor(access.tensor))
    return bytes_at(union_bits(cascade, held, (Use(access, box),)), 1)


def dram_tile_bytes(cascade: Cascade, machine: Machine, access: Access, extents: Mapping[str, int]) -> int:
    """Bytes that the tile takes in DRAM."""
    held = as_held(machine, machine.dram.name, cascade.tensor(access.tensor))
    return tile_bytes(cascade, machine, access, extents, held)


def least_elements(
    cascade: Cascade, machine: Machine, access: Access, extents: Mapping[str, Floats]
) -> Floats:
    """No more than the elements that N tiles with `extents` [N] of each rank take: 0 where the tensor is
    compressed.
    """
    found, state, met = np.ones(1), {*cascade.overwritten.get(access.tensor, ())}, set[str]()
    whole = {rank: (0, size) for rank, size in cascade.sizes.items()}
    for index in access.indices:
        own = [rank for rank in dict.fromkeys(index.ranks) if rank not in met]
        met.update(own)
        if state & {*index.ranks}:
            continue
        if injective(index, whole):
            found = found * math.prod(extents[rank] for rank in own)
        elif len(own) == len(index.terms) and all(term.coefficient for term in index.terms):
            found = found * reduce(np.maximum, (extents[rank] for rank in own))
    return found * (not compressed(machine, cascade.tensor(access.tensor)))


def union_bits(cascade: Cascade, tensor: Tensor, uses: tuple[Use, ...]) -> int:
    """Bits of what several uses of a tensor as a memory has it touch together."""
    count = touched(cascade, uses)
    return stored_bits(cascade, tensor, uses, count) if packed(tensor) else count * tensor.bits


def stored_bits(cascade: Cascade, tensor: Tensor, uses: tuple[Use, ...], count: int) -> int:
    """Bits of `count` touched elements as they are stored: of every fibre along the sparse rank what its
    pattern leaves of the points that are touched there.
    """
    sets = _touches(cascade, uses)
    if not sets or tensor.sparsity.rank not in sets[0].names:
        return run_bits(tensor, count)
    along, (lows, many) = sets[0].names.index(tensor.sparsity.rank), _around(sets)
    if math.prod(many) == count:  # a whole box
        return count // many[along] * run_bits(tensor, many[along], lows[along])
    places = np.unravel_index(_visited(sets), many)
    still = np.zeros_like(places[0])
    at = {rank: low + place for rank, low, place in zip(sets[0].names, lows, places, strict=True)}
    return rows.stored_bits(tensor, [at.get(rank, still) for rank in tensor.ranks])


def uses(einsum: Einsum, tensor: str) -> tuple[Access, ...]:
    """The Einsum's accesses to a tensor: its output first, then its reads."""
    return einsum.accesses.get(tensor, ())


def access_of(einsum: Einsum, tensor: str) -> Access:
    """The Einsum's access to a tensor: its output, or the first read of it."""
    return uses(einsum, tensor)[0]
