"""Laws of the vector unit: values as numpy's, cycles as the closed form's, bounds from the issue port."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.arrays.vector import OPS, REDUCTIONS, VectorOp, step_vector, vector_cycles
from einsim.specs.errors import RuleError

NUMPY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
REDUCE = {"sum": np.sum, "row-max": np.max, "row-min": np.min}


@st.composite
def ops(draw):
    op = draw(st.sampled_from(OPS))
    register = st.integers(0, 3)
    sources = (draw(register),) if op in REDUCTIONS else (draw(register), draw(register))
    return VectorOp(
        op=op,
        target=draw(register),
        sources=sources,
        issue_cycles=draw(st.integers(1, 6)),
        latency_cycles=draw(st.integers(1, 9)),
    )


programs = st.lists(ops(), max_size=7).map(tuple)


@settings(max_examples=400, deadline=None)
@given(program=programs, lanes=st.integers(1, 9), length=st.integers(1, 40), seed=st.integers(0, 99))
def test_stepped_equals_numpy_and_the_closed_form(program, lanes, length, seed):
    held = np.random.default_rng(seed).integers(-5, 5, (4, length))
    run = step_vector(lanes, held, program)
    expected = held.copy()
    for op in program:
        values = [expected[i].copy() for i in op.sources]
        expected[op.target] = NUMPY[op.op](*values) if op.op in NUMPY else REDUCE[op.op](values[0])
    assert (run.registers == expected).all()
    assert run.cycles == vector_cycles(lanes, length, program) == len(run.lanes_per_cycle)
    assert run.lanes_per_cycle.sum() == length * len(program)
    beats = -(-length // lanes)
    assert run.cycles >= sum(op.issue_cycles for op in program) * beats - max(
        (o.issue_cycles for o in program), default=0
    )


def test_a_dependent_chain_pays_its_latency_and_a_long_one_hides_it():
    one = VectorOp(op="add", target=0, sources=(0, 0), latency_cycles=5)
    assert vector_cycles(16, 16, (one, one, one)) == 15  # one beat: each waits for the one before
    assert vector_cycles(16, 16 * 8, (one, one, one)) == 3 * 8 - 1 + 5  # eight beats cover five cycles


def test_a_reduction_waits_for_its_accumulator_and_then_its_tree():
    total = VectorOp(op="sum", target=1, sources=(0,), latency_cycles=4)
    assert vector_cycles(16, 16 * 3, (total,)) == 2 * 4 + 4 * (1 + 4)  # 3 beats, then 4 levels for 16 lanes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VectorOp(op="exp", target=0, sources=(0, 0)), "op: must be one of add"),
        (lambda: VectorOp(op="add", target=0, sources=(0,)), "sources: takes 2 sources, or 1"),
        (lambda: VectorOp(op="add", target=0, sources=(0, -1)), "register numbers must be >= 0"),
        (lambda: vector_cycles(0, 1, ()), "lanes: must be an integer >= 1"),
        (
            lambda: step_vector(1, np.ones((1, 2), int), (VectorOp(op="add", target=0, sources=(0, 3)),)),
            "names a register beyond the 1 given",
        ),
    ],
)
def test_malformed_programs_are_refused(make, message):
    with pytest.raises(RuleError, match=message):
        make()
