"""A cascade is realised by kernels of its own sizes, and a prediction's parts add up to its whole."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.gpu.machine import load_gpu
from einsim.sim.gpu.factors import origin
from einsim.sim.gpu.realise import realise
from einsim.sim.gpu.result import choose, result
from einsim.specs.errors import SpecError
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from tests.workloads.renamed import renamed

GPU = load_gpu("h100-sxm")
TAKEN = [
    ("gemm", {"k": "1032", "bits": "16"}, "gemm-wgmma"),
    ("attention-1pass", {"seq": "1000", "b": "2"}, "attention-wgmma"),
    ("attention-1pass", {"seq": "1000", "kv_heads": "3", "causal": "true"}, "attention-wgmma"),
    ("attention-3pass", {"seq": "1K", "b": "2", "causal": "true"}, "attention-unfused"),
    ("attention-decode", {"m": "8K", "b": "4"}, "decode"),
    ("attention-decode", {"m": "8K", "b": "4", "kv_heads": "4"}, "decode-tensor"),
    ("attention-3pass", {"seq": "1K", "b": "2", "kv_heads": "4"}, "attention-unfused"),
    ("ffn", {"seq": "1K", "b": "1"}, "ffn"),
    ("softmax", {"bits": "32"}, "softmax"),
    ("layernorm", {"bits": "32"}, "layernorm"),
    ("rmsnorm", {"bits": "16"}, "rmsnorm"),
]


def product(text: str = "Z[m,n] = A[m,k] * B[k,n]", **sizes: int):
    return parse(text, name="product", sizes={"m": 512, "n": 1024, "k": 2048, **sizes})


@pytest.mark.parametrize(("workload", "settings", "family"), TAKEN)
def test_a_kernel_does_the_work_of_its_cascade(workload: str, settings: dict[str, str], family: str) -> None:
    cascade = load_workload(workload, settings)
    found = realise(cascade)
    assert {case.family for case in found.cases} == {family}
    assert found.notes == ()
    points = sum(cascade.points(e.name) for e in cascade.einsums if "mac" in e.ops)
    if points and family not in ("layernorm", "rmsnorm"):
        for case in found.cases:  # two FLOPs a multiply-accumulate; a 1-pass cascade merges tiles beside them
            assert case.useful_flops == pytest.approx(2 * points, rel=0.02), case.key


def test_a_product_is_realised_whatever_the_order_of_its_ranks() -> None:
    kernels = [
        {case.key for case in realise(product(text)).cases}
        for text in ("Z[m,n] = A[m,k] * B[k,n]", "Z[m,n] = A[k,m] * B[n,k]", "Z[m,n] = B[n,k] * A[m,k]")
    ]
    assert kernels[0] == kernels[1] == kernels[2]


def test_odd_sizes_are_padded_and_told() -> None:
    found = realise(product(m=1000, k=2050))
    assert found.notes == ("sizes 1000, 1024, 2050 are padded to 1008, 1024, 2112",)
    assert {case.sizes["k"] for case in found.cases} == {2112}


def test_kernels_look_at_what_is_computed_not_at_names() -> None:
    """Rows of c under r, and an attention whose scores are S, are the library's softmax and attention."""
    text = "G[r] = max[c](X[r,c])\nN[r,c] = exp(X[r,c] - G[r])\nD[r] = sum[c](N[r,c])\nY[r,c] = N[r,c] / D[r]"
    rows = parse(text, name="x", sizes={"r": 4096, "c": 2048})
    assert realise(rows).cases == realise(load_workload("softmax", {"p": "4096", "d": "2048"})).cases
    one_query = """
    S[h,m] = Q[h,e] * K[h,m,e]
    X[h]   = max[m](S[h,m])
    N[h,m] = exp(S[h,m] - X[h])
    D[h]   = sum[m](N[h,m])
    W[h,m] = N[h,m] / D[h]
    O[h,f] = W[h,m] * V[h,m,f]
    """
    mine = realise(parse(one_query, name="x", sizes={"h": 8, "m": 512, "e": 64, "f": 64}))
    theirs = load_workload("attention-decode", {"b": "1", "h": "8", "m": "512", "e": "64"})
    assert mine.cases == realise(theirs).cases
    assert {case.family for case in mine.cases} == {"decode"}


@pytest.mark.parametrize(("workload", "settings", "family"), TAKEN)
def test_names_and_orders_change_no_kernel(workload: str, settings: dict[str, str], family: str) -> None:
    cascade = load_workload(workload, settings)
    for seed in range(3):
        assert realise(renamed(cascade, seed)).cases == realise(cascade).cases


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("attention-1pass", "S[h,p] = sum[e](Q[h,p,e])\nD[h,m] = sum[f](V[h,m,f])"),
        ("ffn", "H[p,s] = X[p,d] * A[d,s]\nY[p,o] = H[p,s] * B[s,o]"),
        ("softmax", "Y[p,d] = exp(X[p,d])"),
        ("layernorm-naive", "S[p] = sum[d](X[p,d])\nY[p,d] = X[p,d] / S[p]"),
        ("product", "Z[m,n] = A[m,k] * B[k,n] * C[m]"),
    ],
)
def test_a_famous_name_on_something_else_is_refused(name: str, text: str) -> None:
    """Two vector sums are no attention, and two products without a GELU are not the kernels' network."""
    ranks = {rank for rank in "hpemfdsonk" if f"[{rank}" in text or f",{rank}" in text}
    with pytest.raises(SpecError, match="no kernel computes this"):
        realise(parse(text, name=name, sizes=dict.fromkeys(sorted(ranks), 64)))


def test_rows_may_be_several_ranks_and_a_matrix_may_meet_itself() -> None:
    tall = parse("Z[b,p,n] = A[b,p,k] * B[k,n]", name="x", sizes={"b": 4, "p": 128, "n": 1024, "k": 2048})
    assert realise(tall).cases == realise(product()).cases
    flat = parse("Z[n] = A[k] * B[n,k]", name="x", sizes={"n": 1024, "k": 2048})
    assert realise(flat).cases == realise(product(m=1)).cases
    square = parse("Z[m,n] = A[m,k] * A[n,k]", name="x", sizes={"m": 512, "n": 512, "k": 2048})
    assert realise(square).cases == realise(product(n=512)).cases


def test_a_mask_that_hides_nothing_is_none_and_another_is_refused() -> None:
    decode = {"b": "1", "m": "1K"}
    whole = realise(load_workload("attention-decode", {**decode, "causal": "false"}))
    assert realise(load_workload("attention-decode", decode)).cases == whole.cases
    assert realise(load_workload("attention-decode", {**decode, "window": "1K"})).cases == whole.cases
    with pytest.raises(SpecError, match="read every key"):
        realise(load_workload("attention-decode", {**decode, "window": "512"}))
    wide = realise(load_workload("attention-1pass", {"seq": "1K", "window": "2K"}))
    assert {case.sizes["causal"] for case in wide.cases} == {0}


@pytest.mark.parametrize(
    ("workload", "settings", "words"),
    [
        ("conv", {}, "a GPU takes one matrix product"),
        ("attention-2pass", {}, "passes=1 or passes=3"),
        ("attention-1pass", {"e": "80", "f": "80"}, "64 or 128"),
        ("attention-1pass", {"window": "128"}, "no mask but the causal one"),
        ("attention-1pass", {"p": "64", "m": "128"}, "as many queries as keys"),
        ("attention-1pass", {"documents": "512"}, "no mask but the causal one"),
        ("attention-decode", {"h": "34", "kv_heads": "2"}, "at most 16 query heads"),
        ("rmsnorm", {"d": "1001"}, "rmsnorm/kept.d: must be a multiple of 8"),
        ("ffn", {"activation": "swiglu"}, "ungated GELU"),
        ("llama2-7b", {}, "a GPU takes one matrix product"),
    ],
)
def test_what_no_kernel_computes_is_told(workload: str, settings: dict[str, str], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        realise(load_workload(workload, settings))


@pytest.mark.parametrize(("workload", "settings", "family"), TAKEN)
def test_the_parts_of_a_result_add_up(workload: str, settings: dict[str, str], family: str) -> None:
    cascade = load_workload(workload, settings)
    choice = choose(realise(cascade).cases, GPU)
    got = result(choice, GPU, cascade)
    assert choice.case.family == family
    assert sum(got.energy_by.values()) == pytest.approx(got.energy_j)
    busy = min(got.bound_by[got.bottleneck], got.cycles)
    assert busy + sum(got.stalls.values()) == got.cycles
    assert got.latency_s == pytest.approx(got.cycles / choice.prediction.clock_hz, rel=1e-3)
    assert sum(got.traffic["dram"].values()) == pytest.approx(got.dram_bytes, abs=2)
    assert got.timeline[-1].end_cycle == pytest.approx(got.cycles, abs=1)
    assert all(0 <= share <= 1 for share in got.utilization.values())


def test_the_quickest_variant_is_chosen_and_a_named_one_is_obeyed() -> None:
    cases = realise(product()).cases
    best = choose(cases, GPU)
    for case in cases:
        named = choose(cases, GPU, case.variant)
        assert named.case == case
        assert named.prediction.seconds >= best.prediction.seconds
    with pytest.raises(SpecError, match="did you mean '128x128x32s4'"):
        choose(cases, GPU, "128x128x32s")


def families(cascade: Cascade) -> set[str]:
    return {case.family for case in realise(cascade).cases}


def test_kernels_that_pad_serve_only_where_none_takes_the_sizes() -> None:
    """By wgmma rows and columns are free and k is a multiple of 8; heads of fused attention share no keys."""
    assert families(product()) == {"gemm-wgmma", "gemm-f16"}
    assert families(product(m=1000)) == {"gemm-wgmma"}
    assert families(product(k=2050)) == {"gemm-f16"}
    assert families(product(m=1)) == {"gemm-wgmma", "gemv"}
    assert families(product(m=1, k=2050)) == {"gemm-f16"}
    attention = {seq: load_workload("attention-1pass", {"seq": seq}) for seq in ("1K", "1000")}
    assert families(attention["1K"]) == {"attention-wgmma", "attention-fused"}
    assert families(attention["1000"]) == {"attention-wgmma"}


@pytest.mark.parametrize("m", [512, 1000])
def test_a_sparse_product_is_of_the_kernels_that_take_its_rows(m: int) -> None:
    found = realise(product("tensor A[m,k] sparse 2:4 k\nZ[m,n] = A[m,k] * B[k,n]", m=m))
    whole = {"gemm-sparse-wgmma", "gemm-sparse"} if m == 512 else {"gemm-sparse"}
    assert {case.family for case in found.cases} == whole
    assert bool(found.notes) == (m % 16 != 0)


def test_every_head_reading_the_same_keys_is_the_grouped_kernel_under_any_names() -> None:
    text = """
    S[a,c,t] = Q[a,c,x] * K[a,t,x]
    X[a,c]   = max[t](S[a,c,t])
    N[a,c,t] = exp(S[a,c,t] - X[a,c])
    D[a,c]   = sum[t](N[a,c,t])
    W[a,c,t] = N[a,c,t] / D[a,c]
    O[a,c,y] = W[a,c,t] * V[a,t,y]
    """
    mine = parse(text, name="x", sizes={"a": 8, "c": 4, "t": 512, "x": 128, "y": 128})
    theirs = {"b": "1", "h": "32", "kv_heads": "8", "m": "512", "e": "128", "f": "128"}
    assert realise(mine).cases == realise(load_workload("attention-decode", theirs)).cases
    assert families(mine) == {"decode-tensor", "decode-grouped"}


@pytest.mark.parametrize("name", ["h100-sxm", "h200-sxm"])
def test_a_result_says_whose_rates_its_products_have(name: str) -> None:
    gpu, cascade = load_gpu(name), product(m=4096, n=4096)
    choice = choose(realise(cascade).cases, gpu)
    assert choice.case.family == "gemm-wgmma"
    told = " ".join(result(choice, gpu, cascade).notes)
    assert ("rates of wgmma: assumed as for an H200" in told) == (name == "h100-sxm")
    assert ("captured on h200-sxm" in told) == (name == "h100-sxm")
    older = choose(realise(cascade).cases, gpu, "128x256x64s3")
    assert "wgmma" not in " ".join(result(older, gpu, cascade).notes)


def test_factors_are_a_devices_own_where_its_kernels_were_captured() -> None:
    own, other = load_gpu("h100-sxm"), msgspec.structs.replace(load_gpu("h200-sxm"), name="mine")
    assert (origin(own, "decode"), origin(own, "gemv")) == ("h100-sxm", "h200-sxm")
    assert (origin(other, "decode"), origin(other, "gemv")) == ("h100-sxm", "h200-sxm")
