"""Room in a memory for all that is read of a tensor, at whatever indices, held against counting by hand."""

from __future__ import annotations

import pytest

from einsim.dataflow.held import held_bytes
from einsim.dataflow.layout import lay_out
from einsim.dataflow.mapping import Compute, Mapping, chain, keep
from einsim.workloads.notation import parse
from tests.validation.oracle.small import machine


@pytest.mark.parametrize(
    ("text", "loop", "rows"),
    [
        ("Y[t,c] = X[t,c] - X[t+5,c]", ("t", 2), 4),  # rows t, t+1 and t+5, t+6
        ("Y[t,c] = X[t,c] - X[t+1,c]", ("t", 4), 5),  # four rows and the next one
        ("Y[t,u] = X[t,c] * X[u,c]", ("t", 2), 8),  # u goes over all 8 rows, among which are t, t+1
        ("Y[t,c] = X[t,c] - X[7-t,c]", ("t", 2), 4),  # two rows from either end
    ],
)
def test_all_that_is_read_at_once_has_room(text: str, loop: tuple[str, int], rows: int) -> None:
    work = parse(text, name="two", sizes={"t": 8, "c": 4, "u": 8})
    tree = chain(loop, keep(("X",), "gb", buffers=1), Compute(einsum="Y", unit="lanes"))
    mapping = Mapping(cascade="two", machine="small", template="", tree=tree)
    assert held_bytes(mapping, lay_out(mapping, work), work, machine()) == {"gb": rows * 4 * 2}
