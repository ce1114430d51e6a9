"""The order of Einsums follows from structure, and is the one that the library is written in."""

from __future__ import annotations

import msgspec
import pytest

from einsim.workloads.blocks.attention import _ONE, _THREE, _TWO
from einsim.workloads.blocks.convolution import gated_text
from einsim.workloads.canonical.form import classes
from einsim.workloads.canonical.order import in_order
from einsim.workloads.library import build, names
from einsim.workloads.library.norm import _MOMENTS, _SOFTMAX, _WELFORD
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from einsim.workloads.order import trails
from tests.workloads.renamed import renamed

LAYERS = [
    ("bert-base", {}), ("llama2-7b", {}), ("llama2-7b", {"phase": "decode"}), ("t5", {"passes": "2"}),
    ("t5", {"phase": "decode", "passes": "1"}), ("linear-training", {"sparsity": "2:8", "prune": "inline"}),
    ("linear-training", {"prune": "inline", "update": "true"}), ("attention-2pass", {"kv_heads": "4"}),
]  # fmt: skip


def order(text: str, **sizes: int) -> str:
    ranks = {rank: sizes.get(rank, 4) for rank in "abcdmnkp" if rank in text}
    return " ".join(einsum.name for einsum in parse(text, name="x", sizes=ranks).einsums)


@pytest.mark.parametrize(("name", "given"), [*((name, {}) for name in names()), *LAYERS])
def test_it_is_the_same_under_other_names_and_in_another_order(name: str, given: dict[str, str]) -> None:
    cascade = load_workload(name, given)
    mine = classes(cascade)
    for seed in range(4):
        other = renamed(cascade, seed)
        theirs = classes(other)
        assert [theirs[e.name] for e in other.einsums] == [mine[e.name] for e in cascade.einsums]


@pytest.mark.parametrize(("name", "given"), LAYERS)
def test_everything_runs_once_and_after_what_it_reads(name: str, given: dict[str, str]) -> None:
    cascade = load_workload(name, given)
    turned = in_order(msgspec.structs.replace(cascade, einsums=cascade.einsums[::-1]))
    assert sorted(e.name for e in turned) == sorted(e.name for e in cascade.einsums)
    place = {einsum.name: at for at, einsum in enumerate(turned)}
    for einsum in turned:
        for read in einsum.reads:
            producer = cascade.producer(read.tensor)
            if producer is not None and not trails(read, producer):
                assert place[producer.name] < place[einsum.name]


@pytest.mark.parametrize(
    ("text", "cascade"),
    [
        (_ONE, build("attention", passes=1)), (_TWO, build("attention", passes=2)),
        (_THREE, build("attention")), (gated_text("X", "t", "O[b,t,o]"), build("gated-short-convolution")),
        (_SOFTMAX, build("softmax")), (_MOMENTS, build("layernorm", variant="moments")),
        (_WELFORD, build("layernorm", variant="welford")),
    ],
)  # fmt: skip
def test_the_library_is_written_in_it(text: str, cascade) -> None:
    written = [line.split("[")[0] for line in text.splitlines() if "[" in line.split("=")[0]]
    assert [einsum.name for einsum in cascade.einsums] == written


def test_a_layer_is_written_in_it() -> None:
    names = [einsum.name for einsum in load_workload("llama2-7b", {"phase": "decode"}).einsums]
    assert " ".join(names) == (
        "SXX1 ISD1 N1 QA KNA VN Q KN QK GM SN SD A AV Z R1 SXX2 ISD2 N2 GATE FF1 ACT FF2 Y"
    )


def test_parts_run_one_after_the_other_and_levels_within() -> None:
    assert order("A[m,n] = X[m,k] * W[k,n]\nB[m] = exp(Z[m])\nC[m,n] = exp(A[m,n])\nD[m] = B[m] * 2") in (
        "A C B D",
        "B D A C",
    )
    two = "P[m,n] = X[m,k] * V[k,n]\nR[m,n] = X[m,k] * W[k,n]\nS[m,n] = P[m,n] + R[m,n]"
    assert order(two) == "P R S"
    assert order(two.replace("P[m,n] + R[m,n]", "R[m,n] + P[m,n]")) == "R P S"


def test_a_run_of_vector_work_is_followed_to_its_end() -> None:
    text = "G[m] = max[n](X[m,n])\nB[m,n] = exp(X[m,n] - G[m])\nC[m] = exp(G[m])\n"
    text += "E[m] = sum[n](B[m,n])\nF[m] = E[m] * C[m]"
    assert order(text) == "G B E C F"


def test_a_cycle_has_no_order() -> None:
    cascade = parse("A[m] = exp(X[m])\nB[m] = exp(A[m])", name="x", sizes={"m": 3})
    first, second = cascade.einsums
    looped = msgspec.structs.replace(first, expr=second.expr)
    assert in_order(msgspec.structs.replace(cascade, einsums=(looped, second))) == ()
