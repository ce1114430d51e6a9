"""Rows of numbers, a column each: told apart, numbered, and what a sparse pattern leaves of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from einsim.workloads.cascade import Tensor
from einsim.workloads.sparsity import NM, Block, Density, Sparsity, TopK, run_bits

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Skip = tuple[str, Sparsity]
"""A rank along which a unit skips, and the pattern that it skips by."""

DENSE = 8
"""Numbers up to so many times their count are told apart in a table, which is faster than sorting them."""


def stay(sparsity: Sparsity, fibre: Ints, along: Ints) -> tuple[Ints, Bools]:
    """For points of some fibres: the closed-up place of each along the sparse rank, and whether it stays.

    n of every m stay; of blocks and of an unstructured pattern the first, as many as its share rounded up.
    """
    order = np.lexsort((along, fibre))
    fibre, along = fibre[order], along[order]
    slot, stays = along.copy(), np.zeros(len(along), dtype=bool)
    if isinstance(sparsity, NM | TopK):
        kept, of = sparsity.group
        turn = _turns(np.stack([fibre, along // of]))
        slot, stays = along // of * kept + turn, turn < kept
    elif isinstance(sparsity, Block | Density):
        units = along // sparsity.size if isinstance(sparsity, Block) else np.arange(len(along))
        firsts = np.concatenate([[True], (np.diff(fibre) != 0) | (np.diff(units) != 0)])[: len(along)]
        turn = np.cumsum(firsts) - 1
        starts = np.searchsorted(fibre, fibre)
        turn -= turn[starts]
        ends = np.searchsorted(fibre, fibre, side="right") - 1
        many = turn[ends] + 1
        shares = {int(n): sparsity.share(int(n)) for n in np.unique(many)}
        stays = turn < np.array([shares[int(n)] for n in many], dtype=np.int64)
    found, there = np.empty_like(slot), np.empty_like(stays)
    found[order], there[order] = slot, stays
    return found, there


def _turns(keys: Ints) -> Ints:
    """How many of the same sorted column stand before each."""
    first = np.concatenate([[True], (np.diff(keys) != 0).any(axis=0)])[: keys.shape[1]]
    at = np.arange(keys.shape[1])
    return at - np.maximum.accumulate(np.where(first, at, 0))


def stored_bits(tensor: Tensor, rows: Sequence[Ints], times: int = 1) -> int:
    """Bits that a tensor's elements take compressed: `rows` has what sets fibres apart, then the place in
    each dimension; all of it is there `times` times.
    """
    sparsity, count = tensor.sparsity, len(rows[0])
    if sparsity.rank not in tensor.ranks:
        return run_bits(tensor, count * times)
    dim = len(rows) - len(tensor.ranks) + tensor.ranks.index(sparsity.rank)
    fibre = number([row for at, row in enumerate(rows) if at != dim], count)
    kept = int(stay(sparsity, fibre, rows[dim])[1].sum())
    if isinstance(sparsity, Block):
        return times * (kept * tensor.bits + len(different([fibre, rows[dim] // sparsity.size])[0]))
    return times * kept * (tensor.bits + sparsity.metadata_bits(1))


def covered(columns: Sequence[Ints] | Ints, first: Ints, last: Ints) -> tuple[list[Ints], Ints]:
    """The different rows, and how many numbers the runs from `first` to `last` of each cover together."""
    rows = np.asarray(columns)
    row, many = _closed(*_key(rows, len(first)))
    if many == len(first):
        return list(rows), np.maximum(0, last - first + 1)
    order = np.lexsort((first, row))
    row, first, last = row[order], first[order], last[order]
    apart = row * (int(last.max(initial=0)) - int(first.min(initial=0)) + 2)
    reached = np.maximum.accumulate(last + apart)
    before = np.concatenate([[np.iinfo(np.int64).min], reached])[: len(row)]
    new = np.maximum(0, last + apart - np.maximum(before, first + apart - 1))
    alone = np.flatnonzero(np.diff(row, prepend=-1))
    return list(rows[:, order[alone]]), np.add.reduceat(new, alone)


def number(columns: Sequence[Ints] | Ints, count: int) -> Ints:
    """A number for each of `count` rows, in the order of the rows, the same for the same ones."""
    return _closed(*_key(columns, count))[0]


def different(columns: Sequence[Ints] | Ints) -> list[Ints]:
    """The different rows, in order."""
    rows = np.asarray(columns)
    places, many = _closed(*_key(rows, rows.shape[1]))
    first = np.zeros(many, dtype=np.int64)
    first[places] = np.arange(rows.shape[1])
    return list(rows[:, first])


def firsts(columns: Sequence[Ints] | Ints) -> Bools:
    """Which rows are the first of those that are the same."""
    rows = number(columns, len(columns[0]))
    found = np.zeros(len(rows), dtype=bool)
    found[np.unique(rows, return_index=True)[1]] = True
    return found


def _key(columns: Sequence[Ints] | Ints, count: int) -> tuple[Ints, int]:
    """One number for each row, the same for the same ones and in their order, and what all are below."""
    key, below, rows = np.zeros(count, dtype=np.int64), 1, np.asarray(columns, dtype=np.int64)
    ends = zip(rows, rows.min(-1).tolist(), rows.max(-1).tolist(), strict=True) if rows.size else ()
    for column, low, high in ends:
        size = high - low + 1
        if size == 1:
            continue
        if below * size > DENSE * len(key):
            key, below = _closed(key, below)
        key, below = key * size + (column - low), below * size
    return key, below


def _closed(key: Ints, below: int) -> tuple[Ints, int]:
    """The numbers' places among the different ones, and how many those are."""
    if below <= DENSE * len(key):
        there = np.bincount(key) > 0
        return (np.cumsum(there) - 1)[key], int(np.count_nonzero(there))
    different, places = np.unique(key, return_inverse=True)
    return places.reshape(-1), len(different)
