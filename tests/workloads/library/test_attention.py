"""Every attention cascade is attention: it equals softmax(mask(Q K)) V, computed without the cascade."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from einsim.specs.errors import SpecError
from einsim.workloads.execute import execute
from einsim.workloads.library import build, parameters

RNG = np.random.default_rng(3)


def inputs_of(cascade):
    return {tensor.name: RNG.normal(size=cascade.shape(tensor.name)) for tensor in cascade.inputs}


def reference(q, k, v, seen):
    """Attention of q[b,h,g,e,p] to k[b,h,e,m] and v[b,h,f,m] where seen[m,p]."""
    scores = np.einsum("bhgep,bhem->bhgmp", q, k)
    weights = softmax(np.where(seen, scores, -np.inf), axis=3)
    return np.einsum("bhgmp,bhfm->bhgfp", weights, v)


def mask(m, p, *, causal=False, window=None, documents=None):
    key, query = np.arange(m)[:, None], np.arange(p)[None, :] + m - p
    seen = np.ones((m, p), bool)
    if causal:
        seen &= key <= query
    if window:
        seen &= np.abs(query - key) < window
    if documents:
        lengths = list(documents) + [documents[-1]] * m
        number = np.repeat(np.arange(len(lengths)), lengths)
        seen &= number[key] == number[query]
    return seen


@st.composite
def cases(draw: st.DrawFn):
    m = draw(st.integers(1, 12))
    documents = draw(st.one_of(st.none(), st.integers(1, 6).map(lambda length: (length,))))
    return {
        "passes": draw(st.sampled_from([3, 2, 1])), "b": draw(st.integers(1, 2)),
        "kv_heads": draw(st.integers(1, 2)), "group": draw(st.integers(1, 3)),
        "e": draw(st.integers(1, 4)), "f": draw(st.integers(1, 4)), "m": m, "m0": draw(st.integers(1, 5)),
        "mask": {"causal": draw(st.booleans()), "window": draw(st.one_of(st.none(), st.integers(1, 9))),
                 "documents": documents},
    }  # fmt: skip


@settings(max_examples=48, deadline=None)
@given(cases(), st.data())
def test_any_attention_equals_masked_softmax(case, data):
    p = data.draw(st.integers(1, case["m"]))
    heads, group = case["kv_heads"], case["group"]
    cascade = build(
        "attention", passes=case["passes"], b=case["b"], h=heads * group, kv_heads=heads, e=case["e"],
        f=case["f"], m=case["m"], p=p, m0=case["m0"], **case["mask"],
    )  # fmt: skip
    inputs = inputs_of(cascade)
    found = execute(cascade, inputs)["AV"]
    q = inputs["Q"].reshape(case["b"], heads, group, case["e"], p)
    seen = mask(case["m"], p, **case["mask"])
    expected = reference(q, inputs["K"], inputs["V"], seen)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-9, atol=1e-12)
    first = cascade.einsums[0].name
    assert cascade.points(first) == seen.sum() * case["b"] * heads * group * case["e"]


@pytest.mark.parametrize("passes", [3, 2, 1])
def test_a_decode_step_sees_the_whole_cache(passes):
    cascade = build("attention-decode", passes=passes, b=2, h=4, kv_heads=2, e=3, seq=9, m0=4)
    inputs = inputs_of(cascade)
    assert inputs["Q"].shape == (2, 2, 2, 3, 1)
    found = execute(cascade, inputs)["AV"]
    expected = reference(inputs["Q"], inputs["K"], inputs["V"], np.ones((9, 1), bool))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_large_scores_do_not_overflow_in_one_pass():
    cascade = build("attention", passes=1, b=1, h=1, e=2, f=2, seq=8, m0=3)
    inputs = inputs_of(cascade)
    inputs["Q"] = inputs["Q"] * 1e4
    found = execute(cascade, inputs)["AV"][0, 0]
    expected = reference(inputs["Q"][:, :, None], inputs["K"], inputs["V"], np.ones((8, 8), bool))[0, 0, 0]
    np.testing.assert_allclose(found, expected)


def test_names_and_ranks_are_those_of_the_literature():
    three, one = build("attention"), build("attention", passes=1)
    assert [einsum.name for einsum in three.einsums] == ["QK", "GM", "SN", "SD", "A", "AV"]
    assert [einsum.name for einsum in one.einsums] == [
        "BQK", "LM", "RM", "SLN", "SLD", "SLNV", "PRM", "SPD", "RD", "SPNV", "RNV", "AV",
    ]  # fmt: skip
    assert one.size("m0") == 256
    assert one.einsum("BQK").ranks == ("b", "h", "m1", "m0", "p", "e")
    assert one.einsum("SLNV").ops == ("mac",)
    assert one.einsum("SLN").ops == ("add", "exp")
    assert one.einsum("RM").iterative == ("m1",)
    assert one.shape("RM") == (64, 12, 17, 4096)


@pytest.mark.parametrize(
    ("model", "heads", "e"), [("bert-base", 12, 64), ("trxl", 16, 64), ("t5", 8, 64), ("xlm", 16, 128)]
)
def test_fusemax_models_have_its_dimensions(model, heads, e):
    cascade = build("attention", model=model, seq="1K")
    sizes = {rank.name: rank.size for rank in cascade.ranks}
    assert sizes == {"b": 64, "h": heads, "e": e, "f": e, "m": 1024, "p": 1024}
    assert {tensor.bits for tensor in cascade.tensors} == {16}


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("4K", 4096), ("64k", 65536), ("1M", 2**20), (7, 7)]
)
def test_lengths_may_be_written_short(text, size):
    assert build("attention", seq=text).size("m") == size


def test_every_parameter_says_what_it_is():
    assert all(parameter.summary for parameter in parameters("attention"))


FAULTS = [
    ({"seq": "4X"}, "attention seq: must be a whole number such as 4096, 4K or 1M (got '4X')"),
    ({"seq": 0}, "attention seq: must be >= 1 (got 0)"),
    ({"seq": "-4"}, "attention seq: must be >= 1 (got -4)"),
    ({"seq": "4096G"}, "attention seq: must be <= 2**40 (got 4398046511104)"),
    ({"seq": 2.5}, "attention seq: must be a whole number such as 4096, 4K or 1M (got 2.5)"),
    ({"passes": 4}, "attention passes: unknown passes '4'; known: 3, 2, 1"),
    ({"model": "bert-bse"}, "attention model: unknown model 'bert-bse'; did you mean 'bert-base'?"),
    ({"causal": "maybe"}, "attention causal: must be true or false (got 'maybe')"),
    ({"kv_heads": 5}, "attention kv_heads: must divide the 12 query heads (got 5)"),
    ({"sequ": 5}, "attention sequ: unknown parameter; did you mean 'seq'?"),
    (
        {"documents": "100,200", "seq": 400},
        "attention documents: lengths must add up to the 400 keys, not 300 (got (100, 200))",
    ),
]


@pytest.mark.parametrize(("given_", "message"), FAULTS)
def test_a_bad_parameter_is_told_with_its_name(given_, message):
    with pytest.raises(SpecError) as error:
        build("attention", **given_)
    assert str(error.value) == message


def test_an_unknown_cascade_is_told_with_a_near_one():
    with pytest.raises(SpecError) as error:
        build("atention")
    assert str(error.value) == "workload: unknown workload 'atention'; did you mean 'attention'?"


@pytest.mark.parametrize("more", [{"causal": True}, {"documents": (4,)}])
def test_a_query_without_any_key_gets_0_in_any_number_of_passes(more):
    """The first 4 of 8 queries stand before the first of 4 keys."""
    found = []
    for passes in (1, 2, 3):
        cascade = build("attention", b=1, h=1, e=2, f=3, m=4, p=8, m0=2, passes=passes, **more)
        rng = np.random.default_rng(0)
        values = {tensor.name: rng.normal(size=cascade.shape(tensor.name)) for tensor in cascade.inputs}
        found.append(execute(cascade, values)["AV"])
    assert (found[0][..., :4] == 0).all()
    assert (found[0][..., 4:] != 0).all()
    np.testing.assert_allclose(found[1], found[0])
    np.testing.assert_allclose(found[2], found[0])
