"""A tile's bytes as bursts: the channel, bank and row of each, channel by channel, in address order."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from einsim.sim.dram.channels import Transfers
from einsim.sim.dram.standard import Standard
from einsim.specs.arrays import Ints
from einsim.specs.compiled import njit

START, SIZE, RUN, PITCH, WRITE, TENSOR = range(6)  # of a piece
FIELDS: Final = ("channel", "rank", "group", "bank", "row", "column")
CHANNEL, RANK, GROUP, BANK_IN_GROUP, ROW, COLUMN = range(6)
ROW_BITS: Final = 40  # a row is known by its tensor's number above and its own number below
MIDDLE: Final = 1 << (ROW_BITS - 1)  # row 0 of a tensor; an affine index may lead to rows before it


class Radix(NamedTuple):
    """The standard's mapping: its fields [n] from the lowest up and how many values each has [n]."""

    fields: Ints
    sizes: Ints
    groups: int
    banks_per_group: int
    burst_bytes: int


def radix(standard: Standard) -> Radix:
    """The mapping of a standard. If rows stand highest, a tensor may have as many of them as it takes."""
    org = standard.organisation
    sizes = org.sizes | ({"row": 1 << ROW_BITS} if standard.mapping[0] == "row" else {})
    upward = tuple(reversed(standard.mapping))
    return Radix(
        fields=np.array([FIELDS.index(name) for name in upward], np.int64),
        sizes=np.array([sizes[name] for name in upward], np.int64),
        groups=org.bank_groups.value,
        banks_per_group=org.banks_per_group.value,
        burst_bytes=standard.burst_bytes,
    )


def most_bursts(pieces: Ints, burst_bytes: int) -> int:
    """No tile of these pieces [n, 6] has more bursts."""
    run = np.where(pieces[:, RUN] > 0, np.minimum(pieces[:, RUN], pieces[:, SIZE]), pieces[:, SIZE])
    rows = -(-pieces[:, SIZE] // run)
    return int((rows * (-(-run // burst_bytes) + 1)).sum())


@njit()
def lay(slot: int, transfers: Transfers, pieces: Ints, radix: Radix) -> None:
    """Fills a transfer with the bursts of its pieces [n, 6], one after the other.

    A piece: first byte in its tensor, bytes, bytes of a run and from one run to the next (0: a single run),
    1 for a write, the tensor's number (from 1). A burst that two runs share is moved once.
    """
    channels = transfers.next.shape[1]
    count = np.zeros(channels, np.int64)
    _walk(pieces, radix, count, False, transfers.bank[slot], transfers.row[slot])
    first = 0
    for c in range(channels):
        transfers.next[slot, c] = first
        first += count[c]
        transfers.stop[slot, c] = first
        transfers.left[slot, c] = count[c]
        transfers.done[slot, c] = 0
        count[c] = transfers.next[slot, c]
    _walk(pieces, radix, count, True, transfers.bank[slot], transfers.row[slot])


@njit(inner=True)
def _walk(pieces: Ints, radix: Radix, at: Ints, put: bool, bank: Ints, row: Ints) -> None:
    """Counts the bursts of each channel in `at`, and if `put` writes each where `at` of its channel says."""
    top = radix.fields.shape[0] - 1
    digits, place = np.zeros(top + 1, np.int64), np.zeros(len(FIELDS), np.int64)
    for piece in range(pieces.shape[0]):
        start, size = pieces[piece, START], pieces[piece, SIZE]
        run, pitch = pieces[piece, RUN], pieces[piece, PITCH]
        if run <= 0 or pitch <= 0 or run >= size:
            run, pitch = size, 0
        before, seen, moved = 0, False, 0
        name = pieces[piece, TENSOR] << ROW_BITS
        while moved < size:
            length = min(run, size - moved)
            first, last = start // radix.burst_bytes, (start + length - 1) // radix.burst_bytes
            if seen and first <= before <= last:
                first = before + 1
            rest = first
            for field in range(top):
                digits[field] = rest % radix.sizes[field]
                rest //= radix.sizes[field]
            digits[top] = rest if radix.fields[top] == ROW else rest % radix.sizes[top]
            for number in range(first, last + 1):
                if number > first:
                    for field in range(top + 1):
                        digits[field] += 1
                        if digits[field] < radix.sizes[field]:
                            break
                        digits[field] = 0
                for field in range(top + 1):
                    place[radix.fields[field]] = digits[field]
                c = place[CHANNEL]
                if put:
                    inside = (place[RANK] * radix.groups + place[GROUP]) * radix.banks_per_group
                    inside += (place[BANK_IN_GROUP] + pieces[piece, TENSOR] - 1) % radix.banks_per_group
                    bank[at[c]] = 2 * inside + pieces[piece, WRITE]
                    row[at[c]] = name + MIDDLE + place[ROW]
                at[c] += 1
            before, seen = last, True
            start += pitch
            moved += length
