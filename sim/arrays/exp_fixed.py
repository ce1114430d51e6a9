"""exp(x) for x <= 0 in fixed point by six macs, as a FuseMax element computes it.

exp(x) = 2^(x log2 e). Mac 1 multiplies by log2 e; the product splits into a whole part i <= 0 and a
fraction f in [0, 1). Macs 2 to 6 run Horner's rule on a polynomial of degree 5 for 2^f. A shift by i, part
of mac 6's output wiring, ends it. FuseMax (MICRO 2024) charges an exp as 6 macs; this split of the six is
ours. All arithmetic is integer, shifts round down.
"""

from __future__ import annotations

from typing import Final

from einsim.specs.compiled import njit

FRACTION_BITS: Final = 16  # of the result, of f and of the coefficients; 1.0 is 1 << 16
LOG2E_BITS: Final = 14
LOG2E: Final = 23637  # round(log2(e) * 2^14)

# Chebyshev interpolation of 2^f on [0, 1] at degree 5, times 2^16, rounded; derived again in the tests.
HORNER: Final = (124, 587, 3661, 15738, 45427, 65536)
MIN_INPUT_FRACTION_BITS: Final = FRACTION_BITS - LOG2E_BITS


@njit(inner=True)
def exp_start(x: int, input_fraction_bits: int) -> tuple[int, int]:
    """Mac 1: the whole part (<= 0 for x <= 0) and the fraction of x log2 e, 16 fraction bits."""
    y = (x * LOG2E) >> (input_fraction_bits + LOG2E_BITS - FRACTION_BITS)
    return y >> FRACTION_BITS, y & ((1 << FRACTION_BITS) - 1)


@njit(inner=True)
def exp_mac(p: int, f: int, stage: int) -> int:
    """Macs 2 to 6 (stage 1 to 5): one step of Horner's rule; p of stage 1 is HORNER[0]."""
    return ((p * f) >> FRACTION_BITS) + HORNER[stage]


@njit(inner=True)
def exp_shift(p: int, whole: int) -> int:
    """The wiring behind mac 6: p * 2^whole, 0 when nothing is left."""
    return 0 if whole < -FRACTION_BITS - 1 else p >> -whole


@njit()
def exp_fixed(x: int, input_fraction_bits: int) -> int:
    """exp(x / 2^input_fraction_bits) * 2^16 for x <= 0, by the six macs in order."""
    whole, f = exp_start(x, input_fraction_bits)
    p = HORNER[0]
    for stage in range(1, 6):
        p = exp_mac(p, f, stage)
    return int(exp_shift(p, whole))
