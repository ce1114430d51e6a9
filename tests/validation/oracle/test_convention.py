"""A systolic unit with a convention is busy for what its folds take, edges and loading with them."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.machine import Machine
from einsim.dataflow.mapping import Compute, Mapping, chain, keep
from einsim.validation.oracle.check import check_mapping
from einsim.workloads.notation import parse
from tests.validation.oracle.small import machine, outcome

CONVENTIONS = ("scale-sim", "edge-aware", "overlapped")
#: 9 x 7 on 4 x 4: six folds, rows of 4, 4, 1 by columns of 4, 3, each of 5 steps; with the operand's loading.
BY_HAND = {
    ("output-stationary", "scale-sim"): 6 * (4 + 4 + 5 - 2),
    ("output-stationary", "edge-aware"): 2 * 9 + 3 * 7 + 6 * (5 + 3),
    ("output-stationary", "overlapped"): (4 + 4 + 5 - 2) + 5 * 5,
    ("weight-stationary", "scale-sim"): 6 * (2 * 4 + 4 + 5 - 2),
    ("weight-stationary", "edge-aware"): 2 * 2 * 9 + 3 * 7 + 6 * (5 + 3),
    ("weight-stationary", "overlapped"): (2 * 4 + 4 + 5 - 2) + 5 * 5,
}


def systolic(convention: str) -> Machine:
    chip = machine()
    grid = msgspec.structs.replace(chip.units[0], kind="systolic", convention=convention)
    return msgspec.structs.replace(chip, units=(grid, chip.units[1]))


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("dataflow", ["output-stationary", "weight-stationary"])
def test_folds_take_what_the_convention_says(dataflow: str, convention: str) -> None:
    rows, cols, time = ("m", "n", "k") if dataflow == "output-stationary" else ("k", "n", "m")
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={rows: 9, cols: 7, time: 5})
    leaf = Compute(einsum="Z", unit="grid", spatial={"rows": (rows,), "cols": (cols,)}, stationarity=dataflow)
    tree, chip = chain(keep("A B Z", "gb"), leaf), systolic(convention)
    assert outcome(work, chip, tree).unit_cycles["grid"] == BY_HAND[dataflow, convention]
    report = check_mapping(work, chip, Mapping(cascade="gemm", machine="small", template="hand", tree=tree))
    assert report.differences == ()


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("text", ["Z[m,n] = A[m,n] - A[m,n]", "where n <= m\nZ[m,n] = A[m,k] * B[k,n]"])
def test_so_it_is_where_nothing_is_reduced_and_under_bounds(text: str, convention: str) -> None:
    """A drawn machine with a convention had every tile's edges counted as too much (1313:6425)."""
    sizes = {"m": 9, "n": 7} | ({"k": 5} if "k" in text else {})
    work, chip = parse(text, name="work", sizes=sizes), systolic(convention)
    leaf = Compute(
        einsum="Z", unit="grid", spatial={"rows": ("m",), "cols": ("n",)}, stationarity="output-stationary"
    )
    names = " ".join(tensor.name for tensor in work.tensors)
    tree = chain(keep(names, "gb"), ("m", 4), leaf)
    ops = {**chip.units[0].ops, "sub": chip.units[0].ops["add"]}
    chip = msgspec.structs.replace(
        chip, units=(msgspec.structs.replace(chip.units[0], ops=ops), chip.units[1])
    )
    mapping = Mapping(cascade="work", machine="small", template="hand", tree=tree)
    assert check_mapping(work, chip, mapping).differences == ()
