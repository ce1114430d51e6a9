"""Patterns are found by structure wherever they stand, and nowhere else."""

from __future__ import annotations

import pytest

from einsim.workloads import patterns
from einsim.workloads.canonical.changes import find_changed
from einsim.workloads.canonical.pattern import find, match
from einsim.workloads.library import build
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from tests.workloads.renamed import ANOTHER_HAND, renamed

SIZES = {"b": 2, "h": 4, "g": 3, "e": 8, "f": 8, "m": 16, "p": 16}


def cascade(text: str):
    return parse(text, name="x", sizes={rank: size for rank, size in SIZES.items() if rank in text})


def test_attention_by_another_hand_is_attention():
    found = match(patterns.attention(3), cascade(ANOTHER_HAND))
    assert found is not None
    assert found.tensors == {
        "QK": "S", "GM": "X", "SN": "N", "SD": "D", "A": "W", "AV": "O", "Q": "Q", "K": "K", "V": "V",
    }  # fmt: skip
    assert found.ranks == {
        "b": ("b", "h"),
        "h": ("b", "h"),
        "e": ("e",),
        "f": ("f",),
        "m": ("m",),
        "p": ("p",),
    }
    assert found.bounds == ()
    assert match(patterns.attention(1), cascade(ANOTHER_HAND)) is None


def test_names_of_attention_make_none():
    text = "S[h,p] = sum[e](Q[h,p,e])\nD[h,m] = sum[f](V[h,m,f])"
    for pattern in (patterns.attention(1), patterns.attention(3), patterns.softmax()):
        assert find(pattern, cascade(text)) == ()


def test_batches_and_queries_may_be_several_or_missing():
    def ranks(text: str) -> dict[str, tuple[str, ...]]:
        found = match(patterns.attention(3), cascade(text))
        assert found is not None
        return {rank: found.ranks[rank] for rank in ("b", "p")}

    assert ranks(ANOTHER_HAND.replace("b,h,", "")) == {"b": (), "p": ("p",)}
    assert ranks(ANOTHER_HAND.replace("b,h,", "h,")) == {"b": ("h",), "p": ("p",)}
    one_query = ANOTHER_HAND.replace(",p]", "]")
    assert ranks(one_query) == {"b": ("b", "h"), "p": ()}
    assert ranks(one_query.replace("b,h,", "h,").replace("[b,h]", "[h]")) == {"b": ("h",), "p": ()}


def test_grouped_queries_are_queries_and_the_masked_rank_is_the_innermost():
    grouped = build("attention", h=32, kv_heads=8)
    found = match(patterns.attention(3), grouped)
    assert found is not None
    assert found.ranks["p"] == ("g", "p")
    assert found.rank("p") == "p"
    turned = cascade(
        ANOTHER_HAND.replace(",p]", ",p,g]") + "where m <= p"
    )  # the rank under the mask stands outside
    masked = match(patterns.attention(3), turned)
    assert masked is not None
    assert masked.rank("p") == "p"
    assert len(masked.bounds) == 1


def test_masks_are_reported_and_padding_is_none():
    for settings, masks in (({}, 0), ({"causal": True}, 1), ({"causal": True, "window": 64}, 2)):
        padded = build("attention", passes=1, m=1000, p=1000, m0=256, **settings)
        found = match(patterns.attention(1), padded)
        assert found is not None
        assert len(found.bounds) == masks


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_every_attention_of_a_decode_step_is_found_in_order(passes: int):
    step = load_workload("t5", {"phase": "decode", "passes": str(passes)})
    found = [one.matching for one in find_changed(patterns.attention(passes), step)]
    assert [(m.tensors["K"], m.tensors["V"], m.tensors["AV"]) for m in found] == [
        ("K", "V", "AV"), ("KX", "VX", "AVX")
    ]  # fmt: skip
    assert match(patterns.attention(passes), step) is None
    assert all(find_changed(patterns.attention(other), step) == () for other in {1, 2, 3} - {passes})


@pytest.mark.parametrize("name", ["bert-base", "llama2-7b", "t5"])
def test_renaming_keeps_what_is_found(name: str):
    layer = load_workload(name, {})
    for pattern in (patterns.attention(3), patterns.softmax(), patterns.layernorm("naive")):
        places = [len(matching.einsums) for matching in find(pattern, layer)]
        for seed in range(3):
            assert [len(m.einsums) for m in find(pattern, renamed(layer, seed))] == places


def test_a_value_that_others_read_is_not_inside():
    assert find(patterns.softmax(), cascade(ANOTHER_HAND))
    leaking = ANOTHER_HAND + "L[b,h,p] = D[b,h,p] + X[b,h,p]\n"
    assert find(patterns.softmax(), cascade(leaking)) == ()
    assert find(patterns.attention(3), cascade(leaking)) == ()


def test_what_stands_between_keeps_two_apart():
    pattern = patterns.feed_forward("relu")
    plain = "F[p,s] = X[p,d] * W[d,s]\nC[p,s] = max(F[p,s], 0)\nY[p,o] = C[p,s] * U[s,o]\n"
    sizes = {"p": 4, "d": 3, "s": 5, "o": 2}
    assert find(pattern, parse(plain, name="x", sizes=sizes))
    between = plain + "G[s,o] = exp(V[s,o])\n"
    assert find(pattern, parse(between.replace("U[", "G["), name="x", sizes=sizes))
    looped = plain.replace("U[", "G[") + "T[s] = sum[p](C[p,s])\nG[s,o] = V[s,o] * T[s]\n"
    assert find(pattern, parse(looped, name="x", sizes=sizes)) == ()


def test_a_product_keeps_its_sides():
    for text in ("Z[m,n] = A[m,k] * B[k,n]", "Z[m,n] = B[n,k] * A[k,m]"):
        found = match(patterns.product(), parse(text, name="x", sizes={"m": 9, "n": 4, "k": 5}))
        assert found is not None
        assert (found.rank("m"), found.rank("n"), found.rank("k")) == ("m", "n", "k")
        assert (found.tensors["A"], found.tensors["B"]) == ("A", "B")
