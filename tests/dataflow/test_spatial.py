"""Which units an Einsum may be placed on, and what the default makes of that."""

from __future__ import annotations

import math

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.leaf import array_cycles
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, placed, put
from einsim.dataflow.spatial import able, computing, place, placements, spread
from einsim.dataflow.templates import build_mapping
from einsim.dataflow.templates.nest import on_vectors
from einsim.sim.engine import simulate
from einsim.specs.errors import SpecError
from einsim.validation.oracle.check import check_mapping
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse

CONV = "tensor I bits 8\ntensor W bits 8\nZ[g,k,y,x] = I[g,c,y+r,x+q] * W[g,k,c,r,q]\nY[g,k,y,x] = max(Z[g,k,y,x] + B[g,k], 0)"
SIZES = dict.fromkeys("ijkl", 32)


def one(text: str) -> Cascade:
    return parse(text, name="one", sizes={rank: size for rank, size in SIZES.items() if rank in text})


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("Z[i,j] = A[i,k] * B[k,j]", ["array2d", "array1d"]),
        ("Z[i,l] = A[i,j] * B[j,k] * C[k,l]", ["array2d", "array1d"]),
        ("Z[i] = A[i,j] * B[j,k] * C[i,k]", ["array2d", "array1d"]),
        ("Z[i] = sum[j](A[i,j])", ["array1d"]),
        ("Z[i,j] = A[i,j] * B[i,j] * C[i]", ["array1d"]),
        ("Z[i] = max[j](A[i,j] * B[i,j])", ["array1d"]),
    ],
)
def test_what_sums_products_may_go_to_an_array_and_all_else_goes_to_vector_units(
    text: str, units: list[str]
) -> None:
    work, machine = one(text), load_machine("fusemax-cloud")
    assert [unit.name for unit in computing(work, machine, work.einsums[0])] == units


def test_three_factors_take_an_array_that_multiplies_a_tenth_of_the_time_of_its_vector_unit() -> None:
    work, machine = one("Z[i,l] = A[i,j] * B[j,k] * C[k,l]"), load_machine("fusemax-cloud")
    mapping = build_mapping(work, machine)
    vectors = on_vectors(machine)
    seconds = [
        simulate(lower(found, work, chip), chip).latency_s
        for chip, found in ((machine, mapping), (vectors, build_mapping(work, vectors)))
    ]
    assert 10 * seconds[0] < seconds[1]
    assert check_mapping(work, machine, mapping).equal


def test_what_differs_from_pe_to_pe_is_in_registers_or_not_on_the_array():
    chip, cascade = (
        load_machine("fusemax-cloud"),
        load_workload("attention", {"passes": "3", "seq": 512, "b": 1}),
    )
    for name in ("GM", "SN", "SD", "A"):
        einsum = cascade.einsum(name)
        both = [node for node in placements(cascade, chip, einsum, parts=True) if planar(cascade, node)]
        full = placements(cascade, chip, einsum)
        assert not [node for node in full if planar(cascade, node)]
        if name != "A":  # the array has no divider
            assert both
    assert [node for node in placements(cascade, chip, cascade.einsum("QK")) if len(node.spatial) == 2]


def planar(cascade, node):
    """Whether an operand differs along both dimensions of the array."""
    reads = {read.tensor for read in cascade.einsum(node.einsum).reads}
    return any({"rows", "cols"} <= {dim for dim, _ in spread(cascade, node, tensor)[1]} for tensor in reads)


@pytest.mark.parametrize(
    ("sizes", "steps"),
    [
        # Seven taps of three channels are 21 rows.
        ({"g": 1, "c": 3, "k": 64, "y": 112, "x": 112, "r": 7, "q": 7}, 7 * 196 * 2),
        # 196 pixels are four blocks of 64.
        ({"g": 1, "c": 24, "k": 40, "y": 14, "x": 14, "r": 3, "q": 3}, 9 * 4 * 2),
        ({"g": 1, "c": 48, "k": 32, "y": 8, "x": 8, "r": 1, "q": 1}, 2),
        # Eight groups in a block's diagonal.
        ({"g": 32, "c": 4, "k": 4, "y": 56, "x": 56, "r": 3, "q": 3}, 9 * 49 * 4),
        # A convolution a channel.
        ({"g": 64, "c": 1, "k": 1, "y": 56, "x": 56, "r": 3, "q": 3}, 9 * 49 * 2),
        # Two groups by their 16 results each: with four of 8 inputs in the rows they would have no room.
        ({"g": 4, "c": 8, "k": 16, "y": 8, "x": 8, "r": 1, "q": 1}, 2),
        # No block holds a part of a group.
        ({"g": 9, "c": 48, "k": 48, "y": 8, "x": 8, "r": 1, "q": 1}, 9 * 4),
    ],
)
def test_tensors_come_in_whole_blocks_of_channels_and_pixels(sizes, steps):
    """By hand: taps x blocks of 64 pixels x of 32 inputs x of 32 results, 16 cycles each."""
    work, machine = parse(CONV, name="conv", sizes=sizes), load_machine("sa8295p-core")
    einsum = work.einsums[0]
    node = place(work, machine, einsum, work.sizes)
    unit = machine.unit("tensor")
    assert array_cycles(work, unit, einsum, node, work.sizes) == 16 * steps
    assert math.prod(sizes.values()) <= steps * unit.pes


def test_an_outlet_takes_only_what_it_passes_on():
    """Bias and ReLU of a convolution, point by point; a maximum of a window, a sum or an input is not that."""
    machine = load_machine("sa8295p-core")
    text = "Z[m,n] = A[m,k] * B[k,n]\nY[m,n] = max(Z[m,n] + C[n], 0)\nM[m] = max[n](Z[m,n])\nS[m,n] = Y[m,n] + D[m,n]"
    work = parse(text, name="product", sizes={"m": 64, "n": 64, "k": 64})
    places = {one.name: [unit.name for unit in able(work, machine, one)] for one in work.einsums}
    assert places == {"Z": ["tensor", "vector"], "Y": ["vector", "outlet"], "M": ["vector"], "S": ["vector"]}
    mapping = build_mapping(work, machine)
    check(mapping, work, machine)
    on = {node.einsum: node.unit for node in mapping.computes()}
    assert on["Y"] == "outlet"
    assert analyse(lower(mapping, work, machine), machine).cycles > 0
    with pytest.raises(
        SpecError, match="outlet only passes on what tensor sums, point by point: S isn't that"
    ):
        check(moved(mapping, "S", "outlet"), work, machine)


def moved(mapping, einsum, unit):
    """The mapping with an Einsum on another unit."""
    (place_of, node) = next(
        (at, one) for at, one in placed(mapping.tree) if isinstance(one, Compute) and one.einsum == einsum
    )
    tree = put(mapping.tree, place_of, msgspec.structs.replace(node, unit=unit, spatial={"lanes": ("n",)}))
    return msgspec.structs.replace(mapping, tree=tree)
