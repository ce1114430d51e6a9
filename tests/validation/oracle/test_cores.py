"""Cores: what goes where, what is shared, and what a core cannot see."""

from __future__ import annotations

import msgspec
import pytest

from einsim.dataflow.mapping import Compute, Mapping, Node, Sequence, chain, keep
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workloads.cascade import Cascade
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


@pytest.mark.parametrize(("tile", "copies"), [(1, 1 + 1), (2, 2 + 3), (3, 3 + 3)])
def test_where_a_tile_begins_decides_which_cores_uneven_tiles_share(tile: int, copies: int) -> None:
    """Of a W[c] that cores of c and x want: in tiles of 2 the points of c = 0 are on cores 0 and 1, then on
    core 0; those of c = 1 on 2 and 0, then on 1. Tiles of 1 have c = 0 on core 0 only, c = 1 on core 1.
    """
    work = parse("O[c,x] = I[c,x] * W[c]", name="turned", sizes={"c": 2, "x": 3})
    leaf = Compute(einsum="O", unit="lanes", spatial={"cores": ("c", "x")})
    tree = chain(keep("I W O", "gb"), keep("W", "near"), ("x", tile), keep("I O", "near"), ("c", 1), leaf)
    assert _reads(work, tree, "W", cores=3) == copies * 2


def test_where_a_tile_begins_decides_what_two_readers_share() -> None:
    """A has W[c] on core c, B on the cores of 2c and 2c + 1: together 0 and 1 for the first, all 3 then."""
    work = parse("A[c] = exp(W[c])\nB[c,x] = W[c] * I[x]", name="two", sizes={"c": 2, "x": 2})
    spatial = (("A", ("c",)), ("B", ("c", "x")))
    leaves = [Compute(einsum=einsum, unit="lanes", spatial={"cores": ranks}) for einsum, ranks in spatial]
    below = chain(("c", 1), Sequence(children=tuple(leaves)))
    tree = chain(keep("W A B I", "gb"), keep("W A B I", "near"), below)
    assert _reads(work, tree, "W", cores=3) == (2 + 3) * 2


def _reads(work: Cascade, tree: Node, tensor: str, cores: int) -> int:
    """Bytes of a tensor that cores which share no reads take from `gb`, once all figures agree on them."""
    chip = msgspec.structs.replace(machine(cores=cores, copies=cores), multicast=False)
    made = Mapping(cascade=work.name, machine=chip.name, template="hand", tree=tree)
    verdict = judge(DrawnCase(name="0/0", kind="cores", work=work, chip=chip, mapping=made))
    assert verdict.legal
    assert not verdict.found
    return outcome(work, chip, tree).books.reads["gb", tensor]
