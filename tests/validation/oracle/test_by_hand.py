"""Answers that were derived by hand, each with its derivation, before the oracle was asked."""

from __future__ import annotations

import random

import msgspec
import pytest

from einsim.dataflow.mapping import Compute, Sequence, chain, keep
from einsim.validation.oracle.draw_cascade import KINDS, draw_cascade
from einsim.validation.oracle.points import einsum_points, point_ops
from einsim.workloads.notation import parse
from tests.validation.oracle.small import machine, outcome, right, traffic


def test_a_tensor_read_at_two_shifts_is_there_for_both() -> None:
    # rows 0..31 and 16..47: 48 rows of 8 values of 2 bytes
    work = parse("Y[t,c] = X[t,c] + X[t+16,c]", name="two", sizes={"t": 32, "c": 8})
    tree = chain(keep("X Y", "gb"), Compute(einsum="Y", unit="lanes", spatial={"lanes": ("t",)}))
    found = outcome(work, machine(), tree)
    assert traffic(found, "dram", "X") == 48 * 8 * 2
    assert (
        found.books.reads["gb", "X"] == 8 * 8 * 8 * 2
    )  # 8 folds of 8 channels, in each 4 lanes and both shifts
    assert right(work, found)


def test_two_readers_of_different_rows_bring_both() -> None:
    # rows 0..15 and 16..31, each once
    work = parse(
        "A[t,c] = X[t,c] * G[c]\nB[u,c] = X[u+16,c] * G[c]", name="w", sizes={"t": 16, "u": 16, "c": 4}
    )
    leaves = [Compute(einsum=e, unit="lanes", spatial={"lanes": (r,)}) for e, r in (("A", "t"), ("B", "u"))]
    found = outcome(work, machine(), chain(keep("X G A B", "gb"), Sequence(children=tuple(leaves))))
    assert traffic(found, "dram", "X") == 32 * 4 * 2
    assert right(work, found)


@pytest.mark.parametrize("tile", [64, 16, 5])
def test_a_stride_with_holes_brings_no_hole(tile: int) -> None:
    # every fourth row of 64, 8 values of 2 bytes, whatever the tiles
    work = parse("Y[t,k] = X[4*t,c] * W[c,k]", name="stride", sizes={"t": 64, "c": 8, "k": 8})
    tree = chain(
        keep("W", "gb"),
        ("t", tile),
        keep("X Y", "gb"),
        Compute(einsum="Y", unit="grid", spatial={"rows": ("c",), "cols": ("k",)}),
    )
    found = outcome(work, machine(), tree)
    assert traffic(found, "dram", "X") == 64 * 8 * 2
    assert right(work, found)


@pytest.mark.parametrize("bound", ["p + 63 - m < 16", "m >= 48"])
def test_only_the_keys_inside_the_bound_are_read_and_computed(bound: str) -> None:
    # keys 48..63: 16 of 4 values, 64 macs of 0.5 pJ, 16 results
    work = parse(f"where {bound}\nS[p,m] = Q[p,e] * K[m,e]", name="late", sizes={"p": 1, "m": 64, "e": 4})
    tree = chain(
        ("m", 8),
        keep("Q K S", "gb"),
        Compute(einsum="S", unit="grid", spatial={"rows": ("m",), "cols": ("p",)}),
    )
    found = outcome(work, machine(), tree)
    assert traffic(found, "dram", "K") == 16 * 4 * 2
    assert traffic(found, "dram", "S") == 16 * 2
    assert found.ops["grid", "mac"] == 64
    assert right(work, found)


def test_partial_sums_travel_as_wide_as_the_accumulators() -> None:
    # 16 results of 2 bytes in 4 tiles of k: 3 partial ones of 4 bytes each leave and come back, then the last leaves
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="split", sizes={"m": 4, "n": 4, "k": 32})
    node = Compute(einsum="Z", unit="grid", spatial={"rows": ("m",), "cols": ("n",)})
    tree = chain(keep("Z", "gb"), ("k", 8), keep("A B", "gb"), node)
    found = outcome(work, machine(accumulator_bits=32), tree)
    assert found.books.reads["gb", "Z"] == 3 * 16 * 4 + 16 * 2  # and read once more to leave for DRAM
    assert found.books.writes["gb", "Z"] == 3 * 16 * 4 + 16 * 2
    assert traffic(found, "dram", "Z") == 16 * 2
    assert right(work, found)
    narrow = outcome(work, machine(accumulator_bits=8), tree)  # never less than the result's
    assert narrow.books.writes["gb", "Z"] == 4 * 16 * 2


def test_what_does_not_stay_in_the_unit_is_wide_until_its_last_step() -> None:
    # k in 2 folds of 4 rows: 16 sums leave after the first, come back, and leave finished
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="folds", sizes={"m": 4, "n": 4, "k": 8})
    node = Compute(
        einsum="Z", unit="grid", spatial={"rows": ("k",), "cols": ("n",)}, stationarity="weight-stationary"
    )
    found = outcome(work, machine(accumulator_bits=32), chain(keep("A B Z", "gb"), node))
    assert found.books.writes["gb", "Z"] == 16 * 4 + 16 * 2
    assert found.books.reads["gb", "Z"] == 16 * 4 + 16 * 2
    assert right(work, found)


def test_a_maximum_has_its_results_width_throughout() -> None:
    work = parse("G[m] = max[k](A[m,k])", name="most", sizes={"m": 8, "k": 16})
    tree = chain(
        keep("G", "gb"),
        ("k", 4),
        keep("A", "gb"),
        Compute(einsum="G", unit="lanes", spatial={"lanes": ("m",)}),
    )
    found = outcome(work, machine(accumulator_bits=32), tree)
    assert found.books.writes["gb", "G"] == 4 * 8 * 2


def test_a_partition_with_a_remainder_reads_what_there_is() -> None:
    # 17 keys of 4 values in parts of 5: the last part has 2
    work = parse(
        "m -> m1, m0\nS[m1,m0,p] = K[m1*M0+m0,e] * Q[e,p]",
        name="rest",
        sizes={"m": 17, "m0": 5, "p": 2, "e": 4},
    )
    tree = chain(
        keep("Q", "gb"),
        ("m1", 1),
        keep("K S", "gb"),
        Compute(einsum="S", unit="grid", spatial={"rows": ("m0",), "cols": ("p",)}),
    )
    found = outcome(work, machine(), tree)
    assert traffic(found, "dram", "K") == 17 * 4 * 2
    assert found.points["S"] == 17 * 2 * 4
    assert right(work, found)


def test_the_edges_of_an_array_are_fed_in_every_step() -> None:
    # o on 4 rows, x on 4 columns: y, c, r, q make 4*3*2*2 = 48 steps; in each, 4 rows take a W and 4 columns an X
    sizes = {"o": 4, "x": 4, "y": 4, "c": 3, "r": 2, "q": 2}
    work = parse("Y[o,y,x] = X[c,y+r,x+q] * W[o,c,r,q]", name="conv", sizes=sizes)
    tree = chain(
        keep("X W Y", "gb"), Compute(einsum="Y", unit="grid", spatial={"rows": ("o",), "cols": ("x",)})
    )
    found = outcome(work, machine(), tree)
    for tensor in ("X", "W"):
        assert found.books.reads["gb", tensor] == 48 * 4 * 2
    assert found.unit_cycles["grid"] == 48
    assert found.books.writes["gb", "Y"] == 4 * 4 * 4 * 2
    assert right(work, found)


def test_a_stationary_operand_is_read_once_and_its_partial_sums_come_back() -> None:
    # B[k,n] stays on 4 x 4 PEs in 2 x 1 folds; A streams past once; C leaves at each of 2 folds over k
    work = parse("C[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": 6, "k": 8, "n": 4})
    leaf = Compute(
        einsum="C", unit="grid", spatial={"rows": ("k",), "cols": ("n",)}, stationarity="weight-stationary"
    )
    found = outcome(work, machine(), chain(keep("A B C", "gb"), leaf))
    assert found.books.reads["gb", "B"] == 8 * 4 * 2
    assert found.books.reads["gb", "A"] == 6 * 8 * 2
    assert found.books.writes["gb", "C"] == 2 * 6 * 4 * 2
    assert (
        found.books.reads["gb", "C"] == 6 * 4 * 2 + 6 * 4 * 2
    )  # the second fold's partial sums, and the way out
    assert right(work, found)


def test_what_several_dimensions_share_is_shared_once() -> None:
    # 3 * 10 * 6 points go round 4 cores: 45 each, on 4 lanes 12 steps
    work = parse("NU[h,n,f] = QB[h,n] * KV[h,f]", name="vecmul", sizes={"h": 3, "n": 10, "f": 6})
    ranks = ("h", "n", "f")
    leaf = Compute(einsum="NU", unit="lanes", spatial={"cores": ranks, "lanes": ranks})
    found = outcome(work, machine(cores=4), chain(keep("QB KV NU", "gb"), leaf))
    assert found.unit_cycles["lanes"] == 12
    assert max(found.lanes["lanes"]) == 12
    assert right(work, found)


def test_what_no_keep_ever_loaded_is_not_there() -> None:
    # Y of the loop over t reads the row that the next iteration makes
    work = parse("B[t] = exp(A[t])\nY[u] = B[u+1] * 2", name="ahead", sizes={"t": 6, "u": 5})
    leaves = (Compute(einsum="Y", unit="lanes"), Compute(einsum="B", unit="lanes"))
    found = outcome(work, machine(), chain(keep("A B Y", "gb"), Sequence(children=leaves)))
    assert found.missing == {("Y", "B")}
    assert not right(work, found)


def test_a_partial_sum_in_a_keep_inside_its_loop_leaves_and_comes_back() -> None:
    work = parse("Z[m] = A[m,k] * B[k]", name="dot", sizes={"m": 4, "k": 6})
    leaf = Compute(einsum="Z", unit="lanes", spatial={"lanes": ("m",)})
    found = outcome(work, machine(), chain(keep("A B", "gb"), ("k", 2), keep("Z", "gb"), leaf))
    assert found.books.writes["dram", "Z"] == 3 * 4 * 2
    assert found.books.reads["dram", "Z"] == 2 * 4 * 2
    assert right(work, found)


def test_partial_sums_of_an_earlier_tile_are_read_first() -> None:
    # three tiles over k: each writes the 4 sums, the second and third read them, and so does the way out
    work = parse("Z[m] = A[m,k] * B[k]", name="dot", sizes={"m": 4, "k": 6})
    leaf = Compute(einsum="Z", unit="lanes", spatial={"lanes": ("m",)})
    found = outcome(work, machine(), chain(keep("A B Z", "gb"), ("k", 2), leaf))
    assert found.books.writes["gb", "Z"] == 3 * 4 * 2
    assert found.books.reads["gb", "Z"] == 2 * 4 * 2 + 4 * 2
    assert found.books.writes["dram", "Z"] == 4 * 2


def test_a_bound_keeps_a_block_of_which_a_part_remains() -> None:
    # keys 0..p of blocks of 3: query 0..2 needs one block, 3 two
    text = "m -> m1, m0\nwhere m1*M0+m0 <= p\nG[m1,p] = X[m1] * Q[p]"
    work = parse(text, name="blocks", sizes={"m": 6, "m0": 3, "p": 4})
    found = outcome(work, machine(), chain(keep("X Q G", "gb"), Compute(einsum="G", unit="lanes")))
    assert found.points["G"] == 3 * 1 + 1 * 2
    assert right(work, found)


@pytest.mark.parametrize(("declared", "size"), [("", 0), ("\noutput B", 6 * 2)])
def test_what_is_read_on_is_stored_where_it_is_an_output_too(declared: str, size: int) -> None:
    text = f"B[t] = exp(A[t])\nC[t] = B[t] * 2{declared}"
    leaves = (Compute(einsum="B", unit="lanes"), Compute(einsum="C", unit="lanes"))
    work = parse(text, name="read on", sizes={"t": 6})
    found = outcome(work, machine(), chain(keep("A B C", "gb"), Sequence(children=leaves)))
    assert found.books.writes["dram", "B"] == size
    assert found.books.writes["dram", "C"] == 6 * 2


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_points_one_by_one_are_as_many_as_the_cascade_counts(kind: str) -> None:
    rng = random.Random(kind)
    for _ in range(5):
        work = draw_cascade(kind, rng)
        for einsum in work.einsums:
            box = {}
            for rank in einsum.ranks:
                low = rng.randrange(work.size(rank))
                box[rank] = (low, rng.randint(low + 1, work.size(rank)))
            assert einsum_points(work, einsum, box).count == work.points(einsum.name, box)
            assert point_ops(einsum) == einsum.ops


def test_what_an_unstructured_pattern_skips_is_read_even_so() -> None:
    # 2 of 5 k stay, ceil(5 x 0.4): with 2 n 4 places on 3 rows, so 2 folds, of 2 x 2 columns of W's
    # nonzeros 8 macs. Which k stay is not known before A arrives: it passes whole, once for both n, whose
    # first places are 0 and 2, in one fold: 5 x 2 values of 2 bytes.
    work = parse(
        "tensor W[k,n] sparse density 0.4\nZ[m,n] = A[m,k] * W[k,n]",
        name="loose",
        sizes={"m": 2, "n": 2, "k": 5},
    )
    leaf = Compute(einsum="Z", unit="grid", spatial={"rows": ("n", "k"), "cols": ("m",)})
    found = outcome(
        work, machine(rows=3, cols=2, exploits=("unstructured",)), chain(keep("A W Z", "gb"), leaf)
    )
    assert found.books.reads["gb", "A"] == 5 * 2 * 2
    assert found.points["Z"] == 2 * 2 * 2


@pytest.mark.parametrize(
    ("tile", "flow"), [(tile, f"{still}-stationary") for tile in (8, 4) for still in ("output", "weight")]
)
def test_every_further_core_adds_its_part_where_the_cores_meet(tile: int, flow: str) -> None:
    # two cores have four of the eight points of each of four sums. Output-stationary each writes its part in
    # every tile: of 8 points 2 writes and a read, of two tiles of 4 points 4 and 3. Else each of the 8 steps writes
    # and all but the first read. Only what leaves the lanes whole is added outside of them.
    work = parse("Z[m] = A[m,k] * B[k]", name="split", sizes={"m": 4, "k": 8})
    leaf = Compute(einsum="Z", unit="lanes", spatial={"cores": ("k",), "lanes": ("m",)}, stationarity=flow)
    found = outcome(work, machine(cores=2), chain(keep("Z", "gb"), ("k", tile), keep("A B", "gb"), leaf))
    tiles = 8 // tile
    writes, reads = (2 * tiles, 2 * tiles - 1) if flow == "output-stationary" else (8, 7)
    assert found.books.writes["gb", "Z"] == 4 * writes * 2
    assert found.books.reads["gb", "Z"] == 4 * (reads + 1) * 2  # and once as the keep ends
    assert found.ops["lanes", "mac"] == 32 + (4 * tiles if flow == "output-stationary" else 0)
    assert right(work, found)


def test_parts_in_the_cores_own_memories_meet_as_they_leave_them() -> None:
    # three cores, eight points, two iterations of four points around the keep: points 0 to 3 lie on cores 0 1 2 0,
    # points 4 to 7 on cores 1 2 0 1, so three parts of each of four maxima leave twice, and all but the very first
    # are added to what is there
    work = parse("G[m] = max[k](A[m,k])", name="split", sizes={"m": 4, "k": 8})
    leaf = Compute(einsum="G", unit="lanes", spatial={"cores": ("k",), "lanes": ("m",)})
    tree = chain(keep("A G", "gb"), ("k", 4), keep("A G", "near"), leaf)
    found = outcome(work, machine(cores=3, copies=3), tree)
    assert found.books.writes["near", "G"] == found.books.reads["near", "G"] == 2 * 3 * 4 * 2
    assert found.books.writes["gb", "G"] == 2 * 3 * 4 * 2
    assert found.books.reads["gb", "G"] == (2 * 3 - 1) * 4 * 2 + 4 * 2
    assert found.ops["lanes", "max"] == 32 + (2 * 3 - 1) * 4
    assert right(work, found)


def test_a_core_finds_only_its_part_in_its_own_memory() -> None:
    work = parse("G[m] = max[k](A[m,k])\nS[m,k] = A[m,k] - G[m]", name="split", sizes={"m": 4, "k": 8})
    spatial = {"cores": ("k",), "lanes": ("m",)}
    leaves = tuple(Compute(einsum=name, unit="lanes", spatial=spatial) for name in "GS")
    found = outcome(work, machine(cores=2, copies=2), chain(keep("A G S", "near"), Sequence(children=leaves)))
    assert not right(work, found)


def test_stationary_values_of_one_dimension_load_in_a_cycle() -> None:
    """An array of columns only, whose rows were asked for (drawn input 404:4594): 3 folds of 2 steps."""
    work = parse("Z[m,n] = X[m,k] * W[k,n]", name="line", sizes={"m": 2, "n": 12, "k": 1})
    line = machine().unit("grid")
    line = msgspec.structs.replace(line, kind="systolic", dims={"cols": 4})
    chip = msgspec.structs.replace(machine(), units=(line,))
    leaf = Compute(einsum="Z", unit="grid", spatial={"cols": ("n",)}, stationarity="weight-stationary")
    found = outcome(work, chip, chain(keep("X W Z", "gb"), leaf))
    assert found.unit_cycles["grid"] == 6
    assert right(work, found)
