"""Which units an Einsum may be placed on, and what the default makes of that."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.lower import lower
from einsim.dataflow.spatial import computing, placements, spread
from einsim.dataflow.templates import build_mapping
from einsim.dataflow.templates.nest import on_vectors
from einsim.sim.engine import simulate
from einsim.validation.oracle.check import check_mapping
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse

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
