"""Operands as the array's wires carry them: one integer a register, value, index and control bits.

Dense: value * 8 + bits, int32. N:M: value * 65536 + index * 8 + bits, int64, where the value on a dense
operand's wire is the number of its group of m in `groups` (moving the number stands for moving the
group, which no element changes) and the index on the sparse operand's wire selects in that group.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from einsim.sim.arrays.gemm import ArraySpec, Gemm
from einsim.sim.arrays.nm import compress, group_words
from einsim.specs.arrays import AnyInts, Ints

DENSE_SHIFT: Final = 3
NM_SHIFT: Final = 16
INDEX_MASK: Final = 0x1FFF


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What the ports bring.

    a [m, slots] and b [slots, n] as wires carry them (control bits 0); groups [m * groups, m], None when
    dense; a_cost and b_cost [slots], the SRAM words that each slot of A and of B costs.
    """

    a: AnyInts
    b: AnyInts
    groups: AnyInts | None
    a_cost: Ints
    b_cost: Ints


def words(spec: ArraySpec, gemm: Gemm, a: AnyInts, b: AnyInts) -> Words:
    """The operands a [m, k] and b [k, n], int32, as the array's ports bring them."""
    ones = np.ones(gemm.slots, np.int64)
    if gemm.nm is None:
        return Words(a=a * 8, b=b * 8, groups=None, a_cost=ones, b_cost=ones)
    n, m = gemm.nm
    small = compress(b, gemm.nm)
    count = -(-gemm.k // m)
    padded = np.zeros((gemm.m, count * m), np.int32)
    padded[:, : gemm.k] = a
    number = np.arange(gemm.m)[:, None] * count + np.arange(gemm.slots)[None, :] // n
    return Words(
        a=number << NM_SHIFT,
        b=(small.values.astype(np.int64) << NM_SHIFT) + (small.index.astype(np.int64) << 3),
        groups=padded.reshape(gemm.m * count, m),
        a_cost=a_cost(spec, gemm),
        b_cost=ones,
    )


def a_cost(spec: ArraySpec, gemm: Gemm) -> Ints:
    """SRAM words of A that each slot costs, int64 [slots] (see `systolic.traffic` for the convention)."""
    if gemm.nm is None or spec.convention == "scale-sim":
        return np.ones(gemm.slots, np.int64)
    return group_words(gemm.k, gemm.nm, spec.rows if spec.stationary else None)
