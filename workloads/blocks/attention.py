"""Attention as statements, in three, two or one pass over the keys, and its masks.

Q comes scaled (1/sqrt(E) is folded into its projection), as in FuseMax. 3-pass is what PyTorch and FLAT
compute; 2-pass is TileFlow's and Choi et al.'s; 1-pass is FlashAttention's (Dao et al., arXiv 2205.14135),
the last two after Nayak et al., FuseMax, MICRO 2024 (arXiv 2406.10491), from which the tensor names are.
"""

from __future__ import annotations

from einsim.workloads.settings import Settings

DEFAULT_M0 = 256
"""Rows of FuseMax's array of processing elements, which hold one block of keys."""

_THREE = """
QK[{q},m,p]  = Q[{q},e,p] * K[b,h,e,m]
GM[{q},p]    = max[m](QK[{q},m,p])
SN[{q},m,p]  = exp(QK[{q},m,p] - GM[{q},p])
SD[{q},p]    = sum[m](SN[{q},m,p])
A[{q},m,p]   = SN[{q},m,p] / SD[{q},p]
AV[{q},f,p]  = A[{q},m,p] * V[b,h,f,m]
"""

_TWO = """
BQK[{q},m1,m0,p] = Q[{q},e,p] * K[b,h,e,m]
LM[{q},m1,p]     = max[m0](BQK[{q},m1,m0,p])
SLN[{q},m1,m0,p] = exp(BQK[{q},m1,m0,p] - LM[{q},m1,p])
SLD[{q},m1,p]    = sum[m0](SLN[{q},m1,m0,p])
GM[{q},p]        = max[m1](LM[{q},m1,p])
PLM[{q},m1,p]    = exp(LM[{q},m1,p] - GM[{q},p])
SD[{q},p]        = SLD[{q},m1,p] * PLM[{q},m1,p]
PRD[{q},m1,p]    = PLM[{q},m1,p] / SD[{q},p]
A[{q},m1,m0,p]   = SLN[{q},m1,m0,p] * PRD[{q},m1,p]
AV[{q},f,p]      = A[{q},m1,m0,p] * V[b,h,f,m]
"""

_ONE = """
initial RM = -inf
initial RD = 0
initial RNV = 0
BQK[{q},m1,m0,p]  = Q[{q},e,p] * K[b,h,e,m]
LM[{q},m1,p]      = max[m0](BQK[{q},m1,m0,p])
RM[{q},m1+1,p]    = max(RM[{q},m1,p], LM[{q},m1,p])
SLN[{q},m1,m0,p]  = exp(BQK[{q},m1,m0,p] - RM[{q},m1+1,p])
SLD[{q},m1,p]     = sum[m0](SLN[{q},m1,m0,p])
SLNV[{q},f,m1,p]  = SLN[{q},m1,m0,p] * V[b,h,f,m]
PRM[{q},m1,p]     = exp(RM[{q},m1,p] - RM[{q},m1+1,p])
SPD[{q},m1,p]     = RD[{q},m1,p] * PRM[{q},m1,p]
RD[{q},m1+1,p]    = SLD[{q},m1,p] + SPD[{q},m1,p]
SPNV[{q},f,m1,p]  = RNV[{q},f,m1,p] * PRM[{q},m1,p]
RNV[{q},f,m1+1,p] = SLNV[{q},f,m1,p] + SPNV[{q},f,m1,p]
AV[{q},f,p]       = RNV[{q},f,M1,p] / RD[{q},M1,p]
"""

_TEXT = {"3": _THREE, "2": _TWO, "1": _ONE}


def mask_text(settings: Settings, m: int, p: int) -> str:
    """Bounds of the iteration space; queries are the last p of the places that the m keys fill."""
    shift = f"p+{m - p}" if m > p else f"p-{p - m}" if m < p else "p"
    lines = []
    if settings.flag("causal"):
        lines.append(f"where m <= {shift}")
    if settings.given("window"):
        lines.append(f"where {shift} - m < {settings.size('window')}")
        if not settings.flag("causal"):
            lines.append(f"where m - {settings.size('window')} < {shift}")
    documents = settings.sizes("documents")
    if documents:
        if len(documents) > 1 and sum(documents) != m:
            raise settings.error("documents", f"lengths must add up to the {m} keys, not {sum(documents)}")
        lines.append(f"where same[{','.join(map(str, documents))}](m, {shift})")
    return "\n".join(lines)


def attention_text(settings: Settings, query: str, m: int, score: str = "", sink: bool = False) -> str:
    """The Einsums, and the partition of m where blocks are used.

    `score` is what becomes of a product of query and key, `{s}`, before the softmax: "30 * tanh({s} / 30)".
    With a `sink` each query head has a logit SINK more, of no value (Xiao et al., arXiv 2309.17453).
    """
    passes = settings.text("passes")
    split = "" if passes == "3" else f"rank m0 = {min(settings.size('m0', DEFAULT_M0), m)}\nm -> m1, m0"
    text = _TEXT[passes]
    if sink:
        text = _with_sink(text, passes)
    if score:
        made = "QK[{q},m,p]" if passes == "3" else "BQK[{q},m1,m0,p]"
        scored = score.replace("{s}", f"RAW{made}")
        text = text.replace(f"{made} ", f"RAW{made} ", 1) + f"{made} = {scored}\n"
    return split + text.replace("{hq}", query[2:]).format(q=query)


def _with_sink(text: str, passes: str) -> str:
    """The sum of exponentials with the sink's."""
    if passes == "1":
        total, top = "RD[{q},M1,p]", "RM[{q},M1,p]"
        text = text.replace(f"/ {total}", "/ SD[{q},p]")
    else:
        total, top = "SDK[{q},p]", "GM[{q},p]"
        text = text.replace("\nSD[", "\nSDK[")
    return text + f"SD[{{q}},p] = {total} + exp(SINK[{{hq}}] - {top})\n"
