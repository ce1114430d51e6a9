"""A chain of DSP48 slices that share a dot product over their cascade wires, dense and N:M.

`length` slices stand in a chain; each has operand registers (A, B), a product register (M) and a sum
register (P) that takes its own product plus the P of the slice before over PCIN (Xilinx UG579: AREG, BREG,
MREG, PREG = 1). One more register behind the last slice adds the beats of one output. A beat is what the
chain takes in one cycle: `length` slots along k. Slice i's operands of the beat presented in cycle b enter
its registers in cycle b + i, multiply in b + i + 1, join the cascade in b + i + 2; the last slice's sum is
added to the output's in b + length + 2. Outputs follow without a gap, `rows` x `cols` chains work side by
side (m over the rows, n over the columns), so

    cycles = ceil(m / rows) * ceil(n / cols) * beats + length + 2

N:M (FlightLLM's configurable chain, FPGA 2024): slices work in floor(length / n) groups of n; each group
takes one group of m values of A and a selector before each slice picks the one that its kept value of B
multiplies. beats = ceil(ceil(k / m) / floor(length / n)); dense is 1:1. Groups never straddle a beat.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from einsim.sim.arrays.gemm import Gemm, at_least_one
from einsim.sim.arrays.nm import compress
from einsim.sim.arrays.stepped import wrap
from einsim.specs.arrays import AnyInts, Ints
from einsim.specs.compiled import njit
from einsim.specs.errors import RuleError

SUM_BITS: Final = 48  # the DSP48's P register, UG579
PIPELINE_CYCLES: Final = 2  # beyond one cycle a slice: M and P of the last slice; see the timing above


class ChainSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rows` x `cols` chains of `length` DSP slices; RuleError for a size below 1."""

    rows: int
    cols: int
    length: int

    def __post_init__(self) -> None:
        for name in ("rows", "cols", "length"):
            at_least_one(name, getattr(self, name))

    @property
    def dsps(self) -> int:
        """Slices in all chains."""
        return self.rows * self.cols * self.length


class ChainRun(msgspec.Struct, frozen=True, kw_only=True):
    """outputs int64 [m, n] (48-bit sums), cycles, and products of real operands in each cycle [cycles]."""

    outputs: Ints
    cycles: int
    macs_per_cycle: Ints


def beats(spec: ChainSpec, gemm: Gemm) -> int:
    """Cycles that one output occupies a chain; RuleError if a group of n slots is longer than a chain."""
    n, m = gemm.nm or (1, 1)
    if n > spec.length:
        raise RuleError(f"a chain of {spec.length} cannot hold a group of {n} slots", got=gemm.nm, at=("nm",))
    groups, per_beat = -(-gemm.k // m), spec.length // n
    return -(-groups // per_beat)


def chain_cycles(spec: ChainSpec, gemm: Gemm) -> int:
    """Clock cycles from the first beat to the edge that stores the last output."""
    rounds = -(-gemm.m // spec.rows) * -(-gemm.n // spec.cols)
    return rounds * beats(spec, gemm) + spec.length + PIPELINE_CYCLES


def step_chain(spec: ChainSpec, a: AnyInts, b: AnyInts, *, nm: tuple[int, int] | None = None) -> ChainRun:
    """Steps out = a @ b through the chains; a [m, k], b [k, n] integers whose sums fit 63 bits.

    With `nm`, b keeps at most n of every m values along k in a column (RuleError otherwise).
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise RuleError("a [m, k] and b [k, n] must be matrices that agree in k", got=(a.shape, b.shape))
    gemm = Gemm(m=a.shape[0], n=b.shape[1], k=a.shape[1], nm=nm)
    value, where = _slices(spec, gemm, b)
    cycles = chain_cycles(spec, gemm)
    out = np.zeros((gemm.m, gemm.n), np.int64)
    macs = np.zeros(cycles, np.int64)
    _step(a.astype(np.int64), value, where, spec.rows, spec.cols, out, macs)
    return ChainRun(outputs=wrap(out, SUM_BITS), cycles=cycles, macs_per_cycle=macs)


def _slices(spec: ChainSpec, gemm: Gemm, b: AnyInts) -> tuple[AnyInts, AnyInts]:
    """Per beat, slice and column: B's value, and the k of the A that its selector picks (-1: idle)."""
    n, m = gemm.nm or (1, 1)
    small = compress(b, (n, m))
    per_beat, count = spec.length // n, beats(spec, gemm)
    value = np.zeros((count * per_beat * n, gemm.n), np.int64)
    where = np.full(value.shape, -1, np.int64)
    slots = np.arange(gemm.slots)
    value[: gemm.slots] = small.values
    where[: gemm.slots] = small.index + (slots // n * m)[:, None]
    shape, idle = (count, per_beat * n, gemm.n), ((0, 0), (0, spec.length - per_beat * n), (0, 0))
    return np.pad(value.reshape(shape), idle), np.pad(where.reshape(shape), idle, constant_values=-1)


@njit()
def _step(
    a: AnyInts, value: AnyInts, where: AnyInts, rows: int, cols: int, out: AnyInts, macs: AnyInts
) -> None:
    """Registers in order of the data: a_reg, b_reg -> product -> sum_reg (cascade) -> total."""
    count, length, width = value.shape
    height = a.shape[0]
    chains = rows * cols
    col_rounds = (width + cols - 1) // cols
    total_beats = (height + rows - 1) // rows * col_rounds * count
    a_reg = np.zeros((length, chains), np.int64)
    b_reg = np.zeros((length, chains), np.int64)
    real = np.zeros((length, chains), np.int64)
    product = np.zeros((length, chains), np.int64)
    sum_reg = np.zeros((length, chains), np.int64)
    total = np.zeros(chains, np.int64)
    for cycle in range(macs.shape[0]):
        arrived = cycle - length - 2  # the beat whose sum stands in the last slice
        if 0 <= arrived < total_beats:
            beat, turn = arrived % count, arrived // count
            for chain in range(chains):
                total[chain] = (0 if beat == 0 else total[chain]) + sum_reg[length - 1, chain]
            if beat == count - 1:
                for chain in range(chains):
                    m = turn // col_rounds * rows + chain // cols
                    n = turn % col_rounds * cols + chain % cols
                    if m < height and n < width:
                        out[m, n] = total[chain]
        busy = 0
        for i in range(length - 1, -1, -1):
            for chain in range(chains):
                sum_reg[i, chain] = product[i, chain] + (sum_reg[i - 1, chain] if i > 0 else 0)
            for chain in range(chains):
                product[i, chain] = a_reg[i, chain] * b_reg[i, chain]
                busy += real[i, chain]
            presented = cycle - i
            inside = 0 <= presented < total_beats
            beat, turn = presented % count, presented // count
            for chain in range(chains):
                m = turn // col_rounds * rows + chain // cols
                n = turn % col_rounds * cols + chain % cols
                k = where[beat, i, n] if inside and m < height and n < width else -1
                real[i, chain] = k >= 0
                a_reg[i, chain] = a[m, k] if k >= 0 else 0
                b_reg[i, chain] = value[beat, i, n] if k >= 0 else 0
        macs[cycle] = busy
