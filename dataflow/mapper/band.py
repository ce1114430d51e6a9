"""Two ranks a and b that bounds tie, low <= b - a <= high (causal, windows): which tiles are visited and what
is left of each, compiled. Bounds on a alone are a band about a b of one point.
"""

# mypy: warn-return-any=False
# Kernels take arrays as Any: numba infers what a signature here could only repeat.

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.forms import compressed
from einsim.dataflow.leaf import skips, sparse_rank
from einsim.dataflow.mapping import Compute
from einsim.dataflow.mask import mask_of
from einsim.specs.arrays import Floats, Ints
from einsim.specs.compiled import njit
from einsim.specs.rules import down, up
from einsim.workloads.cascade import Cascade, Einsum, SameBlock
from einsim.workloads.points import Linear

#: Places of `Tables.band`: the ranks (-1: none), the band, whether a is reduced, and whether steps are known:
#: each rank is alone along its dimension, or in time, and on no cores.
A, B, LOW, HIGH, SUMS, ALONE = range(6)
#: What is known of tiles of one kind: how many there are; points of a, of b, and of both; the first b less
#: the first a; results that tiles before along a have begun, and that tiles after it add to.
COUNT, OF_A, OF_B, POINTS, OFFSET, BEGUN, LATER, KIND = range(8)
BOTH = 2  # place of `Tables.grain` after those of a and b: whether both move the tensor

ENDLESS = 2.0**30
UNTIED = (-1.0, -1.0, 0.0, 0.0, 0.0)
MOST_LONG = 2**18  # points of two tied ranks one after the other: tiles of more take long to look at
MOST_KINDS = 4096  # of one view; points of two tied ranks that have no more
FEW_KINDS = 256  # that stand for those of more
MOST_LOOPS = 8  # loops over one rank
MOST_VIEWS = 4096  # that are remembered
MOST_BANDS = 8  # of which a thread remembers views
LESS = 1 - 1e-12  # a mean rounds: so it is below what it stands for


class Views(NamedTuple):
    """What loops over two tied ranks make of them, remembered: V views with K rows. Nothing else of a nest
    matters to it, so that all nests with the same band share it.
    """

    keys: Any  # int [V, 2]: by which sizes of tiles of a and of b a view was found
    sizes: Any  # float [2, MOST_LOOPS], scratch: those sizes, outermost first
    first: Any  # int [V + 1]: where the rows of a view begin
    rows: Any  # float [K, KIND]: the mean of a view's tiles, then each kind of them
    many: Any  # int [2]: how many views and rows there are
    found: Any  # int [2 V]: hashed, the views
    alike: Any  # int [...]: hashed, the rows
    begins: Any  # float [4, ...], scratch: where tiles begin


_HERE = threading.local()


def views_of(band: Floats, sizes: Floats) -> Views:
    """What this thread remembers of a band."""
    size = [int(sizes[int(at)]) if at >= 0 else 1 for at in band[:2]]
    key = (band[A] >= 0, *size, *band[LOW:ALONE].tolist())
    known: dict[object, Views] = _HERE.__dict__.setdefault("views", {})
    if key not in known:
        if len(known) >= MOST_BANDS:
            known.clear()
        most = 4 * sum(size) + KIND  # rows of one view
        views = MOST_VIEWS if band[A] >= 0 else 1
        known[key] = Views(
            np.empty((views, 2), np.int64), np.empty((2, MOST_LOOPS)), np.zeros(views + 1, np.int64),
            np.empty((most + min(16 * most, 2**18), KIND)), np.zeros(2, np.int64),
            np.full(2 * views, -1), np.full(1 << most.bit_length(), -1),
            np.empty((4, max(*size, MOST_LOOPS) + 2)),
        )  # fmt: skip
    return known[key]


def band_of(cascade: Cascade, machine: Machine, einsum: Einsum) -> tuple[float, ...] | None:
    """How bounds tie two ranks of an Einsum; None where they do it in a way that isn't a band. Documents are
    the band around them.
    """
    mask = mask_of(cascade, einsum.ranks)
    if not mask:
        return UNTIED
    a, *rest = sorted(mask.tied, key=lambda r: (r not in einsum.reduced, einsum.ranks.index(r)))
    summed = {rank for rank in einsum.reduced if cascade.size(rank) > 1}
    accesses = (*einsum.reads, einsum.output)
    tied = {a, *rest}
    odd = any(
        tied & {rank for rank, _ in skips(cascade, unit, einsum, cascade.sizes)} for unit in machine.units
    ) or any(
        (compressed(machine, cascade.tensor(access.tensor)) and sparse_rank(cascade, access) in (None, *tied))
        or any(index.plain is None and tied & {*index.ranks} for index in access.indices)
        for access in accesses
    )
    if odd or len(rest) > 1 or cascade.overwritten or (a in einsum.reduced and summed - {a}):
        return None
    low, high = -ENDLESS, ENDLESS
    for coefficients, constant in (*mask.linear, *itertools.chain(*map(_around, mask.blocks))):
        if (
            {*coefficients} != {a, *rest}
            or abs(coefficients[a]) != 1
            or (rest and sum(coefficients.values()))
        ):
            return None
        if coefficients[a] < 0:
            low = max(low, -constant)
        else:
            high = min(high, constant)
    if mask.trim({}) is None or sum(map(cascade.size, (a, *rest))) > MOST_LONG:
        return None
    b = einsum.ranks.index(rest[0]) if rest else -1
    return float(einsum.ranks.index(a)), float(b), low, high, float(a in einsum.reduced)


def _around(bound: SameBlock) -> Iterator[Linear]:
    """What holds of both sides: they are less than the longest block apart."""
    for one, other in ((bound.left, bound.right), (bound.right, bound.left)):
        sides = [
            (term.rank, sign * term.coefficient)
            for side, sign in ((one, 1), (other, -1))
            for term in side.terms
        ]
        yield dict(sides), one.offset - other.offset + max(bound.lengths) - 1


def inexact(cascade: Cascade, machine: Machine, einsum: Einsum) -> str:
    """Why tiles under the bounds of an Einsum are not counted exactly; "" where they are."""
    band, mask = band_of(cascade, machine, einsum), mask_of(cascade, einsum.ranks)
    if band is None:
        return "iteration-space bounds"
    if mask.blocks:
        return "documents count as the band around them"
    long = sum(map(cascade.size, mask.tied)) > MOST_KINDS
    return "some tiles stand for all of long bounded ranks" if long else ""


def alone(band: tuple[float, ...], einsum: Einsum, node: Compute) -> bool:
    """Whether each rank that is tied is alone along its dimension, or in time, and on no cores: only there
    are its tiles' steps known.
    """
    tied = {einsum.ranks[int(at)] for at in band[:2] if at >= 0}
    return not any(tied & {*ranks} for dim, ranks in node.spatial.items() if dim == "cores" or len(ranks) > 1)


def ties(
    band: tuple[float, ...], unit: Unit, node: Compute, einsum: Einsum, moved: Ints, still: Ints
) -> tuple[Floats, Ints, Floats]:
    """The arrays `band`, `walk` and `grain` of `Tables`."""
    tied = [int(at) for at in band[:2] if at >= 0]
    lanes = {ranks[0]: unit.dims[dim] for dim, ranks in node.spatial.items()}
    walk, grain = moved.copy(), np.ones((len(moved) + 2, 3))
    walk[:, tied] = 0
    walk[:, tied[:1]] = 1
    for column, at in enumerate(tied):
        wide = lanes.get(einsum.ranks[at], 0)
        grain[:, column] = wide or 1.0
        grain[-1, column] = wide or ENDLESS
        grain[:-2, column][still == 1] = wide or ENDLESS
        grain[:-2, column][moved[:, at] == 1] = 1.0
    grain[:-2, BOTH] = len(tied) > 1 and moved[:, tied].all(axis=1)
    return np.array([*band, bool(tied) and alone(band, einsum, node)]), walk, grain


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def look(t: Any, cut: Any, over_a: int, over_b: int, final: bool) -> None:
    """Let walks over a go over the kinds of tiles of both ranks: those that the first `over_a` loops make of
    a, and the first `over_b` of b. Where tiles are not `final`, over one that is their mean.
    """
    views, a, b = cut.views, int(t.band[A]), int(t.band[B])
    one, two = _sizes(t, cut, a, over_a, views.sizes[0]), _sizes(t, cut, b, over_b, views.sizes[1])
    start = at = (one * 1000003 + two) % views.found.shape[0]
    while views.found[at] >= 0:
        known = views.keys[views.found[at]]
        if known[0] == one and known[1] == two:
            break
        at = (at + 1) % views.found.shape[0]
    if views.found[at] < 0:
        most = int(4.0 * (t.sizes[a] + (t.sizes[b] if b >= 0 else 1.0))) + KIND
        if views.many[0] == views.keys.shape[0] or views.many[1] + most > views.rows.shape[0]:
            views.found[:], views.alike[:], views.many[:] = -1, -1, 0
            at = start
        views.found[at] = new = views.many[0]
        views.keys[new, 0], views.keys[new, 1], views.first[new] = one, two, views.many[1]
        views.many[1] = views.first[new + 1] = _visited(t, views, views.first[new])
        views.many[0] += 1
    first = views.first[views.found[at]] + final
    cut.from_row[0], cut.mean[0] = first, not final
    for e in range(t.loop_rank.shape[0] + 1):
        cut.kinds[e, a] = views.first[views.found[at] + 1] - first if final else 1
        if b >= 0:
            cut.kinds[e, b] = 1


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _sizes(t: Any, cut: Any, r: int, over: int, sizes: Any) -> int:
    """The sizes of tiles that so many loops make of a rank, without those that the next one divides: they cut
    nothing. Returns a number of their own of any three sizes; more are hashed.
    """
    sizes[:] = 0.0
    count, key = 0, 0
    for e in range(over):
        size = cut.reach[e + 1, r]
        if t.loop_rank[e] != r or size == cut.reach[e, r]:
            continue
        while count and sizes[count - 1] % size == 0.0:
            count -= 1
            sizes[count] = 0.0
        sizes[count] = size
        count += 1
    for e in range(count):
        key = (key * MOST_LONG + int(sizes[e])) % 2305843009213693951  # a prime, of 61 bits
        key = key if e < 3 else key * 3 % 2305843009213693951
    return key


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _begins(whole: float, sizes: Any, begins: Any, ends: Any) -> int:
    """Where the tiles of a rank begin, which loops cut into these sizes, then its end; returns how many they
    are.
    """
    count, at = 0, 0.0
    ends[:] = 0.0
    while at < whole:
        begins[count] = at
        end = whole
        for e in range(MOST_LOOPS):
            if sizes[e] == 0.0:
                break
            if ends[e] <= at:
                ends[e] = min(end, at + sizes[e])
            end = ends[e]
        at = end
        count += 1
    begins[count] = whole
    return count


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _visited(t: Any, views: Any, first: int) -> int:
    """The tiles in which the band has points, cut to those: their mean, then each kind of them, in rows from
    the `first` one on; returns one past the last.
    """
    a, b, low, high, sums = int(t.band[A]), int(t.band[B]), t.band[LOW], t.band[HIGH], t.band[SUMS]
    of_a, of_b, runs = views.begins[0], views.begins[1], views.begins[2]
    many = _begins(t.sizes[a], views.sizes[0], of_a, views.begins[3])
    for i in range(many - 1, -1, -1):  # tiles of one size side by side
        same = i < many - 1 and of_a[i + 1] - of_a[i] == of_a[i + 2] - of_a[i + 1]
        runs[i] = runs[i + 1] if same else i + 1.0
    count, start, inside = first + 1, 0, 0
    mean = views.rows[first]
    mean[:] = 0.0
    for j in range(_begins(t.sizes[b] if b >= 0 else 1.0, views.sizes[1], of_b, views.begins[3])):
        b0, b1 = of_b[j], of_b[j + 1] - 1.0
        while start < many and of_a[start + 1] - 1.0 < b0 - high:
            start += 1
        while inside < many - 1 and of_a[inside + 1] - 1.0 < b0 - low:
            inside += 1
        i = start
        while i < many and of_a[i] <= b1 - low:
            a0, a1, here = max(of_a[i], b0 - high), min(of_a[i + 1] - 1.0, b1 - low), i
            if i > 0 and of_a[i] > b1 - high:  # nothing is cut off from this one to `inside`
                i = max(i, min(int(runs[i]), inside) - 1)
            i += 1
            c0, c1 = max(b0, a0 + low), min(b1, a1 + high)
            new = views.rows[count]
            new[COUNT], new[OF_A], new[OF_B] = i - here, a1 - a0 + 1.0, c1 - c0 + 1.0
            new[OFFSET] = c0 - a0
            new[POINTS] = _from(low - c0 + a0, new[OF_A], new[OF_B])
            new[POINTS] -= _from(high + 1.0 - c0 + a0, new[OF_A], new[OF_B])
            if new[POINTS] == new[OF_A] * new[OF_B]:
                new[OFFSET] = 0.0
            before, after = sums and a0 > 0.0, sums and a1 + 1.0 < of_a[many]
            new[BEGUN] = max(0.0, min(c1, a0 - 1.0 + high) - c0 + 1.0) if before else 0.0
            new[LATER] = max(0.0, c1 - max(c0, a1 + 1.0 + low) + 1.0) if after else 0.0
            mean[COUNT] += new[COUNT]
            for v in range(OF_A, KIND):
                mean[v] += new[COUNT] * new[v]
            count += _is_new(views, first + 1, count)
    for v in range(OF_A, KIND):
        mean[v] /= mean[COUNT]
    mean[COUNT] *= LESS
    return _thinned(views.rows, first + 1, count)


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _thinned(rows: Any, first: int, last: int) -> int:
    """Where there are too many kinds, let each few side by side be like the most frequent of them, or the one
    in the middle; returns one past the last.
    """
    if last - first <= MOST_KINDS:
        return last
    step, kept = (last - first) // FEW_KINDS // 2 * 2 + 1, first
    for begin in range(first, last, step):
        end, often = min(begin + step, last), 0.0
        chosen = (begin + end) // 2
        for row in range(begin, end):
            often += rows[row, COUNT]
            chosen = row if rows[row, COUNT] > rows[chosen, COUNT] else chosen
        for v in range(OF_A, KIND):
            rows[kept, v] = rows[chosen, v]
        rows[kept, COUNT] = often
        kept += 1
    return kept


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _is_new(views: Any, first: int, last: int) -> bool:
    """Whether the kind in the last row is none of those from the first row on; else it is counted there."""
    rows, hashed = views.rows, 0
    for v in range(OF_A, KIND):
        hashed = (hashed * 1000003 + int(rows[last, v])) % 2**40
    at = hashed % views.alike.shape[0]
    while first <= views.alike[at] < last:
        same = True
        for v in range(OF_A, KIND):
            same &= rows[views.alike[at], v] == rows[last, v]
        if same:
            rows[views.alike[at], COUNT] += rows[last, COUNT]
            return False
        at = (at + 1) % views.alike.shape[0]
    views.alike[at] = last
    return True


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _from(least: float, of_a: float, of_b: float) -> float:
    """Points of a tile at which b - a is at least so much, both from 0 on: of a, 1 + 2 + ... and then all."""
    total = 0.0
    for sign, many in ((1.0, of_b - least), (-1.0, -least)):
        few = max(0.0, min(many, of_a))
        total += sign * (few * (few + 1.0) / 2.0 + max(0.0, many - few) * of_a)
    return total


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def stand_on_kind(t: Any, cut: Any, r: int) -> float:
    """Set what there is of both ranks to where a walk over a stands: how often that kind occurs."""
    a, b = int(t.band[A]), int(t.band[B])
    if r == b:
        return 1.0
    for v in range(KIND):
        cut.kind[v] = cut.views.rows[cut.from_row[0] + cut.at[a], v]
    cut.tile[a] = cut.work[a] = cut.kind[OF_A]
    if b >= 0:
        cut.tile[b] = cut.work[b] = cut.kind[OF_B]
    return cut.kind[COUNT]


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def cells(t: Any, kind: Any, x: int) -> float:
    """How many times a tensor passes in a tile: of what passes together, that has a point in it."""
    of_a, of_b, wide, high = kind[OF_A], kind[OF_B], t.grain[x, 0], t.grain[x, 1]
    if kind[POINTS] == of_a * of_b:
        return up(of_a, wide) * up(of_b, high)
    if wide == 1.0 and high == 1.0:
        return kind[POINTS]
    total, at, least, most = 0.0, 0.0, kind[OFFSET] - t.band[HIGH], kind[OFFSET] - t.band[LOW]
    if up(of_a, wide) < up(of_b, high):  # go along the rank that has fewer
        of_a, of_b, wide, high, least, most = of_b, of_a, high, wide, -most, -least
    while at < of_b:
        first = max(0.0, at + least)
        at += high
        last = min(of_a, min(at, of_b) + most) - 1.0
        total += down(last, wide) - down(first, wide) + 1.0
    return total
