"""Operators that sum products: convolutions and matrix products.

A convolution's input comes padded. Where its kernel neither overlaps nor is padded it is a product of
matrices over another view of the same memory: rows y*R + r are the pair (y, r).
"""

from __future__ import annotations

import msgspec

from einsim.workloads.graphs.draft import Digits, Dims, PartDraft, PartInput
from einsim.workloads.graphs.formula import Formula, Read, apply
from einsim.workloads.graphs.graph import Node

_PRODUCT = "{0} * {1}"
_AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A window that slides along one dimension: `size` elements, `dilation` apart, by `stride`."""

    size: int
    stride: int
    dilation: int
    before: int
    after: int
    outputs: int

    @property
    def reach(self) -> int:
        """Elements of the padded input that it meets."""
        return (self.outputs - 1) * self.stride + (self.size - 1) * self.dilation + 1

    def tiles(self, extent: int) -> bool:
        """Whether it covers an input of so many elements without overlap, gap or padding."""
        return self.size == self.stride and self.dilation == 1 and extent == self.outputs * self.size

    def index(self, at: Digits, tap: Digits) -> str:
        """The padded input's index of an output and a tap."""
        terms = [f"{rank}*{self.stride}" if self.stride > 1 else rank for rank in at]
        terms += [f"{rank}*{self.dilation}" if self.dilation > 1 else rank for rank in tap]
        return "+".join(terms)


def windows(
    node: Node, shape: tuple[int, ...], result: tuple[int, ...], kernel: tuple[int, ...]
) -> list[Window]:
    """Those of a convolution or a pooling over the dimensions after the first two.

    SpecError where what the node says of its kernel isn't the weight's.
    """
    _check_kernel(node, kernel)
    count = len(kernel)
    ones = (1,) * count
    strides, dilations = node.wholes("strides", ones), node.wholes("dilations", ones)
    pads = node.wholes("pads", (0,) * (2 * count))
    auto = node.text("auto_pad", "NOTSET")
    found = []
    for at in range(count):
        size, stride, dilation, outputs = kernel[at], strides[at], dilations[at], result[2 + at]
        before, after = pads[at], pads[count + at]
        if auto.startswith("SAME"):
            total = max((outputs - 1) * stride + (size - 1) * dilation + 1 - shape[2 + at], 0)
            before = (total + (auto == "SAME_LOWER")) // 2
            after = total - before
        elif auto == "VALID":
            before = after = 0
        found.append(
            Window(size=size, stride=stride, dilation=dilation, before=before, after=after, outputs=outputs)
        )
    return found


def _check_kernel(node: Node, kernel: tuple[int, ...]) -> None:
    """The weight's kernel is what `kernel_shape` says, and pads are of a kind that is known."""
    said = node.wholes("kernel_shape", kernel)
    if said != kernel:
        raise node.refused(f"kernel_shape must be {kernel}, as its weight is", said)
    auto = node.text("auto_pad", "NOTSET")
    if auto not in _AUTO_PADS:
        raise node.refused(f"auto_pad must be one of {', '.join(_AUTO_PADS)}", auto)


def spatial(count: int, letters: str) -> str:
    """Names of ranks for so many dimensions, the last ones of `letters`."""
    return letters[-count:]


def slid(
    draft: PartDraft, value: str, lead: tuple[Digits, ...], slides: list[Window], at: list[Digits],
    tap: list[Digits], fill: float = 0.0,
) -> Read:  # fmt: skip
    """An input that windows slide over, after the dimensions of `lead`."""
    shape = draft.shape(value)
    indices = [rank for digits in lead for rank in digits]
    extents, before = [], []
    key: list[object] = [tuple(tuple(draft.sizes[rank] for rank in digits) for digits in lead)]
    for place, slide in enumerate(slides):
        extent = shape[len(lead) + place]
        if slide.tiles(extent):
            indices += [*at[place], *tap[place]]
            extents.append(extent)
            before.append(0)
            key.append((slide.outputs, slide.size))
            continue
        index = slide.index(at[place], tap[place])
        indices += [index] if index else []
        extents.append(slide.reach)
        before.append(slide.before)
    source = PartInput(
        value=value, shape=(*shape[: len(lead)], *extents), before=(*(0 for _ in lead), *before), fill=fill
    )
    return draft.input(source, tuple(indices), "I", tuple(key))


def conv(node: Node, draft: PartDraft) -> None:
    """Conv in any number of dimensions, with groups."""
    data, weight = node.inputs[:2]
    shape, result, kernel = draft.shape(data), draft.shape(node.output), draft.shape(weight)
    groups = node.whole("group", 1)
    if shape[1] != kernel[1] * groups or kernel[0] % groups:
        raise node.refused(f"a weight of {kernel} in {groups} groups doesn't fit {shape[1]} channels", shape)
    slides = windows(node, shape, result, kernel[2:])
    count = len(slides)
    group, out = draft.rank("g", groups), draft.rank("k", kernel[0] // groups)
    if data in draft.made:  # made point by point in this part, for a kernel of one
        batch, into, *at = draft.made[data].dims
        dims: Dims = (batch, out, *at)
        stored = draft.outer(weight, (out, into, *(() for _ in at)), "W")
        product = draft.emit("Z", dims, Formula(_PRODUCT, (draft.tensor(data, "X"), stored)))
        _with_bias(node, draft, dims, product, node.given(2))
        return
    batch, into = draft.rank("b", shape[0]), draft.rank("c", kernel[1])
    at = [draft.rank(name, one.outputs) for name, one in zip(spatial(count, "zyx"), slides, strict=True)]
    tap = [draft.rank(name, one.size) for name, one in zip(spatial(count, "srq"), slides, strict=True)]
    read = slid(draft, data, (batch, (*group, *into)), slides, at, tap)
    stored = draft.outer(weight, ((*group, *out), into, *tap), "W")
    dims = (batch, (*group, *out), *at)
    _with_bias(node, draft, dims, draft.emit("Z", dims, Formula(_PRODUCT, (read, stored))), node.given(2))


def _with_bias(node: Node, draft: PartDraft, dims: Dims, product: Read, bias: str) -> None:
    """A bias of one element an output channel, the second dimension, where there is one."""
    formula = Formula("{0}", (product,))
    if not bias:
        draft.keep(node.output, dims, product)
        return
    channel = dims[1]
    summand = draft.read(bias, (channel,))
    draft.define(node.output, dims, apply("({0} + {1})", formula, summand))


def conv_transpose(node: Node, draft: PartDraft) -> None:
    """ConvTranspose whose kernel is as large as its stride: each element spreads over its own outputs."""
    data, weight = node.inputs[:2]
    shape, kernel, result = draft.shape(data), draft.shape(weight), draft.shape(node.output)
    _check_kernel(node, kernel[2:])
    strides = node.wholes("strides", (1,) * (len(kernel) - 2))
    if strides != kernel[2:] or any(
        r != s * k for r, s, k in zip(result[2:], shape[2:], strides, strict=True)
    ):
        raise node.refused(
            "only a kernel as large as its stride, without padding, has a cascade",
            f"kernel {kernel[2:]}, strides {strides}",
        )
    groups, count = node.whole("group", 1), len(strides)
    batch = draft.rank("b", shape[0])
    group, into, out = (
        draft.rank("g", groups),
        draft.rank("c", shape[1] // groups),
        draft.rank("k", kernel[1]),
    )
    at = [draft.rank(name, size) for name, size in zip(spatial(count, "zyx"), shape[2:], strict=True)]
    tap = [draft.rank(name, size) for name, size in zip(spatial(count, "srq"), strides, strict=True)]
    read = draft.outer(data, (batch, (*group, *into), *at), "I")
    stored = draft.outer(weight, ((*group, *into), out, *tap), "W")
    spread = [(*place, *part) for place, part in zip(at, tap, strict=True)]
    dims: Dims = (batch, (*group, *out), *spread)
    _with_bias(node, draft, dims, draft.emit("Z", dims, Formula(_PRODUCT, (read, stored))), node.given(2))


def gemm(node: Node, draft: PartDraft) -> None:
    """Gemm: alpha * A * B + beta * C."""
    left, right = node.inputs[:2]
    turned = node.whole("transA", 0), node.whole("transB", 0)
    if left in draft.made:
        at, over = draft.made[left].dims
        one = draft.tensor(left, "X")
    else:
        rows, depth = draft.shape(left)[::-1] if turned[0] else draft.shape(left)
        at, over = draft.rank("p", rows), draft.rank("d", depth)
        one = draft.outer(left, (over, at) if turned[0] else (at, over), "I")
    out = draft.rank("k", draft.shape(node.output)[1])
    other = draft.outer(
        right, (out, over) if turned[1] else (over, out), "W" if right in draft.stored else "I"
    )
    product = draft.emit("Z", (at, out), Formula(_PRODUCT, (one, other)))
    formula = Formula("{0}", (product,))
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    if alpha != 1:
        formula = apply(f"({{0}} * {alpha!r})", formula)
    if node.given(2):
        added = draft.shape(node.given(2))
        if len(added) > 2:
            raise node.refused("C must have at most two dimensions", added)
        summand = draft.read(node.given(2), (at, out))
        summand = summand if beta == 1 else apply(f"({{0}} * {beta!r})", summand)
        formula = apply("({0} + {1})", formula, summand)
    if formula.text == "{0}":
        draft.keep(node.output, (at, out), product)
    else:
        draft.define(node.output, (at, out), formula)


def matmul(node: Node, draft: PartDraft) -> None:
    """MatMul as numpy's: products of the last two dimensions, all others broadcast."""
    left, right = node.inputs
    first, second, result = draft.shape(left), draft.shape(right), draft.shape(node.output)
    known = left in draft.made, right in draft.made
    batches = len(result) - (len(first) > 1) - (len(second) > 1)
    a_dims = draft.dims(left) if known[0] else ()
    b_dims = draft.dims(right) if known[1] else ()
    batch: list[Digits] = []
    for at in range(batches, 0, -1):  # from the last batch dimension on, as broadcasting counts them
        held = [dims[:-2][-at] for dims in (a_dims, b_dims) if at <= len(dims) - 2]
        size = result[batches - at]
        batch.append(
            next((digits for digits in held if digits), ()) or draft.rank("bhgf"[min(len(batch), 3)], size)
        )
    depth = (a_dims[-1] if known[0] else ()) or (b_dims[-2 if len(second) > 1 else -1] if known[1] else ())
    depth = depth or draft.rank("d", first[-1])
    rows: Dims = ()
    if len(first) > 1:
        rows = (a_dims[-2] if known[0] else draft.rank("p", first[-2]),)
    columns: Dims = ()
    if len(second) > 1:
        columns = (b_dims[-1] if known[1] else draft.rank("k" if right in draft.stored else "m", second[-1]),)
    dims: Dims = (*batch, *rows, *columns)
    one = _operand(draft, left, (*batch, *rows, depth) if len(first) > 1 else (depth,), "I")
    other = _operand(draft, right, (*batch, depth, *columns) if len(second) > 1 else (depth,), "W")
    draft.keep(node.output, dims, draft.emit("Z", dims, Formula(_PRODUCT, (one, other))))


def _operand(draft: PartDraft, value: str, dims: Dims, hint: str) -> Read:
    """An operand as a tensor at these ranks."""
    shape = draft.shape(value)
    if value in draft.made:
        draft.tensor(value, "X")
    name = ("W" if hint == "I" else hint) if value in draft.stored else "I"
    formula = draft.read(value, dims[len(dims) - len(shape) :], name)
    if not formula.reads:  # a product with a number that is known: rare, and as good as a tensor of one
        return draft.outer(value, tuple(() for _ in shape), "W")
    return formula.reads[0]


def einsum(node: Node, draft: PartDraft) -> None:
    """Einsum of two operands; a letter is a rank."""
    equation = node.text("equation", "").replace(" ", "")
    sides, arrow, result = equation.partition("->")
    letters = sides.split(",")
    if (
        not arrow
        or "." in equation
        or len(letters) != 2
        or any(len(set(one)) < len(one) for one in (*letters, result))
    ):
        raise node.refused("must name two operands and the result, each by distinct letters", equation)
    ranks: dict[str, Digits] = {}
    for value, names in zip(node.inputs, letters, strict=True):
        for name, digits, size in zip(names, draft.dims(value, names), draft.shape(value), strict=True):
            if name in ranks and draft.size(ranks[name]) != size:
                raise node.refused("a letter has one size", equation)
            ranks.setdefault(name, digits)
    dims: Dims = tuple(ranks[name] for name in result)
    one, other = (
        _operand(draft, value, tuple(ranks[name] for name in names), "W")
        for value, names in zip(node.inputs, letters, strict=True)
    )
    draft.keep(node.output, dims, draft.emit("Z", dims, Formula(_PRODUCT, (one, other))))
