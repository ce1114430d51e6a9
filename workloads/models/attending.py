"""Attention of a layer as text: projections with biases, norms and rotation around the library's attention.

The score's scale is folded into WQ. In a decode step K and V are the cache, which already holds the new
tokens' entries at its end; KN and VN are those entries as this step makes them. A prompt leaves K and V.
"""

from __future__ import annotations

import re

from einsim.specs.errors import SpecError
from einsim.workloads.blocks.attention import attention_text, mask_text
from einsim.workloads.blocks.norm import norm_text
from einsim.workloads.models.fragment import Fragment, Stage, bias, chain, product
from einsim.workloads.models.network import LatentAttention, SoftmaxAttention
from einsim.workloads.models.step import Step

# Su et al., RoFormer, arXiv 2104.09864, in the half-split form of the LLaMA code: element e = c * J + j turns
# with its partner (1-c) * J + j; SIN carries the sign.
_ROTATE = (
    "{out}[{q},c*J+j,{t}] = {src}[{q},c*J+j,{t}] * COS[c*J+j,{t}] + {src}[{q},J-c*J+j,{t}] * SIN[c*J+j,{t}]\n"
)


def attention(block: SoftmaxAttention, source: str, step: Step) -> Fragment:
    """From tokens `source` to Z[b,p,d]."""
    m = _keys(block, step)
    query, sizes = _heads(block)
    sizes |= {"e": block.head_dim, "f": block.head_dim, "m": m}
    token, key, value = ("p", "KN", "VN") if step.decode else ("m", "K", "V")
    text = _queries(block, query, source)
    text += _keys_text(block, key, source, token) + _values_text(block, value, source, token)
    if block.rotary:
        sizes |= {"c": 2, "j": block.head_dim // 2}
        text += "tensor COS[e,p]\ntensor SIN[e,p]\n"
    window = block.window if 0 < block.window < m else None
    chunks = (block.chunk,) if 0 < block.chunk < m else ()
    settings = step.settings(causal=block.causal, window=window, documents=chunks)
    text += attention_text(settings, query, m, _score(block, query), sink=block.sinks)
    if step.tokens > 1 or not step.decode:
        text += mask_text(settings, m, step.tokens) + "\n"
    if step.phase == "prefill":
        text += "output K, V\n"
    return Fragment(text + _output(block, query), sizes)


def cross_attention(block: SoftmaxAttention, source: str, step: Step) -> Fragment:
    """From tokens `source` to ZX[b,p,d]: attention to the u tokens of an encoder, U[b,u,d]; names end in X.

    A decode step finds KX and VX in the cache.
    """
    if step.source < 1:
        raise SpecError("source", "must be >= 1: a layer attends to an encoder's tokens", got=step.source)
    query, sizes = _heads(block)
    text = _queries(block, query, source)
    if not step.decode:
        text += _keys_text(block, "K", "U", "m") + _values_text(block, "V", "U", "m") + "output K, V\n"
    text += attention_text(step.settings(), query, step.source) + _output(block, query)
    text = re.sub(r"\bm(\d?)\b", r"u\1", re.sub(r"\bM1\b", "U1", text))
    own = re.sub(
        rf"\b(?!(?:U|{re.escape(source)})\[)([A-Z][A-Z0-9]*)(?=\[)|(?<=initial )([A-Z]+)", r"\1\2X", text
    )
    return Fragment(own.replace("output K, V", "output KX, VX"), {**sizes, "e": block.head_dim,
        "f": block.head_dim, "u": step.source})  # fmt: skip


def _heads(block: SoftmaxAttention) -> tuple[str, dict[str, int]]:
    """The subscript of a query's ranks, and their sizes."""
    groups = block.heads // block.kv_heads
    if groups == 1:
        return "b,h", {"h": block.heads}
    return "b,h,g", {"h": block.kv_heads, "g": groups}


def _keys(block: SoftmaxAttention, step: Step) -> int:
    """How many keys any query of the step may see: those before are read no more."""
    end = step.cached + step.tokens
    first = 0
    if step.decode and block.window:
        first = max(0, step.cached - block.window + 1)
    if step.decode and block.chunk:
        first = step.cached // block.chunk * block.chunk
    return end - first


def _queries(block: SoftmaxAttention, query: str, source: str) -> str:
    heads, full = query[2:], f"{query},e,p"
    stages = [product(f"{source}[b,p,d]", f"WQ[d,{heads},e]", full)]
    if "q" in block.biases:
        stages.append(bias(f"BQ[{heads},e]", full))
    stages += _norm(block, "Q", query, "p") + _rotation(block, full)
    return chain("Q", *stages)


def _keys_text(block: SoftmaxAttention, key: str, source: str, token: str) -> str:
    full = f"b,h,e,{token}"
    stages = [product(f"{source}[b,{token},d]", "WK[d,h,e]", full)]
    if "k" in block.biases:
        stages.append(bias("BK[h,e]", full))
    stages += _norm(block, "K", "b,h", token) + _rotation(block, full)
    return chain(key, *stages)


def _values_text(block: SoftmaxAttention, value: str, source: str, token: str) -> str:
    full = f"b,h,f,{token}"
    stages = [product(f"{source}[b,{token},d]", "WV[d,h,f]", full)]
    if "v" in block.biases:
        stages.append(bias("BV[h,f]", full))
    return chain(value, *stages)


def _output(block: SoftmaxAttention, query: str) -> str:
    stages = [product(f"AV[{query},f,p]", f"WO[{query[2:]},f,d]", "b,p,d")]
    if "o" in block.biases:
        stages.append(bias("BO[d]", "b,p,d"))
    return chain("Z", *stages)


def _norm(block: SoftmaxAttention, tag: str, query: str, token: str) -> list[Stage]:
    """The RMS norm of queries or keys, if there is one."""
    if not block.qk_norm:
        return []
    lead, over = (f"{query},{token}", "e") if block.qk_norm != "all" else (f"b,{token}", f"{query[2:]},e")
    gain, full = block.qk_norm != "plain", f"{query},e,{token}"
    return [lambda source, result: norm_text("rmsnorm", source, result, tag, lead, over, full, gain)]


def _rotation(block: SoftmaxAttention, full: str) -> list[Stage]:
    return [rotation(full)] if block.rotary else []


def rotation(full: str) -> Stage:
    """Rotary positions of a tensor over `b,...,e,t`; j is half of its elements e, c which half."""
    lead, _, token = full.rpartition(",")
    heads = lead.rpartition(",")[0]

    def stage(source: str, result: str) -> str:
        text = f"tensor {source}[{full}]\ntensor {result}[{full}]\n"
        return text + _ROTATE.format(out=result, src=source, q=heads, t=token)

    return stage


def _score(block: SoftmaxAttention, query: str) -> str:
    """What becomes of a product of query and key."""
    score = ""
    if block.soft_cap:
        score = f"{block.soft_cap} * tanh({{s}} / {block.soft_cap})"
    if block.alibi:  # Press et al., arXiv 2108.12409; a softmax doesn't see what its whole row shares
        score = f"{score or '{s}'} + SLOPE[{query[2:]}] * m"
    if block.relative:  # Raffel et al., arXiv 1910.10683: REL is the table spread over all distances
        score = f"{score or '{s}'} + REL[{query[2:]},m-p+P-1]"
    return score


def latent(block: LatentAttention, source: str, step: Step) -> Fragment:
    """Multi-head latent attention from tokens `source` to Z[b,p,d]: plain or with absorbed projections.

    The cache is LAT, normed, and KR, rotated: `rank` + `rope_dim` values a token. Absorbed (DeepSeek-V2,
    arXiv 2405.04434, 2.1.2), queries go to the latents' space and keys and values are the latents.
    """
    m = step.cached + step.tokens
    sizes = {"h": block.heads, "m": m, "n": block.key_dim, "w": block.rope_dim, "o": block.rank,
             "v": block.value_dim, "c": 2, "j": block.rope_dim // 2}  # fmt: skip
    token, kept, key = ("p", "LATN", "KRN") if step.decode else ("m", "LAT", "KR")
    from_token, rows, low = f"{source}[b,{token},d]", f"{source}[b,p,d]", "d"
    text = ""
    if block.query_rank:
        sizes["y"] = block.query_rank
        text += chain("QL", product(rows, "WDQ[d,y]", "b,p,y"), _gained("Q", "b,p", "y"))
        rows, low = "QL[b,p,y]", "y"
    text += chain("QR", product(rows, f"WQR[{low},h,w]", "b,h,w,p"), rotation("b,h,w,p"))
    text += chain(kept, product(from_token, "WDK[d,o]", f"b,{token},o"), _gained("K", f"b,{token}", "o"))
    text += chain(key, product(from_token, "WKR[d,w]", f"b,w,{token}"), rotation(f"b,w,{token}"))
    text += "tensor COS[w,p]\ntensor SIN[w,p]\nSR[b,h,m,p] = QR[b,h,w,p] * KR[b,w,m]\n"
    attend = attention_text(step.settings(), "b,h", m, "{s} + SR[b,h,m,p]")
    if step.absorbs:
        sizes |= {"e": block.rank, "f": block.rank}
        text += f"QH[b,h,n,p] = {rows} * WQ[{low},h,n]\nQ[b,h,e,p] = QH[b,h,n,p] * WUK[e,h,n]\n"
        text += attend.replace(" K[b,h,e,m]", " LAT[b,m,e]").replace(" V[b,h,f,m]", " LAT[b,m,f]")
        text += "VO[b,h,v,p] = AV[b,h,f,p] * WUV[f,h,v]\nZ[b,p,d] = VO[b,h,v,p] * WO[h,v,d]\n"
        text += "tensor LAT[b,m,o]\n"
    else:
        sizes |= {"e": block.key_dim, "f": block.value_dim}
        text += f"Q[b,h,e,p] = {rows} * WQ[{low},h,e]\n"
        text += "K[b,h,e,m] = LAT[b,m,o] * WUK[o,h,e]\nV[b,h,f,m] = LAT[b,m,o] * WUV[o,h,f]\n"
        text += attend + "Z[b,p,d] = AV[b,h,f,p] * WO[h,f,d]\n"
    if step.tokens > 1 or not step.decode:
        text += mask_text(step.settings(causal=True), m, step.tokens) + "\n"
    return Fragment(text + ("output LAT, KR\n" if step.phase == "prefill" else ""), sizes)


def _gained(tag: str, lead: str, over: str) -> Stage:
    """An RMS norm with a gain."""
    return lambda source, result: norm_text("rmsnorm", source, result, tag, lead, over)
