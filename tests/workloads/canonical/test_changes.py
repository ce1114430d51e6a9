"""A pattern is found where what it reduces is changed point by point before it is read, and nowhere else."""

from __future__ import annotations

import pytest

from einsim.workloads import patterns
from einsim.workloads.blocks.attention import attention_text
from einsim.workloads.canonical.changes import find_changed
from einsim.workloads.notation import parse
from einsim.workloads.settings import Settings
from tests.workloads.renamed import ANOTHER_HAND, renamed

SIZES = {"b": 2, "h": 3, "e": 5, "f": 4, "m": 6, "p": 6, "w": 2}
SCORE = "S[b,h,m,p] = "
RAW = ANOTHER_HAND.replace(SCORE, "R[b,h,m,p] = ")
SINK = ANOTHER_HAND.replace("\nD[b,h,p]   = sum", "\nT[b,h,p] = sum")
SECOND = "U[b,h,m,p] = P[b,h,w,p] * C[b,w,m]\n"

RECOGNISED = {
    "bias": (RAW + SCORE + "R[b,h,m,p] + REL[h,m-p+P-1]", {"QK": ("S",)}),
    "soft cap": (RAW + SCORE + "30 * tanh(R[b,h,m,p] / 30)", {"QK": ("S",)}),
    "alibi": (RAW + SCORE + "R[b,h,m,p] + SLOPE[h] * m", {"QK": ("S",)}),
    "cap, then bias": (
        RAW + "C[b,h,m,p] = 30 * tanh(R[b,h,m,p] / 30)\n" + SCORE + "C[b,h,m,p] + BIAS[m,p]",
        {"QK": ("C", "S")},
    ),
    "two products": (RAW + SECOND + SCORE + "R[b,h,m,p] + U[b,h,m,p]", {"QK": ("S",)}),
    "second product first": (SECOND + RAW + SCORE + "U[b,h,m,p] + R[b,h,m,p]", {"QK": ("S",)}),
    "axes in another order": (
        RAW.replace("S[b,h,m,p]", "S[b,p,m,h]") + "S[b,p,m,h] = R[b,h,m,p] + BIAS[m,p]",
        {"QK": ("S",)},
    ),
    "sink": (SINK + "D[b,h,p] = T[b,h,p] + exp(SINK[h] - X[b,h,p])", {"SD": ("D",)}),
    "sink and bias": (
        SINK.replace(SCORE, "R[b,h,m,p] = ") + SCORE + "R[b,h,m,p] + BIAS[m,p]\n"
        "D[b,h,p] = T[b,h,p] + exp(SINK[h] - X[b,h,p])",
        {"QK": ("S",), "SD": ("D",)},
    ),
    "projections with biases change nothing": (
        "RQ[b,h,e,p] = I[b,p,d] * WQ[d,h,e]\nQ[b,h,e,p] = RQ[b,h,e,p] + BQ[h,e]\n"
        "Z[b,p,d] = ZR[b,p,d] + BO[d]\nZR[b,p,d] = O[b,h,f,p] * WO[h,f,d]\n" + RAW + SCORE + "R[b,h,m,p] + BIAS[m,p]",
        {"QK": ("S",)},
    ),
}  # fmt: skip

OTHERS = {
    "the product is read elsewhere": RAW + SCORE + "R[b,h,m,p] + BIAS[m,p]\nL[b,h,p] = max[m](R[b,h,m,p])",
    "the product is an output": "output R\n" + RAW + SCORE + "R[b,h,m,p] + BIAS[m,p]",
    "the scores are an output": "output S\n" + RAW + SCORE + "R[b,h,m,p] + BIAS[m,p]",
    "scores of another query": RAW + SCORE + "R[b,h,m,P-1-p] + BIAS[m,p]",
    "of another key": RAW + SCORE + "R[b,h,p,m] + BIAS[m,p]",
    "two of them": RAW + SCORE + "R[b,h,m,p] * R[b,h,M-1-m,p]",
    "only the maximum sees the change": RAW.replace("max[m](S", "max[m](C").replace("S[b,h,m,p] - X", "R[b,h,m,p] - X")
    + "C[b,h,m,p] = R[b,h,m,p] + BIAS[m,p]",
    "of fewer heads": RAW.replace("R[b,h,m,p] = Q[b,h,e,p] * K[b,h,e,m]", "R[b,m,p] = Q[b,e,p] * K[b,e,m]")
    + SCORE + "R[b,m,p] + BIAS[h,m,p]",
    "an average over heads": RAW + "S[b,h,m,p] = sum[g](R[b,g,m,p] * MIX[g,h])",
}  # fmt: skip


def cascade(text: str):
    sizes = {**SIZES, "d": 7, "g": SIZES["h"]}
    return parse(text, name="x", sizes={rank: size for rank, size in sizes.items() if rank in text})


@pytest.mark.parametrize("kind", RECOGNISED)
def test_changes_are_found(kind: str) -> None:
    text, changes = RECOGNISED[kind]
    (found,) = find_changed(patterns.attention(3), cascade(text))
    assert found.changes == changes
    product = "R" if "QK" in changes else "S"
    assert {found.matching.tensors[name] for name in ("Q", "K", "V", "QK", "AV")} == {
        "Q",
        "K",
        "V",
        product,
        "O",
    }
    made = {*found.matching.einsums}
    assert made == {product, "X", "N", "T" if "SD" in changes else "D", "W", "O", *sum(changes.values(), ())}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_change_makes_no_attention(kind: str) -> None:
    assert find_changed(patterns.attention(3), cascade(OTHERS[kind])) == ()


@pytest.mark.parametrize("extra", ["", "L[b,h,p] = log(RD[b,h,M1,p])\n"])
def test_in_one_pass_a_sink_changes_the_last_denominator(extra: str) -> None:
    """Where another reads the last step, too, the sum is no step of attention's own."""
    settings = Settings({"passes": "1", "m0": 3}, "test")
    text = attention_text(settings, "b,h", 6, "{s} + BIAS[m,p]", sink=True)
    work = cascade(f"{extra}Z[b,p,d] = AV[b,h,f,p] * WO[h,f,d]\n{text}")
    found = find_changed(patterns.attention(1), work)
    assert [one.changes for one in found] == ([] if extra else [{"BQK": ("BQK",), "RD": ("SD",)}])


def test_a_pattern_without_changes_is_found_as_ever() -> None:
    (found,) = find_changed(patterns.attention(3), cascade(ANOTHER_HAND))
    assert found.changes == {}


@pytest.mark.parametrize("kind", RECOGNISED)
def test_names_and_orders_change_nothing(kind: str) -> None:
    """Another hand's cascade has as many changes of the same tensors, by Einsums of the same ops."""
    work = cascade(RECOGNISED[kind][0])
    (mine,) = find_changed(patterns.attention(3), work)
    for seed in range(4):
        other = renamed(work, seed, commute=True)
        (theirs,) = find_changed(patterns.attention(3), other)
        ops = [
            {name: [sorted(of.einsum(one).ops) for one in chain] for name, chain in found.changes.items()}
            for of, found in ((work, mine), (other, theirs))
        ]
        assert ops[0] == ops[1]
        ends = [sorted(of.size(rank) for rank in of.tensor(found.matching.tensors["Q"]).ranks)
                for of, found in ((work, mine), (other, theirs))]  # fmt: skip
        assert ends[0] == ends[1]
