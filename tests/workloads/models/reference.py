"""Layers in plain numpy, as their papers and published code have them, on the weights that a cascade names.

Tokens are x[b,t,d]. Keys may be more than queries; queries are the last ones.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erf, expit, softmax

from einsim.workloads.models.network import (
    LatentAttention,
    Moe,
    Selective,
    ShortConv,
    SoftmaxAttention,
    StateSpace,
)

EPS = 1e-5


def rms(x, gain=None, axes=(-1,)):
    found = x / np.sqrt((x**2).mean(axes, keepdims=True) + EPS)
    return found if gain is None else found * gain


def norm(kind, x, w, tag):
    if kind == "rmsnorm":
        return rms(x, w[f"G{tag}"])
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPS) * w[f"G{tag}"] + w[f"B{tag}"]


def act(kind, x):
    match kind:
        case "relu":
            return np.maximum(x, 0)
        case "silu":
            return x * expit(x)
        case "gelu":
            return x * (1 + erf(x / np.sqrt(2))) / 2
        case "gelu_quick":
            return x * expit(1.702 * x)
    assert kind == "gelu_tanh"
    return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def mlp(block, x, w):
    bias = {name: w[f"BW{name}"] if block.bias else 0 for name in ("1", "2", *("G" * block.gated))}
    up = x @ w["W1"] + bias["1"]
    if block.activation == "clipped":
        gate = np.minimum(x @ w["WG"] + bias["G"], 7)
        inner = (np.clip(up, -7, 7) + 1) * gate * expit(1.702 * gate)
    elif block.gated:
        inner = act(block.activation, x @ w["WG"] + bias["G"]) * up
    else:
        inner = act(block.activation, up)
    return inner @ w["W2"] + bias["2"]


def turn(x, w):
    """x[..., t, e] by tables COS[e,t], SIN[e,t]: each element with the one half a head away."""
    half = x.shape[-1] // 2
    partner = np.concatenate([x[..., half:], x[..., :half]], axis=-1)
    return x * w["COS"].T + partner * w["SIN"].T


def by_head(weight, block):
    """WQ[d,h,g,e] or [d,h,e] as [d,heads,e]; BQ and SLOPE likewise, less what they lack."""
    return weight.reshape(weight.shape[0], block.heads, -1)


def project(block, letter, x, w, heads):
    """x[b,t,d] to [b,heads,t,e] with its bias."""
    found = np.einsum("btd,dhe->bhte", x, w[f"W{letter}"].reshape(x.shape[-1], heads, -1))
    if letter.lower() in block.biases:
        found += w[f"B{letter}"].reshape(heads, 1, -1)
    return found


def normed(block, letter, x, w):
    """Queries or keys [b,h,t,e] after their norm, if any."""
    match block.qk_norm:
        case "head":
            return rms(x, w[f"G{letter}"])
        case "plain":
            return rms(x)
        case "all":
            gain = w[f"G{letter}"].reshape(x.shape[1], 1, -1)
            return rms(x, axes=(1, 3)) * gain
    return x


def seen(block, keys, queries):
    """Which of keys[m] a query[p] sees."""
    key, query = np.arange(keys)[:, None], np.arange(queries)[None, :] + keys - queries
    found = np.ones((keys, queries), bool)
    if block.causal:
        found &= key <= query
    if block.window:
        found &= query - key < block.window
    if block.chunk:
        found &= query // block.chunk == key // block.chunk
    return found


def attention(block: SoftmaxAttention, x, w, source=None):
    source = x if source is None else source
    q = normed(block, "Q", project(block, "Q", x, w, block.heads), w)
    k = normed(block, "K", project(block, "K", source, w, block.kv_heads), w)
    v = project(block, "V", source, w, block.kv_heads)
    if block.rotary:
        q, k = turn(q, w), turn(k, w)
    k, v = (np.repeat(each, block.heads // block.kv_heads, axis=1) for each in (k, v))
    score = np.einsum("bhpe,bhme->bhmp", q, k)
    keys, queries = score.shape[2:]
    if block.soft_cap:
        score = block.soft_cap * np.tanh(score / block.soft_cap)
    if block.alibi:
        distance = np.arange(queries)[None, :] + keys - queries - np.arange(keys)[:, None]
        score = score - w["SLOPE"].reshape(-1, 1, 1) * distance
    if block.relative:
        for m in range(keys):
            for p in range(queries):
                score[:, :, m, p] += w["REL"].reshape(block.heads, -1)[:, m - p + queries - 1]
    score = np.where(seen(block, keys, queries), score, -np.inf)
    if block.sinks:
        sink = np.broadcast_to(w["SINK"].reshape(1, -1, 1, 1), (*score.shape[:2], 1, queries))
        share = softmax(np.concatenate([score, sink], axis=2), axis=2)[:, :, :-1]
    else:
        share = softmax(score, axis=2)
    out = np.einsum("bhmp,bhmf->bphf", share, v)
    z = out.reshape(*x.shape[:2], -1) @ w["WO"].reshape(-1, x.shape[-1])
    return z + (w["BO"] if "o" in block.biases else 0)


def latent(block: LatentAttention, x, w):
    """DeepSeek-V2, arXiv 2405.04434, equations 9 to 19, in the plain form. WUK and WUV are [rank,h,e]."""
    low = rms(x @ w["WDQ"], w["GQ"]) if block.query_rank else x
    c = rms(x @ w["WDK"], w["GK"])
    q = np.concatenate([np.einsum("bty,yhe->bhte", low, w["WQ"]),
                        turn(np.einsum("bty,yhe->bhte", low, w["WQR"]), w)], axis=-1)  # fmt: skip
    shared = turn(x @ w["WKR"], w)[:, None]
    k = np.einsum("bto,ohe->bhte", c, w["WUK"])
    k = np.concatenate([k, np.broadcast_to(shared, (*k.shape[:3], shared.shape[-1]))], axis=-1)
    v = np.einsum("bto,ohf->bhtf", c, w["WUV"])
    score = np.einsum("bhpe,bhme->bhmp", q, k)
    tokens = x.shape[1]
    share = softmax(np.where(np.tri(tokens).T, score, -np.inf), axis=2)
    return np.einsum("bhmp,bhmf,hfd->bpd", share, v, w["WO"])


def taps(x, weight, bias):
    """Causal depthwise convolution of x[b,t,...] by weight[...,r], tap 0 on the token itself."""
    found = np.zeros_like(x) + bias
    for t in range(x.shape[1]):
        for r in range(min(weight.shape[-1], t + 1)):
            found[:, t] += x[:, t - r] * weight[..., r]
    return found


def selective(block: Selective, x, w):
    """Gu & Dao, arXiv 2312.00752, algorithm 2 with the block of figure 3."""
    bias = {name: w[name] if block.bias else 0 for name in ("BX", "BZ", "BO")}
    inner, gate = x @ w["WX"] + bias["BX"], x @ w["WZ"] + bias["BZ"]
    inner = act("silu", taps(inner, w["WTX"], w["BTX"] if block.conv_bias else 0))
    step, into, out = inner @ w["WDT"], inner @ w["WB"], inner @ w["WC"]
    if block.norms:
        gains = [w[f"G{tag}"] if block.norms == "gain" else None for tag in "DBC"]
        step, into, out = (rms(each, gain) for each, gain in zip((step, into, out), gains, strict=True))
    step = np.logaddexp(0, step @ w["WDP"] + w["BDT"])
    state = np.zeros((x.shape[0], block.inner, block.state))
    y = np.zeros_like(inner)
    for t in range(x.shape[1]):
        now = step[:, t, :, None]
        state = np.exp(now * -np.exp(w["AL"])) * state + now * into[:, t, None, :] * inner[:, t, :, None]
        y[:, t] = (state * out[:, t, None, :]).sum(-1) + inner[:, t] * w["DD"]
    return (y * act("silu", gate)) @ w["WO"] + bias["BO"]


def state_space(block: StateSpace, x, w):
    """Dao & Gu, arXiv 2405.21060, as a recurrence; heads [g,h]."""
    gate, inner = (np.einsum("btd,dghe->btghe", x, w[name]) for name in ("WZ", "WX"))
    into, out = (np.einsum("btd,dgn->btgn", x, w[name]) for name in ("WB", "WC"))
    step = np.logaddexp(0, np.einsum("btd,dgh->btgh", x, w["WDT"]) + w["BDT"])
    inner, into, out = (
        act("silu", taps(each, w[f"WT{name}"], w[f"BT{name}"] if block.conv_bias else 0))
        for each, name in ((inner, "X"), (into, "B"), (out, "C"))
    )
    state = np.zeros((*inner[:, 0].shape, block.state))
    y = np.zeros_like(inner)
    for t in range(x.shape[1]):
        decay = np.exp(step[:, t] * -np.exp(w["AL"]))[..., None, None]
        state = decay * state + np.einsum("bgh,bgn,bghe->bghen", step[:, t], into[:, t], inner[:, t])
        y[:, t] = np.einsum("bghen,bgn->bghe", state, out[:, t]) + inner[:, t] * w["DD"][..., None]
    gated = y * act("silu", gate)
    return np.einsum("btghe,ghed->btd", rms(gated, axes=(2, 3, 4)) * w["GY"], w["WO"])


def short_convolution(block: ShortConv, x, w):
    first, second, inner = (x @ w[name] for name in ("WB", "WC", "WX"))
    return (second * taps(first * inner, w["WK"], 0)) @ w["WO"]


MIXERS = {
    SoftmaxAttention: attention, LatentAttention: latent, Selective: selective, StateSpace: state_space,
    ShortConv: short_convolution,
}  # fmt: skip


def crossed(w):
    """Weights of the cross attention under the names of any attention."""
    return {name[:-1]: value for name, value in w.items() if name.endswith("X") and len(name) > 2}


def layer(built, w):
    """X[b,p,d] to Y[b,p,d], experts left out."""
    x, place = w["X"], built.placement
    mix = MIXERS[type(built.mixer)]
    if place.startswith("parallel"):
        first = norm(built.norm, x, w, "1")
        second = norm(built.norm, x, w, "2") if place == "parallel-two" else first
        return x + mix(built.mixer, first, w) + mlp(built.mlp, second, w)
    blocks = [("1", lambda y: mix(built.mixer, y, w))]
    if built.cross:
        blocks.append(("3", lambda y: attention(built.cross, y, crossed(w), w["U"])))
    if built.mlp:
        blocks.append(("2", lambda y: mlp(built.mlp, y, w)))
    for tag, block in blocks:
        z = block(norm(built.norm, x, w, tag) if place in ("pre", "sandwich") else x)
        if place in ("output", "sandwich"):
            z = norm(built.norm, z, w, f"{tag}P")
        x = norm(built.norm, x + z, w, tag) if place == "post" else x + z
    return x


def mixture(block: Moe, x, w, experts):
    """Each token through its experts one by one: the `per_token` of the largest shares, by those shares."""
    logit = x @ w["WR"] + (w["BR"] if block.router_bias else 0)
    share = softmax(logit, -1) if block.score == "softmax" else expit(logit)
    choice = np.argsort(-(share + (w["BC"] if block.choice_bias else 0)), axis=-1)[..., : block.per_token]
    y = np.zeros_like(x)
    for at in np.ndindex(x.shape[:2]):
        for expert in choice[at]:
            own = {name: value[expert] for name, value in experts.items()}
            y[at] += share[at][expert] * mlp(block.expert, x[at], own)
    if block.shared:
        gate = expit(x @ w["WSG"])[..., None] if block.shared_gate else 1
        y += mlp(block.shared, x, w) * gate
    return y, share, choice
