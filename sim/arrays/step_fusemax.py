"""Cycle-stepped FuseMax array: six macs an exp, maxima and sums travelling down the columns, all integer."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from einsim.sim.arrays.exp_fixed import HORNER, MIN_INPUT_FRACTION_BITS, exp_mac, exp_shift, exp_start
from einsim.sim.arrays.fusemax import FuseMaxSpec, HeadShape, fusemax_cycles, halves, starts, tiles
from einsim.specs.arrays import AnyInts, Ints
from einsim.specs.compiled import njit
from einsim.specs.errors import RuleError

IDLE, QK, LM, SUB, EXP, SLD, SLNV = range(7)
LOWEST: Final = -(1 << 62)  # what a maximum starts from


class FuseMaxRun(NamedTuple):
    """What the array and the running maximum below it produced.

    maxima int64 [tiles of m, p]: RM after each tile of keys. denominators int64 [tiles of m, p] and
    numerators int64 [tiles of m, f, p]: SLD and SLNV of each tile, relative to that tile's RM, 16 fraction
    bits. The 1D array corrects and adds them over the tiles. busy_per_cycle int64 [cycles]: elements that
    worked on a real key and query. counts int64 [7]: operations that those issued, by kind.
    """

    maxima: Ints
    denominators: Ints
    numerators: Ints
    busy_per_cycle: Ints
    counts: Ints

    @property
    def cycles(self) -> int:
        """From the first operand to the last result."""
        return len(self.busy_per_cycle)

    @property
    def macs(self) -> int:
        """Products that were added, those of an exp included."""
        return int(self.counts[[QK, EXP, SLNV]].sum())


def step_fusemax(
    spec: FuseMaxSpec, queries: AnyInts, keys: AnyInts, values: AnyInts, *, score_fraction_bits: int
) -> FuseMaxRun:
    """Steps attention of queries [p, e] over keys [m, e] and values [m, f], all integers.

    `score_fraction_bits`: how many bits of the product of a query and a key lie behind the point, 2 to 32.
    Raises RuleError for shapes that do not fit together.
    """
    q, k, v = (np.ascontiguousarray(x, np.int64) for x in (queries, keys, values))
    if q.ndim != 2 or k.ndim != 2 or v.ndim != 2 or q.shape[1] != k.shape[1] or len(k) != len(v):
        raise RuleError("need queries [p, e], keys [m, e], values [m, f]", got=(q.shape, k.shape, v.shape))
    if not MIN_INPUT_FRACTION_BITS <= score_fraction_bits <= 32:
        raise RuleError("must be between 2 and 32", got=score_fraction_bits, at=("score_fraction_bits",))
    work = HeadShape(m=len(k), p=len(q), e=q.shape[1], f=v.shape[1])
    along_m, _ = tiles(spec, work)
    code, tile, index = program(spec, work)
    shapes = (along_m, work.p), (along_m, work.p), (along_m, work.f, work.p), fusemax_cycles(spec, work), 7
    run = FuseMaxRun(*(np.zeros(shape, np.int64) for shape in shapes))
    acc = np.zeros((spec.depth, spec.rows, spec.cols), np.int64)
    faults = _step(q, k, v, code, tile, index, acc, score_fraction_bits, run)
    assert faults == 0, "a running maximum was used before it existed"
    return run


def program(spec: FuseMaxSpec, work: HeadShape) -> tuple[AnyInts, AnyInts, AnyInts]:
    """The local program: operation, tile and index (e, stage or f) of every local cycle, int64 arrays."""
    qk, sub, length = starts(spec, work)
    code, tile, index = np.zeros(length, np.int64), np.zeros(length, np.int64), np.zeros(length, np.int64)
    first, second = halves(work)
    first_code = np.array([QK] * work.e + [LM])
    second_code = np.array([SUB] + [EXP] * 6 + [SLD] + [SLNV] * work.f)
    second_index = np.concatenate([[0], np.arange(6), [0], np.arange(work.f)])
    for number, (one, two) in enumerate(zip(qk, sub, strict=True)):
        code[one : one + first], tile[one : one + first] = first_code, number
        index[one : one + first] = np.arange(first)
        code[two : two + second], tile[two : two + second] = second_code, number
        index[two : two + second] = second_index
    return code, tile, index


@njit()
def _step(
    q: AnyInts,
    k: AnyInts,
    v: AnyInts,
    code: AnyInts,
    tile: AnyInts,
    index: AnyInts,
    acc: AnyInts,
    score_bits: int,
    run: FuseMaxRun,
) -> int:
    maxima, denominators, numerators, busy, counts = run
    depth, rows, cols = acc.shape
    keys, queries = k.shape[0], q.shape[0]
    along_m = maxima.shape[0]
    right = np.zeros((rows, cols + 1), np.int64)  # right[r, c + 1]: the register behind element (r, c)
    down = np.zeros((rows + 1, cols), np.int64)
    whole = np.zeros((rows, cols), np.int64)
    part = np.zeros((rows, cols), np.int64)
    s = np.zeros((rows, cols), np.int64)  # difference, Horner's register and result, in turn
    ready = np.zeros((along_m, queries), np.int64)
    faults = 0
    for cycle in range(busy.shape[0]):
        # Elements from the last to the first, so that each still sees its neighbours' old registers.
        for r in range(rows - 1, -1, -1):
            for c in range(min(cols - 1, cycle - r), max(-1, cycle - r - code.shape[0]), -1):
                at = cycle - r - c
                op = code[at]
                if op == IDLE:
                    continue
                turn = tile[at]
                m_tile = turn % along_m
                m, p = m_tile * rows + r, turn // along_m * cols + c
                slot = turn % depth
                real = m < keys and p < queries
                left, above = right[r, c], down[r, c]
                if op == QK:
                    e = index[at]
                    if c == 0:
                        left = k[m, e] if m < keys else 0
                    if r == 0:
                        above = q[p, e] if p < queries else 0
                    acc[slot, r, c] = (0 if e == 0 else acc[slot, r, c]) + left * above
                elif op == LM:
                    above = LOWEST if r == 0 else above
                    if m < keys:
                        above = max(above, acc[slot, r, c])
                    if r == rows - 1 and p < queries:  # the 1D array: one cycle, readable in the next
                        maxima[m_tile, p] = max(above, maxima[m_tile - 1, p]) if m_tile > 0 else above
                        ready[m_tile, p] = cycle + 2
                elif op == SUB:
                    if r == 0:
                        above = 0
                        if p < queries:
                            above = maxima[m_tile, p]
                            faults += cycle < ready[m_tile, p]
                    s[r, c] = acc[slot, r, c] - above
                elif op == EXP:
                    stage = index[at]
                    if stage == 0:
                        whole[r, c], part[r, c] = exp_start(min(s[r, c], 0), score_bits)
                        s[r, c] = HORNER[0]
                    else:
                        s[r, c] = exp_mac(s[r, c], part[r, c], stage)
                        if stage == 5:
                            s[r, c] = exp_shift(s[r, c], whole[r, c]) if m < keys else 0
                elif op == SLD:
                    above = (0 if r == 0 else above) + s[r, c]
                    if r == rows - 1 and p < queries:
                        denominators[m_tile, p] = above
                else:
                    f = index[at]
                    if c == 0:
                        left = v[m, f] if m < keys else 0
                    above = (0 if r == 0 else above) + s[r, c] * left
                    if r == rows - 1 and p < queries:
                        numerators[m_tile, f, p] = above
                right[r, c + 1] = left
                down[r + 1, c] = above
                if real:
                    busy[cycle] += 1
                    counts[op] += 1
    return faults
