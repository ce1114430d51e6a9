"""The position-wise feed-forward network: two matrix products around GELU or ReLU, or SwiGLU's three."""

from __future__ import annotations

from einsim.workloads.cascade import Cascade
from einsim.workloads.dimensions import MODEL_CHOICES, dimensions
from einsim.workloads.library.attention import with_bits
from einsim.workloads.library.workload import Workload
from einsim.workloads.notation import parse
from einsim.workloads.settings import Parameter, Settings

ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu", "swiglu", "geglu")

PARAMETERS = (
    Parameter(
        name="model", kind="choice", choices=MODEL_CHOICES, default="bert-base", summary="gives b, d, s"
    ),
    Parameter(name="seq", kind="size", default=4096, summary="tokens"),
    Parameter(name="b", kind="size", summary="batch"),
    Parameter(name="p", kind="size", summary="tokens (seq)"),
    Parameter(name="d", kind="size", summary="hidden elements of a token"),
    Parameter(name="s", kind="size", summary="inner elements of a token"),
    Parameter(name="activation", kind="choice", choices=ACTIVATIONS, summary="as in the model"),
    Parameter(name="bits", kind="size", default=16, summary="bits of every value"),
)


def ffn_text(activation: str, source: str, inner: str, result: str) -> str:
    """Einsums from tensor `source`, over tokens and rank `inner`, to FF2 over rank `result`.

    The gated forms are those of Shazeer, arXiv 2002.05202.
    """
    if activation in ("swiglu", "geglu"):
        gate = "silu" if activation == "swiglu" else "gelu_tanh"
        first = (
            f"GATE[b,p,s] = {source}[b,p,{inner}] * WG[{inner},s]\n"
            f"FF1[b,p,s] = {source}[b,p,{inner}] * W1[{inner},s]\n"
            f"ACT[b,p,s] = {gate}(GATE[b,p,s]) * FF1[b,p,s]\n"
        )
    else:
        first = f"FF1[b,p,s] = {source}[b,p,{inner}] * W1[{inner},s]\nACT[b,p,s] = {activation}(FF1[b,p,s])\n"
    return first + f"FF2[b,p,{result}] = ACT[b,p,s] * W2[s,{result}]\n"


def _build(settings: Settings) -> Cascade:
    model = dimensions(settings.text("model"))
    d = settings.size("d", model.hidden)
    sizes = {
        "b": settings.size("b", model.batch), "p": settings.size("p", settings.size("seq")),
        "d": d, "s": settings.size("s", model.ffn), "o": d,
    }  # fmt: skip
    activation = settings.text("activation") or model.activation
    return with_bits(parse(ffn_text(activation, "X", "d", "o"), name="ffn", sizes=sizes), settings)


WORKLOADS = (
    Workload(name="ffn", summary="feed-forward network, GELU or SwiGLU", parameters=PARAMETERS, build=_build),
)
