"""`step`: run a GEMM through the cycle-stepped array, values and cycles, exactly as the RTL would."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from einsim.sim.arrays.gemm import ArraySpec, Gemm
from einsim.sim.arrays.schedule import schedule
from einsim.sim.arrays.step_output import step_output
from einsim.sim.arrays.step_stationary import step_stationary
from einsim.sim.arrays.systolic import elapsed
from einsim.sim.arrays.words import words
from einsim.specs.arrays import AnyInts, Ints
from einsim.specs.errors import RuleError

OPERAND_BITS: Final = 28  # an operand register also carries three bits and is modelled in 32


class Stepped(msgspec.Struct, frozen=True, kw_only=True):
    """What the stepped array did.

    outputs: int64 [m, n], each wrapped to the accumulator's width (two's complement).
    cycles: as the convention reports them, equal to `systolic.cycles`.
    macs_per_cycle: int64 [elapsed], elements that multiplied two real operands in each cycle.
    a_reads, b_reads, index_reads, writes: SRAM words at the array's edge, equal to `systolic.traffic`.
    """

    outputs: Ints
    cycles: int
    macs_per_cycle: Ints
    a_reads: int
    b_reads: int
    index_reads: int
    writes: int

    @property
    def macs(self) -> int:
        """Multiplications of two real operands in the whole run."""
        return int(self.macs_per_cycle.sum())


def step(
    spec: ArraySpec, a: AnyInts, b: AnyInts, *, nm: tuple[int, int] | None = None, accumulator_bits: int = 32
) -> Stepped:
    """Steps out = a @ b through the array cycle by cycle.

    a: integers [m, k]; b: integers [k, n]; with `nm` = (n, m), b keeps at most n non-zero values of every
    m along k (prune it with `einsim.sim.arrays.sorter`). Operands fit 28 bits, accumulators 1 to 64 bits.
    Raises RuleError for shapes, types or values outside that.
    """
    a, b = _operand("a", a), _operand("b", b)
    if a.shape[1] != b.shape[0]:
        raise RuleError("a [m, k] and b [k, n] must agree in k", got=(a.shape, b.shape))
    if not 1 <= accumulator_bits <= 64:
        raise RuleError("must be between 1 and 64", got=accumulator_bits, at=("accumulator_bits",))
    gemm = Gemm(m=a.shape[0], n=b.shape[1], k=a.shape[1], nm=nm)
    table = schedule(spec, gemm)
    kind = np.int32 if accumulator_bits <= 32 else np.int64
    macs = np.zeros(elapsed(spec, gemm), np.int64)
    out = np.zeros((gemm.m, gemm.n), kind)
    ports = words(spec, gemm, a, b)
    sums = np.zeros((2, spec.rows + 1, spec.cols), kind)
    if spec.dataflow == "output-stationary":
        a_reads, b_reads, writes, faults = step_output(
            ports.a, ports.b, ports.groups, ports.a_cost, table, sums[0, 1:], out, macs
        )
    elif spec.dataflow == "weight-stationary":
        a_reads, b_reads, writes, faults = step_stationary(
            ports.a, ports.b, ports.groups, True, ports.a_cost, ports.b_cost, table, sums, out, macs
        )
    else:
        across, down = np.ascontiguousarray(ports.b.T), np.ascontiguousarray(ports.a.T)
        turned = np.zeros((gemm.n, gemm.m), kind)
        b_reads, a_reads, writes, faults = step_stationary(
            across, down, ports.groups, False, ports.b_cost, ports.a_cost, table, sums, turned, macs
        )
        out = turned.T
    assert faults == 0, "a result left the array without its valid bit"
    return Stepped(
        outputs=wrap(out.astype(np.int64), accumulator_bits),
        cycles=len(macs) - (1 if spec.convention == "scale-sim" else 0),
        macs_per_cycle=macs,
        a_reads=a_reads,
        b_reads=b_reads,
        index_reads=0 if nm is None else b_reads,
        writes=writes,
    )


def wrap(values: Ints, bits: int) -> Ints:
    """The values as a two's complement register of `bits` bits holds them."""
    if bits == 64:
        return values
    half = np.int64(1) << np.int64(bits - 1)
    return ((values + half) & ((half << np.int64(1)) - 1)) - half


def _operand(name: str, values: AnyInts) -> AnyInts:
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise RuleError("must be a matrix with at least one row and column", got=array.shape, at=(name,))
    if array.dtype.kind not in "iu":
        raise RuleError("must hold integers", got=str(array.dtype), at=(name,))
    limit = 1 << (OPERAND_BITS - 1)
    if int(array.min()) < -limit or int(array.max()) >= limit:
        raise RuleError(f"must fit {OPERAND_BITS} bits", got=(int(array.min()), int(array.max())), at=(name,))
    return np.ascontiguousarray(array, np.int32)
