"""Vector ops that a source gives no figure for, built from the ops that it does give."""

from __future__ import annotations

from typing import Final

from einsim.accel.machine import OpCost
from einsim.specs.registry import Registry

COMPOSED: Final[Registry[dict[str, int]]] = Registry(
    "composed op",
    {
        # A multiplier is a multiply-accumulate whose addend is zero.
        "mul": {"mac": 1},
        # Comparators: a maximum, minimum, compare, selection and sign clear are one comparator's work.
        "min": {"max": 1},
        "cmp": {"max": 1},
        "select": {"max": 1},
        "abs": {"max": 1},
        # Degree-6 polynomials on the reduced argument: FuseMax (MICRO 2024) issues exp as 6 macs.
        "exp": {"mac": 6},
        "log": {"mac": 6},
        # Newton's iteration for 1/b, three steps of y(2 - by) (one mac, one mul each), then a * (1/b).
        "div": {"mac": 3, "mul": 4},
        # Newton's iteration for 1/sqrt(a), three steps of y(1.5 - 0.5 a y y); sqrt multiplies by a once more.
        "rsqrt": {"mul": 6, "mac": 3},
        "sqrt": {"mul": 7, "mac": 3},
        # sigmoid(x) = 1 / (1 + exp(-x)); tanh(x) = 2 sigmoid(2x) - 1.
        "sigmoid": {"exp": 1, "add": 1, "div": 1},
        "tanh": {"mul": 1, "exp": 1, "add": 1, "div": 1, "mac": 1},
        # Abramowitz and Stegun 7.1.26: t = 1/(1 + px), a polynomial of 5 terms in t, times exp(-x x).
        "erf": {"abs": 1, "mac": 7, "mul": 1, "exp": 1, "div": 1},
    },
)
GIVEN: Final = ("mac", "add", "max")
"""Ops that a vector unit must give itself; every other op of a transformer layer follows from them."""


def completed(ops: dict[str, OpCost]) -> dict[str, OpCost]:
    """The ops with every missing composed op added; those are assumptions.

    Nothing is added to a unit that lacks one of `GIVEN`: there is nothing to build from.
    """
    if not all(op in ops for op in GIVEN):
        return ops
    return {**ops, **{op: OpCost(made_of=made_of) for op, made_of in COMPOSED.items() if op not in ops}}
