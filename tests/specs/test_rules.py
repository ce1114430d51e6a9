"""A rule gives a kernel, on floats, what it gives Python on whole numbers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.port import whole_accesses
from einsim.specs.compiled import njit
from einsim.specs.rules import down, rule, up
from einsim.workloads.sparsity import bytes_at, kept_in_groups

COUNT = st.integers(0, 2**40)
PART = st.integers(1, 2**12)


@rule
def stored(n, m, extent, bits, values, access):
    """Rules in each other: the accesses of what a pattern leaves."""
    return whole_accesses(bytes_at(kept_in_groups(n, m, extent) * bits, values), access)


@njit(error_model="numpy", allocates=False)
def in_kernel(n, m, extent, bits, values, access):
    return stored(n, m, extent, bits, values, access), up(extent, values), down(extent, values)


@settings(max_examples=80, deadline=None)
@given(n=st.integers(1, 8), m=st.integers(0, 8), extent=COUNT, bits=PART, values=PART, access=PART)
def test_a_rule_is_the_same_in_a_kernel(n, m, extent, bits, values, access):
    numbers = (n, m, extent, bits, values, access)
    here = stored(*numbers), -(-extent // values), extent // values
    assert in_kernel(*map(float, numbers)) == here
    assert all(isinstance(value, int) for value in here)


@given(amount=st.integers(0, 2**200), part=PART)
def test_python_counts_beyond_floats(amount, part):
    assert up(amount, part) * part - amount in range(part)
    assert amount - down(amount, part) * part in range(part)
