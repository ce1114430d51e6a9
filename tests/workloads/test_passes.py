"""Pass analysis gives the known counts, from the cascade alone."""

from __future__ import annotations

import pytest

from einsim.specs.errors import SpecError
from einsim.workloads.library import build
from einsim.workloads.notation import parse
from einsim.workloads.passes import family, pass_of, passes


@pytest.mark.parametrize("count", [3, 2, 1])
@pytest.mark.parametrize("mask", [{}, {"causal": True}, {"kv_heads": 4, "window": 512}])
def test_attention_takes_three_two_or_one_passes_over_the_keys(count, mask):
    cascade = build("attention", passes=count, **mask)
    for rank in family(cascade, "m"):
        assert passes(cascade, rank).passes == count
    assert passes(cascade, "e").passes == 1
    assert passes(cascade, "p").passes == 1


def test_three_pass_attention_says_which_einsum_runs_in_which_pass():
    report = passes(build("attention"), "m")
    assert report.einsums == {"QK": 1, "GM": 1, "SN": 2, "SD": 2, "A": 3, "AV": 3}
    assert report.tensors == {"K": 3, "QK": 3, "SN": 2, "A": 1, "V": 1}
    assert report.family == ("m",)


def test_one_pass_attention_can_fuse_everything_that_walks_the_keys():
    cascade = build("attention", passes=1)
    assert set(pass_of(cascade, "m0").values()) == {1}
    assert "AV" not in pass_of(cascade, "m")
    assert family(cascade, "m1") == ("m", "m1", "m0")


# Cascades that the library doesn't have, each with its count over rank m and why.
UNSEEN = {
    "softmax with deferred division": (2, """
        GM[p] = max[m](X[m,p])
        SN[m,p] = exp(X[m,p] - GM[p])
        SD[p] = sum[m](SN[m,p])
        SNV[f,p] = SN[m,p] * V[f,m]
        AV[f,p] = SNV[f,p] / SD[p]
    """),
    "layer norm, centred": (3, """
        MU[p] = sum[m](X[m,p])
        C[m,p] = X[m,p] - MU[p] / M
        VAR[p] = C[m,p] * C[m,p]
        Y[m,p] = C[m,p] * rsqrt(VAR[p] / M + 0.00001)
    """),
    "layer norm by moments": (2, """
        MU[p] = sum[m](X[m,p])
        SQ[p] = X[m,p] * X[m,p]
        Y[m,p] = (X[m,p] - MU[p] / M) * rsqrt(SQ[p] / M - MU[p] * MU[p] / (M * M))
    """),
    "RMS norm": (2, """
        SQ[p] = X[m,p] ** 2
        Y[m,p] = X[m,p] * rsqrt(SQ[p] / M)
    """),
    "RMS norm folded into the product after it": (1, """
        SQ[p] = X[m,p] ** 2
        XW[n,p] = X[m,p] * W[n,m]
        Y[n,p] = XW[n,p] * rsqrt(SQ[p] / M)
    """),
    "Welford's statistics": (1, """
        initial MU = 0
        initial SQ = 0
        MU[m+1,p] = MU[m,p] + (X[m,p] - MU[m,p]) / (m + 1)
        SQ[m+1,p] = SQ[m,p] + (X[m,p] - MU[m,p]) * (X[m,p] - MU[m+1,p])
        VAR[p] = SQ[M,p] / M
    """),
    "Welford's statistics, then normalised": (2, """
        initial MU = 0
        initial SQ = 0
        MU[m+1,p] = MU[m,p] + (X[m,p] - MU[m,p]) / (m + 1)
        SQ[m+1,p] = SQ[m,p] + (X[m,p] - MU[m,p]) * (X[m,p] - MU[m+1,p])
        Y[m,p] = (X[m,p] - MU[M,p]) * rsqrt(SQ[M,p] / M)
    """),
    "online softmax, element by element": (1, """
        initial RM = -inf
        initial RD = 0
        initial RN = 0
        S[m,p] = Q[e,p] * K[e,m]
        RM[m+1,p] = max(RM[m,p], S[m,p])
        C[m,p] = exp(RM[m,p] - RM[m+1,p])
        E[m,p] = exp(S[m,p] - RM[m+1,p])
        RD[m+1,p] = RD[m,p] * C[m,p] + E[m,p]
        RN[f,m+1,p] = RN[f,m,p] * C[m,p] + E[m,p] * V[f,m]
        AV[f,p] = RN[f,M,p] / RD[M,p]
    """),
    "online softmax that still writes the weights": (2, """
        initial RM = -inf
        initial RD = 0
        RM[m+1,p] = max(RM[m,p], X[m,p])
        RD[m+1,p] = RD[m,p] * exp(RM[m,p] - RM[m+1,p]) + exp(X[m,p] - RM[m+1,p])
        Y[m,p] = exp(X[m,p] - RM[M,p]) / RD[M,p]
    """),
    "two softmaxes, one on the other": (5, """
        G[p] = max[m](X[m,p])
        N[m,p] = exp(X[m,p] - G[p])
        D[p] = sum[m](N[m,p])
        Y[m,p] = N[m,p] / D[p]
        H[p] = max[m](Y[m,p])
        O[m,p] = exp(Y[m,p] - H[p])
        L[p] = sum[m](O[m,p])
        Z[m,p] = O[m,p] / L[p]
    """),
    "an element-wise chain": (1, """
        A[m,p] = exp(X[m,p])
        B[m,p] = A[m,p] * X[m,p]
        C[p] = sum[m](B[m,p])
    """),
    "a causal window of a convolution": (1, """
        A[m,p] = exp(X[m,p])
        B[m,p] = A[m,p] * X[m,p]
        C[p] = sum[m](B[m,p])
        D[p] = C[p] * 2
    """),
    "a fibre read backwards after it was made": (2, """
        A[m,p] = exp(X[m,p])
        B[m,p] = A[M-1-m,p] * X[m,p]
    """),
    "normalised by its first element": (1, """
        A[m,p] = exp(X[m,p])
        B[m,p] = A[m,p] / A[0,p]
    """),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSEEN)
def test_cascades_never_seen_before_get_the_right_count(name):
    count, text = UNSEEN[name]
    cascade = parse("rank m = 32, p = 4, e = 8, f = 8, n = 8\n" + text)
    assert passes(cascade, "m").passes == count


def test_a_partition_changes_no_count():
    text = (
        UNSEEN["two softmaxes, one on the other"][1]
        .replace("max[m]", "max[m1,m0]")
        .replace("sum[m]", "sum[m1,m0]")
    )
    split = parse("rank m = 32, p = 4, m0 = 8\nm -> m1, m0\n" + text.replace("m,p", "m1,m0,p"))
    assert passes(split, "m").passes == passes(split, "m0").passes == 5


def test_a_fibre_written_whole_and_read_in_parts_is_one_walk():
    cascade = parse("""
        rank m = 32, p = 4, m0 = 8
        m -> m1, m0
        tensor A[m,p]
        A[m,p] = exp(X[m,p])
        L[m1,p] = sum[m0](A[m,p])
        S[p] = sum[m1](L[m1,p])
    """)
    assert passes(cascade, "m").passes == 1


def test_a_tensor_whose_reader_waits_for_another_fibre_is_read_once_only():
    cascade = parse("""
        rank m = 8, p = 2
        G[p] = max[m](X[m,p])
        Y[m,p] = W[m,p] * G[p]
    """)
    report = passes(cascade, "m")
    assert report.passes == 2
    assert report.tensors == {"X": 1, "W": 1}


@pytest.mark.parametrize(("variant", "count"), [("naive", 3), ("moments", 2), ("welford", 2)])
def test_layer_norms_take_their_passes(variant, count):
    assert passes(build("layernorm", variant=variant), "d").passes == count


def test_an_unknown_rank_is_named():
    with pytest.raises(SpecError) as error:
        passes(build("attention"), "mm")
    assert str(error.value) == "rank: unknown rank 'mm'; did you mean 'm'?"
