"""What stands before and after layers: embeddings, relative positions, final norm, projections, pool.

Look-ups by index have no notation: a table's rows come as inputs (TOK, POS, TYP, TAB), as many as are read.
"""

from __future__ import annotations

import math

import msgspec

from einsim.workloads.blocks.norm import norm_text
from einsim.workloads.cascade import Cascade
from einsim.workloads.models.attending import cross_attention
from einsim.workloads.models.fragment import bias, chain, product
from einsim.workloads.models.mixture import mlp_text
from einsim.workloads.models.network import (
    Embedding,
    Layer,
    Mlp,
    NormKind,
    Patches,
    Projection,
    SoftmaxAttention,
)
from einsim.workloads.models.step import Step
from einsim.workloads.notation import parse


def embedding(block: Embedding, hidden: int, step: Step) -> Cascade:
    """X[b,p,d] from rows of tables, from patches of an image or from frames of sound."""
    if block.patches:
        return _patches(block.patches, block.norm, hidden, step)
    if block.stem:
        return _stem(block.stem.channels, hidden, step)
    width = block.width or hidden
    rank = "d" if width == hidden else "w"
    rows = f"TOK[b,p,{rank}]" + (f" * {math.sqrt(hidden)!r}" if block.scaled else "")
    rows += f" + POS[p,{rank}]" if block.positions and not block.positions_inside else ""
    rows += f" + TYP[{rank}]" if block.types else ""
    end = "X" if rank == "d" else "XW"
    first = "XR" if block.norm else end
    text = f"{first}[b,p,{rank}] = {rows}\n"
    text += norm_text(block.norm, first, end, "0", over=rank) if block.norm else ""
    if rank == "w":
        added = "POS[p,d]" if block.positions_inside else "BX[d]"
        text += chain("X", product("XW[b,p,w]", "WX[w,d]", "b,p,d"), bias(added, "b,p,d"))
    sizes = {"b": step.batch, "p": step.tokens, rank: width, "d": hidden}
    return parse(text, name="embedding", sizes=sizes)


def table_sizes(block: Embedding, hidden: int) -> dict[str, int]:
    """Elements of the tables whose rows `embedding` reads."""
    width = block.width or hidden
    words = 0 if block.tied else block.vocabulary * width
    if block.patches:
        return {}
    places = block.positions * (hidden if block.positions_inside else width)
    every = {"TOK": words, "POS": places, "TYP": block.types * width}
    return {name: size for name, size in every.items() if size or name == "TOK"}


def _patches(patches: Patches, norm: NormKind | None, hidden: int, step: Step) -> Cascade:
    """Patches don't overlap, so their convolution is a product; special tokens XT aren't normed anew."""
    stages = [product("I[b,p,k]", "WP[k,d]", "b,p,d")]
    stages += [bias("BP[d]", "b,p,d")] if patches.bias else []
    stages.append(bias("POS[p,d]", "b,p,d"))
    if norm:
        stages.append(lambda source, result: norm_text(norm, source, result, "0"))
    text = chain("X", *stages)
    sizes = {"b": step.batch, "p": patches.count, "k": patches.values, "d": hidden}
    if patches.special:
        text += "XT[t,d] = CLS[t,d] + POST[t,d]\n"
        sizes["t"] = patches.special
    return parse(text, name="embedding", sizes=sizes)


def _stem(channels: int, hidden: int, step: Step) -> Cascade:
    """Radford et al., arXiv 2212.04356: two convolutions of three taps with GELU, the second of stride 2.

    Sound I comes padded by a frame on either side.
    """
    text = (
        "CA[b,k,y] = I[b,a,y+r] * W1[k,a,r]\n"
        "CB[b,k,y] = gelu(CA[b,k,y] + B1[k])\n"
        "where 1 <= p*2 + r\n"
        "CC[b,p,d] = CB[b,k,p*2+r-1] * W2[d,k,r]\n"
        "X[b,p,d] = gelu(CC[b,p,d] + B2[d]) + POS[p,d]\n"
    )
    sizes = {"b": step.batch, "a": channels, "k": hidden, "y": 2 * step.tokens, "r": 3, "p": step.tokens,
             "d": hidden}  # fmt: skip
    return parse(text, name="embedding", sizes=sizes)


def relative_positions(heads: int, step: Step) -> Cascade:
    """REL[h,x]: a bias a head for each distance x of query and key, spread from a table's rows."""
    distances = step.cached + 2 * step.tokens - 1
    return parse("REL[h,x] = TAB[h,x]", name="relative-positions", sizes={"h": heads, "x": distances})


def final_norm(kind: NormKind, hidden: int, step: Step) -> Cascade:
    """The norm after the last layer."""
    sizes = {"b": step.batch, "p": step.tokens, "d": hidden}
    return parse(norm_text(kind, "X", "Y", "F"), name="final-norm", sizes=sizes)


def projection(block: Projection, hidden: int, step: Step) -> Cascade:
    """A head or pooler over the last hidden states X[b,p,d]."""
    stages = [product("X[b,p,d]", "WH[d,v]", "b,p,v")]
    if block.width:
        stages = [product("X[b,p,d]", "WN[d,w]", "b,p,w"), product("YA[b,p,w]", "WH[w,v]", "b,p,v")]
    stages += [bias("BH[v]", "b,p,v")] if block.bias else []
    if block.activation:
        stages.append(lambda source, result: f"{result}[b,p,v] = {block.activation}({source}[b,p,v])\n")
    if block.soft_cap:
        cap = block.soft_cap
        stages.append(lambda source, result: f"{result}[b,p,v] = {cap} * tanh({source}[b,p,v] / {cap})\n")
    sizes = {"b": step.batch, "p": step.tokens, "d": hidden, "v": block.outputs}
    sizes |= {"w": block.width} if block.width else {}
    return parse(chain("Y", *stages), name=block.name, sizes=sizes)


def pool(layer: Layer, hidden: int, step: Step) -> Cascade:
    """Y[b,p,d], p = 1, of a learnt query PRB that attends to all tokens U (Zhai et al., arXiv 2303.15343)."""
    assert isinstance(layer.mixer, SoftmaxAttention)
    assert isinstance(layer.mlp, Mlp)
    one = msgspec.structs.replace(step, tokens=1, source=step.tokens)
    attend = cross_attention(layer.mixer, "PRB", one)
    text = attend.text.replace("PRB[b,p,d]", "PRB[p,d]") + norm_text(layer.norm, "ZX", "N2", "2")
    text += mlp_text(layer.mlp, "N2", "d") + "Y[b,p,d] = ZX[b,p,d] + FF2[b,p,d]\n"
    text = text.replace("output KX, VX\n", "")
    sizes = {"b": step.batch, "p": 1, "d": hidden, "s": layer.mlp.inner, **attend.sizes}
    return parse(text, name="pool", sizes=sizes)
