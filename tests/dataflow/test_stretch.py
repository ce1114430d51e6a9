"""The stretch of a loop around an iteration is the one of its ranges of alike iterations that holds it."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from einsim.dataflow.iteration import path_of
from einsim.dataflow.lower import lower
from tests.dataflow.cases import program_case


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_a_stretch_is_a_range_of_alike_iterations(seed: int) -> None:
    case = program_case(seed, largest=12)
    assume(case is not None)
    work, chip, mapping = case
    program = lower(mapping, work, chip)
    assume(any(op.cut for op in program.ops))
    for op in program.ops:
        path = path_of(op, program.loops, program.sizes)
        position, steps = path.first(), 0
        while position is not None and steps < 60:
            for at in range(path.depth):
                ranges = path.alike(position, at)
                assert path.stretch(position, at) in ranges
            steps += 1
            position = position if path.advance(position) else None
