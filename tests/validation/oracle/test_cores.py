"""Cores: what goes where, what is shared, and what a core cannot see."""

from __future__ import annotations

import msgspec
import pytest

from einsim.dataflow.mapping import Compute, Sequence, chain, keep
from einsim.workloads.notation import parse
from tests.validation.oracle.small import machine, outcome, right, traffic

WORK = parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": 6, "k": 3, "n": 4})


@pytest.mark.parametrize(("multicast", "reads"), [(True, 1), (False, 2)])
def test_what_every_core_wants_is_read_once_or_by_each(multicast: bool, reads: int) -> None:
    # m goes round 2 cores: each fills its own memory with half of A and Z, and with all of B
    chip = msgspec.structs.replace(machine(cores=2, copies=2), multicast=multicast)
    leaf = Compute(einsum="Z", unit="grid", spatial={"cores": ("m",), "cols": ("n",)})
    found = outcome(WORK, chip, chain(keep("A B Z", "gb"), keep("A B Z", "near"), leaf))
    assert found.books.reads["gb", "B"] == reads * 3 * 4 * 2
    assert found.books.writes["near", "B"] == 2 * 3 * 4 * 2
    assert found.books.reads["gb", "A"] == 6 * 3 * 2
    assert found.unit_cycles["grid"] == 3 * 3
    assert right(WORK, found)


def test_cores_that_share_a_memory_take_their_steps_together() -> None:
    # 3 rounds of 3 steps: a B of 4 values each for both cores at once, an A for each
    leaf = Compute(einsum="Z", unit="grid", spatial={"cores": ("m",), "cols": ("n",)})
    found = outcome(WORK, machine(cores=2), chain(keep("A B Z", "gb"), leaf))
    assert found.books.reads["gb", "B"] == 9 * 4 * 2
    assert found.books.reads["gb", "A"] == 9 * 2 * 2


def test_a_core_does_not_see_what_another_has() -> None:
    # B is made with i round the cores and read with j round them
    work = parse("B[i,j] = exp(A[i,j])\nC[i,j] = B[i,j] * 2", name="turned", sizes={"i": 4, "j": 4})
    leaves = [Compute(einsum=e, unit="lanes", spatial={"cores": (r,)}) for e, r in (("B", "i"), ("C", "j"))]
    tree = chain(keep("A C", "gb"), keep("A B C", "near"), Sequence(children=tuple(leaves)))
    found = outcome(work, machine(cores=2, copies=2), tree)
    assert found.missing == {("C", "B")}
    alike = tuple(msgspec.structs.replace(leaf, spatial={"cores": ("i",)}) for leaf in leaves)
    tree = chain(keep("A C", "gb"), keep("A B C", "near"), Sequence(children=alike))
    assert right(work, outcome(work, machine(cores=2, copies=2), tree))


def test_traffic_of_a_result_is_its_size_whatever_the_cores() -> None:
    leaf = Compute(einsum="Z", unit="grid", spatial={"cores": ("n", "m"), "rows": ("m",)})
    found = outcome(WORK, machine(cores=3, copies=3), chain(keep("A B Z", "gb"), keep("A B Z", "near"), leaf))
    assert traffic(found, "dram", "Z") == 6 * 4 * 2
    assert right(WORK, found)
