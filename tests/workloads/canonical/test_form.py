"""A form is the same under every name and order, and another for another structure."""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest

from einsim.workloads.canonical.form import canonical, identity
from einsim.workloads.execute import execute
from einsim.workloads.library import build, names
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from tests.workloads.renamed import renamed

SIZES = {"m": 4, "n": 4, "k": 5, "b": 2, "p": 6}


def form(text: str, **sizes: int) -> str:
    return canonical(parse(text, name="x", sizes={**SIZES, **sizes})).digest


@pytest.mark.parametrize("name", names())
def test_names_and_orders_change_neither_form_nor_identity(name: str):
    cascade = load_workload(name)
    for seed in range(3):
        other = renamed(cascade, seed)
        assert canonical(other).digest == canonical(cascade).digest
        assert identity(other).digest == identity(cascade).digest
        assert canonical(renamed(cascade, seed, commute=True)).digest == canonical(cascade).digest


@pytest.mark.parametrize("name", ["attention-1pass", "llama2-7b", "ffn", "layernorm"])
def test_names_at_equal_places_stand_for_one_another(name: str):
    cascade = load_workload(name)
    sizes = {rank.name: rank.size for rank in cascade.ranks}
    other = renamed(cascade, 7)
    one, two = identity(cascade), identity(other)
    rank = {theirs[0]: ours[0] for ours, theirs in zip(one.ranks, two.ranks, strict=True)}
    tensor = dict(zip(two.tensors, one.tensors, strict=True))
    for mine, theirs in zip(one.einsums, two.einsums, strict=True):
        assert tensor[theirs] == mine
        assert [rank[r] for r in other.einsum(theirs).output.ranks] == [*cascade.einsum(mine).output.ranks]
        assert [tensor[r.tensor] for r in other.einsum(theirs).reads] == [
            r.tensor for r in cascade.einsum(mine).reads
        ]
    assert all(other.size(theirs) == sizes[ours] for theirs, ours in rank.items())


def test_every_form_of_the_library_is_its_own():
    cases = [
        *(build("attention", passes=passes) for passes in (1, 2, 3)),
        *(build("ffn", activation=kind) for kind in ("gelu", "gelu_tanh", "relu", "silu", "swiglu", "geglu")),
        *(build("layernorm", variant=kind) for kind in ("naive", "moments", "welford")),
        *(build(name) for name in ("softmax", "rmsnorm", "conv", "depthwise-separable", "linear-training")),
        load_workload("llama2-7b"), load_workload("bert-base"), build("linear-training", update=True),
    ]  # fmt: skip
    assert len({canonical(case).digest for case in cases}) == len(cases)


def test_sizes_widths_and_outputs_are_no_part_of_a_form_and_all_of_them_of_an_identity():
    kept = msgspec.structs.replace(build("softmax"), declared=("SN",))
    cases = [
        build("softmax"), build("softmax", p=17), build("softmax", d=5), build("softmax", bits=32), kept,
    ]  # fmt: skip
    assert len({canonical(case).digest for case in cases}) == 1
    assert len({identity(case).digest for case in cases}) == len(cases)
    for name, given in (("attention", {"m": 300, "m0": 50}), ("layernorm", {"d": 640}), ("conv", {"y": 9})):
        own = {"passes": 1} if name == "attention" else {}
        assert canonical(build(name, **own)).digest == canonical(build(name, **own, **given)).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Z[m,n] = A[m,k] * B[k,n]", "Z[m,n] = A[m,n] * B[m,n]"),  # contraction, element-wise
        ("Z[m,n] = A[m,k] * B[k,n]", "Z[m,n] = A[m,k] * A[n,k]"),  # one tensor twice
        ("Z[m] = sum[k](A[m,k])", "Z[m] = max[k](A[m,k])"),
        ("Z[m] = A[m] - B[m] * C[m]", "Z[m] = B[m] * C[m] - A[m]"),
        ("Z[m] = A[m] * A[m]", "Z[m] = A[m] * B[m]"),
        ("Z[m] = A[2*m]", "Z[m] = A[m]"),
        ("Z[m] = A[m] + A[m+1]", "Z[m] = A[m] + A[m+2]"),
        ("Y[m] = exp(A[m])\nZ[m] = Y[m] + A[m]", "Y[m] = exp(A[m])\nZ[m] = Y[m] + B[m]"),
        ("Z[m,k] = A[m,k] + B[m]", "Z[m,k] = A[m,k] + B[m]\nwhere k <= m"),
    ],
)
def test_another_structure_is_another_form(one: str, other: str):
    assert form(one) != form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Z[m,n] = A[m,k] * B[k,n]", "Z[n,m] = B[k,n] * A[k,m]"),
        ("Z[m] = A[m] * B[m] * C[m]", "Z[m] = B[m] * (C[m] * A[m])"),
        ("Z[m] = select(A[m] > B[m], A[m], 0)", "Z[m] = select(B[m] < A[m], A[m], 0)"),
        ("Z[m,n] = A[m,k] * B[k,n]", "Z[b,m,n] = A[b,m,k] * B[k,n]"),  # rows of b and m
        ("X[m] = exp(A[m])\nY[m] = A[m] * 2", "Y[m] = A[m] * 2\nX[m] = exp(A[m])"),
        ("Z[m] = sum[k](A[m,k])\nwhere k <= m", "Z[m] = sum[k](A[m,k])\nwhere k <= m + 2"),
    ],
)
def test_one_structure_written_otherwise_is_one_form(one: str, other: str):
    assert form(one) == form(other)


def test_a_transposed_reader_keeps_its_ranks_apart():
    both = "Y[b,m,n] = exp(X[b,m,n])\nZ[b,m] = sum[n](Y[b,m,n])"
    across = "Y[b,m,n] = exp(X[b,m,n])\nZ[b,m] = sum[n](Y[m,b,n])"
    assert form(both, b=4) != form(across, b=4)


def test_equal_identities_compute_equal_values():
    cascade = build("attention", passes=1, b=1, h=2, e=3, m=8, m0=4, p=5)
    other = renamed(cascade, 3)
    tensor = dict(zip(identity(cascade).tensors, identity(other).tensors, strict=True))
    draw = np.random.default_rng(1)
    inputs = {t.name: draw.normal(size=cascade.shape(t.name)) for t in cascade.inputs}
    mine = execute(cascade, inputs)
    theirs = execute(other, {tensor[name]: value for name, value in inputs.items()})
    assert (mine["AV"] == theirs[tensor["AV"]]).all()


@pytest.mark.parametrize(("name", "limit_s"), [("attention-1pass", 0.025), ("bert-base", 0.3)])
def test_forms_are_quick(name: str, limit_s: float):
    cascade = load_workload(name)
    spent = []
    for seed in range(5):
        fresh = msgspec.structs.replace(cascade, name=f"fresh-{seed}")  # nothing remembered
        start = time.perf_counter()
        canonical(fresh)
        spent.append(time.perf_counter() - start)
    assert min(spent) < limit_s
