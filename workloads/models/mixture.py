"""Mixtures of experts: the router in the layer, the experts that are touched, and their weighted sum.

Look-ups by index have no notation: a layer leaves its tokens (N2) and the router's shares (RTP), the experts
take the rows XE that were sent to them, and the sum takes the rows YE and shares GW of the chosen. So each
row is charged as it is written and read. The choice itself (a token's k largest shares) costs nothing here.
"""

from __future__ import annotations

import math

import msgspec

from einsim.specs.errors import SpecError
from einsim.workloads.blocks.ffn import ffn_text
from einsim.workloads.cascade import Cascade
from einsim.workloads.models.fragment import Fragment
from einsim.workloads.models.network import Mlp, Moe
from einsim.workloads.models.step import Step
from einsim.workloads.notation import parse

MOST_EXPERTS = 2**16
"""Of a mixture: each has a chance of its own. More are refused."""


class Routed(msgspec.Struct, frozen=True):
    """Experts that are touched and the tokens that each gets: `places` token-expert pairs in all. `expected`
    is the mean number of touched ones, which `experts` is rounded.
    """

    experts: int
    tokens: int
    places: int
    expected: float


def routing(moe: Moe, step: Step) -> Routed:
    """How a step's tokens fall on experts, each choosing `per_token` of them independently.

    Expert e is chosen by a token with p_e: k/E where all are alike, by the step's histogram or skew (Zipf's
    law: the r-th in proportion to r^-skew) where one is given, at most 1, and k in all. T tokens leave it
    untouched with (1 - p_e)^T, so that on average the sum of 1 - (1 - p_e)^T are touched: rounded, and at
    least k. The expected pairs, as far as the capacity takes them (no expert more than capacity x T k / E,
    the rest is dropped, as in arXiv 2101.03961), are laid out over the touched ones evenly.
    """
    tokens = step.batch * step.tokens
    chances = _chances(moe, step)
    expected = math.fsum(
        1.0 if chance >= 1 else -math.expm1(tokens * math.log1p(-chance)) for chance in chances
    )
    touched = max(moe.per_token, round(expected))
    places = tokens * moe.per_token
    if step.capacity:
        most = math.ceil(step.capacity * tokens * moe.per_token / moe.experts)
        places = min(places, max(1, round(math.fsum(min(tokens * chance, most) for chance in chances))))
    touched = min(touched, places)
    return Routed(touched, -(-places // touched), places, min(expected, float(places)))


def _chances(moe: Moe, step: Step) -> list[float]:
    """The chance of each expert to be one of a token's."""
    if moe.experts > MOST_EXPERTS:
        raise SpecError("experts", f"must be at most {MOST_EXPERTS:,}", got=moe.experts)
    loads = [1.0] * moe.experts
    if step.load:
        if len(step.load) != moe.experts:
            raise SpecError("load", f"must list the {moe.experts} experts", got=len(step.load))
        loads = [float(each) for each in step.load]
    elif step.skew:
        loads = [(1 + at) ** -step.skew for at in range(moe.experts)]
    if sum(load > 0 for load in loads) < moe.per_token:
        raise SpecError("load", f"must give at least {moe.per_token} experts some, as many as a token takes")
    certain: set[int] = set()
    while True:  # what a certain expert can't take falls to the others
        rest = math.fsum(load for at, load in enumerate(loads) if at not in certain)
        share = (moe.per_token - len(certain)) / rest if rest else 0.0
        over = {at for at, load in enumerate(loads) if at not in certain and load * share >= 1}
        if not over:
            return [1.0 if at in certain else load * share for at, load in enumerate(loads)]
        certain |= over


def mlp_text(mlp: Mlp, source: str, result: str, lead: str = "b,p", of: str = "") -> str:
    """A feed-forward network from `source` to FF2 over rank `result`."""
    return ffn_text(mlp.activation, source, "d", result, gated=mlp.gated, bias=mlp.bias, lead=lead, of=of)


def router(moe: Moe, source: str) -> Fragment:
    """Shares RTP of each token over the experts z, and what all tokens share: FF2, if anything."""
    text = ""
    if moe.shared:
        text += mlp_text(moe.shared, source, "d")
        if moe.shared_gate:
            text += f"SG[b,p] = {source}[b,p,d] * WSG[d]\n"
            text = text.replace("FF2[", "FFS[") + "FF2[b,p,d] = FFS[b,p,d] * sigmoid(SG[b,p])\n"
    text += f"RTL[b,p,z] = {source}[b,p,d] * WR[d,z]\n"
    logit = "RTL[b,p,z]"
    if moe.router_bias:
        text += "RTB[b,p,z] = RTL[b,p,z] + BR[z]\n"
        logit = "RTB[b,p,z]"
    if moe.score == "softmax":
        text += f"RTM[b,p] = max[z]({logit})\nRTN[b,p,z] = exp({logit} - RTM[b,p])\n"
        text += "RTD[b,p] = sum[z](RTN[b,p,z])\nRTP[b,p,z] = RTN[b,p,z] / RTD[b,p]\n"
    else:
        text += f"RTP[b,p,z] = sigmoid({logit})\n"
    if moe.choice_bias:
        text += "RTC[b,p,z] = RTP[b,p,z] + BC[z]\noutput RTP\n"
    inner = {"s": moe.shared.inner} if moe.shared else {}
    return Fragment(text + f"output {source}\n", {"z": moe.experts, **inner})


def routed(moe: Moe, hidden: int, step: Step) -> Cascade:
    """The experts that a step touches, each on its rows XE[x,n,d], to FF2[x,n,o]; see `routing`."""
    found = routing(moe, step)
    text = mlp_text(moe.expert, "XE", "o", lead="x,n", of="x,")
    if found.places < found.experts * found.tokens:
        text += f"where n*X + x <= {found.places - 1}\n"
    sizes = {"x": found.experts, "n": found.tokens, "d": hidden, "s": moe.expert.inner, "o": hidden}
    return parse(text, name="experts", sizes=sizes)


def combined(moe: Moe, hidden: int, step: Step) -> Cascade:
    """Y[b,p,d]: the residual X with the sum of the chosen experts' rows by their shares."""
    text = "YC[b,p,d] = YE[b,p,k,d] * GW[b,p,k]\nY[b,p,d] = X[b,p,d] + YC[b,p,d]\n"
    sizes = {"b": step.batch, "p": step.tokens, "k": moe.per_token, "d": hidden}
    return parse(text, name="combine", sizes=sizes)
