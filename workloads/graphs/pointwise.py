"""Operators that work on each element by itself, as expressions of the notation."""

from __future__ import annotations

from collections.abc import Callable

from einsim.workloads.graphs.draft import Dims, PartDraft, PartInput, hints
from einsim.workloads.graphs.formula import Formula, apply, literal
from einsim.workloads.graphs.graph import Node

COPY = "Copy"
"""No operator of ONNX: what `einsim.workloads.graphs.copying` puts after those that move data."""

FIXED = {
    "Add": "({0} + {1})", "Sub": "({0} - {1})", "Mul": "({0} * {1})", "Div": "({0} / {1})",
    "Relu": "max({0}, 0)", "Sigmoid": "sigmoid({0})", "Tanh": "tanh({0})", "Erf": "erf({0})",
    "Exp": "exp({0})", "Log": "log({0})", "Sqrt": "sqrt({0})", "Abs": "abs({0})", "Neg": "(0 - {0})",
    "Reciprocal": "(1 / {0})", "Softplus": "log(exp({0}) + 1)", "Softsign": "({0} / (abs({0}) + 1))",
    "Mish": "({0} * tanh(log(exp({0}) + 1)))", "Swish": "silu({0})",
    "HardSwish": "({0} * min(max({0} * 0.16666666666666666 + 0.5, 0), 1))",
    "Where": "select({0}, {1}, {2})", "Less": "({0} < {1})", "LessOrEqual": "({0} <= {1})",
    "Greater": "({0} > {1})", "GreaterOrEqual": "({0} >= {1})", "Equal": "({0} == {1})", "Not": "(1 - {0})",
    COPY: "({0} + 0)",
    "And": "({0} * {1})", "Or": "max({0}, {1})", "PRelu": "(max({0}, 0) + {1} * min({0}, 0))",
}  # fmt: skip
"""Operators that one expression of their inputs says."""


def _clip(node: Node, draft: PartDraft) -> str:
    """min(max(x, low), high); bounds are attributes before opset 11 and inputs since."""
    text = "{0}"
    for at, key, op in ((1, "min", "max"), (2, "max", "min")):
        bound = node.attributes.get(key)
        if node.given(at):
            bound = draft.graph.scalar(node.given(at))
            if bound is None:
                raise node.refused("needs bounds that are known", node.given(at))
        if bound is not None:
            text = f"{op}({text}, {literal(float(bound)).text})"  # type: ignore[arg-type]  # ONNX says a number
    return text if text != "{0}" else "({0} + 0)"


def _gelu(node: Node, draft: PartDraft) -> str:
    return "gelu_tanh({0})" if node.text("approximate", "none") == "tanh" else "gelu({0})"


def _leaky(node: Node, draft: PartDraft) -> str:
    slope = node.number("alpha", 0.01)
    return (
        f"max({{0}}, {{0}} * {slope!r})"
        if 0 <= slope <= 1
        else f"select({{0}} < 0, {{0}} * {slope!r}, {{0}})"
    )


def _elu(node: Node, draft: PartDraft) -> str:
    return f"select({{0}} < 0, (exp({{0}}) - 1) * {node.number('alpha', 1.0)!r}, {{0}})"


def _selu(node: Node, draft: PartDraft) -> str:
    alpha, gamma = (
        node.number("alpha", 1.67326319217681884765625),
        node.number("gamma", 1.05070102214813232421875),
    )
    return f"(select({{0}} < 0, (exp({{0}}) - 1) * {alpha!r}, {{0}}) * {gamma!r})"


def _hard_sigmoid(node: Node, draft: PartDraft) -> str:
    return f"min(max({{0}} * {node.number('alpha', 0.2)!r} + {node.number('beta', 0.5)!r}, 0), 1)"


def _power(node: Node, draft: PartDraft) -> str:
    power = draft.graph.scalar(node.inputs[1])
    if power == 0.5:
        return "sqrt({0})"
    if power == -0.5:
        return "rsqrt({0})"
    if power is not None and 1 <= power <= 8 and power == int(power):
        return f"(({{0}}) ** {int(power)})" if power > 1 else "({0} + 0)"
    raise node.refused(
        "has a cascade for powers 1 to 8, 0.5 and -0.5", node.inputs[1] if power is None else power
    )


def _several(op: str) -> Callable[[Node, PartDraft], str]:
    def text(node: Node, draft: PartDraft) -> str:
        found = "{0}"
        for at in range(1, len(node.inputs)):
            found = f"{op}({found}, {{{at}}})" if op in {"max", "min"} else f"({found} + {{{at}}})"
        return found if op != "mean" else f"({found} * {1 / len(node.inputs)!r})"

    return text


MADE: dict[str, Callable[[Node, PartDraft], str]] = {
    "Clip": _clip, "Gelu": _gelu, "LeakyRelu": _leaky, "Elu": _elu, "Selu": _selu, "Pow": _power,
    "HardSigmoid": _hard_sigmoid, "Max": _several("max"), "Min": _several("min"), "Sum": _several("sum"),
    "Mean": _several("mean"),
}  # fmt: skip
"""Operators whose expression depends on their attributes or constants."""

POINTWISE = frozenset({*FIXED, *MADE})
_FIRST_ONLY = {"Clip", "Pow"}
"""Of these the other inputs are constants that the expression has in it."""


def pointwise(node: Node, draft: PartDraft) -> None:
    """The node's value as an expression of its inputs."""
    dims = _dims(node, draft)
    values = [value for value in node.inputs if value]
    values = values[:1] if node.op in _FIRST_ONLY else values
    arguments = [draft.read(value, dims) for value in values]
    text = FIXED.get(node.op) or MADE[node.op](node, draft)
    draft.define(node.output, dims, apply(text, *arguments))


def _dims(node: Node, draft: PartDraft) -> Dims:
    """The result's ranks: those of an input within the part, else new ones."""
    shape = draft.shape(node.output)
    found = []
    for at, size in enumerate(shape):
        place = at - len(shape)
        held = [
            draft.made[value].dims[place]
            for value in node.inputs
            if value in draft.made and len(draft.shape(value)) >= -place and draft.shape(value)[place] == size
        ]
        found.append(next((digits for digits in held if digits), ()) or draft.rank(hints(shape)[at], size))
    return tuple(found)


def batch_norm(node: Node, draft: PartDraft) -> None:
    """BatchNormalization that no convolution before it could take in: a factor and a summand a channel.

    Both are made of scale, bias, mean and variance beforehand; they stand in the places of the first two.
    """
    data, scale, bias = node.inputs[:3]
    dims = draft.dims(data)
    parts = [draft.read(value, (dims[1],), name) for value, name in ((scale, "G"), (bias, "B"))]
    source = draft.read(data, dims)
    draft.define(node.output, dims, apply("({0} * {1} + {2})", source, *parts))


def gather_rows(node: Node, draft: PartDraft) -> None:
    """Gather of a table's rows by indices that are computed: as many rows come in as there are indices."""
    table, indices = node.inputs
    if node.whole("axis", 0):
        raise node.refused("has a cascade along axis 0 only", node.whole("axis", 0))
    shape = draft.shape(node.output)
    dims = tuple(draft.rank(name, size) for name, size in zip(hints(shape), shape, strict=True))
    source = PartInput(value=table, shape=shape, before=(0,) * len(shape), kind=f"rows {indices}")
    read = draft.input(source, tuple(rank for digits in dims for rank in digits), "TOK")
    draft.define(node.output, dims, Formula("{0}", (read,)))
