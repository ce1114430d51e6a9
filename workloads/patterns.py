"""What is recognised by structure: the library's own cascades, as patterns.

`b` and `h` of them stand for any batch or for none, `p` for one query too.
"""

from __future__ import annotations

from functools import cache

from einsim.workloads.canonical.pattern import Pattern
from einsim.workloads.library import build
from einsim.workloads.notation import parse


@cache
def attention(passes: int) -> Pattern:
    """Attention in 1, 2 or 3 passes over the keys, in the library's names."""
    return Pattern(cascade=build("attention", passes=passes), optional=("b", "h", "p"))


@cache
def softmax() -> Pattern:
    """Softmax over d, of rows p."""
    return Pattern(cascade=build("softmax"), optional=("p",))


@cache
def layernorm(variant: str) -> Pattern:
    """Layer norm over d, of rows p: "naive", "moments" or "welford"."""
    return Pattern(cascade=build("layernorm", variant=variant), optional=("p",))


@cache
def rmsnorm() -> Pattern:
    """RMS norm over d, of rows p."""
    return Pattern(cascade=build("rmsnorm"), optional=("p",))


@cache
def feed_forward(activation: str) -> Pattern:
    """Two products around an activation, over tokens p (and b)."""
    return Pattern(cascade=build("ffn", activation=activation), optional=("b", "p"))


@cache
def square() -> Pattern:
    """Z[m,n] = A[m,k] * A[n,k]: a matrix times itself transposed."""
    return Pattern(cascade=parse("Z[m,n] = A[m,k] * A[n,k]", name="square", sizes={"m": 2, "n": 2, "k": 2}))


@cache
def product() -> Pattern:
    """Z[m,n] = A[m,k] * B[k,n], each rank one or several."""
    return Pattern(cascade=parse("Z[m,n] = A[m,k] * B[k,n]", name="product", sizes={"m": 2, "n": 2, "k": 2}))


@cache
def matrix_vector() -> Pattern:
    """Z[n] = A[k] * B[k,n], each rank one or several."""
    return Pattern(cascade=parse("Z[n] = A[k] * B[k,n]", name="matrix-vector", sizes={"n": 2, "k": 2}))


@cache
def gated() -> Pattern:
    """SwiGLU's activation: Y[p,s] = G[p,s] * sigmoid(G[p,s]) * U[p,s], of rows p."""
    text = "Y[p,s] = G[p,s] * sigmoid(G[p,s]) * U[p,s]"
    return Pattern(cascade=parse(text, name="gated", sizes={"p": 2, "s": 2}), optional=("p",))
