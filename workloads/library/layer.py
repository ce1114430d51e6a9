"""A whole transformer layer: projections, attention, residuals, norms and feed-forward network.

The score's scale is folded into WQ; biases of projections are left out. In a decode step K and V are the
cache, which already holds the new tokens' entries at its end; KN and VN are those entries as this step
makes them. A decoder's prompt leaves K and V as outputs: they are the cache.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from einsim.workloads.cascade import Cascade
from einsim.workloads.dimensions import MODEL_CHOICES, Dimensions, dimensions
from einsim.workloads.library.attention import MASK_PARAMETERS, attention_text, heads, mask_text, with_bits
from einsim.workloads.library.ffn import ffn_text
from einsim.workloads.library.norm import norm_text
from einsim.workloads.library.workload import Workload
from einsim.workloads.notation import parse
from einsim.workloads.settings import Parameter, Settings

PHASES = ("prefill", "decode")

_PARAMETERS = (
    Parameter(
        name="phase", kind="choice", choices=PHASES, default="prefill", summary="whole prompt, or new tokens"
    ),
    Parameter(name="seq", kind="size", default=4096, summary="tokens of the prompt, or in the cache"),
    Parameter(name="b", kind="size", summary="batch"),
    Parameter(name="p", kind="size", summary="query tokens (seq; 1 in a decode step)"),
    Parameter(
        name="source_seq", kind="size", summary="tokens of the encoder that a decode step attends to (seq)"
    ),
    *MASK_PARAMETERS,
)

# Su et al., RoFormer, arXiv 2104.09864, in the half-split form of the LLaMA code: element e = c * J + j turns
# with its partner (1-c) * J + j; SIN carries the sign.
ROTATE = (
    "{out}[{q},c*J+j,{t}] = {src}[{q},c*J+j,{t}] * COS[c*J+j,{t}] + {src}[{q},J-c*J+j,{t}] * SIN[c*J+j,{t}]\n"
)


def _projections(model: Dimensions, query: str, source: str, decode: bool) -> str:
    """Q, K and V from the tokens; in a decode step the new K and V are results and the cache is an input."""
    tokens, key, value = ("p", "KN", "VN") if decode else ("m", "K", "V")
    q, k = ("QP", "KP") if model.rope else ("Q", key)
    text = (
        f"{q}[{query},e,p] = {source}[b,p,d] * WQ[d,{query[2:]},e]\n"
        f"{k}[b,h,e,{tokens}] = {source}[b,{tokens},d] * WK[d,h,e]\n"
        f"{value}[b,h,f,{tokens}] = {source}[b,{tokens},d] * WV[d,h,f]\n"
    )
    if model.rope:
        text += f"tensor Q[{query},e,p]\ntensor {key}[b,h,e,{tokens}]\ntensor COS[e,p]\ntensor SIN[e,p]\n"
        text += f"tensor QP[{query},e,p]\ntensor KP[b,h,e,{tokens}]\n"
        text += ROTATE.format(out="Q", src="QP", q=query, t="p")
        text += ROTATE.format(out=key, src="KP", q="b,h", t=tokens)
    return text


def _cross(settings: Settings, query: str, source_seq: int) -> str:
    """Attention of R1 to an encoder's u tokens, keys KX and values VX given; its tensors end in X."""
    text = attention_text(settings, query, source_seq)
    text = re.sub(r"\bm(\d?)\b", r"u\1", re.sub(r"\bM1\b", "U1", text))
    text = re.sub(r"\b([A-Z]+)(?=\[)|(?<=initial )([A-Z]+)", r"\1\2X", text)
    return (
        norm_text("rmsnorm", "R1", "N3", "3")
        + f"QX[{query},e,p] = N3[b,p,d] * WQX[d,{query[2:]},e]\n"
        + text
        + f"ZX[b,p,d] = AVX[{query},f,p] * WOX[{query[2:]},f,d]\n"
        + "R3[b,p,d] = R1[b,p,d] + ZX[b,p,d]\n"
    )


def layer_text(
    model: Dimensions, settings: Settings, query: str, sizes: Mapping[str, int], decode: bool
) -> str:
    """All Einsums of one layer, from X[b,p,d] to Y[b,p,d]."""
    attend = (
        attention_text(settings, query, sizes["m"]) + f"Z[b,p,d] = AV[{query},f,p] * WO[{query[2:]},f,d]\n"
    )
    if model.order == "pre":  # Xiong et al., arXiv 2002.04745
        cross = _cross(settings, query, sizes["u"]) if "u" in sizes else ""
        last = "R3" if cross else "R1"
        return (
            norm_text(model.norm, "X", "N1", "1")
            + _projections(model, query, "N1", decode) + attend
            + "R1[b,p,d] = X[b,p,d] + Z[b,p,d]\n"
            + cross
            + norm_text(model.norm, last, "N2", "2")
            + ffn_text(model.activation, "N2", "d", "d")
            + f"Y[b,p,d] = {last}[b,p,d] + FF2[b,p,d]\n"
        )  # fmt: skip
    return (  # Vaswani et al., arXiv 1706.03762
        _projections(model, query, "X", decode) + attend
        + "R1[b,p,d] = X[b,p,d] + Z[b,p,d]\n"
        + norm_text(model.norm, "R1", "N1", "1")
        + ffn_text(model.activation, "N1", "d", "d")
        + "R2[b,p,d] = N1[b,p,d] + FF2[b,p,d]\n"
        + norm_text(model.norm, "R2", "Y", "2")
    )  # fmt: skip


def layer_cascade(model: Dimensions, settings: Settings, name: str) -> Cascade:
    """One layer of a model, for its prompt or for a decode step."""
    decode = settings.text("phase") == "decode"
    if decode and model.cross:  # the decoder of an encoder-decoder model is causal
        settings = Settings({**settings.values, "causal": True}, settings.where)
    if decode and not settings.flag("causal"):
        raise settings.error(
            "phase", "a bidirectional layer has no decode step", hint="causal=true makes it a decoder"
        )
    m = settings.size("seq")
    p = settings.size("p", 1 if decode else m)
    if not decode and p != m:
        raise settings.error("p", f"must equal seq ({m}) in prefill; phase=decode takes fewer tokens")
    if p > m:
        raise settings.error("p", f"must be <= seq ({m}), which counts the new tokens too")
    grouped = heads(settings, model.heads, model.key_heads)
    sizes = {
        "b": settings.size("b", model.batch), **grouped.sizes, "d": model.hidden,
        "e": model.head_dim, "f": model.head_dim, "m": m, "p": p, "s": model.ffn,
    }  # fmt: skip
    if decode and model.cross:
        sizes["u"] = settings.size("source_seq", m)
    if model.rope:
        if model.head_dim % 2:
            raise settings.error("head_dim", f"rotary positions need an even head size, not {model.head_dim}")
        sizes |= {"c": 2, "j": model.head_dim // 2}
    text = layer_text(model, settings, grouped.query, sizes, decode) + mask_text(settings, m, p)
    if settings.flag("causal") and not decode:
        text += "\noutput K, V"
    return with_bits(parse(text, name=name, sizes=sizes), settings)


def layer_parameters(model: Dimensions, causal: bool) -> tuple[Parameter, ...]:
    """Parameters of a layer whose dimensions are fixed."""
    defaults = {"causal": causal, "window": model.window or None}
    return tuple(
        msgspec.structs.replace(parameter, default=defaults[parameter.name])
        if parameter.name in defaults
        else parameter
        for parameter in _PARAMETERS
    )


def layer_workload(name: str, model: Dimensions) -> Workload:
    """A layer of one model as a workload of its own."""
    kind = "decoder" if model.causal else "encoder"
    return Workload(
        name=name, summary=f"one {kind} layer of {model.layers}: hidden {model.hidden}, {model.heads} heads",
        parameters=layer_parameters(model, model.causal),
        build=lambda settings: layer_cascade(model, settings, name),
    )  # fmt: skip


def _generic(name: str, default: str, causal: bool) -> Workload:
    choice = Parameter(
        name="model", kind="choice", choices=MODEL_CHOICES, default=default, summary="dimensions"
    )
    own = dimensions(default)
    return Workload(
        name=name, summary=f"{'causal' if causal else 'bidirectional'} transformer layer of a model",
        parameters=(choice, *layer_parameters(own, causal)),
        build=lambda settings: layer_cascade(dimensions(settings.text("model")), settings, name),
    )  # fmt: skip


WORKLOADS = (
    _generic("encoder-layer", "bert-base", causal=False),
    _generic("decoder-layer", "llama2-7b", causal=True),
)
