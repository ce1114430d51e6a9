"""Attention in three, two or one pass over the keys: masks, grouped queries and a decode step."""

from __future__ import annotations

import msgspec

from einsim.workloads.blocks.attention import attention_text, mask_text
from einsim.workloads.cascade import Cascade
from einsim.workloads.library.workload import Workload, with_bits
from einsim.workloads.models.names import MODEL_CHOICES, named_model
from einsim.workloads.models.network import SoftmaxAttention
from einsim.workloads.notation import parse
from einsim.workloads.settings import Parameter, Settings

MASK_PARAMETERS = (
    Parameter(
        name="passes",
        kind="choice",
        choices=("3", "2", "1"),
        default="3",
        open=True,
        summary="passes over the keys",
    ),
    Parameter(name="causal", kind="flag", default=False, summary="a query sees no later key"),
    Parameter(name="window", kind="size", summary="a query sees keys less than this many places away"),
    Parameter(name="documents", kind="sizes", summary="lengths of packed documents; the last one repeats"),
    Parameter(name="m0", kind="size", summary="keys in a block of the 2- and 1-pass cascades (256)"),
    Parameter(name="bits", kind="size", default=16, summary="bits of every value"),
)

PARAMETERS = (
    Parameter(
        name="model", kind="choice", choices=MODEL_CHOICES, default="bert-base", summary="gives b, h, e, f"
    ),
    Parameter(name="seq", kind="size", default=4096, summary="tokens: keys and queries"),
    Parameter(name="b", kind="size", summary="batch"),
    Parameter(name="h", kind="size", summary="query heads"),
    Parameter(name="e", kind="size", summary="elements of a query and a key"),
    Parameter(name="f", kind="size", summary="elements of a value"),
    Parameter(name="m", kind="size", summary="keys (seq)"),
    Parameter(name="p", kind="size", summary="queries (seq)"),
    Parameter(name="kv_heads", kind="size", summary="key and value heads; divides h (h)"),
    *MASK_PARAMETERS,
)


class Heads(msgspec.Struct, frozen=True):
    """Rank sizes and the subscript of a query's ranks: grouped queries add rank g within each key head h."""

    sizes: dict[str, int]
    query: str


def heads(settings: Settings, h: int, kv_heads: int) -> Heads:
    """SpecError when the key heads don't divide the query heads."""
    if h % kv_heads:
        raise settings.error("kv_heads", f"must divide the {h} query heads")
    if kv_heads == h:
        return Heads({"h": h}, "b,h")
    return Heads({"h": kv_heads, "g": h // kv_heads}, "b,h,g")


def _build(settings: Settings) -> Cascade:
    model = named_model(settings.text("model"))
    mixers = (layer.mixer for layer in model.network.layers)
    own = next((mixer for mixer in mixers if isinstance(mixer, SoftmaxAttention)), None)
    if own is None:
        raise settings.error("model", "has no layer of softmax attention over keys and values")
    seq = settings.size("seq")
    m, p = settings.size("m", seq), settings.size("p", seq)
    h = settings.size("h", own.heads)
    kv_heads = h if settings.given("h") else own.kv_heads
    grouped = heads(settings, h, settings.size("kv_heads", kv_heads))
    e = settings.size("e", own.head_dim)
    sizes = {
        "b": settings.size("b", model.batch), **grouped.sizes,
        "e": e, "f": settings.size("f", e), "m": m, "p": p,
    }  # fmt: skip
    text = attention_text(settings, grouped.query, m) + mask_text(settings, m, p)
    return with_bits(parse(text, name=f"attention-{settings.text('passes')}pass", sizes=sizes), settings)


def _with_default(name: str, default: int | str | bool | None) -> tuple[Parameter, ...]:
    return tuple(
        msgspec.structs.replace(parameter, default=default, open=False)
        if parameter.name == name
        else parameter
        for parameter in PARAMETERS
    )


def _build_decode(settings: Settings) -> Cascade:
    cascade = _build(settings)
    return msgspec.structs.replace(cascade, name=f"attention-decode-{settings.text('passes')}pass")


_DECODE = tuple(
    msgspec.structs.replace(parameter, default=1, summary="new tokens")
    if parameter.name == "p"
    else parameter
    for parameter in _with_default("causal", True)
)

WORKLOADS = (
    Workload(
        name="attention", summary="softmax(Q K) V over heads, in 3, 2 or 1 passes",
        parameters=PARAMETERS, build=_build,
    ),
    *(
        Workload(
            name=f"attention-{passes}pass", summary=f"attention in {passes} pass{'es' * (passes > 1)}",
            parameters=_with_default("passes", str(passes)), build=_build,
        )
        for passes in (3, 2, 1)
    ),
    Workload(
        name="attention-decode", summary="attention of new tokens over a cache of keys and values",
        parameters=_DECODE, build=_build_decode,
    ),
)  # fmt: skip
