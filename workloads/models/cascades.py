"""One layer of a network as a cascade: its blocks with norms and residuals, from X[b,p,d] to Y[b,p,d]."""

from __future__ import annotations

from collections.abc import Callable

from einsim.specs.errors import SpecError
from einsim.workloads.blocks.norm import norm_text
from einsim.workloads.cascade import Cascade
from einsim.workloads.models.attending import attention, cross_attention, latent
from einsim.workloads.models.fragment import Fragment
from einsim.workloads.models.mixture import mlp_text, router
from einsim.workloads.models.network import (
    LatentAttention,
    Layer,
    Mixer,
    Moe,
    Selective,
    ShortConv,
    SoftmaxAttention,
    StateSpace,
)
from einsim.workloads.models.recurrent import selective, short_convolution, state_space
from einsim.workloads.models.step import Step
from einsim.workloads.notation import parse

Body = Callable[[str], Fragment]
"""A block from a tensor of tokens, by its name."""


def layer_cascade(layer: Layer, hidden: int, step: Step) -> Cascade:
    """One layer over a step's tokens. SpecError where it has no such step.

    Of a mixture of experts it is all up to the experts: what they and the sum after them read is left as
    outputs, the tokens N2, the shares RTP and the residual R1, or R2 with what a shared expert adds.
    """
    if step.decode and isinstance(layer.mixer, SoftmaxAttention) and not layer.mixer.causal:
        raise SpecError("phase", "a bidirectional layer has no decode step", got=step.phase)
    if isinstance(layer.mlp, Moe) and layer.placement != "pre":
        raise SpecError("placement", "must be pre in a layer of experts", got=layer.placement)
    sizes = {"b": step.batch, "d": hidden, "p": step.tokens}
    made = Fragment("", sizes) + _blocks(layer, hidden, step)
    return parse(made.text, name=f"{_NAMES[type(layer.mixer)]}-{step.phase}", sizes=dict(made.sizes))


_NAMES: dict[type, str] = {
    SoftmaxAttention: "attention-layer", LatentAttention: "latent-layer", Selective: "selective-layer",
    StateSpace: "state-space-layer", ShortConv: "convolution-layer",
}  # fmt: skip


def _blocks(layer: Layer, hidden: int, step: Step) -> Fragment:
    def mixing(source: str) -> Fragment:
        return mixer(layer.mixer, source, step, hidden)

    if layer.placement.startswith("parallel"):
        return _parallel(layer, mixing)
    blocks: list[tuple[str, str, Body]] = [("1", "Z", mixing)]
    cross = layer.cross
    if cross:
        blocks.append(("3", "ZX", lambda source: cross_attention(cross, source, step)))
    if layer.mlp:
        blocks.append(("2", "FF2", lambda source: _mlp(layer, source)))
    made, source = Fragment(""), "X"
    for tag, block, body in blocks:
        result = "Y" if tag == blocks[-1][0] else f"R{tag}"
        made += _with_residual(layer, source, result, tag, block, body)
        source = result
    return made


def mixer(block: Mixer, source: str, step: Step, hidden: int) -> Fragment:
    """What mixes tokens, from `source` to Z[b,p,d]."""
    match block:
        case SoftmaxAttention():
            return attention(block, source, step)
        case LatentAttention():
            return latent(block, source, step)
        case Selective():
            return selective(block, source, step)
        case ShortConv():
            return short_convolution(block, source, step, hidden)
    return state_space(block, source, step)


def _mlp(layer: Layer, source: str) -> Fragment:
    if isinstance(layer.mlp, Moe):
        return router(layer.mlp, source)
    assert layer.mlp
    return Fragment(mlp_text(layer.mlp, source, "d"), {"s": layer.mlp.inner})


def _with_residual(layer: Layer, source: str, result: str, tag: str, block: str, body: Body) -> Fragment:
    """A block between its norms, added to what went in."""
    before = layer.placement in {"pre", "sandwich"}
    read = f"N{tag}" if before else source
    made = Fragment(norm_text(layer.norm, source, read, tag) if before else "") + body(read)
    if tag == "2" and isinstance(layer.mlp, Moe):
        shared = f"R2[b,p,d] = {source}[b,p,d] + FF2[b,p,d]\n" if layer.mlp.shared else f"output {source}\n"
        return made + Fragment(shared)
    if layer.placement in {"output", "sandwich"}:
        made += Fragment(norm_text(layer.norm, block, f"N{tag}P", f"{tag}P"))
        block = f"N{tag}P"
    if layer.placement != "post":
        return made + Fragment(f"{result}[b,p,d] = {source}[b,p,d] + {block}[b,p,d]\n")
    summed = f"R{tag}P"
    text = f"{summed}[b,p,d] = {source}[b,p,d] + {block}[b,p,d]\n"
    return made + Fragment(text + norm_text(layer.norm, summed, result, tag))


def _parallel(layer: Layer, mixing: Body) -> Fragment:
    second = "N2" if layer.placement == "parallel-two" else "N1"
    made = Fragment(norm_text(layer.norm, "X", "N1", "1")) + mixing("N1")
    if second == "N2":
        made += Fragment(norm_text(layer.norm, "X", "N2", "2"))
    made += _mlp(layer, second)
    return made + Fragment("R1[b,p,d] = X[b,p,d] + Z[b,p,d]\nY[b,p,d] = R1[b,p,d] + FF2[b,p,d]\n")
