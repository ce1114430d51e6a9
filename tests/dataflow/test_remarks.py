"""A product that a matrix unit could do is pointed out where it runs on a vector unit."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.workloads.library import build
from einsim.workloads.notation import parse

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


@pytest.mark.parametrize("name", ["attention", "softmax", "layernorm", "ffn", "decoder-layer"])
def test_the_library_hides_none(name):
    work, chip = build(name), load_machine("tpu-v4i")
    program = lower(build_mapping(work, chip), work, chip)
    assert not any("beside it" in note for note in program.notes)
