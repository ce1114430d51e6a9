"""The position-wise feed-forward network: two matrix products around GELU or ReLU, or SwiGLU's three."""

from __future__ import annotations

from einsim.workloads.blocks.ffn import ACTIVATIONS, ffn_text
from einsim.workloads.cascade import Cascade
from einsim.workloads.library.workload import Workload, with_bits
from einsim.workloads.models.names import MODEL_CHOICES, named_model
from einsim.workloads.models.network import Mlp, Moe
from einsim.workloads.notation import parse
from einsim.workloads.settings import Parameter, Settings

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


def _build(settings: Settings) -> Cascade:
    model = named_model(settings.text("model"))
    blocks = [layer.mlp for layer in model.network.layers if layer.mlp]
    if not blocks:
        raise settings.error("model", "has no feed-forward network")
    mlp: Mlp = blocks[0].expert if isinstance(blocks[0], Moe) else blocks[0]
    d = settings.size("d", model.network.hidden)
    sizes = {
        "b": settings.size("b", model.batch), "p": settings.size("p", settings.size("seq")),
        "d": d, "s": settings.size("s", mlp.inner), "o": d,
    }  # fmt: skip
    given = settings.text("activation")
    text = ffn_text(given or mlp.activation, "X", "d", "o", gated=mlp.gated and not given)
    return with_bits(parse(text, name="ffn", sizes=sizes), settings)


WORKLOADS = (
    Workload(name="ffn", summary="feed-forward network, GELU or SwiGLU", parameters=PARAMETERS, build=_build),
)
