"""Both levels count what the oracle counts: the smallest case of each mechanism that one of them got wrong."""

from __future__ import annotations

import pytest

from einsim.dataflow import crossing
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workloads.notation import parse
from tests.dataflow.read_text import parse_text
from tests.validation.oracle.small import machine

SPARSE = "tensor W[k,n] sparse 2:4 k\n"
PRODUCT = "Z[m,n] = A[m,k] * W[k,n]"
CASES = {
    "each core's own memory takes what its core wants, where ranks that share the cores move it in part": (
        PRODUCT, "m=3 n=4 k=4", {"cores": 3, "copies": 3},
        "keep A Z in near x1 / for m/2 / keep W in near x1 / Z on grid cores=n*m cols=k",
    ),
    "later tiles land on other cores, and all of an operand that they lack comes at once": (
        PRODUCT, "m=5 n=3 k=4", {"cores": 4, "copies": 4},
        "keep W in gb x1 / keep W in near x1 / for m/3 / keep A Z in near x1 / Z on grid cores=m rows=k cols=n",
    ),
    "a core without a point that the bounds keep takes nothing": (
        "where m <= p\nwhere p <= m + 1\nS[m,p] = Q[e,p] * K[e,m]", "m=6 p=6 e=3", {"cores": 3, "copies": 3},
        "keep K in near x1 / for p/1 / keep S Q in near x1 / S on grid cores=m rows=e",
    ),
    "cores are counted by the box of the loops, not by what bounds leave of it": (
        "where m <= p + 3\nA[f,p] = S[m,p] * V[f,m]", "m=6 p=6 f=2", {"cores": 3, "copies": 3},
        "keep V A in near x1 / for m/5 / keep S in near x1 / for f/1 / A on grid cores=f*p rows=m cols=p",
    ),
    "tiles of a window share elements, so all of them come in one transfer": (
        "O[k,x] = I[c,x+r] * W[k,c,r]", "k=2 x=7 c=3 r=2", {},
        "keep W O in gb x1 / keep I in gb x1 / for x/2 / O on grid rows=k cols=c",
    ),
    "a window that moves by its own width shares none": (
        "O[k,x] = I[c,2*x+r] * W[k,c,r]", "k=2 x=7 c=3 r=2", {},
        "keep W O in gb x1 / keep I in gb x1 / for x/2 / O on grid rows=k cols=c",
    ),
    "the stationary operand passes on all cores together, once for each place of its own ranks": (
        PRODUCT, "m=5 n=5 k=5", {"cores": 4},
        "keep A W Z in gb x1 / Z on lanes cores=m*n lanes=k",
    ),
    "where reads of a tensor meet depends on the place of a tile, so two loops of single points stay two": (
        "Y[t,c] = X[4-t,c] + X[t,c]", "t=5 c=2", {},
        "for c/1 / for t/1 / keep X Y in gb x1 / Y on grid rows=t",
    ),
    "bounds that meet in the reduced rank bound the result together": (
        "where a <= 2*b\nwhere 2*b <= c\nZ[a,c] = X[a,b] * Y[b,c]", "a=5 b=3 c=5", {},
        "keep X Y Z in gb x1 / Z on grid rows=a cols=c",
    ),
    "of parts of a rank a tile has what the other rank leaves, to the end of its own tile": (
        "m -> m1, m0\nwhere m1*M0+m0 <= p\nS[m1,m0,p] = K[m1*M0+m0,e] * Q[e,p]", "m=8 m0=4 p=7 e=2", {},
        "for p/3 / for m1/1 / keep K Q S in gb x1 / S on grid rows=m0 cols=p",
    ),
    "parts of a result may take the bytes of what the cores reduce: what has not come is not lost": (
        "S = sum[j](P[j])", "j=6", {"cores": 2, "copies": 2},
        "keep P S in near x1 overlay / S on lanes cores=j lanes=j",
    ),
    "nothing comes to a keep of what is read chained only": (
        "B[i,j] = exp(A[i,j])\nC[i] = sum[j](B[i,j])\noutput B", "i=3 j=4", {},
        ("for i/1 / keep A in gb x1 / pipeline\n      keep B in gb x1\n        B on lanes lanes=j\n"
        "      keep B C in gb x1\n        C on lanes lanes=j chained=B"),
    ),
    "where a tile lies in the one document that it has changes nothing": (
        "where a <= b\nwhere same[2,3](b, c)\nZ[a,c] = X[a,b] * Y[b,c]", "a=3 b=3 c=3", {},
        "keep Z in gb x1 / for b/2 / keep X Y in gb x1 / for c/1 / Z on grid rows=a",
    ),
    "a result is added to where a point is computed, not where one is skipped": (
        SPARSE + PRODUCT, "m=2 n=4 k=9", {"cores": 2, "exploits": ("n:m",)},
        "keep A in gb x1 / for m/1 / keep W Z in gb x1 / Z on grid cores=n*m rows=k cols=m weight-stationary",
    ),
    "tiles that cut the groups keep and skip by the parts": (
        SPARSE + PRODUCT, "m=3 n=3 k=7", {"exploits": ("n:m",)},
        "keep A Z in gb x1 / for k/6 / for k/5 / keep W in gb x1 / Z on grid rows=k cols=n",
    ),
    "copies of a compressed tile are rounded to bytes once": (
        "tensor W[k,n] bits 12 sparse 1:4 k\n" + PRODUCT, "m=3 n=3 k=7", {"cores": 3, "copies": 3, "exploits": ("n:m",)},
        "keep A Z in near x1 / for k/4 / keep W in near x1 / Z on grid cores=m rows=k cols=n",
    ),
    "where the cores share out the rank of a pattern, each has groups of its own": (
        "P[k,n] = prune[2:4,k](W[k,n])", "k=8 n=4", {"cores": 3, "copies": 3, "exploits": ("n:m",)},
        "for k/4 / keep W P in near x1 / P on lanes cores=k lanes=n",
    ),
    "results that are stored compressed leave step by step": (
        "P[k,n] = prune[2:4,k](W[k,n])", "k=8 n=3", {"exploits": ("n:m",), "cols": 3},
        "keep W P in gb x1 / P on grid cols=k input-stationary",
    ),
    "blocks that a tile cuts are the first of those that it touches": (
        "tensor W[k,n] sparse block 2 0.5 k\n" + PRODUCT, "m=2 n=3 k=9", {"exploits": ("block",)},
        "keep A Z in gb x1 / for k/5 / keep W in gb x1 / Z on grid rows=k cols=n",
    ),
    "operands of a product that is skipped by density pass whole": (
        "tensor W[k,n] sparse density 0.4\n" + PRODUCT, "m=4 n=3 k=10", {"exploits": ("unstructured",)},
        "keep A W Z in gb x1 / for m/1 / Z on grid rows=n cols=m",
    ),
    "several ranks that share the cores lie along one dimension": (
        "G[g,r,p] = max[m](S[g,r,m,p])\nE[g,r,m,p] = exp(S[g,r,m,p] - G[g,r,p])", "g=3 r=3 m=2 p=3",
        {"cores": 4, "copies": 4},
        "keep S G E in near x1 / pipeline / / G on lanes cores=g*r*p lanes=g*r*p / / E on lanes cores=g*r*p lanes=g*r*m*p",
    ),
    "a reader outside the loops of a transfer has tiles of its own": (
        "B[i,j] = exp(A[i,j])\nC[i,j] = B[i,j] + A[i,j]", "i=4 j=2", {"cores": 2, "copies": 2},
        ("keep A in near x1 / pipeline\n    for i/3\n      keep B in near x1\n        B on grid cores=i*j\n"
        "    for j/1\n      keep B C in near x1\n        for i/2\n          C on grid cores=j*i"),
    ),
    "of a fibre that bounds cut, groups are counted in what is left of it": (
        "tensor A[m,k] sparse 2:4 k\nwhere k <= m\nZ[m,n] = A[m,k] * W[k,n]", "m=8 k=8 n=2", {"exploits": ("n:m",)},
        "keep A W Z in gb x1 / Z on grid rows=m cols=n",
    ),
    "the end of a partition cuts the last group of each fibre": (
        ("m -> m1, m0\ntensor W[m,n] sparse 2:4 m\n"
         "Z[m1,p,n] = A[p,m1*M0+m0] * W[m1*M0+m0,n]\nY[p,n] = sum[m1](Z[m1,p,n])"), "m=8 m0=3 p=2 n=3",
        {"exploits": ("n:m",)}, ("sequence\n  keep A W Z in gb x1\n    Z on lanes lanes=n\n"
         "  keep Z Y in gb x1\n    Y on lanes lanes=n"),
    ),
    "a rank of any name walks the sparse dimension": (
        SPARSE + PRODUCT + "\nY[m,n] = B[m,j] * W[j,n]", "m=2 n=3 k=8 j=8", {"exploits": ("n:m",)},
        "keep A B W Z Y in gb x1 / pipeline\n    Z on grid rows=m cols=n\n    Y on grid rows=m cols=n",
    ),
    "a result of which every point is skipped is not added to": (
        "tensor W[k,n] sparse 2:4 n\n" + PRODUCT, "m=3 n=9 k=4", {"exploits": ("n:m",)},
        "keep A Z in gb x1 / for k/3 / keep W in gb x1 / Z on grid rows=n cols=m",
    ),
    "a state that bounds leave as it was in the last steps leaves in one transfer for each tile": (
        "initial S = 0\nwhere t <= c\nS[t+1,c] = S[t,c] + X[t,c]\nY[c] = S[T,c] * G[c]", "t=4 c=4", {},
        ("sequence\n  keep S in gb x1\n    for t/1\n      keep X in gb x1\n        S on lanes lanes=c\n"
         "  keep S G Y in gb x1\n    Y on lanes lanes=c"),
    ),
    "compressed results that many steps add to leave once": (
        "tensor S[m,p] sparse 1:4 m\nwhere m <= p\nS[m,p] = K[m,e] * Q[e,p]", "m=4 p=4 e=3", {"exploits": ("n:m",)},
        "keep S K Q in gb x1 / S on grid rows=m cols=p",
    ),
    "a step that bounds leave out is the one before, and leaves as long as that is wanted": (
        ("initial S = 0\nwhere t <= c\nR[t,c] = S[t,c] * G[c]\nS[t+1,c] = R[t,c] + X[t,c]\n"
         "Y[c] = S[T,c] * G[c]"), "t=3 c=3", {},
        ("sequence\n  keep S in gb x1\n    for t/1\n      keep X R G in gb x1\n        sequence\n"
         "          R on lanes lanes=c\n          keep S in lanes x1\n            S on lanes lanes=c\n"
         "  keep S G Y in gb x1\n    Y on lanes lanes=c"),
    ),
    "a result that no point makes is read by nobody": (
        "where m < p\nGM[p] = max[m](X[m,p])\nY[p] = GM[p] * G[p]", "m=4 p=4", {},
        ("sequence\n  keep X GM in gb x1\n    GM on lanes lanes=p\n"
         "  for p/3\n    keep GM G Y in gb x1\n      Y on lanes lanes=p"),
    ),
    "of a pattern whose rank the cores share out each has its own points, and reads for all of them": (
        "tensor W[k,n] sparse 1:4 n\n" + PRODUCT, "m=2 n=10 k=3", {"cores": 4, "copies": 4, "exploits": ("n:m",)},
        "keep A W Z in near x1 / Z on grid cores=n rows=k cols=n",
    ),
    "bounds that move along the rank of a pattern cut its groups elsewhere in each tile": (
        "tensor A[m,k] sparse 2:4 m\nwhere m <= k + 2\nwhere k <= m\nZ[m,n] = A[m,k] * W[k,n]", "m=7 k=7 n=2",
        {"exploits": ("n:m",)}, "keep Z W in gb x1 / for k/3 / keep A in gb x1 / for k/2 / Z on grid rows=m cols=n",
    ),
    "partial results that are stored compressed come back step by step": (
        "tensor S[m,p] sparse block 2 0.5 p\nwhere m <= p\nS[m,p] = K[m,e] * Q[e,p]", "m=6 p=5 e=3",
        {"cores": 3, "copies": 3, "exploits": ("block",)},
        "keep S in near x1 / for e/2 / keep K Q in near x1 / S on grid cores=p rows=e cols=p weight-stationary",
    ),
    "of what earlier tiles have begun only what is added to again comes back": (
        "tensor S[m,p] sparse 1:4 p\nwhere p <= m + 2\nwhere m <= p\nO[f,p] = S[m,p] * V[m,f]", "f=2 m=4 p=4",
        {"exploits": ("n:m",)}, "keep O V in gb x1 / for m/1 / keep S in gb x1 / O on grid rows=m cols=p input-stationary",
    ),
    "loops over two reduced ranks that bounds tie begin a result where either has a point of it": (
        "where a <= b\nwhere b <= c\nwhere c <= d\nZ[a,d] = X[a,b] * Y[b,c] * W[c,d]", "a=4 b=5 c=5 d=4", {},
        "keep Z in gb x1 / for b/2 / for c/2 / keep X Y W in gb x1 / Z on grid rows=a cols=d",
    ),
    "a loop over a reduced rank that nothing ties goes on with all that is there": (
        "where r <= t\nO[t] = X[c,t-r] * W[c,r]", "t=6 r=4 c=3", {"accumulator_bits": 32},
        "keep O W in gb x1 / for r/2 / for c/1 / keep X in gb x1 / O on lanes lanes=t",
    ),
    "tiles share no element outside the tensor": (
        "where r <= t\nO[c,t] = X[c,t-r] * W[c,r]", "c=4 t=2 r=5", {},
        "keep O W in gb x1 / keep X in gb x1 / for c/1 / for r/3 / O on lanes lanes=t",
    ),
    "where tiles share elements in some iteration only, all comes at once in each": (
        "where r <= t\nO[c,t] = X[c,t-r] * W[c,r]", "c=2 t=5 r=3", {},
        "keep O W in gb x1 / for t/2 / keep X in gb x1 / for c/1 / for r/2 / O on lanes lanes=t",
    ),
    "single places of a window cut the groups of a pattern elsewhere, so two loops of them stay two": (
        "tensor I[c,z] sparse block 2 0.5 z\nrank r = 2\nO[k,x] = I[c,x+r] * W[k,c,r]", "k=2 c=3 z=4 x=3",
        {"exploits": ("block",)}, "keep O W in gb x1 / for c/1 / for r/1 / keep I in gb x1 / O on lanes lanes=k",
    ),
    "a partition's last part holds what the tensor has": (
        ("m -> m1, m0\ntensor W[m,n] sparse 2:4 m\nwhere m1*M0+m0 <= p\n"
         "Z[p,n] = A[p,m1*M0+m0] * W[m1*M0+m0,n]"), "m=5 m0=4 p=5 n=3", {"exploits": ("n:m",)},
        "keep A Z in gb x1 / for m0/3 / keep W in gb x1 / Z on grid rows=p cols=n",
    ),
    "the initial step of a state is moved nowhere, also where it is all that some Einsum reads": (
        "initial S = 0\nR[t,c] = S[t,c] * G[c]\nS[t+1,c] = R[t,c] + X[t,c]\nY[c] = S[T,c] * G[c]", "t=1 c=3", {},
        ("keep R in gb x1\n  sequence\n    keep S G in gb x1\n      R on lanes lanes=c\n"
         "    keep S X G Y in gb x1\n      sequence\n        S on lanes lanes=c\n        Y on lanes lanes=c"),
    ),
    "between two bounds of a reduced rank there may be no whole place, and what no point makes is not read": (
        "where a <= 2*b\nwhere 2*b <= c\nZ[a,c] = X[a,b] * Y[b,c]\nV[e,g] = Z[e,g] * G[e]", "a=5 b=3 c=5 e=5 g=5", {},
        ("sequence\n  keep X Y Z in gb x1\n    Z on grid rows=a cols=c\n"
         "  for g/3\n    keep Z G V in gb x1\n      V on grid rows=e cols=g"),
    ),
    "what documents leave out of a result is read by nobody, whatever its reader calls the ranks": (
        "where same[2,3](b, c)\nwhere a < b\nZ[a,c] = X[a,b] * Y[b,c]\nV[e,g] = Z[e,g] * G[e]",
        "a=5 b=5 c=5 e=5 g=5", {"cores": 2, "copies": 2},
        ("sequence\n  keep X Y Z in near x1\n    Z on grid cores=c rows=a cols=c\n"
         "  for g/3\n    keep Z G V in near x1\n      V on grid cores=g rows=e cols=g"),
    ),
    "of a state that only its next step reads the last step leaves no keep": (
        "initial H = 0\nU[t,i] = H[t,j] * W[j,i]\nH[t+1,i] = exp(U[t,i] - X[t,i])", "t=3 i=3 j=3", {},
        ("keep H in gb x1\n  for t/1\n    sequence\n      keep W U in gb x1\n        U on grid rows=i\n"
         "      keep U X in gb x1\n        keep H in lanes x1\n          H on lanes lanes=i"),
    ),
    "of an unstructured pattern the share is taken of what all cores get in one transfer": (
        "tensor W[k,n] sparse density 0.4\n" + PRODUCT, "m=2 n=3 k=3", {"cores": 2, "copies": 2, "exploits": ("unstructured",)},
        "keep A Z in near x1 / for k/1 / for n/1 / keep W in near x1 / Z on grid cores=m rows=k",
    ),
    "where a rank along the cores moves by whole rounds it is read for all that is skipped even so": (
        "tensor W[k,j,n] sparse density 0.4\nZ[m,n] = A[m,k,j] * W[k,j,n]", "m=4 n=2 k=3 j=3",
        {"cores": 4, "copies": 4, "exploits": ("unstructured",)},
        "keep A W Z in near x1 / for k/2 / Z on grid cores=j*m rows=k*n weight-stationary",
    ),
    "what lies before the first document is one by itself": (
        "where same[3,2](m, p - 2)\nS[m,p] = Q[p,e] * K[m,e]", "m=6 p=6 e=2", {},
        "keep K in gb x1 / for p/4 / for m/3 / keep Q S in gb x1 / S on grid rows=m cols=p",
    ),
    "both ranks may lie before the first document": (
        "where same[3,2](m - 3, 2*p - 4)\nS[m,p] = Q[p,e] * K[m,e]", "m=7 p=5 e=2", {},
        "keep Q in gb x1 / for m/2 / keep K S in gb x1 / S on grid rows=m cols=p",
    ),
    "each step of a state in a tile reads and writes by itself": (
        "initial S = 0\nS[t+1,c] = S[t,c] * D[c] + X[t,c]\nY[c] = S[T,c] * D[c]", "t=3 c=2", {},
        "keep S D X Y in gb x1 / pipeline\n    S on lanes lanes=c\n    Y on lanes lanes=c",
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", CASES)
def test_both_levels_count_what_the_oracle_counts(why: str) -> None:
    text, sizes, chip, tree = CASES[why]
    given = {rank: int(size) for rank, size in (one.split("=") for one in sizes.split())}
    chain, *children = tree.split(" / / ")
    nodes = chain.split(" / ")
    lines = [f"{'  ' * depth}{node}" for depth, node in enumerate(nodes)]
    lines += [f"{'  ' * len(nodes)}{child}" for child in children]
    case = DrawnCase(
        name=why, kind="by hand", work=parse(text, name="w", sizes=given), chip=machine(**chip),
        mapping=parse_text("\n".join(["w on small (t)", *lines, ""])),
    )  # fmt: skip
    verdict = judge(case)
    assert verdict.legal
    assert verdict.right
    assert not verdict.found


def test_a_halo_is_counted_core_by_core_however_large_the_rest_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the ranks that lead to a core are visited: 6 places of x by 2 of r, not 5 channels of each."""
    monkeypatch.setattr(crossing, "MOST_VISITED", 12)
    work = parse("O[k,x] = I[c,x+r] * W[k,c,r]", name="w", sizes={"k": 2, "x": 6, "c": 5, "r": 2})
    tree = "w on small (t)\nkeep I W O in near x1\n  O on grid cores=x rows=c cols=k\n"
    case = DrawnCase(
        name="halo", kind="by hand", work=work, chip=machine(cores=3, copies=3), mapping=parse_text(tree)
    )
    verdict = judge(case)
    assert verdict.legal
    assert not verdict.found
