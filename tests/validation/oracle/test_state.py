"""Recurrences: state stays where it is kept, step by step, and its latency adds up."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.machine import Machine, OpCost
from einsim.dataflow.account import static_counts
from einsim.dataflow.analytical import analyse
from einsim.dataflow.chain import chain_ticks
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, Node, Pipeline, Sequence, chain, keep
from einsim.specs.errors import SpecError
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.validation.oracle.price import least_cycles
from einsim.workloads.notation import parse
from tests.validation.oracle.small import machine, outcome, right, traffic
from tests.workloads.chunked import CHUNKED_GATES

RUNNING = "initial S = 0\nS[t+1,c] = S[t,c] * D[c] + X[t,c]\nY[t,c] = S[t+1,c] * G[c]"


@pytest.mark.parametrize("tile", [1, 5])
def test_a_state_that_nobody_reads_outside_never_leaves(tile: int) -> None:
    work = parse(RUNNING, name="running", sizes={"t": 5, "c": 3})
    leaves = tuple(Compute(einsum=e, unit="lanes", spatial={"lanes": ("c",)}) for e in ("S", "Y"))
    found = outcome(work, machine(), chain(keep("S D X G Y", "gb"), ("t", tile), Sequence(children=leaves)))
    assert right(work, found)
    assert traffic(found, "dram", "S") == 0
    assert traffic(found, "dram", "Y") == 5 * 3 * 2


def test_only_the_step_that_is_still_read_leaves() -> None:
    work = parse(
        "initial S = 0\nS[t+1,c] = S[t,c] + X[t,c]\nY[c] = S[T,c] * G[c]", name="last", sizes={"t": 5, "c": 3}
    )
    state = chain(keep("S", "gb"), keep("X", "gb"), ("t", 1), Compute(einsum="S", unit="lanes"))
    last = chain(keep("S G Y", "gb"), Compute(einsum="Y", unit="lanes"))
    found = outcome(work, machine(), Sequence(children=(state, last)))
    assert right(work, found)
    assert found.books.writes["dram", "S"] == 3 * 2 == found.books.reads["dram", "S"]


def test_an_initial_value_that_a_later_einsum_reads_is_never_moved() -> None:
    """Of a state of several steps, too: 2 bytes were stored and loaded for it (drawn input 101:2676)."""
    text = "initial S = 0\nS[t+1] = S[t] + X[t]\nY[c] = S[0] * G[c]\nR = sum[t](S[t+1])"
    work, chip = parse(text, name="first", sizes={"t": 5, "c": 3}), machine()
    state = chain(
        keep("S X R", "gb"), ("t", 1),
        Pipeline(children=(Compute(einsum="S", unit="lanes"), Compute(einsum="R", unit="lanes"))),
    )  # fmt: skip
    first = chain(keep("S G Y", "gb"), Compute(einsum="Y", unit="lanes"))
    tree = Sequence(children=(state, first))
    found = outcome(work, chip, tree)
    assert right(work, found)
    assert traffic(found, "dram", "S") == 0
    mapping = Mapping(cascade=work.name, machine=chip.name, template="file", tree=tree)
    assert "S" not in analyse(lower(mapping, work, chip), chip).traffic["dram"]


def test_a_state_in_a_keep_inside_its_loop_goes_out_and_in() -> None:
    work = parse(
        "initial S = 0\nS[t+1,c] = S[t,c] + X[t,c]\nY[c] = S[T,c] * G[c]", name="last", sizes={"t": 5, "c": 3}
    )
    state = chain(("t", 1), keep("S X", "gb"), Compute(einsum="S", unit="lanes"))
    last = chain(keep("S G Y", "gb"), Compute(einsum="Y", unit="lanes"))
    found = outcome(work, machine(), Sequence(children=(state, last)))
    assert right(work, found)
    assert found.books.writes["dram", "S"] == 5 * 3 * 2  # all steps, of which the first four are read back
    assert found.books.reads["dram", "S"] == 5 * 3 * 2


def test_the_steps_that_a_bound_leaves_out_leave_the_state_as_it_was() -> None:
    text = "where t <= c\ninitial S = 0\nS[t+1,c] = S[t,c] + X[t,c]\nY[c] = S[T,c] * G[c]"
    work = parse(text, name="masked", sizes={"t": 4, "c": 4})
    state = chain(keep("X", "gb"), ("t", 1), Compute(einsum="S", unit="lanes"))
    tree = chain(keep("S G Y", "gb"), Sequence(children=(state, Compute(einsum="Y", unit="lanes"))))
    found = outcome(work, machine(), tree)
    assert right(work, found)
    assert found.points["S"] == 4 + 3 + 2 + 1


def test_state_along_two_ranks() -> None:
    work = parse(
        "initial S = 0\nS[i+1,j+1] = max(S[i,j+1], S[i+1,j]) + X[i,j]\nY[i,j] = S[i+1,j+1] * 2",
        name="grid", sizes={"i": 3, "j": 4},
    )  # fmt: skip
    leaves = (Compute(einsum="S", unit="lanes"), Compute(einsum="Y", unit="lanes"))
    found = outcome(
        work, machine(), chain(keep("S X Y", "gb"), ("i", 1), ("j", 1), Sequence(children=leaves))
    )
    assert right(work, found)
    assert traffic(found, "dram", "S") == 0


def slow_to_add() -> Machine:
    """Its lanes have a sum 3 cycles after its issue."""
    chip = machine()
    slow = {**chip.units[1].ops, "add": OpCost(latency_cycles=3)}
    return msgspec.structs.replace(
        chip, units=(chip.units[0], msgspec.structs.replace(chip.units[1], ops=slow))
    )


@pytest.mark.parametrize("loops", [(1,), (2,), (5,), (3, 2), (3, 1)])
def test_a_chain_takes_its_latency_in_every_step(loops: tuple[int, ...]) -> None:
    # mul and add: two issues and 3 cycles until the next step can begin, five times over, however tiled
    work = parse(
        "initial S = 0\nS[t+1,c] = S[t,c] * D[c] + X[t,c]\nY[c] = S[T,c] * G[c]",
        name="slow",
        sizes={"t": 5, "c": 3},
    )
    chip = slow_to_add()
    steps = chain(
        *(("t", tile) for tile in loops), Compute(einsum="S", unit="lanes", spatial={"lanes": ("c",)})
    )
    last = Compute(einsum="Y", unit="grid", spatial={"rows": ("c",)})
    tree = chain(keep("S G Y", "gb"), Sequence(children=(chain(keep("X D", "gb"), steps), last)))
    assert least_cycles(work, chip, outcome(work, chip, tree))["chain"] == 5 * (2 + 3) + 1
    program = lower(Mapping(cascade="slow", machine="small", template="hand", tree=tree), work, chip)
    assert chain_ticks(program, static_counts(program)) == (5 * (2 + 3) + 1) * program.ticks_per_cycle


def test_a_step_waits_for_the_steps_that_it_reads_only() -> None:
    # along both ranks from corner to corner: 3 + 4 - 1 steps, of max, add and 3 cycles until the sum is there
    text = "initial S = 0\nS[i+1,j+1] = max(S[i+1,j], S[i,j+1]) + X[i,j]\nY = S[I,J] * 2"
    work, chip = parse(text, name="corners", sizes={"i": 3, "j": 4}), slow_to_add()
    leaves = (Compute(einsum="S", unit="lanes"), Compute(einsum="Y", unit="grid"))
    tree = chain(keep("S X Y", "gb"), Sequence(children=leaves))
    found = outcome(work, chip, tree)
    assert right(work, found)
    assert least_cycles(work, chip, found)["chain"] == 6 * (2 + 3) + 1
    program = lower(Mapping(cascade="corners", machine="small", template="hand", tree=tree), work, chip)
    rows = (10 * (2 + 3) + 1) * program.ticks_per_cycle  # nor is a step visible before those issued before it
    assert chain_ticks(program, static_counts(program)) == rows


def test_a_reduction_over_many_rows_is_not_there_at_once() -> None:
    # 16 rows take a tree of 4 levels at the least: each step 1 + 4 cycles
    text = "initial M = 1\nAM[t,n] = A[n,k] * M[t,k]\nM[t+1,k] = AM[t,k] + B[t,k]"
    work = parse(text, name="recurrent", sizes={"t": 3, "n": 16, "k": 16})
    chip = machine(rows=16, cols=16, lanes=16)
    leaves = (
        Compute(einsum="AM", unit="grid", spatial={"rows": ("k",), "cols": ("n",)}),
        Compute(einsum="M", unit="lanes", spatial={"lanes": ("k",)}),
    )
    found = outcome(work, chip, chain(keep("A M AM B", "gb"), ("t", 1), Sequence(children=leaves)))
    assert right(work, found)
    assert found.chain_cycles == 3 * (1 + 4 + 1)


def test_of_a_state_that_is_a_result_the_last_step_is_stored() -> None:
    work = parse("initial S = 0\nS[t+1,c] = S[t,c] + X[t,c]", name="sum", sizes={"t": 5, "c": 3})
    tree = chain(keep("S", "gb"), keep("X", "gb"), ("t", 1), Compute(einsum="S", unit="lanes"))
    found = outcome(work, machine(), tree)
    assert right(work, found)
    assert traffic(found, "dram", "S") == 3 * 2


def test_an_output_that_is_read_on_ends_in_dram_too() -> None:
    text = "B[t] = exp(A[t])\nY[t] = B[t] * 2"
    for more, size in (("", 0), ("\noutput B", 6 * 2)):
        work = parse(text + more, name="kept", sizes={"t": 6})
        leaves = tuple(Compute(einsum=e, unit="lanes") for e in ("B", "Y"))
        found = outcome(work, machine(), chain(keep("A B Y", "gb"), Sequence(children=leaves)))
        assert traffic(found, "dram", "B") == size
        assert right(work, found)


#: Gated linear attention in chunks: `B` sums the decays of a chunk, and all its steps are read together.
GATED = f"rank h = 2, n = 12, e = 3, f = 3, i = 4, j = 4\n{CHUNKED_GATES}"


def test_chunks_share_a_loop_and_all_steps_of_a_chunk_stay() -> None:
    """Legal, and what it counts is what happens, to the byte: the inputs come in once, O goes out once."""
    work, chip = parse(GATED, name="gated"), machine()
    inner = "LA Q K V B QB KB P OI KG DS OX O"
    leaves: dict[str, Node] = {
        e.name: Compute(einsum=e.name, unit="grid" if e.contracts else "lanes") for e in work.einsums
    }
    leaves["B"] = chain(("i", 1), leaves["B"])
    tree = chain(
        ("h", 1), keep("S", "gb"), ("c", 1), keep(inner, "gb"), Pipeline(children=tuple(leaves.values()))
    )
    made = Mapping(cascade="gated", machine="small", template="hand", tree=tree)
    case = DrawnCase(name="0/0", kind="state", work=work, chip=chip, mapping=made)
    verdict = judge(case)
    assert verdict.legal
    assert verdict.right
    assert not verdict.found
    found = outcome(work, chip, tree)
    assert {name: traffic(found, "dram", name) for name in ("LA", "Q", "K", "V", "O", "B", "S")} == {
        **dict.fromkeys(("LA", "Q", "K", "V", "O"), 2 * 12 * 3 * 2), "B": 0, "S": 0,
    }  # fmt: skip
    two = chain(
        ("h", 1), keep("S", "gb"), ("c", 2), keep(inner, "gb"), Pipeline(children=tuple(leaves.values()))
    )
    with pytest.raises(SpecError, match="OX takes several steps of c in one tile"):
        check(msgspec.structs.replace(made, tree=two), work, chip)
