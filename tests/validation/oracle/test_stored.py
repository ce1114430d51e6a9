"""What sparse and narrow tensors take, what spills, what shares bytes, and whole accesses."""

from __future__ import annotations

import msgspec
import pytest

from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, Pipeline, Sequence, chain, keep
from einsim.sim.engine import simulate
from einsim.validation.oracle.price import dynamic_energy, least_cycles
from einsim.workloads.notation import parse
from tests.validation.oracle.small import machine, outcome, right, traffic


def test_every_fibre_keeps_its_own_last_group() -> None:
    # k = 254 at 2:4 keeps 63 * 2 + 2 = 128 a fibre, each of 16 bits and 2 for its place: 288 bytes, 4 fibres
    work = parse(
        "tensor W[k,n] bits 16 sparse 2:4 k\nZ[m,n] = A[m,k] * W[k,n]",
        name="nm",
        sizes={"m": 1, "k": 254, "n": 4},
    )
    tree = chain(keep("A W Z", "gb"), Compute(einsum="Z", unit="grid", spatial={"cols": ("n",)}))
    found = outcome(work, machine(exploits=("n:m",)), tree)
    assert found.books.reads["dram", "W"] == 4 * 288
    assert found.points["Z"] == 4 * 128
    assert found.unit_cycles["grid"] == 128
    assert found.books.reads["gb", "W"] == 4 * 288
    assert found.books.reads["gb", "A"] == 254 * 2  # whole: which values count is known by the places only
    assert right(work, found)


def test_a_fibre_that_bounds_cut_keeps_what_is_left_of_each_group() -> None:
    # rows of 1 to 8 values: 1 2 2 2 3 4 4 4 of them stay, 22 in all, of 16 bits and 2 for their place
    work = parse(
        "tensor A[m,k] sparse 2:4 k\nwhere k <= m\nZ[m,n] = A[m,k] * W[k,n]",
        name="tri", sizes={"m": 8, "k": 8, "n": 2},
    )  # fmt: skip
    chip = machine(exploits=("n:m",))
    tree = chain(keep("A W Z", "gb"), Compute(einsum="Z", unit="grid", spatial={"rows": ("m",)}))
    found = outcome(work, chip, tree)
    assert found.books.reads["dram", "A"] == 50  # 396 bits
    assert found.points["Z"] == 22 * 2
    program = lower(Mapping(cascade="tri", machine=chip.name, template="t", tree=tree), work, chip)
    assert all(level(program, chip).traffic["dram"]["A"] == 50 for level in (analyse, simulate))


def test_a_tile_that_cuts_the_groups_skips_nothing() -> None:
    work = parse(
        "tensor W[k,n] sparse 2:4 k\nZ[m,n] = A[m,k] * W[k,n]", name="nm", sizes={"m": 1, "k": 8, "n": 4}
    )
    leaf = Compute(einsum="Z", unit="grid", spatial={"cols": ("n",)})
    found = outcome(
        work, machine(exploits=("n:m",)), chain(keep("Z", "gb"), ("k", 2), keep("A W", "gb"), leaf)
    )
    assert found.points["Z"] == 8 * 4
    assert found.books.reads["dram", "W"] == 4 * (4 * 2 * 18 // 8)  # four tiles of 4 fibres with two values


def test_a_unit_that_exploits_nothing_computes_all() -> None:
    work = parse(
        "tensor W[k,n] sparse 2:4 k\nZ[m,n] = A[m,k] * W[k,n]", name="nm", sizes={"m": 1, "k": 8, "n": 4}
    )
    leaf = Compute(einsum="Z", unit="grid", spatial={"cols": ("n",)})
    found = outcome(work, machine(), chain(keep("A W Z", "gb"), leaf))
    assert found.points["Z"] == 8 * 4
    assert found.books.reads["dram", "W"] == 8 * 4 * 2


def test_half_of_the_blocks() -> None:
    # 8 values in 4 blocks of 2 a fibre, of which 2 are kept, and a bit a block
    work = parse(
        "tensor W[k,n] sparse block 2 0.5 k\nZ[m,n] = A[m,k] * W[k,n]",
        name="b",
        sizes={"m": 1, "k": 8, "n": 4},
    )
    leaf = Compute(einsum="Z", unit="grid", spatial={"cols": ("n",)})
    found = outcome(work, machine(exploits=("block",)), chain(keep("A W Z", "gb"), leaf))
    assert found.points["Z"] == 4 * 4
    assert found.books.reads["dram", "W"] == (4 * (4 * 16 + 4)) // 8


def test_pruning_needs_the_whole_group() -> None:
    work = parse("P[k,n] = prune[2:4,k](W[k,n])", name="prune", sizes={"k": 8, "n": 2})
    for tile, is_right in ((4, True), (2, False)):
        found = outcome(
            work, machine(), chain(keep("W P", "gb"), ("k", tile), Compute(einsum="P", unit="lanes"))
        )
        assert right(work, found) == is_right


def test_what_spills_is_counted_in_the_parent_too() -> None:
    # 4 steps read X once each: 4 * 4 * 2 bytes, of which a quarter from DRAM as well
    work = parse("Y[t,c] = exp(X[t,c])", name="exp", sizes={"t": 4, "c": 4})
    leaf = Compute(einsum="Y", unit="lanes", spatial={"lanes": ("t",)})
    found = outcome(work, machine(), chain(keep("Y", "gb"), keep("X", "gb", spill=0.25), leaf))
    assert found.books.reads["gb", "X"] == 32
    assert found.books.reads["dram", "X"] == 32 + 8


@pytest.mark.parametrize(("index", "is_right"), [("i,j", True), ("j,i", False)])
def test_sharing_bytes_destroys_what_lay_there(index: str, is_right: bool) -> None:
    # element by element in place is fine; transposed, a result falls on a value that is still wanted
    work = parse(f"B[i,j] = exp(A[i,j])\nC[i,j] = B[{index}] * 2", name="place", sizes={"i": 3, "j": 3})
    inner = chain(("i", 1), Compute(einsum="C", unit="lanes"))
    first = chain(keep("A", "gb"), Compute(einsum="B", unit="lanes"))
    found = outcome(
        work, machine(), chain(keep("B C", "gb", overlay=True), Sequence(children=(first, inner)))
    )
    assert right(work, found) == is_right


def test_a_chained_operand_costs_no_memory() -> None:
    work = parse("B[i,j] = exp(A[i,j])\nC[i,j] = B[i,j] * 2", name="chain", sizes={"i": 3, "j": 4})
    leaves = (Compute(einsum="B", unit="lanes"), Compute(einsum="C", unit="lanes", chained=("B",)))
    for loops, is_right in ((("i", 1), True), (None, True)):
        found = outcome(work, machine(), chain(keep("A C", "gb"), loops, Pipeline(children=leaves)))
        assert right(work, found) == is_right
        assert traffic(found, "gb", "B") == traffic(found, "dram", "B") == 0


def test_accesses_are_whole() -> None:
    # 3 rows of 5 values of 2 bytes: 10 bytes are two accesses of 8; read at 10 pJ and written at 12 pJ
    work = parse("Y[t,c] = exp(X[t,c])", name="exp", sizes={"t": 3, "c": 5})
    leaf = Compute(einsum="Y", unit="lanes", spatial={"lanes": ("c",)})
    found = outcome(work, machine(), chain(("t", 1), keep("X Y", "gb"), leaf))
    assert found.books.reads["dram", "X"] == 30
    assert found.books.moved["dram", "X", "read"] == 48
    energy = dynamic_energy(machine(), found)
    assert energy["dram"] == pytest.approx((6 * 10 + 6 * 12) * 1e-12)
    assert energy["lanes exp"] == pytest.approx(15 * 0.5e-12)
    assert least_cycles(work, machine(), found)["port dram"] == (48 + 48) / 32


def test_widths_count_in_bits() -> None:
    work = parse("tensor X bits 4\ntensor Y bits 32\nY[t] = exp(X[t])", name="w", sizes={"t": 7})
    found = outcome(
        work,
        machine(),
        chain(keep("X Y", "gb"), Compute(einsum="Y", unit="lanes", spatial={"lanes": ("t",)})),
    )
    assert (traffic(found, "dram", "X"), traffic(found, "dram", "Y")) == (4, 28)


def test_banks_divide_the_rate() -> None:
    work = parse("Y[t] = exp(X[t])", name="w", sizes={"t": 16})
    chip = machine()
    banked = msgspec.structs.replace(chip.memories[0], banks=2)
    chip = msgspec.structs.replace(chip, memories=(banked, *chip.memories[1:]))
    found = outcome(work, chip, chain(keep("X Y", "gb"), Compute(einsum="Y", unit="lanes")))
    least = least_cycles(work, chip, found)
    assert least["port dram.0"] == least["port dram.1"] == 32 * 2 / 32


def test_bounds_cut_groups_and_what_is_left_of_each_keeps_at_most_n() -> None:
    """Along k from 3 on: one of {3}, two of {4..7}, two of {8, 9}, in each of 4 fibres 5 values of 18 bits; A is read
    whole, 7 values a row. Every level says so.
    """
    work = parse(
        "tensor W[k,n] sparse 2:4 k\nwhere k >= 3\nZ[m,n] = A[m,k] * W[k,n]",
        name="nm",
        sizes={"m": 3, "k": 10, "n": 4},
    )
    chip = machine(exploits=("n:m",))
    tree = chain(keep("A W Z", "gb"), Compute(einsum="Z", unit="grid", spatial={"cols": ("n",)}))
    found = outcome(work, chip, tree)
    assert found.points["Z"] == 3 * 4 * 5
    assert found.books.reads["dram", "W"] == 4 * 5 * 18 // 8
    assert found.books.reads["dram", "A"] == 3 * 7 * 2
    mapping = Mapping(cascade="nm", machine=chip.name, template="test", tree=tree)
    program = lower(mapping, work, chip)
    for result in (analyse(program, chip), simulate(program, chip)):
        assert result.by_einsum["Z"].points == 60
        assert result.traffic["dram"]["W"] == 45
        assert result.traffic["dram"]["A"] == 42
