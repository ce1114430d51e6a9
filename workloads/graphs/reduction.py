"""Operators that reduce over dimensions, and the norms and softmaxes that are made of such."""

from __future__ import annotations

from collections.abc import Callable

from einsim.workloads.graphs.draft import Digits, Dims, PartDraft
from einsim.workloads.graphs.formula import Formula, apply
from einsim.workloads.graphs.graph import Node

_REDUCTIONS: dict[str, tuple[str, str, str, str]] = {
    "ReduceMean": ("sum", "{0}", "mean", "MU"),
    "ReduceSum": ("sum", "{0}", "{0}", "SX"),
    "ReduceMax": ("max", "{0}", "{0}", "GM"),
    "ReduceMin": ("min", "{0}", "{0}", "LM"),
    "ReduceSumSquare": ("sum", "({0} * {0})", "{0}", "SXX"),
    "ReduceL2": ("sum", "({0} * {0})", "sqrt({0})", "SXX"),
    "ReduceL1": ("sum", "abs({0})", "{0}", "SX"),
    "GlobalAveragePool": ("sum", "{0}", "mean", "MU"),
    "GlobalMaxPool": ("max", "{0}", "{0}", "GM"),
}
"""How each is reduced: of what, what becomes of the result, and its tensor's name."""
REDUCTIONS = frozenset(_REDUCTIONS)


def axes_of(node: Node, draft: PartDraft) -> tuple[int, ...]:
    """The reduced axes: an attribute, since opset 13 or 18 an input; all of them where it is left out."""
    count = len(draft.shape(node.inputs[0]))
    if node.op.startswith("Global"):
        return tuple(range(2, count))
    axes = node.wholes("axes", ())
    if node.given(1):
        known = draft.graph.constants.get(node.given(1))
        if known is None:
            raise node.refused("needs axes that are known", node.given(1))
        axes = tuple(int(axis) for axis in known.values)
    return tuple(sorted(axis % count for axis in axes)) or tuple(range(count))


def reduction(node: Node, draft: PartDraft) -> None:
    """Reduce* and global pooling."""
    how, of, then, name = _REDUCTIONS[node.op]
    value = node.inputs[0]
    dims = draft.dims(value)
    axes = axes_of(node, draft)
    over = tuple(rank for axis in axes for rank in dims[axis])
    kept: Dims = tuple(() if axis in axes else digits for axis, digits in enumerate(dims))
    source = apply(of, draft.read(value, dims))
    if over:
        source = Formula("{0}", (draft.emit(name, kept, source, how, over),))
    if then == "mean":
        then = f"({{0}} * {1 / draft.size(over)!r})" if over else "{0}"
    keeps = node.op.startswith("Global") or node.whole("keepdims", 1)
    result = kept if keeps else tuple(digits for axis, digits in enumerate(kept) if axis not in axes)
    draft.define(node.output, result, source if then == "{0}" else apply(then, source))


def softmax(node: Node, draft: PartDraft) -> None:
    """Softmax and LogSoftmax over one axis, shifted by the maximum."""
    value = node.inputs[0]
    dims = draft.dims(value)
    axis = node.whole("axis", -1) % len(dims)
    over = dims[axis]
    kept: Dims = tuple(() if at == axis else digits for at, digits in enumerate(dims))
    source = _tensor(draft, value, dims, "X")
    most = draft.emit("GM", kept, source, "max", over)
    shifted = apply("({0} - {1})", source, Formula("{0}", (most,)))
    spread = draft.emit("SN", dims, apply("exp({0})", shifted))
    total = draft.emit("SD", kept, Formula("{0}", (spread,)), "sum", over)
    text, parts = ("({0} / {1})", (Formula("{0}", (spread,)), Formula("{0}", (total,))))
    if node.op == "LogSoftmax":
        text, parts = "({0} - log({1}))", (shifted, Formula("{0}", (total,)))
    draft.define(node.output, dims, apply(text, *parts))


def _tensor(draft: PartDraft, value: str, dims: Dims, name: str) -> Formula:
    """A value as a tensor, which several statements read."""
    if value in draft.made:
        draft.tensor(value, name)
    return draft.read(value, dims, "I")


def _normalised(
    draft: PartDraft, source: Formula, dims: Dims, over: Digits, epsilon: float, centred: bool = True
) -> Formula:
    """The value less its mean, over its spread: arXiv 1607.06450; without the mean: arXiv 1910.07467."""
    kept: Dims = tuple(tuple(rank for rank in digits if rank not in over) for digits in dims)
    share = 1 / draft.size(over)
    centre = source
    if centred:
        total = draft.emit("SX", kept, source, "sum", over)
        mean = draft.emit("MU", kept, apply(f"{{0}} * {share!r}", Formula("{0}", (total,))))
        less = apply("{0} - {1}", source, Formula("{0}", (mean,)))
        centre = Formula("{0}", (draft.emit("C", dims, less),))
    squares = draft.emit("SCC", kept, apply("{0} * {1}", centre, centre))
    spread = apply(f"rsqrt({{0}} * {share!r} + {epsilon!r})", Formula("{0}", (squares,)))
    return apply("({0} * {1})", centre, Formula("{0}", (draft.emit("ISD", kept, spread),)))


def layer_norm(node: Node, draft: PartDraft) -> None:
    """LayerNormalization and RMSNormalization over all axes from `axis` on."""
    value, scale = node.inputs[:2]
    if any(draft.uses.get(other) for other in node.outputs[1:]):
        raise node.refused("has one result here", ", ".join(node.outputs))
    dims = draft.dims(value)
    axis = node.whole("axis", -1) % len(dims)
    over = tuple(rank for digits in dims[axis:] for rank in digits)
    source = _tensor(draft, value, dims, "X")
    found = _normalised(
        draft, source, dims, over, node.number("epsilon", 1e-5), node.op == "LayerNormalization"
    )
    found = apply("({0} * {1})", found, draft.read(scale, dims, "G"))
    if node.given(2):
        found = apply("({0} + {1})", found, draft.read(node.given(2), dims, "B"))
    draft.define(node.output, dims, found)


def instance_norm(node: Node, draft: PartDraft) -> None:
    """InstanceNormalization over an image, or GroupNormalization over groups of channels of it."""
    value, scale, bias = node.inputs[:3]
    shape = draft.shape(value)
    groups = node.whole("num_groups", shape[1]) if node.op == "GroupNormalization" else shape[1]
    rest = [draft.rank(name, size) for name, size in zip("zyx"[-(len(shape) - 2) :], shape[2:], strict=True)]
    channel = (*draft.rank("g", groups), *draft.rank("k", shape[1] // groups))
    dims: Dims = (draft.rank("b", shape[0]), channel, *rest)
    grouped = channel[:1] if groups > 1 else ()
    over = tuple(
        rank for rank in (*channel, *(one for digits in rest for one in digits)) if rank not in grouped
    )
    source = draft.read(value, dims, "I")
    found = _normalised(draft, source, dims, over, node.number("epsilon", 1e-5))
    parts = [draft.read(one, (channel,), name) for one, name in ((scale, "G"), (bias, "B"))]
    draft.define(node.output, dims, apply("({0} * {1} + {2})", found, *parts))


NORMS: dict[str, Callable[[Node, PartDraft], None]] = {
    "LayerNormalization": layer_norm, "RMSNormalization": layer_norm,
    "InstanceNormalization": instance_norm, "GroupNormalization": instance_norm,
    "Softmax": softmax, "LogSoftmax": softmax,
}  # fmt: skip
