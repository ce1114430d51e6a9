"""Cascades of many kinds at sizes of moments: the library's, and others as text."""

from __future__ import annotations

from einsim.workload import find_workload
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse

LIBRARY: dict[str, tuple[str, dict[str, object]]] = {
    "attention": ("attention", {"b": 1, "h": 4, "e": 32, "seq": 256}),
    "causal attention": ("attention-3pass", {"b": 1, "h": 2, "e": 32, "seq": 192, "causal": True}),
    "attention in 2 passes": ("attention-2pass", {"b": 1, "h": 2, "e": 32, "seq": 256}),
    "attention in 1 pass": ("attention-1pass", {"b": 1, "h": 2, "e": 32, "seq": 256}),
    "decode": ("attention-decode", {"b": 2, "h": 8, "kv_heads": 2, "e": 64, "m": 512}),
    "ffn": ("ffn", {"b": 1, "p": 96, "d": 128, "s": 256}),
    "swiglu of a token": ("ffn", {"b": 1, "p": 1, "d": 512, "s": 1024, "activation": "swiglu"}),
    "linear training": ("linear-training", {"n": 128, "i": 256, "o": 128}),
    "convolution": ("conv", {"b": 1, "c": 32, "k": 48, "y": 16, "x": 16}),
    "convolution 1 x 1": ("conv", {"b": 1, "c": 64, "k": 64, "y": 16, "x": 16, "r": 1, "q": 1, "stride": 2}),
    "depthwise": ("depthwise-separable", {"b": 1, "c": 64, "k": 64, "y": 14, "x": 14}),
    "gated convolution": ("gated-short-convolution", {"b": 1, "seq": 128, "d": 64, "i": 64}),
    "softmax": ("softmax", {"p": 200, "d": 512}),
    "layer norm": ("layernorm", {"p": 96, "d": 384}),
    "naive layer norm": ("layernorm", {"p": 96, "d": 384, "variant": "naive"}),
    "rms norm": ("rmsnorm", {"p": 128, "d": 768}),
    "encoder layer": ("bert-base", {"b": 1, "seq": 64}),
    "decoder layer": ("llama2-7b", {"seq": 256, "phase": "decode"}),
    "cross-attention layer": ("t5", {"b": 1, "seq": 64, "phase": "decode"}),
}

TEXTS: dict[str, tuple[str, dict[str, int]]] = {
    "gemm": ("C[m,n] = A[m,k] * B[k,n]", {"m": 128, "n": 96, "k": 64}),
    "gemm of a row": ("C[m,n] = A[m,k] * B[k,n]", {"m": 1, "n": 1000, "k": 2000}),
    "odd gemm": ("C[m,n] = A[m,k] * B[k,n]", {"m": 129, "n": 97, "k": 257}),
    "4-bit weights": ("tensor W[d,o] bits 4\nY[p,o] = X[p,d] * W[d,o]", {"p": 32, "d": 512, "o": 256}),
    "scan": (
        ("initial H = 0\nDA[b,t,d,n] = exp(DT[b,t,d] * A[d,n])\nDX[b,t,d] = DT[b,t,d] * X[b,t,d]\n"
         "H[b,t+1,d,n] = H[b,t,d,n] * DA[b,t,d,n] + DX[b,t,d] * B[b,t,n]\n"
         "Y[b,t,d] = H[b,t+1,d,n] * C[b,t,n]"),
        {"b": 2, "t": 32, "d": 64, "n": 8},
    ),
    "delta rule": (
        ("initial S = 0\nR[h,t,f] = S[h,t,e,f] * K[h,t,e]\nU[h,t,f] = BT[h,t] * (V[h,t,f] - R[h,t,f])\n"
         "S[h,t+1,e,f] = S[h,t,e,f] + K[h,t,e] * U[h,t,f]\nO[h,t,f] = S[h,t+1,e,f] * Q[h,t,e]"),
        {"h": 4, "t": 32, "e": 32, "f": 32},
    ),
    "linear attention": (
        ("initial S = 0\nS[h,t+1,e,f] = S[h,t,e,f] + K[h,t,e] * V[h,t,f]\n"
         "O[h,t,f] = S[h,t+1,e,f] * Q[h,t,e]"),
        {"h": 4, "t": 64, "e": 32, "f": 32},
    ),
    "linear attention in chunks": (
        ("n -> c, i\nwhere j <= i\ninitial S = 0\nP[h,c,i,j] = Q[h,c*I+i,e] * K[h,c*J+j,e]\n"
         "OI[h,c,i,f] = P[h,c,i,j] * V[h,c*J+j,f]\nDS[h,c,e,f] = K[h,c*J+j,e] * V[h,c*J+j,f]\n"
         "S[h,c+1,e,f] = S[h,c,e,f] * G[h] + DS[h,c,e,f]\nOX[h,c,i,f] = Q[h,c*I+i,e] * S[h,c,e,f]\n"
         "O[h,n,f] = OI[h,c,i,f] + OX[h,c,i,f]"),
        {"h": 2, "n": 128, "c": 4, "i": 32, "j": 32, "e": 16, "f": 16},
    ),
    "receptance": (
        ("initial S = 0\nKV[h,t,e,f] = K[h,t,e] * V[h,t,f]\nA[h,t,e,f] = S[h,t,e,f] + U[h,e] * KV[h,t,e,f]\n"
         "O[h,t,f] = R[h,t,e] * A[h,t,e,f]\nS[h,t+1,e,f] = S[h,t,e,f] * W[h,t,e] + KV[h,t,e,f]"),
        {"h": 4, "t": 32, "e": 16, "f": 16},
    ),
    "running sum": (
        "initial R = 0\nR[t+1,d] = R[t,d] + X[t,d]\nY[t,d] = R[t+1,d] * W[t,d]", {"t": 64, "d": 128},
    ),
    "latent": (
        ("S[h,m] = QL[h,c] * L[m,c]\nGM[h] = max[m](S[h,m])\nN[h,m] = exp(S[h,m] - GM[h])\n"
         "D[h] = sum[m](N[h,m])\nP[h,m] = N[h,m] / D[h]\nOL[h,c] = P[h,m] * L[m,c]"),
        {"h": 8, "m": 256, "c": 128},
    ),
    "latent projections": (
        ("CK[m,c] = X[m,d] * WD[d,c]\nK[h,e,m] = CK[m,c] * WK[h,c,e]\nV[h,e,m] = CK[m,c] * WV[h,c,e]\n"
         "S[h,m,p] = Q[h,e,p] * K[h,e,m]\nO[h,e,p] = S[h,m,p] * V[h,e,m]"),
        {"h": 4, "m": 96, "p": 96, "c": 32, "d": 128, "e": 32},
    ),
    "gated mlp": (
        ("G[p,s] = X[p,d] * WG[d,s]\nU[p,s] = X[p,d] * WU[d,s]\nH[p,s] = G[p,s] * U[p,s]\n"
         "Y[p,o] = H[p,s] * WO[s,o]"),
        {"p": 96, "d": 128, "s": 256, "o": 128},
    ),
    "experts": (
        ("H[x,t,s] = D[x,t,d] * W1[x,d,s]\nA[x,t,s] = max(H[x,t,s], 0)\n"
         "Y[x,t,o] = A[x,t,s] * W2[x,s,o]\nZ[t,o] = sum[x](Y[x,t,o])"),
        {"x": 4, "t": 32, "d": 64, "s": 128, "o": 64},
    ),
    "two readers": ("A[t,c] = X[t,c] * G[c]\nB[u,c] = X[u+256,c] * G[c]", {"t": 256, "c": 32, "u": 256}),
    "siblings": (
        "Q[p,e] = X[p,d] * WQ[d,e]\nK[p,e] = X[p,d] * WK[d,e]\nV[p,e] = X[p,d] * WV[d,e]",
        {"p": 128, "d": 256, "e": 128},
    ),
    "halo": ("Y[t,c] = X[t,c] - X[t+1,c]", {"t": 512, "c": 16}),
    "strided convolution": ("Y[t,k] = X[2*t+r,c] * W[r,c,k]", {"t": 128, "r": 3, "c": 32, "k": 48}),
    "residual block": (
        ("A[k,y,x] = X[c,y+r,x+q] * W[k,c,r,q]\nB[k,y,x] = max(A[k,y,x], 0)\n"
         "C[j,y,x] = B[k,y,x] * W2[k,j]"),
        {"k": 32, "c": 16, "j": 16, "y": 14, "x": 14, "r": 3, "q": 3},
    ),
    "three factors": ("Z[i,l] = A[i,j] * B[j,k] * C[k,l]", dict.fromkeys("ijkl", 24)),
    "all to one": ("Z = sum[i,j](X[i,j])", {"i": 256, "j": 512}),
    "batched vectors": ("Z[b] = A[b,k] * B[b,k]", {"b": 512, "k": 512}),
    "normed twice": (
        "M[i] = max[j](X[i,j])\nY[i,j] = X[i,j] + M[i]\nN[j] = max[i](Y[i,j])\nZ[i,j] = Y[i,j] + N[j]",
        {"i": 128, "j": 128},
    ),
    "log softmax": (
        ("M[i] = max[j](X[i,j])\nE[i,j] = exp(X[i,j] - M[i])\nS[i] = sum[j](E[i,j])\n"
         "Y[i,j] = (X[i,j] - M[i]) / S[i]"),
        {"i": 128, "j": 1000},
    ),
    "long rows": ("M = max[i](X[i])\nY[i] = X[i] + M", {"i": 2**16}),
    "product then rows": (
        "S[i,j] = A[i,k] * B[k,j]\nM[i] = max[j](S[i,j])\nY[i,j] = S[i,j] - M[i]",
        {"i": 96, "j": 128, "k": 64},
    ),
    "low rank": (
        "T[p,r] = X[p,d] * A[d,r]\nL[p,o] = T[p,r] * B[r,o]\nW[p,o] = X[p,d] * V[d,o]\nY[p,o] = W[p,o] + L[p,o]",
        {"p": 64, "d": 256, "r": 8, "o": 256},
    ),
    "cross entropy": (
        ("Z[t,v] = H[t,d] * E[d,v]\nM[t] = max[v](Z[t,v])\nX[t,v] = exp(Z[t,v] - M[t])\n"
         "S[t] = sum[v](X[t,v])\nP[t,v] = X[t,v] / S[t]"),
        {"t": 32, "d": 64, "v": 1000},
    ),
    "banded": (
        "where m <= p\nwhere p <= m + 31\nS[p,m] = Q[p,e] * K[m,e]\nO[p,f] = S[p,m] * V[m,f]",
        {"p": 128, "m": 128, "e": 32, "f": 32},
    ),
    "select": (
        "NU[h,n,f] = sum[k](select(QB[h,n,k], KV[h,k,f], 0))", {"h": 4, "n": 196, "k": 16, "f": 32},
    ),
}  # fmt: skip

NAMES = (*LIBRARY, *TEXTS)


def cascades(name: str) -> tuple[Cascade, ...]:
    """The cascades of a function: several where it can be computed in several ways."""
    if name in LIBRARY:
        workload, settings = LIBRARY[name]
        return tuple(find_workload(workload).every(dict(settings)))
    text, sizes = TEXTS[name]
    return (parse(text, name=name.replace(" ", "-"), sizes=sizes),)
