"""Two ranks a and b that bounds tie, low <= b - a <= high (causal, windows): which tiles are visited and what
is left of each, compiled. Bounds on a alone are a band about a b of one point.
"""

# mypy: warn-return-any=False
# Kernels take arrays as Any: numba infers what a signature here could only repeat.

from __future__ import annotations

import math
from typing import Any

import numpy as np

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.footprint import compressed
from einsim.dataflow.mapping import Compute
from einsim.dataflow.mask import mask_of
from einsim.specs.arrays import Floats, Ints
from einsim.specs.compiled import njit
from einsim.specs.rules import down, up
from einsim.workloads.cascade import Cascade, Einsum

#: Places of `Tables.band`: the ranks (-1: none), the band, whether a is reduced, and whether steps are known:
#: each rank is alone along its dimension, or in time, and on no cores.
A, B, LOW, HIGH, SUMS, ALONE = range(6)
#: What is known of tiles of one kind: how many there are; points of a, of b, and of both; the first b less
#: the first a; results that tiles before along a have begun, and that tiles after it add to.
COUNT, OF_A, OF_B, POINTS, OFFSET, BEGUN, LATER, KIND = range(8)
BOTH = 2  # place of `Tables.grain` after those of a and b: whether both move the tensor

ENDLESS = 2.0**30
UNTIED = (-1.0, -1.0, 0.0, 0.0, 0.0)
LOOKED_AT = 16  # the last kinds, with which a new one is compared
MOST_TIED = 512**2  # points of two tied ranks: the kinds of tiles of more take a search minutes to count


def band_of(cascade: Cascade, machine: Machine, einsum: Einsum) -> tuple[float, ...] | None:
    """How bounds tie two ranks of an Einsum; None where they do it in a way that isn't a band."""
    mask = mask_of(cascade, einsum.ranks)
    if not mask:
        return UNTIED
    a, *rest = sorted(mask.tied, key=lambda r: (r not in einsum.reduced, einsum.ranks.index(r)))
    summed = {rank for rank in einsum.reduced if cascade.size(rank) > 1}
    accesses = (*einsum.reads, einsum.output)
    odd = any(
        compressed(machine, cascade.tensor(access.tensor))
        or any(index.plain is None and {a, *rest} & {*index.ranks} for index in access.indices)
        for access in accesses
    )
    if odd or mask.blocks or len(rest) > 1 or cascade.overwritten or (a in einsum.reduced and summed - {a}):
        return None
    low, high = -ENDLESS, ENDLESS
    for coefficients, constant in mask.linear:
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
    if mask.trim({}) is None or math.prod(map(cascade.size, (a, *rest))) > MOST_TIED:
        return None
    b = einsum.ranks.index(rest[0]) if rest else -1
    return float(einsum.ranks.index(a)), float(b), low, high, float(a in einsum.reduced)


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


@njit(error_model="numpy", nogil=True, allocates=False)
def look(t: Any, cut: Any, over_a: int, over_b: int) -> None:
    """Let walks over a go over the kinds of tiles of both ranks: those that the first `over_a` loops make of
    a, and the first `over_b` of b.
    """
    a, b, made = int(t.band[A]), int(t.band[B]), cut.made
    depth, ways, slot = t.loop_rank.shape[0], 1, 0
    for e in range(depth):
        ways += t.loop_rank[e] == b
        slot += t.loop_rank[e] == b and e < over_b
    for e in range(over_a):
        slot += ways * (t.loop_rank[e] == a)
    same = cut.many[slot] > 0
    for e in range(depth):
        one = cut.reach[e + 1, a] if e < over_a and t.loop_rank[e] == a else 0.0
        two = cut.reach[e + 1, b] if e < over_b and t.loop_rank[e] == b else 0.0
        same &= made[slot, e] == one and made[slot, depth + e] == two
        made[slot, e], made[slot, depth + e] = one, two
    if not same:
        cut.many[slot] = _visited(t, cut, cut.tied[slot], over_a, over_b)
    cut.slot[0] = slot
    cut.kinds[depth, a] = cut.many[slot]
    if b >= 0:
        cut.kinds[depth, b] = 1


@njit(error_model="numpy", nogil=True, allocates=False)
def _begins(cut: Any, r: int, depth: int, begins: Any, ends: Any) -> int:
    """Where the tiles of a rank begin below so many loops, then its end; returns how many they are."""
    if r < 0:
        begins[0], begins[1] = 0.0, 1.0
        return 1
    count, size, at = 0, cut.reach[0, r], 0.0
    ends[:] = 0.0
    while at < size:
        begins[count] = at
        ends[0] = size
        for e in range(1, depth + 1):
            if ends[e] <= at:
                ends[e] = min(ends[e - 1], at + cut.reach[e, r])
        at = ends[depth]
        count += 1
    begins[count] = size
    return count


@njit(error_model="numpy", nogil=True, allocates=False)
def _visited(t: Any, cut: Any, kinds: Any, over_a: int, over_b: int) -> int:
    """The kinds of the tiles in which the band has points, cut to those; returns how many they are."""
    low, high, sums = t.band[LOW], t.band[HIGH], t.band[SUMS]
    of_a, of_b, runs = cut.begins[0], cut.begins[1], cut.begins[2]
    many = _begins(cut, int(t.band[A]), over_a, of_a, cut.begins[3])
    for i in range(many - 1, -1, -1):  # tiles of one size side by side
        same = i < many - 1 and of_a[i + 1] - of_a[i] == of_a[i + 2] - of_a[i + 1]
        runs[i] = runs[i + 1] if same else i + 1.0
    count, first, inside = 0, 0, 0
    for j in range(_begins(cut, int(t.band[B]), over_b, of_b, cut.begins[3])):
        b0, b1 = of_b[j], of_b[j + 1] - 1.0
        while first < many and of_a[first + 1] - 1.0 < b0 - high:
            first += 1
        while inside < many - 1 and of_a[inside + 1] - 1.0 < b0 - low:
            inside += 1
        i = first
        while i < many and of_a[i] <= b1 - low:
            a0, a1, here = max(of_a[i], b0 - high), min(of_a[i + 1] - 1.0, b1 - low), i
            if i > 0 and of_a[i] > b1 - high:  # nothing is cut off from this one to `inside`
                i = max(i, min(int(runs[i]), inside) - 1)
            i += 1
            c0, c1 = max(b0, a0 + low), min(b1, a1 + high)
            new = kinds[count]
            new[COUNT], new[OF_A], new[OF_B] = i - here, a1 - a0 + 1.0, c1 - c0 + 1.0
            new[OFFSET] = c0 - a0
            new[POINTS] = _from(low - c0 + a0, new[OF_A], new[OF_B])
            new[POINTS] -= _from(high + 1.0 - c0 + a0, new[OF_A], new[OF_B])
            if new[POINTS] == new[OF_A] * new[OF_B]:
                new[OFFSET] = 0.0
            before, after = sums and a0 > 0.0, sums and a1 + 1.0 < of_a[many]
            new[BEGUN] = max(0.0, min(c1, a0 - 1.0 + high) - c0 + 1.0) if before else 0.0
            new[LATER] = max(0.0, c1 - max(c0, a1 + 1.0 + low) + 1.0) if after else 0.0
            count += _is_new(kinds, count)
    return count


@njit(error_model="numpy", nogil=True, allocates=False)
def _is_new(kinds: Any, count: int) -> bool:
    """Whether the last kind is none of those before it; else it is counted there."""
    for k in range(count - 1, max(-1, count - 1 - LOOKED_AT), -1):
        same = True
        for v in range(OF_A, KIND):
            same &= kinds[k, v] == kinds[count, v]
        if same:
            kinds[k, COUNT] += kinds[count, COUNT]
            return False
    return True


@njit(error_model="numpy", nogil=True, allocates=False)
def _from(least: float, of_a: float, of_b: float) -> float:
    """Points of a tile at which b - a is at least so much, both from 0 on: of a, 1 + 2 + ... and then all."""
    total = 0.0
    for sign, many in ((1.0, of_b - least), (-1.0, -least)):
        few = max(0.0, min(many, of_a))
        total += sign * (few * (few + 1.0) / 2.0 + max(0.0, many - few) * of_a)
    return total


@njit(error_model="numpy", nogil=True, allocates=False)
def stand_on_kind(t: Any, cut: Any, r: int) -> float:
    """Set what there is of both ranks to where a walk over a stands: how often that kind occurs."""
    a, b = int(t.band[A]), int(t.band[B])
    if r == b:
        return 1.0
    for v in range(KIND):
        cut.kind[v] = cut.tied[cut.slot[0], cut.at[a], v]
    cut.tile[a] = cut.work[a] = cut.kind[OF_A]
    if b >= 0:
        cut.tile[b] = cut.work[b] = cut.kind[OF_B]
    return cut.kind[COUNT]


@njit(error_model="numpy", nogil=True, allocates=False)
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
