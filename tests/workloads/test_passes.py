"""Pass analysis gives the known counts, from the cascade alone, and those of a walk point by point."""

from __future__ import annotations

import random
import re

import pytest

from einsim.specs.errors import SpecError
from einsim.workloads.library import build
from einsim.workloads.notation import parse
from einsim.workloads.passes import occurrences, passes
from tests.workloads.chunked import CHUNKED_GATES
from tests.workloads.walking import ENDLESS, Sizes, random_cascades, walks


@pytest.mark.parametrize("count", [3, 2, 1])
@pytest.mark.parametrize("mask", [{}, {"causal": True}, {"kv_heads": 4, "window": 512}])
def test_attention_takes_three_two_or_one_passes_over_the_keys(count, mask):
    cascade = build("attention", passes=count, **mask)
    assert passes(cascade, "m").passes == count
    assert passes(cascade, "e").passes == 1
    assert passes(cascade, "p").passes == 1


def by_pass(cascade, rank, given=None):
    """`QK GM | SN SD | A AV`, the Einsums of a pass in alphabetical order."""
    groups: dict[int, list[str]] = {}
    for name, number in passes(cascade, rank, given).einsums.items():
        groups.setdefault(number, []).append(name)
    return " | ".join(" ".join(sorted(groups[number])) for number in sorted(groups))


def test_three_pass_attention_says_which_einsum_runs_in_which_pass():
    cascade = build("attention")
    report = passes(cascade, "m")
    assert by_pass(cascade, "m") == "GM QK | SD SN | A AV"
    assert report.tensors == {"K": 3, "QK": 3, "SN": 2, "A": 1, "V": 1}
    assert (report.given, report.where) == ((), "m")
    assert by_pass(cascade, "p") == "A AV GM QK SD SN"


def test_one_pass_attention_walks_the_blocks_once_and_each_block_twice():
    cascade = build("attention", passes=1)
    assert set(passes(cascade, "m1").einsums.values()) == {1}
    assert "AV" not in passes(cascade, "m1").einsums
    assert passes(cascade, "m").passes == 1
    assert by_pass(cascade, "m0") == "BQK LM | SLD SLN SLNV"
    assert passes(cascade, "m0").where == "m0 in each step of m1"


GLA = f"rank h = 2, n = 8, e = 4, f = 4, i = 4, j = 4\n{CHUNKED_GATES}"
DELTANET = """
rank h = 2, t = 8, e = 4, f = 4
initial S = 0
R[h,t,f]     = S[h,t,e,f] * K[h,t,e]
U[h,t,f]     = BT[h,t] * (V[h,t,f] - R[h,t,f])
S[h,t+1,e,f] = S[h,t,e,f] + K[h,t,e] * U[h,t,f]
O[h,t,f]     = S[h,t+1,e,f] * Q[h,t,e]
"""
MAMBA = """
rank b = 2, t = 8, d = 4, n = 4
initial H = 0
DA[b,t,d,n]  = exp(DT[b,t,d] * A[d,n])
DX[b,t,d]    = DT[b,t,d] * X[b,t,d]
H[b,t+1,d,n] = H[b,t,d,n] * DA[b,t,d,n] + DX[b,t,d] * B[b,t,n]
Y[b,t,d]     = H[b,t+1,d,n] * C[b,t,n]
"""
#: State-space duality (Mamba-2) in chunks; the decays of a chunk are sums of its own logarithms.
SSD = """
rank h = 2, t = 8, n = 4, d = 4, i = 4, j = 4, k = 4
t -> c, i
where j <= i
where k <= i
initial H = 0
CA[h,c,i]    = A[h,c*I+k]
L[h,c,i,j]   = exp(CA[h,c,i] - CA[h,c,j])
G[h,c,i,j]   = C[h,c*I+i,n] * B[h,c*I+j,n]
YD[h,c,i,d]  = G[h,c,i,j] * L[h,c,i,j] * X[h,c*I+j,d]
BD[h,c,j,n]  = B[h,c*I+j,n] * exp(CA[h,c,I-1] - CA[h,c,j])
HC[h,c,n,d]  = BD[h,c,j,n] * X[h,c*I+j,d]
H[h,c+1,n,d] = H[h,c,n,d] * exp(CA[h,c,I-1]) + HC[h,c,n,d]
YO[h,c,i,d]  = C[h,c*I+i,n] * H[h,c,n,d] * exp(CA[h,c,i])
Y[h,t,d]     = YD[h,c,i,d] + YO[h,c,i,d]
"""
#: Newton and Schulz's iteration for the polar factor, as Muon takes it: five steps of two products.
NEWTON_SCHULZ = """
rank k = 5, m = 4, n = 8, l = 4, q = 4
tensor A[k,m,m]
initial X = 0
A[k,m,l]     = X[k,m,n] * X[k,l,n]
B[k,m,l]     = A[k,m,q] * A[k,q,l]
D[k,m,n]     = B[k,m,l] * X[k,l,n]
X[k+1,m,n]   = 3 * X[k,m,n] - 4 * D[k,m,n]
"""


@pytest.mark.parametrize(
    ("text", "rank", "given", "where", "expected"),
    [
        (GLA, "c", None, "c", "B DS KB KG O OI OX P QB S"),
        (GLA, "n", None, "n", "B DS KB KG O OI OX P QB S"),
        (GLA, "i", None, "i in each step of c", "B OX QB | O OI P"),
        (GLA, "j", ("c",), "j in each step of c", "DS KB KG OI P"),
        (DELTANET, "t", None, "t", "O R S U"),
        (DELTANET, "e", None, "e in each step of t", "R | O S"),
        (DELTANET, "e", ("h", "t"), "e in each step of h, t", "R | O S"),
        (DELTANET, "f", None, "f", "O R S U"),
        (MAMBA, "t", None, "t", "DA DX H Y"),
        (MAMBA, "n", None, "n", "DA H Y"),
        (SSD, "t", None, "t", "BD CA G H HC L Y YD YO"),
        (SSD, "i", None, "i in each step of c", "CA G L Y YD YO"),
        (NEWTON_SCHULZ, "k", None, "k", "A B D X"),
        (NEWTON_SCHULZ, "n", None, "n in each step of k", "A | D X"),
    ],
)  # fmt: skip
def test_recurrences_converge(text, rank, given, where, expected):
    cascade = parse(text)
    assert passes(cascade, rank, given).where == where
    assert by_pass(cascade, rank, given) == expected


def test_what_comes_after_a_recurrence_is_counted_beside_it():
    cascade = parse(DELTANET + "N[h,f] = S[h,T,e,f] * W[e]\nZ[h,e,f] = S[h,T,e,f] * N[h,f]")
    after, within = sorted(occurrences(cascade, "e"), key=lambda report: report.given)
    assert (within.where, within.passes, within.einsums["O"]) == ("e in each step of t", 2, 2)
    assert (after.where, after.einsums) == ("e", {"N": 1, "Z": 2})


def test_a_halo_makes_its_reader_trail_but_not_start_again():
    ahead = parse("rank m = 8\nA[m] = exp(X[m])\nB[m] = A[m] + A[m+1]\nC[m] = B[m] + B[m+1]\nwhere m <= M-2")
    assert passes(ahead, "m").passes == 1
    window = parse("rank m = 8, w = 3\nA[m] = exp(X[m])\nB[m] = A[m+w] * W[w]\nwhere m + w < M")
    assert passes(window, "m").passes == 1
    around = parse("rank s = 8, m = 8\ninitial A = 0\nA[s+1,m] = A[s,m] + A[s,m+1]\nwhere m <= M-2")
    assert passes(around, "m").where == "m in each step of s"


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
    assert passes(split, "m").passes == 5
    assert passes(split, "m0", ()).passes == 5
    assert passes(split, "m0").passes == 1  # in each of its own blocks


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


def exact(text: str) -> bool:
    """Whether no place is read in reverse, nor one near the first, which bounds or the loops outside may bring
    close to all that read it: these may count as barriers.
    """
    near_first = re.search(r"[\[,]0[\],]", text) or ("m - p < 2" in text and "m-p" in text)
    return "-1-" not in text and not near_first


def check_against_a_walk(text, sizes, rank, given):
    """The passes of each occurrence are those of a walk; where a recurrence's rank joined, no walk ends."""
    along, asked = "c" if rank == "n" else rank, given if given is not None else ("c",) if rank == "i" else ()
    parts = [{"c", "i"}, {"c", "j"}] if rank == "n" else [{rank}]
    if rank == "n" and "c*I+j" not in text:
        parts.pop()

    def whole(names):
        return {n for n in names if any(part <= set(sizes.cascade.einsum(n).ranks) for part in parts)}

    found = occurrences(sizes.cascade, rank, given)
    for report in found:
        walked = walks(sizes, along, report.given, set(report.einsums), whole(report.einsums))
        counted = {name: report.einsums[name] for name in walked}
        if exact(text):
            assert walked == counted, (text, report)
        elif not report.given:
            assert all(walked[name] <= number for name, number in counted.items()), (text, report)
        assert report.passes == max(counted.values(), default=0)
    if exact(text) and found[-1].given != asked:
        inside = {e.name for e in sizes.cascade.einsums if {along, *asked} <= set(e.ranks)}
        assert ENDLESS in walks(sizes, along, asked, inside, whole(inside)).values(), (text, rank)


def check_random_cascades(seeds, count, questions):
    for text, cascade in random_cascades(seeds, count):
        pick, sizes = random.Random(text), Sizes(text, cascade)
        for _ in range(questions):
            rank = pick.choice("mpkqwncij")
            others = [name for name in "cmp" if name not in (rank, "c" if rank == "n" else "")]
            given = pick.choice([None, (), *((name,) for name in others), tuple(pick.sample(others, k=2))])
            check_against_a_walk(text, sizes, rank, given)


def test_passes_are_those_of_a_walk_point_by_point():
    check_random_cascades(range(500), 25, questions=2)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_passes_are_those_of_a_walk_of_many_cascades(part):
    check_random_cascades(range(10_000 * (part + 1), 10_000 * (part + 2)), 220, questions=6)
