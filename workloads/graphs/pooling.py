"""Operators over windows without weights: pooling; and resizing by whole factors."""

from __future__ import annotations

from einsim.workloads.graphs.contraction import slid, spatial, windows
from einsim.workloads.graphs.draft import Dims, PartDraft, PartInput, hints
from einsim.workloads.graphs.formula import Formula, apply
from einsim.workloads.graphs.graph import Node


def pool(node: Node, draft: PartDraft) -> None:
    """MaxPool and AveragePool. A mean over windows that are padded multiplies by shares that are known."""
    value = node.inputs[0]
    if any(draft.uses.get(other) for other in node.outputs[1:]):
        raise node.refused("has one result here", ", ".join(node.outputs))
    shape, result = draft.shape(value), draft.shape(node.output)
    slides = windows(node, shape, result, node.wholes("kernel_shape", ()))
    most = node.op == "MaxPool"
    lead = draft.rank("b", shape[0]), draft.rank("c", shape[1])
    at = [
        draft.rank(name, one.outputs) for name, one in zip(spatial(len(slides), "zyx"), slides, strict=True)
    ]
    tap = [draft.rank(name, one.size) for name, one in zip(spatial(len(slides), "srq"), slides, strict=True)]
    read = slid(draft, value, lead, slides, at, tap, fill=-float("inf") if most else 0.0)
    dims: Dims = (*lead, *at)
    over = tuple(rank for digits in tap for rank in digits)
    formula = Formula("{0}", (read,))
    if over:
        formula = Formula(
            "{0}", (draft.emit("GM" if most else "SX", dims, formula, "max" if most else "sum", over),)
        )
    if most:
        draft.define(node.output, dims, formula)
        return
    needs = [slide.reach - slide.before > size for slide, size in zip(slides, shape[2:], strict=True)]
    inside = node.whole("count_include_pad", 0) == 0 and any(slide.before for slide in slides)
    if inside or any(needs):
        source = PartInput(
            value=value,
            shape=result[2:],
            before=tuple(slide.before for slide in slides),
            kind=f"share {node.name}",
        )
        share = draft.input(source, tuple(rank for digits in at for rank in digits), "SHARE")
        draft.define(node.output, dims, apply("({0} * {1})", formula, Formula("{0}", (share,))))
        return
    draft.define(node.output, dims, apply(f"({{0}} * {1 / draft.size(over)!r})", formula))


def local_response_norm(node: Node, draft: PartDraft) -> None:
    """LRN (Krizhevsky et al., NIPS 2012): each element over a power of the squares of its neighbours.

    The input comes with channels of zeros on either side; a power is made of a logarithm and an exponential.
    """
    value = node.inputs[0]
    shape, count = draft.shape(value), node.whole("size", 1)
    before = (count - 1) // 2
    dims = tuple(draft.rank(name, size) for name, size in zip(hints(shape), shape, strict=True))
    tap = draft.rank("r", count)
    padded = (shape[0], shape[1] + count - 1, *shape[2:])
    source = PartInput(value=value, shape=padded, before=(0, before, *(0 for _ in shape[2:])))
    lead, tail = dims[0], tuple(rank for digits in dims[2:] for rank in digits)
    near, own = (
        Formula("{0}", (draft.input(source, (*lead, "+".join((*dims[1], *more)), *tail), "I"),))
        for more in (tap, (str(before),))
    )
    squares = Formula("{0}", (draft.emit("SXX", dims, apply("{0} * {1}", near, near)),))
    alpha, beta = node.number("alpha", 1e-4) / count, node.number("beta", 0.75)
    text = f"({{0}} * exp(log({{1}} * {alpha!r} + {node.number('bias', 1.0)!r}) * (0 - {beta!r})))"
    draft.define(node.output, dims, apply(text, own, squares))


def resize(node: Node, draft: PartDraft) -> None:
    """Resize and Upsample by whole factors, to the nearest element or between two.

    Between two, an element of factor f is made of three taps by weights that depend on its place among f,
    one of them 0; the input comes with its edges repeated.
    """
    value = node.inputs[0]
    shape, result = draft.shape(value), draft.shape(node.output)
    factors = [after // before for before, after in zip(shape, result, strict=True)]
    mode = node.text("mode", "nearest")
    if any(before * factor != after for before, factor, after in zip(shape, factors, result, strict=True)):
        raise node.refused("has a cascade for whole factors", f"{shape} to {result}")
    if mode not in {"nearest", "linear"}:
        raise node.refused("has a cascade for modes nearest and linear", mode)
    if mode == "linear" and node.text("coordinate_transformation_mode", "half_pixel") not in {
        "half_pixel",
        "pytorch_half_pixel",
    }:
        raise node.refused(
            "has a linear cascade for half pixels", node.text("coordinate_transformation_mode", "")
        )
    at = [draft.rank(name, size) for name, size in zip(hints(shape), shape, strict=True)]
    part = [draft.rank(f"{name}0", factor) for name, factor in zip(hints(shape), factors, strict=True)]
    dims: Dims = tuple((*outer, *inner) for outer, inner in zip(at, part, strict=True))
    if mode == "nearest":
        draft.define(node.output, dims, Formula("{0}", (draft.outer(value, tuple(at), "I"),)))
        return
    grown = [place for place, factor in enumerate(factors) if factor > 1]
    tap = {place: draft.rank("rqs"[min(turn, 2)], 3) for turn, place in enumerate(grown)}
    before = tuple(int(place in tap) for place in range(len(shape)))
    padded = tuple(size + 2 * more for size, more in zip(shape, before, strict=True))
    indices = tuple("+".join((*at[place], *tap.get(place, ()))) for place in range(len(shape)))
    source = PartInput(value=value, shape=padded, before=before, kind="edge")
    formula = Formula("{0}", (draft.input(source, tuple(index for index in indices if index), "I"),))
    for place in grown:
        weights = PartInput(value=value, shape=(factors[place], 3), before=(0, 0), kind="taps")
        blend = draft.input(weights, (*part[place], *tap[place]), "TAPS", factors[place])
        formula = apply("{0} * {1}", formula, Formula("{0}", (blend,)))
    draft.keep(node.output, dims, draft.emit("Z", dims, formula))
