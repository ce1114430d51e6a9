"""FuseMax's 2D array: when every element runs which operation of the 1-pass attention cascade.

Element (r, c) stands for key m0 = r and query p0 = c. All elements run one program, element (r, c)
r + c cycles after element (0, 0): its local time. Two wires meet in it, one from the left and one from
above, each forwarded through one register. A tile (R keys, C queries) takes these local cycles:

    first half    QK    E   acc += K[m, e] (left) * Q[p, e] (above)
                  LM    1   the maximum of acc going down the column
    second half   SUB   1   d = acc - RM[p] (above)
                  EXP   6   s = exp(d), six macs
                  SLD   1   the sum of s going down the column
                  SLNV  F   the sum of s * V[m, f] (left) going down the column

LM leaves the last row R - 1 cycles after it started in the first; the 1D array below forms the running
maximum RM in one cycle and it enters the first row from the next: SUB comes R + 1 local cycles after its
LM or later. With `depth` = 1 (FuseMax's `arch`) every tile waits those R cycles. With depth D tiles are
interleaved (`binding`): the first half of tile j is issued before the second half of tile j - (D - 1), so D
tiles' accumulators live in an element. Total = local time of the program + R + C - 2.
"""

from __future__ import annotations

from typing import Final

import msgspec

from einsim.sim.arrays.gemm import at_least_one

SUB_CYCLES: Final = 1
EXP_CYCLES: Final = 6  # FuseMax, MICRO 2024: exp(x - y) is one add and six macs


class FuseMaxSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rows` x `cols` elements; `depth` tiles in flight (1: stalled). RuleError for a size below 1."""

    rows: int
    cols: int
    depth: int = 1

    def __post_init__(self) -> None:
        for name in ("rows", "cols", "depth"):
            at_least_one(name, getattr(self, name))


class HeadShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One head: `m` keys, `p` queries, `e` values a query and key, `f` values of V a key."""

    m: int
    p: int
    e: int
    f: int

    def __post_init__(self) -> None:
        for name in ("m", "p", "e", "f"):
            at_least_one(name, getattr(self, name))


def tiles(spec: FuseMaxSpec, work: HeadShape) -> tuple[int, int]:
    """(tiles along the keys, tiles along the queries); the keys' tiles run innermost."""
    return -(-work.m // spec.rows), -(-work.p // spec.cols)


def halves(work: HeadShape) -> tuple[int, int]:
    """Local cycles of a tile's first and second half."""
    return work.e + 1, SUB_CYCLES + EXP_CYCLES + 1 + work.f


def starts(spec: FuseMaxSpec, work: HeadShape) -> tuple[list[int], list[int], int]:
    """Local cycle of every tile's QK and SUB, and the length of the program, tile by tile."""
    along_m, along_p = tiles(spec, work)
    count, (first, second) = along_m * along_p, halves(work)
    qk: list[int] = []
    sub: list[int] = []
    now = 0
    for step in range(count + spec.depth - 1):
        if step < count:
            qk.append(now)
            now += first
        done = step - (spec.depth - 1)
        if 0 <= done < count:
            now = max(now, qk[done] + first + spec.rows)
            sub.append(now)
            now += second
    return qk, sub, now


def fusemax_cycles(spec: FuseMaxSpec, work: HeadShape) -> int:
    """Cycles of the whole attention on the 2D array, by jumping over the program's periodic part.

    The program is periodic once the waits of the tiles in flight repeat; from there it advances by whole
    periods. Cost: a few times `depth` steps, whatever the length; equal to `starts` (a law in the tests).
    """
    along_m, along_p = tiles(spec, work)
    count, (first, second) = along_m * along_p, halves(work)
    inside = spec.depth - 1
    ends: list[int] = []  # local cycle after the first half of the tiles in flight, oldest first
    seen: dict[tuple[int, ...], tuple[int, int]] = {}
    now = step = 0
    while step < count:
        now += first
        ends.append(now)
        step += 1
        if len(ends) <= inside:
            continue
        now = max(now, ends.pop(0) + spec.rows) + second
        state = tuple(now - end for end in ends)
        if state in seen:
            before_step, before_now = seen[state]
            turns = (count - step) // (step - before_step)
            jump = turns * (now - before_now)
            step += turns * (step - before_step)
            now += jump
            ends = [end + jump for end in ends]
            seen.clear()
        else:
            seen[state] = (step, now)
    for end in ends:
        now = max(now, end + spec.rows) + second
    return now + spec.rows + spec.cols - 2


def busy_cycles(work: HeadShape) -> int:
    """Cycles in which an element works on one tile: E + 1 + 7 + 1 + F."""
    return sum(halves(work))
