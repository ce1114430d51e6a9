"""Operand widths stand beside the ops of an Einsum, one by one."""

from __future__ import annotations

import pytest

from einsim.workloads import library
from einsim.workloads.notation import parse

HEAD = "rank m = 4, n = 4, k = 4\ntensor A bits 8\ntensor B bits 4\ntensor C bits 32\n"


@pytest.mark.parametrize(
    ("text", "ops"),
    [
        ("Z[m,n] = A[m,k] * B[k,n]", (("mac", (8, 4)),)),
        ("Z[m,n] = C[m,n] * 2", (("mul", (32, 32)),)),
        ("Z[m,n] = A[m,n] * m", (("mul", (8, 8)),)),
        ("Z[m] = sum[n](A[m,n] + C[m,n])", (("add", (8, 32)), ("add", (32,)))),
        ("Z[m] = max[n](A[m,n])", (("max", (8,)),)),
        ("Z[m,n] = exp(A[m,n] - B[m,n])", (("add", (8, 4)), ("exp", (8,)))),
        ("Z[m,n] = B[m,n] if C[m,n] > 0 else 0", (("cmp", (32, 32)), ("select", (4, 4)))),
        ("Z[m,n] = prune[2:4,n](C[m,n])", (("select", (32,)),)),
        ("Z[m,n] = A[m,n]", ()),
    ],
)
def test_each_op_has_the_bits_of_what_it_works_on(text, ops):
    assert parse(HEAD + "\n".join((text, *_unused(text)))).wide_ops("Z") == ops


def _unused(text: str) -> list[str]:
    return [f"U{name} = max[m,n]({name}[m,n])" for name in "ABC" if f"{name}[" not in text]


@pytest.mark.parametrize("name", library.names())
def test_the_ops_are_those_of_the_einsum_in_the_same_order(name):
    cascade = library.build(name)
    for einsum in cascade.einsums:
        assert tuple(op for op, _ in cascade.wide_ops(einsum.name)) == einsum.ops
