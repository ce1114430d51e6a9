"""A product that a matrix unit could do is pointed out where it runs on a vector unit."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, chain, keep
from einsim.dataflow.templates import build_mapping
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from tests.validation.oracle.small import machine

SIZES = {"m": 32, "p": 32, "f": 16}


def notes(text: str) -> tuple[str, ...]:
    work, chip = parse(text, name="w", sizes=SIZES), load_machine("tpu-v4i")
    return lower(build_mapping(work, chip, "unfused"), work, chip).notes


def test_a_division_beside_a_product_is_pointed_out():
    text = "AV sums a product of two tensors with div beside it, so array1d computes all of it; "
    text += "as an Einsum of its own the product would run on array2d"
    assert notes("AV[f,p] = SN[m,p] * V[f,m] / SD[p]") == (text,)


@pytest.mark.parametrize(
    "text",
    [
        "AV[f,p] = SN[m,p] * V[f,m]",
        "S[p] = sum[m](X[m,p] * X[m,p])",
        "S[p] = sum[m](X[m,p] * G[m] / SD[p])",
        "E[m,p] = exp(X[m,p] * G[p])",
    ],
)
def test_what_is_no_matrix_product_or_is_one_is_not(text):
    assert notes(text) == ()


@pytest.mark.parametrize("name", ["attention", "softmax", "layernorm", "ffn", "llama2-7b"])
def test_the_library_hides_none(name):
    work, chip = load_workload(name), load_machine("tpu-v4i")
    program = lower(build_mapping(work, chip), work, chip)
    assert not any("beside it" in note for note in program.notes)


def test_a_sparse_operand_that_several_ranks_walk_is_pointed_out():
    text = "k -> k1, k0\ntensor W[k,n] sparse 2:4 k\nZ[k1,m,n] = A[m,k1*K0+k0] * W[k1*K0+k0,n]"
    work = parse(text, name="w", sizes={"m": 4, "k": 12, "k0": 4, "n": 4})
    tree = chain(keep("A W Z", "gb"), Compute(einsum="Z", unit="grid"))
    said = "several ranks walk the sparse dimension of W together, so grid computes all of it in Z"
    mapping = Mapping(cascade="w", machine="small", template="t", tree=tree)
    assert lower(mapping, work, machine(exploits=("n:m",))).notes == (said,)
    assert lower(mapping, work, machine()).notes == ()


@pytest.mark.parametrize(
    ("tile", "said"), [(2, "computes all of it"), (6, "skips less than it could"), (4, "")]
)
def test_tiles_that_cut_the_groups_of_a_sparse_operand_are_pointed_out(tile, said):
    """2:4 with a k-tile below 4 is dense, and the result says so."""
    work = parse(
        "tensor W[k,n] sparse 2:4 k\nZ[m,n] = A[m,k] * W[k,n]", name="w", sizes={"m": 4, "k": 12, "n": 4}
    )
    chip = machine(exploits=("n:m",))
    tree = chain(keep("Z", "gb"), ("k", tile), keep("A W", "gb"), Compute(einsum="Z", unit="grid"))
    mapping = Mapping(cascade="w", machine="small", template="t", tree=tree)
    text = f"tiles of {tile} along k cut groups of 4 that are sparse, so grid {said} in Z"
    assert lower(mapping, work, chip).notes == ((text,) if said else ())
