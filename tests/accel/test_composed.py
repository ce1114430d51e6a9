"""Composed ops: they resolve, they are right mathematics at the counts given, and they are told apart."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.accel.composed import COMPOSED, GIVEN, completed
from einsim.accel.machine import OpCost, Unit

NEEDED = [
    "add",
    "mul",
    "mac",
    "max",
    "min",
    "exp",
    "div",
    "sqrt",
    "rsqrt",
    "tanh",
    "sigmoid",
    "erf",
    "log",
    "abs",
    "select",
    "cmp",
]


def lanes(ops):
    return Unit(name="v", kind="vector", dims={"lanes": 1}, ops=ops, reads_from="gb")


def test_the_three_given_ops_are_enough_for_a_transformer():
    ops = completed({op: OpCost(cycles=1, energy_pj=1.0) for op in GIVEN})
    assert set(NEEDED) == {*GIVEN, *COMPOSED} == set(ops)
    for op in NEEDED:
        assert lanes(ops).cost(op).cycles >= 1
        assert lanes(ops).cost(op).energy_pj == lanes(ops).cost(op).cycles


def test_what_is_given_is_kept():
    own = OpCost(cycles=3)
    assert completed({**{op: OpCost() for op in GIVEN}, "exp": own})["exp"] is own


def test_nothing_is_built_from_nothing():
    assert completed({"select": OpCost()}) == {"select": OpCost()}


@given(st.integers(1, 9))
def test_a_slower_mac_slows_every_op_made_of_it(cycles):
    fast = lanes(completed({op: OpCost() for op in GIVEN}))
    slow = lanes(completed({"mac": OpCost(cycles=cycles), "add": OpCost(), "max": OpCost()}))
    assert all(slow.cost(op).cycles >= fast.cost(op).cycles for op in NEEDED)
    assert slow.cost("exp").cycles == 6 * cycles


@given(st.floats(1.0, 2.0))
def test_three_newton_steps_reach_16_bits(value):
    # As counted in COMPOSED: from a linear first guess on the reduced argument.
    inverse = 24 / 17 - 8 / 17 * value
    root = 1.0 - 0.3 * (value - 1.0)
    for _ in range(3):
        inverse = inverse * (2 - value * inverse)
        root = root * (1.5 - 0.5 * value * root * root)
    assert inverse == pytest.approx(1 / value, rel=2**-16)
    assert root == pytest.approx(1 / math.sqrt(value), rel=2**-16)


@given(st.floats(-6, 6))
def test_the_erf_formula_is_good_to_its_printed_error(x):
    t = 1 / (1 + 0.3275911 * abs(x))
    polynomial = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    assert math.copysign(1 - polynomial * math.exp(-x * x), x) == pytest.approx(math.erf(x), abs=1.5e-7)
