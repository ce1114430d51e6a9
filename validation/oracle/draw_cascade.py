"""Random small cascades of every kind that the notation can write."""

from __future__ import annotations

import random
from collections.abc import Callable

from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse

Draw = Callable[[random.Random], tuple[str, dict[str, int]]]
"""The text of a cascade, and the sizes of its ranks."""

SOFTMAX = (
    "GM[p] = max[m](QK[m,p])\nSN[m,p] = exp(QK[m,p] - GM[p])\nSD[p] = sum[m](SN[m,p])\n"
    "A[m,p] = SN[m,p] / SD[p]\nAV[f,p] = A[m,p] * V[f,m]"
)
ATTENTION = "QK[m,p] = Q[e,p] * K[e,m]\n" + SOFTMAX
WIDTHS = (4, 8, 12, 16, 16, 16, 32)


def draw_cascade(kind: str, rng: random.Random) -> Cascade:
    """A cascade of a kind; one in three has other widths than 16 bits, one in four one more output."""
    text, sizes = KINDS[kind](rng)
    work = parse(text, name=kind, sizes=sizes)
    if rng.random() < 1 / 4 and "output" not in text:
        text = f"{text}\noutput {rng.choice(work.einsums).name}"
        work = parse(text, name=kind, sizes=sizes)
    if rng.random() < 1 / 3 and "tensor" not in text:
        lines = [f"tensor {tensor.name} bits {rng.choice(WIDTHS)}" for tensor in work.tensors]
        work = parse("\n".join([*lines, text]), name=kind, sizes=sizes)
    return work


def _sized(rng: random.Random, ranks: str, most: int = 6) -> dict[str, int]:
    return {rank: rng.randint(2, most) for rank in ranks.split()}


def _fixed(text: str, ranks: str, most: int = 6) -> Draw:
    return lambda rng: (text, _sized(rng, ranks, most))


def _shifts(rng: random.Random) -> tuple[str, dict[str, int]]:
    far = rng.randint(1, 5)
    return f"Y[t,c] = X[t,c] - X[t+{far},c]", _sized(rng, "t c", 7)


def _halo_chain(rng: random.Random) -> tuple[str, dict[str, int]]:
    sizes = _sized(rng, "t c")
    far = rng.randint(1, 2)
    text = f"B[t,c] = exp(A[t,c])\nY[u,c] = B[u+1,c] + B[u+{1 + far},c]"
    return text, {**sizes, "t": sizes["t"] + 1 + far, "u": sizes["t"]}


def _stride(rng: random.Random) -> tuple[str, dict[str, int]]:
    return f"Y[t,k] = X[{rng.randint(2, 4)}*t,c] * W[c,k]", _sized(rng, "t c k")


def _convolution(rng: random.Random) -> tuple[str, dict[str, int]]:
    step, apart = rng.choice(((1, 1), (2, 1), (3, 1), (1, 2), (2, 3)))
    text = f"O[k,x] = I[c,{step}*x+{apart}*r] * W[k,c,r]"
    return text, {**_sized(rng, "k x c", 5), "r": rng.randint(1, 3)}


def _convolution_2d(rng: random.Random) -> tuple[str, dict[str, int]]:
    return "O[k,y,x] = I[c,y+r,x+q] * W[k,c,r,q]", {
        **_sized(rng, "k c y x", 4),
        "r": 2,
        "q": rng.randint(1, 2),
    }


def _convolution_chain(rng: random.Random) -> tuple[str, dict[str, int]]:
    """A convolution, and another or a pooling of it: windows may lie where bounds let it make nothing."""
    n, step, apart, u = rng.randint(3, 4), rng.choice((1, 1, 2)), rng.choice((1, 1, 2)), rng.randint(1, 2)
    s = rng.randint(1, 1 + (n - 1) // apart)
    bounds = rng.sample(
        ("x + y < 3", "x + y < 5", "2*x <= y + 1", "k <= x", f"x + r < {n}", "r <= x", f"2*y + q < {n + 2}",
         "x >= 1", "y < 2", "same[2,3](x, y)"), rng.randint(1, 2),
    )  # fmt: skip
    sizes = {"y": n, "x": n, "r": rng.randint(1, 2), "q": 1, "s": s, "u": u, "c": 1, **_sized(rng, "k m", 2)}
    sizes |= {"j": (n - 1 - apart * (s - 1)) // step + 1, "i": n + 1 - u}
    read = f"A[k,{step}*j+{apart}*s,i+u]"
    last = rng.choice((f"B[m,j,i] = {read} * V[m,k,s,u]", f"B[k,j,i] = max[s,u]({read})"))
    where = "\n".join(f"where {bound}" for bound in bounds)
    return f"{where}\nA[k,y,x] = I[c,y+q,x+r] * W[k,c,r,q]\n{last}", sizes


def _depthwise(rng: random.Random) -> tuple[str, dict[str, int]]:
    return "O[c,x] = I[c,x+r] * W[c,r]\nP[c,x] = max(O[c,x], 0)", {
        **_sized(rng, "c x"),
        "r": rng.randint(2, 3),
    }


def _grouped(rng: random.Random) -> tuple[str, dict[str, int]]:
    return "O[g,k,x] = I[g,c,x+r] * W[g,k,c,r]", {**_sized(rng, "g k c x", 4), "r": 2}


def _bounded(bound: str, text: str = ATTENTION) -> Draw:
    def draw(rng: random.Random) -> tuple[str, dict[str, int]]:
        sizes = {**_sized(rng, "e f", 3), "m": (m := rng.randint(3, 7)), "p": m}
        if "{D}" in bound:
            sizes["p"] = 1
        filled = bound.replace("{C}", str(rng.randint(1, 3))).replace("{D}", str(m - 1))
        return f"where {filled}\n{text}", sizes

    return draw


def _documents(rng: random.Random) -> tuple[str, dict[str, int]]:
    """At prefill, causal or not, or at decode, where the one query stands in the last document."""
    m = rng.randint(3, 7)
    lengths = ",".join(str(rng.randint(1, 3)) for _ in range(rng.randint(1, 2)))
    last = rng.choice((0, 0, m - 1))
    bound = f"where same[{lengths}](m, p + {last})\n" + rng.choice(("", f"where m <= p + {last}\n"))
    return bound + ATTENTION, {**_sized(rng, "e f", 3), "m": m, "p": 1 if last else m}


def _remainder(rng: random.Random) -> tuple[str, dict[str, int]]:
    text = (
        "m -> m1, m0\nS[m1,m0,p] = K[m1*M0+m0,e] * Q[e,p]\n"
        "G[m1,p] = max[m0](S[m1,m0,p])\nT[p] = max[m1](G[m1,p])"
    )
    return text, {**_sized(rng, "p e", 3), "m": rng.randint(5, 9), "m0": rng.randint(2, 4)}


def _one_pass(rng: random.Random) -> tuple[str, dict[str, int]]:
    text = (
        "m -> m1, m0\ninitial RM = -inf\ninitial RD = 0\nLM[m1,p] = max[m0](X[m1*M0+m0,p])\n"
        "RM[m1+1,p] = max(RM[m1,p], LM[m1,p])\nLN[m1,m0,p] = exp(X[m1*M0+m0,p] - RM[m1+1,p])\n"
        "LD[m1,p] = sum[m0](LN[m1,m0,p])\nPM[m1,p] = exp(RM[m1,p] - RM[m1+1,p])\n"
        "SD[m1,p] = RD[m1,p] * PM[m1,p]\nRD[m1+1,p] = LD[m1,p] + SD[m1,p]\nO[p] = RD[M1,p] * 2"
    )
    return text, {**_sized(rng, "p", 4), "m": rng.randint(4, 9), "m0": rng.randint(2, 3)}


def _sparse(pattern: str) -> Draw:
    def draw(rng: random.Random) -> tuple[str, dict[str, int]]:
        bits = rng.choice(WIDTHS)
        return (
            f"tensor W[k,n] bits {bits} sparse {pattern}\nZ[m,n] = A[m,k] * W[k,n]",
            {**_sized(rng, "m n", 5), "k": rng.randint(4, 10)},
        )

    return draw


def _cut_sparse(rng: random.Random) -> tuple[str, dict[str, int]]:
    """A sparse operand under a bound on its own rank, which cuts its groups at either end."""
    pattern = rng.choice(("2:4 k", "1:4 k", "block 2 0.5 k", "topk 2:5 k"))
    bound = rng.choice(("k >= {C}", "k <= m + {C}", "m < k"))
    text = f"tensor W[k,n] sparse {pattern}\nwhere {bound}\nZ[m,n] = A[m,k] * W[k,n]"
    return text.replace("{C}", str(rng.randint(1, 3))), {**_sized(rng, "m n", 5), "k": rng.randint(6, 10)}


def _patterned(text: str, ranks: str, along: str, *bounds: str) -> Draw:
    """Under one of the bounds, if any, with a pattern along one of the ranks `along` in place of {P}."""

    def draw(rng: random.Random) -> tuple[str, dict[str, int]]:
        pattern = f"{rng.choice(('2:4', '1:4', 'block 2 0.5', 'topk 2:5'))} {rng.choice(along.split())}"
        bound = f"where {rng.choice(bounds)}\n" if bounds else ""
        sizes = {rank: rng.randint(4, 8) for rank in along.split()}
        return bound + text.replace("{P}", pattern), {**_sized(rng, ranks, 4), **sizes}

    return draw


def _twin(draw: Draw, rank: str, twin: str, more: int = 0) -> Draw:
    """With a twin as long as a rank, or so much longer."""

    def drawn(rng: random.Random) -> tuple[str, dict[str, int]]:
        text, sizes = draw(rng)
        return text, {**sizes, twin: sizes[rank] + more}

    return drawn


def _parted(text: str, ranks: str, *bounds: str) -> Draw:
    """Over a partition of m, with or without a remainder, under one of the bounds."""

    def draw(rng: random.Random) -> tuple[str, dict[str, int]]:
        bound = rng.choice(bounds).replace("{C}", str(rng.randint(1, 3)))
        sizes = {**_sized(rng, ranks, 3), "m": (m := rng.randint(3, 8)), "m0": rng.randint(2, 4), "p": m}
        return f"m -> m1, m0\nwhere {bound}\n{text}", sizes

    return draw


def _bounded_product(rng: random.Random) -> tuple[str, dict[str, int]]:
    bound = rng.choice(
        ("k <= m", "k > m", "m - 2 < k <= m", "k >= 2", "k + n >= 3", "2*k <= m", "same[2,3](k, m)")
    )
    return f"where {bound}\nZ[m,n] = A[m,k] * B[k,n]", _sized(rng, "m n k", 7)


def _between(rng: random.Random) -> tuple[str, dict[str, int]]:
    """A product whose bounds meet in the reduced rank, so that they bound the result together."""
    first, second = rng.choice((
        ("a <= b", "b <= c"), ("a <= 2*b", "2*b <= c"), ("b < c", "c < a + 3"), ("a <= b", "same[2,3](b, c)"),
    ))  # fmt: skip
    more = "M[a] = max[c](Z[a,c])\nN[a] = M[a] * X[a,a]\n" if second in ("b <= c", "c < a + 3") else ""
    a = rng.randint(2, 6)
    text = f"where {first}\nwhere {second}\nZ[a,c] = X[a,b] * Y[b,c]\n{more}"
    return text, {"a": a, "b": a, "c": a}


def _without_keys(rng: random.Random) -> tuple[str, dict[str, int]]:
    """Softmax of which some rows have no key, and a reader of all rows."""
    bound = rng.choice(("where m < p", "where m >= 2\nwhere m <= p", "where p - 3 < m < p"))
    m = rng.randint(3, 6)
    return f"{bound}\n{SOFTMAX}\nY[p] = GM[p] + SD[p]", {"m": m, "p": m, "f": rng.randint(2, 3)}


def _reversed(rng: random.Random) -> tuple[str, dict[str, int]]:
    t = rng.randint(3, 7)
    return f"Y[t,c] = X[{t - 1}-t,c] + X[t,c]", {"t": t, "c": rng.randint(2, 5)}


def _pruned(rng: random.Random) -> tuple[str, dict[str, int]]:
    return "P[k,n] = prune[2:4,k](W[k,n])\nZ[m,n] = A[m,k] * P[k,n]", {
        **_sized(rng, "m n", 4),
        "k": rng.choice((4, 6, 8)),
    }


def _gram(rng: random.Random) -> tuple[str, dict[str, int]]:
    m = rng.randint(2, 6)
    return "G[m,n] = X[m,k] * X[n,k]", {"m": m, "n": m, "k": rng.randint(2, 6)}


BOUNDS = ("m <= p", "p - {C} < m <= p", "m >= {C}", "same[{C},2](m, p)", "m <= p + {C}")
RUNNING = (
    "initial RM = -inf\ninitial RD = 0\ninitial RV = 0\n"
    "QK[m1,m0,p] = Q[e,p] * K[e,m1*M0+m0]\nLM[m1,p] = max[m0](QK[m1,m0,p])\n"
    "RM[m1+1,p] = max(RM[m1,p], LM[m1,p])\nLN[m1,m0,p] = exp(QK[m1,m0,p] - RM[m1+1,p])\n"
    "LD[m1,p] = sum[m0](LN[m1,m0,p])\nLV[f,m1,p] = LN[m1,m0,p] * V[f,m1*M0+m0]\n"
    "PM[m1,p] = exp(RM[m1,p] - RM[m1+1,p])\nSD[m1,p] = RD[m1,p] * PM[m1,p]\n"
    "RD[m1+1,p] = LD[m1,p] + SD[m1,p]\nSV[f,m1,p] = RV[f,m1,p] * PM[m1,p]\n"
    "RV[f,m1+1,p] = LV[f,m1,p] + SV[f,m1,p]\nAV[f,p] = RV[f,M1,p] / RD[M1,p]"
)
CHUNKED = (
    "initial S = 0\nwhere j <= i\nP[c,i,j] = Q[c,i,e] * K[c,j,e]\nOI[c,i,f] = P[c,i,j] * V[c,j,f]\n"
    "OS[c,i,f] = Q[c,i,e] * S[c,e,f]\nKV[c,e,f] = K[c,j,e] * V[c,j,f]\n"
    "S[c+1,e,f] = S[c,e,f] * G[c] + KV[c,e,f]\nO[c,i,f] = OI[c,i,f] + OS[c,i,f]"
)
SPARSE = "tensor W[k,n] sparse {P}\nZ[m,n] = A[m,k] * W[k,n]"

KINDS: dict[str, Draw] = {
    "product": _fixed("Z[m,n] = A[m,k] * B[k,n]", "m n k", 7),
    "batched": _fixed("Z[b,m,n] = A[b,m,k] * B[k,n]", "b m n k", 5),
    "feed-forward": _fixed(
        "H[m,j] = X[m,k] * W[k,j]\nG[m,j] = exp(H[m,j])\n"
        "Y[m,n] = G[m,j] * V[j,n]", "m j k n", 5),
    "element-wise": _fixed("B[i,j] = exp(A[i,j])\nC[i,j] = B[i,j] + A[i,j]\nD[i,j] = C[i,j] * B[i,j]", "i j"),
    "broadcast": _fixed("Y[i,j] = A[i,j] * B[j] + C[i]", "i j", 7),
    "softmax": _fixed(SOFTMAX, "m p f"),
    "attention": _fixed(ATTENTION, "m p e f", 5),
    "grouped-query": _fixed(
        "QK[g,r,m,p] = Q[g,r,e,p] * K[g,e,m]\nGM[g,r,p] = max[m](QK[g,r,m,p])\n"
        "SN[g,r,m,p] = exp(QK[g,r,m,p] - GM[g,r,p])\nAV[g,r,f,p] = SN[g,r,m,p] * V[g,f,m]", "g r m p e f", 3,
    ),
    "shared": _fixed("S[h,m] = Q[h,c] * L[m,c]\nP[h,m] = exp(S[h,m])\nO[h,c] = P[h,m] * L[m,c]", "h m c"),
    "gram": _gram,
    "two-readers": _fixed("A[t,c] = X[t,c] * G[c]\nB[u,c] = X[u+3,c] * G[c]", "t c u"),
    "choice": _fixed("N[h,n,f] = sum[k](select(B[h,n,k] > 1, V[h,k,f], 0))", "h n k f", 4),
    "shifts": _shifts, "halo-chain": _halo_chain, "stride": _stride, "convolution": _convolution,
    "convolution-2d": _convolution_2d, "depthwise": _depthwise, "grouped": _grouped,
    "causal": _bounded("m <= p"), "window": _bounded("p - {C} < m <= p"), "late-keys": _bounded("m >= {C}"),
    "causal-decode": _bounded("m <= p + {D}"), "window-decode": _bounded("p + {D} - m < {C}"),
    "band": _bounded("m <= p + {C}", "QK[m,p] = Q[e,p] * K[e,m]\nAV[f,p] = QK[m,p] * V[f,m]"),
    "documents": _documents, "remainder": _remainder, "one-pass": _one_pass,
    "unread": _fixed(
        "B[i,j] = exp(A[i,j])\nC[i] = sum[j](B[i,j])\nD[i,j] = A[i,j] + B[i,j]\noutput D", "i j"
    ),
    "n:m": _sparse("2:4 k"), "n:m-1:4": _sparse("1:4 k"), "block": _sparse("block 2 0.5 k"),
    "density": _sparse("density 0.4"), "top-k": _sparse("topk 2:5 k"), "pruned": _pruned,
    "cut-sparse": _cut_sparse,
    "running": _fixed("initial S = 0\nS[t+1,c] = S[t,c] + X[t,c]\nY[t,c] = S[t+1,c] * G[c]", "t c", 5),
    "recurrent": _fixed(
        "initial H = 0\nH[t+1,d,n] = H[t,d,n] * A[t,d] + X[t,d] * B[t,n]\n"
        "Y[t,d] = H[t+1,d,n] * C[t,n]", "t d n", 4,
    ),
    "delta-rule": _fixed(
        "initial S = 0\nR[t,f] = S[t,e,f] * K[t,e]\nU[t,f] = V[t,f] - R[t,f]\n"
        "S[t+1,e,f] = S[t,e,f] + K[t,e] * U[t,f]\nO[t,f] = S[t+1,e,f] * Q[t,e]", "t e f", 4,
    ),
    "last-state": _fixed("initial S = 0\nS[t+1,c] = S[t,c] * D[c] + X[t,c]\nY[c] = S[T,c] * G[c]", "t c", 5),
    "triangular": _bounded_product, "reversed": _reversed,
    "three-factors": _fixed("Z[m,n] = A[m,k] * B[k,n] * S[n]", "m n k"),
    "extremes": _fixed("L[m] = min[k](A[m,k])\nH[n] = max[k](B[k,n])\nD[m,n] = L[m] - H[n]", "m n k"),
    "no-keys": _without_keys,
    "made-in-part": _twin(_twin(_fixed(
        "where m <= p\nS[m,p] = Q[e,p] * K[e,m]\nY[j,i] = S[j,i] * G[j]", "m p e"), "m", "j"), "p", "i"),
    "fixed-place": _fixed("Y[t,c] = X[t,c] * X[0,c] + X[1,c]", "t c"),
    "taps": _fixed("where r <= t\nO[c,t] = X[c,t-r] * W[c,r]\nP[c,t] = O[c,t] * G[c,t]", "c t r", 5),
    "parted-bounds": _parted(
        "S[m1,m0,p] = K[m1*M0+m0,e] * Q[e,p]\nG[m1,p] = sum[m0](S[m1,m0,p])\nT[p] = sum[m1](G[m1,p])",
        "e", *BOUNDS),
    "one-pass-bounds": _parted(RUNNING, "e f", *BOUNDS),
    "chunked": _twin(_fixed(CHUNKED, "c i e f", 3), "i", "j"),
    "sparse-parted": _parted(
        "tensor W[m,n] sparse 2:4 m\nZ[m1,p,n] = A[p,m1*M0+m0] * W[m1*M0+m0,n]\n"
        "Y[p,n] = sum[m1](Z[m1,p,n])", "n", *BOUNDS),
    "sparse-bounds": _patterned(
        "tensor A[m,k] sparse {P}\nZ[m,n] = A[m,k] * B[k,n]", "n", "m k",
        "k <= m", "m - 3 < k <= m", "k >= m", "k + m >= 4", "same[3,2](k, m)"),
    "sparse-result": _patterned(
        "tensor S[m,p] sparse {P}\nS[m,p] = K[m,e] * Q[e,p]\nO[f,p] = S[m,p] * V[m,f]", "e f", "m p",
        "m <= p", "p - 3 < m <= p", "m >= 2"),
    "sparse-twice": _twin(_patterned(f"{SPARSE}\nY[m,n] = B[m,j] * W[j,n]", "m n", "k"), "k", "j"),
    "sparse-gram": _twin(
        _patterned("tensor X[m,k] sparse {P}\nG[m,n] = X[m,k] * X[n,k]", "", "m k"), "m", "n"),
    "sparse-output": _patterned(SPARSE, "m k", "n"),
    "sparse-window": _twin(_patterned(
        "rank r = 2\ntensor I[c,z] sparse {P}\nO[k,x] = I[c,x+r] * W[k,c,r]", "k", "c z"), "z", "x", -1),
    "density-two": _fixed("tensor W[k,j,n] sparse density 0.4\nZ[m,n] = A[m,k,j] * W[k,j,n]", "n m k j", 5),
    "between": _between,
    "parted-documents": _parted(
        "where m1*M0+m0 <= p\nS[m1,m0,p] = Q[e,p] * K[e,m1*M0+m0]\nG[m1,p] = max[m0](S[m1,m0,p])\n"
        "Y[p] = max[m1](G[m1,p])", "e", "same[{C},2](m1*M0+m0, p)"),
    "scalars": _fixed("M = max[i,j](X[i,j])\nN[i,j] = exp(X[i,j] - M)\nS = sum[i,j](N[i,j])\n"
                      "Y[i,j] = N[i,j] / S", "i j"),
    "two-ranks": _fixed(
        "initial S = 0\nS[i+1,j+1] = max(S[i,j+1], S[i+1,j]) + X[i,j]\n"
        "Y[i,j] = S[i+1,j+1] * 2", "i j", 5),
    "convolution-chain": _convolution_chain,
}  # fmt: skip
