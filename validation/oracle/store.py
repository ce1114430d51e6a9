"""Where tensors are held: DRAM, the tiles of a keep, a unit's registers; and the books of what moves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from einsim.accel.codec import Codec
from einsim.accel.machine import Machine
from einsim.validation.oracle.points import Bools, Ints
from einsim.validation.oracle.values import Floats
from einsim.workloads.cascade import Cascade
from einsim.workloads.sparsity import NM, Block, Density, Sparsity, TopK


class AccessCounts(msgspec.Struct, kw_only=True):
    """What was moved: useful bytes by memory and tensor, whole accesses, and register accesses by unit."""

    reads: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    writes: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    moved: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    """Bytes of whole accesses by memory, tensor and "read" or "write"."""
    crossed: dict[str, tuple[int, int]] = {}
    """Useful bytes that filled or emptied a memory, by its name: as sent, and as each core takes them."""
    registers: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    merged: Counter[str] = msgspec.field(default_factory=Counter)
    """Parts of an Einsum's results that were added to those of other cores, or to what they had left."""


def fibres(columns: Sequence[Ints], count: int) -> Ints:
    """A number for each different row of some columns."""
    if not columns or not count:
        return np.zeros(count, dtype=np.int64)
    return np.asarray(np.unique(np.stack(columns), axis=1, return_inverse=True)[1]).reshape(-1)


def stay(sparsity: Sparsity, fibre: Ints, along: Ints) -> tuple[Ints, Bools]:
    """For points of some fibres: the closed-up place of each along the sparse rank, and whether it stays."""
    slot, stays = along.copy(), np.ones(len(along), dtype=bool)
    size = {NM: "m", TopK: "of", Block: "size"}.get(type(sparsity))
    for number in np.unique(fibre):
        mine = np.flatnonzero(fibre == number)
        mine = mine[np.argsort(along[mine], kind="stable")]
        if isinstance(sparsity, (NM, TopK)):
            of, kept = (sparsity.m, sparsity.n) if isinstance(sparsity, NM) else (sparsity.of, sparsity.k)
            group = along[mine] // of
            turn = np.arange(len(mine)) - np.searchsorted(group, group)
            slot[mine], stays[mine] = group * kept + turn, turn < kept
        elif size:
            assert isinstance(sparsity, Block)
            blocks = np.unique(along[mine] // sparsity.size)
            turn = np.searchsorted(blocks, along[mine] // sparsity.size)
            stays[mine] = turn < share(len(blocks), sparsity.density)
        else:
            stays[mine] = np.arange(len(mine)) < share(len(mine), getattr(sparsity, "density", 1.0))
    return slot, stays


def share(count: int, density: float) -> int:
    """A share of a count, rounded up, deaf to the last bits of the product."""
    return math.ceil(round(count * density, 6))


def stored_bits(
    cascade: Cascade, machine: Machine, tensor: str, width: int, elements: Ints, apart: Ints,
    codec: Codec | None = None,
) -> int:  # fmt: skip
    """Bits of a tensor's elements of `width` bits as the machine stores them; those of different `apart` are
    counted apart.

    Where a unit exploits the tensor's pattern it is stored compressed: of every group in every fibre at most
    n values, each with its place; of the blocks or of all elements their share, with a bit for each. Else a
    memory may have a `codec` for the pattern's format, or for runs of zeros before values.
    """
    spec = cascade.tensor(tensor)
    sparsity = spec.sparsity
    if not any(pattern in unit.exploits for unit in machine.units for pattern in sparsity.patterns):
        if codec is None or not sparsity.patterns:
            return len(elements) * width
        if codec.format == "run-length":
            return run_length_bits(codec, sparsity, width, len(elements))
    if isinstance(sparsity, Density):
        return math.ceil(round(len(elements) * sparsity.density, 6)) * width + len(elements)
    where = list(np.unravel_index(elements, cascade.shape(tensor)))
    along = where.pop(spec.ranks.index(sparsity.rank))
    fibre = fibres([apart, *where], len(elements))
    kept = int(stay(sparsity, fibre, along)[1].sum())
    if isinstance(sparsity, Block):
        blocks = len(set(zip(fibre.tolist(), (along // sparsity.size).tolist(), strict=True)))
        return kept * width + blocks
    assert isinstance(sparsity, (NM, TopK))
    of = sparsity.m if isinstance(sparsity, NM) else sparsity.of
    return kept * (width + (of - 1).bit_length())


def run_length_bits(codec: Codec, sparsity: Sparsity, width: int, count: int) -> int:
    """Bits of so many values where each word has whole pairs of a run and a value; as they are where that
    takes no fewer.
    """
    if not isinstance(sparsity, Density):
        return count * width

    def words(values: int) -> int:
        zero = 1 - sparsity.density
        # A pair takes 1 + zero + zero^2 + ... values, at most 2^run_bits of them.
        taken = sum(zero**k for k in range(2**codec.run_bits))
        pairs, pair = math.ceil(round(values / taken, 6)), codec.run_bits + width
        room = 8 * codec.word_bytes
        return math.ceil(pairs / (room // pair)) if pair <= room else pairs * math.ceil(pair / room)

    bits = 8 * codec.word_bytes
    shorter = words(2**16) * bits < 2**16 * width
    return words(count) * bits if shorter else count * width


class PartialSums(msgspec.Struct, frozen=True, kw_only=True):
    """Of a tensor, the bits of a partial sum and of a result, and how many points each element has and lacks
    yet.
    """

    partial_bits: int
    bits: int
    total: Ints
    undone: Ints

    def partial(self, element: Ints) -> Bools:
        """Which elements are partial sums at this time."""
        return (self.undone[element] > 0) & (self.undone[element] < self.total[element])


class Place:
    """One tensor in one memory, as long as its keep lasts. What was never put there is NaN.

    A memory (or a unit's registers) that stands in each of several cores holds a row for each of them.
    """

    def __init__(
        self, cascade: Cascade, machine: Machine, books: AccessCounts, tensor: str, memory: str,
        outer: Place | None, given: Floats, sums: PartialSums, spill: float = 0.0,
        join: np.ufunc | None = None,
    ) -> None:  # fmt: skip
        unit = next((unit for unit in machine.units if unit.name == memory), None)
        self.cascade, self.machine, self.books = cascade, machine, books
        self.tensor, self.memory, self.outer, self.spill = tensor, memory, outer, spill
        self.registers, self.sums = unit is not None, sums
        self.cores = unit.dims.get("cores", 1) if unit else machine.memory(memory).copies
        self.value_bits = 0 if unit else machine.memory(memory).value_bits
        self.codec = None if unit else machine.memory(memory).codec
        self.join = join if self.cores > 1 else None  # how parts that each core has become one result
        self.values = np.tile(given, (self.cores, 1))
        self.there = ~np.isnan(self.values)
        self.fresh = np.zeros(self.values.shape, dtype=bool)  # written here and not yet further out
        self.stamp = np.zeros(self.values.shape, dtype=np.int64)  # the tile that wrote it
        self.beside: list[tuple[Place, Ints, Ints]] = []  # what shares its bytes; offsets
        self.tile = np.full(given.shape, -1)  # elements of the same number come in one transfer
        self.wanted = np.zeros(self.values.shape, dtype=bool)  # by somebody in this iteration

    def row(self, core: Ints) -> Ints:
        """The row of each core: its own, or the only one."""
        return core if self.cores > 1 else np.zeros_like(core)

    def fetch(self, core: Ints, element: Ints) -> None:
        """Bring what is missing from the next place outward, once for every row that lacks it: with all that
        is wanted of its tile, or where it is of none by itself.
        """
        if self.outer is None or not len(element):
            return
        row, element = np.unique(np.stack([self.row(core), element]), axis=1)
        missing = ~self.there[row, element]
        row, element = row[missing], element[missing]
        tile = self.tile[element]
        self._bring(row[tile < 0], element[tile < 0])
        for number in np.unique(tile[tile >= 0]):
            self._bring(*np.nonzero(self.wanted & ~self.there & (self.tile == number)))

    def _bring(self, row: Ints, element: Ints) -> None:
        if self.outer is None or not len(element):
            return
        self.outer.fetch(row, element)
        here = self.outer.there[self.outer.row(row), element]  # what nobody has made yet does not move
        row, element = row[here], element[here]
        self.put(row, element, self.outer.values[self.outer.row(row), element])
        self._cross(self.outer.moved("read", row, element), row, element)
        self.moved("write", row, element)

    def put(self, row: Ints, element: Ints, value: Floats) -> None:
        """Values take their bytes; what shared those is lost."""
        self.values[row, element] = value
        self.there[row, element] = True
        for other, mine, theirs in self.beside:
            bits, other_bits = (self.cascade.tensor(p.tensor).bits for p in (self, other))
            start = mine[element] * bits
            low, high = start // other_bits, -(-(start + bits) // other_bits)
            for one, first, last in zip(row, low, high, strict=True):
                lost = (theirs >= first) & (theirs < last) & other.there[one]
                other.values[one, lost] = math.nan
                other.there[one, lost] = True
                other.fresh[one, lost] = False

    def stay(self, other: Place) -> None:
        """What is in another place is here, and nothing crossed: it stays between cascades."""
        row, element = np.nonzero(other.there)
        self.put(row, element, other.values[row, element])

    def write(self, core: Ints, element: Ints, value: Floats, stamp: int) -> None:
        """A compute's results."""
        row = self.row(core)
        self.put(row, element, value)
        self.fresh[row, element] = True
        self.stamp[row, element] = stamp

    def leave(self, wanted: Bools) -> None:
        """The keep ends: what was written here and is still wanted crosses to the next place outward."""
        if self.outer is None:
            return
        row, element = np.nonzero(self.fresh & wanted)
        for stamp in np.unique(self.stamp[row, element]):
            mine = self.stamp[row, element] == stamp
            self._hand_out(row[mine], element[mine], int(stamp))

    def _hand_out(self, row: Ints, element: Ints, stamp: int) -> None:
        assert self.outer is not None
        if self.join is not None and self.outer.cores == 1:
            self._merge(row, element, stamp, self.join)
            return
        self.outer.write(row, element, self.values[row, element], stamp)
        self._cross(self.outer.moved("write", row, element), row, element)
        self.moved("read", row, element)

    def _merge(self, row: Ints, element: Ints, stamp: int, join: np.ufunc) -> None:
        """The cores' parts of a tile of results leave and are added, one by one, to what is there."""
        assert self.outer is not None
        outer, nowhere = self.outer, np.zeros_like(row)
        element, row = np.unique(np.stack([element, row]), axis=1)
        outer.fetch(nowhere, element)
        found = outer.there[0, element]
        first = np.append(True, element[1:] != element[:-1])
        last = np.append(first[1:], True)
        joined = outer.values[0].copy()
        for at, mine, anew in zip(element, self.values[row, element], first & ~found, strict=True):
            joined[at] = mine if anew else join(joined[at], mine)
        added = found | ~first
        self.books.merged[self.tensor] += int(added.sum())
        outer.count("read", element[added], row[added], np.ones(added.sum(), dtype=bool))
        partial = self.sums.partial(element) | ~last
        sent = outer.count("write", element, row, partial)
        outer.write(nowhere, element, joined[element], stamp)
        if not self.registers:
            before = self.books.crossed.get(self.memory, (0, 0))
            self.books.crossed[self.memory] = before[0] + sent, before[1] + sent
        self.count("read", element, row, np.ones(len(element), dtype=bool))

    def _cross(self, once: int, core: Ints, element: Ints) -> None:
        """Enter what is sent between this place and the next one outward, as wide as it is out there."""
        if not self.registers and self.outer is not None and len(element):
            core, element = np.unique(np.stack([core, element]), axis=1)
            each = self.outer.size(element, core, self.sums.partial(element))
            before = self.books.crossed.get(self.memory, (0, 0))
            self.books.crossed[self.memory] = before[0] + once, before[1] + each

    def moved(self, kind: str, core: Ints, element: Ints) -> int:
        """Count a transfer of elements between this place and another one, for some cores.

        One read of a memory that cores share serves all of them, unless the machine says otherwise; what is
        written to each core's own is written to each.
        """
        apart = core if self.cores > 1 or not self.machine.multicast else np.zeros_like(core)
        if not len(element):
            return 0
        apart, element = np.unique(np.stack([apart, element]), axis=1)
        return self.count(kind, element, apart, self.sums.partial(element))

    def count(self, kind: str, element: Ints, apart: Ints, partial: Bools, *, spilling: bool = False) -> int:
        """Book one transfer: its useful bytes, which are returned, and the whole accesses that they take."""
        if not len(element):
            return 0
        if self.registers:
            self.books.registers[self.memory, kind] += len(element)
            return 0
        size = self.size(element, apart, partial)
        book(self.books, self.machine, self.memory, self.tensor, kind, size)
        over = math.ceil(size * self.spill) if spilling else 0
        for parent in self.machine.memory(self.memory).parents if over else ():  # the only one
            book(self.books, self.machine, parent, self.tensor, kind, over)
        return size

    def size(self, element: Ints, apart: Ints, partial: Bools) -> int:
        """Bytes of elements here. Partial sums have no zeros to count."""
        always = self.codec if self.codec and self.codec.format == "pattern" else None
        bits = sum(
            stored_bits(self.cascade, self.machine, self.tensor, width, element[chosen], apart[chosen], codec)
            for chosen, width, codec in (
                (partial, max(self.sums.partial_bits, self.value_bits), always),
                (~partial, max(self.sums.bits, self.value_bits), self.codec),
            )
        )
        return -(-bits // 8)


def book(books: AccessCounts, machine: Machine, memory: str, tensor: str, kind: str, size: int) -> None:
    """Enter a transfer of `size` useful bytes."""
    (books.reads if kind == "read" else books.writes)[memory, tensor] += size
    access = machine.memory(memory).access_bytes
    books.moved[memory, tensor, kind] += -(-size // access) * access
