"""State spaces and short convolutions as text, as the recurrences that they are: one step a token.

A prompt leaves its last state. A decode step takes one token: H0 is the state before it, XS (and BS, CS of
Mamba 2) what the earlier taps of a convolution meet, the latest first; H1 is the state that it leaves.
Softplus is log(1 + exp(x)).
"""

from __future__ import annotations

from einsim.specs.errors import SpecError
from einsim.workloads.blocks.convolution import gated_text
from einsim.workloads.blocks.norm import norm_text
from einsim.workloads.models.fragment import Fragment, Stage, bias, chain, product
from einsim.workloads.models.network import Selective, ShortConv, StateSpace
from einsim.workloads.models.step import Step


def short_convolution(block: ShortConv, source: str, step: Step, hidden: int) -> Fragment:
    """From tokens `source` to Z[b,p,d]; it is as wide within as the `hidden` state."""
    text = gated_text(source, "p", "Z[b,p,d]", decode=step.decode)
    return Fragment(text, {"i": hidden, "r": _taps(block.taps, step)})


def selective(block: Selective, source: str, step: Step) -> Fragment:
    """Mamba's mixer from tokens `source` to Z[b,p,d]."""
    sizes = {"i": block.inner, "n": block.state, "k": block.step_rank, "r": _taps(block.taps, step)}
    token = f"{source}[b,p,d]"
    text = chain("XI", product(token, "WX[d,i]", "b,p,i"), *_bias(block.bias, "BX[i]", "b,p,i"))
    text += chain("ZG", product(token, "WZ[d,i]", "b,p,i"), *_bias(block.bias, "BZ[i]", "b,p,i"))
    text += _convolved("X", "i", "b,p", block.conv_bias, step)
    text += chain("DL", product("XC[b,p,i]", "WDT[i,k]", "b,p,k"), *_norm(block, "D", "k"))
    text += chain("DT", product("DL[b,p,k]", "WDP[k,i]", "b,p,i"), _softplus("b,p,i", "BDT[i]"))
    text += chain("BM", product("XC[b,p,i]", "WB[i,n]", "b,p,n"), *_norm(block, "B", "n"))
    text += chain("CM", product("XC[b,p,i]", "WC[i,n]", "b,p,n"), *_norm(block, "C", "n"))
    text += _recurrence("i", "i", "DT[b,p,i]", "AL[i,n]", "BM[b,p,n]", "CM[b,p,n]", step)
    text += "YG[b,p,i] = (YS[b,p,i] + XC[b,p,i] * DD[i]) * silu(ZG[b,p,i])\n"
    text += chain("Z", product("YG[b,p,i]", "WO[i,d]", "b,p,d"), *_bias(block.bias, "BO[d]", "b,p,d"))
    return Fragment(text, sizes)


def state_space(block: StateSpace, source: str, step: Step) -> Fragment:
    """Mamba 2's mixer from tokens `source` to Z[b,p,d]: heads h of each group g, elements e."""
    sizes = {"g": block.groups, "h": block.heads // block.groups, "e": block.head_dim, "n": block.state,
             "r": _taps(block.taps, step)}  # fmt: skip
    token, inner = f"{source}[b,p,d]", "g,h,e"
    text = f"ZG[b,p,{inner}] = {token} * WZ[d,{inner}]\nXI[b,p,{inner}] = {token} * WX[d,{inner}]\n"
    text += f"BI[b,p,g,n] = {token} * WB[d,g,n]\nCI[b,p,g,n] = {token} * WC[d,g,n]\n"
    text += chain("DT", product(token, "WDT[d,g,h]", "b,p,g,h"), _softplus("b,p,g,h", "BDT[g,h]"))
    for name, ranks in (("X", inner), ("B", "g,n"), ("C", "g,n")):
        text += _convolved(name, ranks, "b,p", block.conv_bias, step)
    text += _recurrence(inner, "g,h", "DT[b,p,g,h]", "AL[g,h]", "BC[b,p,g,n]", "CC[b,p,g,n]", step)
    text += f"YG[b,p,{inner}] = (YS[b,p,{inner}] + XC[b,p,{inner}] * DD[g,h]) * silu(ZG[b,p,{inner}])\n"
    text += norm_text("rmsnorm", "YG", "YN", "Y", "b,p", inner)
    return Fragment(text + f"Z[b,p,d] = YN[b,p,{inner}] * WO[{inner},d]\n", sizes)


def _taps(taps: int, step: Step) -> int:
    """The size of rank r: all taps, or those before the one token of a decode step."""
    if step.decode and step.tokens > 1:
        raise SpecError("tokens", "must be 1: a recurrence decodes token by token", got=step.tokens)
    return taps - 1 if step.decode else taps


def _bias(has: bool, tensor: str, full: str) -> list[Stage]:
    return [bias(tensor, full)] if has else []


def _norm(block: Selective, tag: str, rank: str) -> list[Stage]:
    if not block.norms:
        return []
    gain = block.norms == "gain"
    return [lambda source, result: norm_text("rmsnorm", source, result, tag, "b,p", rank, gain=gain)]


def _softplus(full: str, shift: str) -> Stage:
    return lambda source, result: f"{result}[{full}] = log(1 + exp({source}[{full}] + {shift}))\n"


def _convolved(name: str, ranks: str, lead: str, has_bias: bool, step: Step) -> str:
    """A causal depthwise convolution of `name`I by taps r, and SiLU, to `name`C; tap 0 meets the token."""
    made, past, taps = f"{name}I", f"{name}S", f"WT{name}"
    if step.decode:
        text = f"{name}P[b,{ranks}] = {past}[b,r,{ranks}] * {taps}[{ranks},r+1]\n"
        sum_ = f"{name}P[b,{ranks}] + {made}[{lead},{ranks}] * {taps}[{ranks},0]"
    else:
        text = f"where r <= p\n{name}P[{lead},{ranks}] = {made}[b,p-r,{ranks}] * {taps}[{ranks},r]\n"
        sum_ = f"{name}P[{lead},{ranks}]"
    shift = f" + BT{name}[{ranks}]" if has_bias else ""
    return text + f"{name}C[{lead},{ranks}] = silu({sum_}{shift})\n"


def _recurrence(inner: str, scalar: str, dt: str, rate: str, into: str, out: str, step: Step) -> str:
    """States of n values for each element of ranks `inner`, read out to YS; A is -exp of what is learnt."""
    decay = f"DA[{rate[3:]}"
    text = f"{decay} = 0 - exp({rate})\n"
    before = f"H0[b,{inner},n]" if step.decode else f"H[p,b,{inner},n]"
    after = f"H1[b,p,{inner},n]" if step.decode else f"H[p+1,b,{inner},n]"
    if not step.decode:
        text += "initial H = 0\noutput H\n"
    text += f"{after} = {before} * exp({dt} * {decay}) + {dt} * {into} * XC[b,p,{inner}]\n"
    text += f"YS[b,p,{inner}] = {after} * {out}\n"
    return text + ("output H1\n" if step.decode else "")
