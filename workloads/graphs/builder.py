"""Graphs made layer by layer: what a network's table of blocks is written with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from einsim.specs.errors import SpecError
from einsim.workloads.graphs.graph import Attribute, Constant, Node, OperatorGraph

Pair = int | tuple[int, int]

_ACTIVATIONS = {
    "relu": "Relu", "silu": "Swish", "hard-swish": "HardSwish", "sigmoid": "Sigmoid", "gelu": "Gelu",
    "tanh": "Tanh",
    "hard-sigmoid": "HardSigmoid",
}  # fmt: skip


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Images or texts at once, rows of an image (0: as published) and its columns (0: as rows), tokens of a
    text.
    """

    batch: int = 1
    image: int = 0
    columns: int = 0
    seq: int = 0


class GraphBuilder:
    """Every method adds nodes and returns the value that they compute; shapes are found as it goes."""

    def __init__(self, name: str, source: str, size: Size) -> None:
        self.name, self.source, self.size = name, source, size
        self.nodes: list[Node] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.weights: dict[str, int] = {}
        self.constants: dict[str, Constant] = {}
        self.inputs: list[str] = []
        self._path: list[str] = []
        self._stored: list[str] = []
        self._names: dict[str, int] = {}

    @contextmanager
    def within(self, name: object, weights: str = "") -> Iterator[None]:
        """Names of what is added inside begin so; with `weights`, those of weights, if layers share them."""
        self._path.append(str(name))
        self._stored.append(weights or str(name))
        yield
        self._path.pop()
        self._stored.pop()

    @property
    def path(self) -> str:
        """Where `within` stands."""
        return ".".join(self._path)

    def input(self, *shape: int, name: str = "input") -> str:
        """An input of the network, the batch before `shape`."""
        self.inputs.append(name)
        self.shapes[name] = (self.size.batch, *shape)
        return name

    def image(self, rows: int) -> str:
        """An input of three channels and as many rows and columns as `size` says, or `rows` of both."""
        rows = self.size.image or rows
        return self.input(3, rows, self.size.columns or rows)

    def weight(self, name: str, *shape: int, learnt: bool = True) -> str:
        """A stored value."""
        self.shapes[name] = shape
        self.weights[name] = math.prod(shape) if learnt else 0
        return name

    def number(self, value: float) -> str:
        """A constant of one element."""
        name = f"number.{value!r}"
        self.constants[name], self.shapes[name] = Constant((), (value,)), ()
        return name

    def whole(self, *values: int) -> str:
        """A constant list of whole numbers, as Reshape and others take."""
        name = f"whole.{','.join(map(str, values))}"
        self.constants[name], self.shapes[name] = (
            Constant((len(values),), tuple(map(float, values))),
            (len(values),),
        )
        return name

    def node(
        self, op: str, name: str, inputs: list[str], shape: tuple[int, ...], **attributes: Attribute
    ) -> str:
        """A node of one output."""
        path = ".".join([*self._path, name])
        count = self._names[path] = self._names.get(path, 0) + 1
        path = path if count == 1 else f"{path}_{count}"
        output = f"{path}:0"
        self.shapes[output] = shape
        self.nodes.append(
            Node(op=op, name=path, inputs=tuple(inputs), outputs=(output,), attributes=attributes)
        )
        return output

    def graph(self, *outputs: str) -> OperatorGraph:
        """What was built."""
        return OperatorGraph(
            name=self.name, nodes=tuple(self.nodes), shapes=self.shapes, inputs=tuple(self.inputs),
            outputs=outputs,
            weights=self.weights, constants=self.constants, source=self.source,
        )  # fmt: skip

    def channels(self, x: str) -> int:
        """Of an image."""
        return self.shapes[x][1]

    def conv(
        self, x: str, out: int, kernel: Pair, *, stride: Pair = 1, pad: Pair | None = None, groups: int = 1,
        dilation: int = 1, norm: bool = True, act: str = "relu", bias: bool | None = None, name: str = "conv",
    ) -> str:  # fmt: skip
        """Convolution, batch norm, activation; padded to keep its size unless `pad` is given."""
        size, step = _pair(kernel), _pair(stride)
        around = tuple(dilation * (one - 1) // 2 for one in size) if pad is None else _pair(pad)
        batch, channels, *extent = self.shapes[x]
        if any(
            have + 2 * edge <= dilation * (one - 1)
            for have, edge, one in zip(extent, around, size, strict=True)
        ):
            raise SpecError("image", f"is too small for {self.name}", got=self.size.image)
        rows, columns = (
            (whole + 2 * edge - dilation * (one - 1) - 1) // by + 1
            for whole, edge, one, by in zip(extent, around, size, step, strict=True)
        )
        inputs = [x, self._weight(name, out, channels // groups, *size)]
        inputs += [self._weight(f"{name}.bias", out)] if (not norm if bias is None else bias) else []
        y = self.node(
            "Conv", name, inputs, (batch, out, rows, columns), kernel_shape=size, strides=step,
            pads=(*around, *around), dilations=(dilation, dilation), group=groups,
        )  # fmt: skip
        y = self.batch_norm(y, name=f"{name}.norm") if norm else y
        return self.act(y, act)

    def up_conv(self, x: str, out: int, factor: int, name: str = "up") -> str:
        """Transposed convolution whose kernel is as large as its stride, with a bias."""
        batch, channels, rows, columns = self.shapes[x]
        inputs = [x, self._weight(name, channels, out, factor, factor), self._weight(f"{name}.bias", out)]
        return self.node(
            "ConvTranspose", name, inputs, (batch, out, rows * factor, columns * factor),
            kernel_shape=(factor, factor), strides=(factor, factor),
        )  # fmt: skip

    def _weight(self, name: str, *shape: int) -> str:
        count = self._names.get(".".join([*self._path, name]), 0)
        path = ".".join([*self._stored, name])
        return self.weight(f"{path}.weight" if not count else f"{path}_{count + 1}.weight", *shape)

    def batch_norm(self, x: str, name: str = "norm") -> str:
        """Batch norm with scale, shift, and a running mean and variance."""
        path, count = ".".join([*self._path, name]), self.channels(x)
        path += f"_{self._names[path] + 1}" if path in self._names else ""
        learnt = [self.weight(f"{path}.{one}", count) for one in ("scale", "shift")]
        seen = [self.weight(f"{path}.{one}", count, learnt=False) for one in ("mean", "variance")]
        return self.node("BatchNormalization", name, [x, *learnt, *seen], self.shapes[x])

    def act(self, x: str, kind: str) -> str:
        """An activation by its name; "" is none, relu6 a clip, leaky has a slope of 0.1 below 0."""
        if not kind:
            return x
        if kind == "relu6":
            return self.node("Clip", kind, [x, self.number(0.0), self.number(6.0)], self.shapes[x])
        if kind == "leaky":
            return self.node("LeakyRelu", kind, [x], self.shapes[x], alpha=0.1)
        if kind == "hard-sigmoid":
            return self.node("HardSigmoid", kind, [x], self.shapes[x], alpha=1 / 6, beta=0.5)
        return self.node(_ACTIVATIONS[kind], kind, [x], self.shapes[x])

    def pool(
        self,
        x: str,
        kind: str,
        kernel: int,
        stride: int,
        pad: int = 0,
        *,
        ceil: bool = False,
        counts_pad: bool = True,
    ) -> str:
        """Max or mean ("max", "mean") over windows."""
        batch, channels, *extent = self.shapes[x]
        rows, columns = (
            -(-(one + 2 * pad - kernel) // stride) + 1 if ceil else (one + 2 * pad - kernel) // stride + 1
            for one in extent
        )
        attributes: dict[str, Attribute] = {
            "kernel_shape": (kernel, kernel),
            "strides": (stride, stride),
            "pads": (pad,) * 4,
        }
        attributes |= {"ceil_mode": 1} if ceil else {}
        attributes |= {"count_include_pad": int(counts_pad)} if kind == "mean" else {}
        op = "MaxPool" if kind == "max" else "AveragePool"
        return self.node(op, f"{kind}pool", [x], (batch, channels, rows, columns), **attributes)

    def global_mean(self, x: str) -> str:
        """The mean of an image: one element a channel."""
        batch, channels, *_ = self.shapes[x]
        return self.node("GlobalAveragePool", "mean", [x], (batch, channels, 1, 1))

    def flat(self, x: str) -> str:
        """All but the batch as one dimension."""
        return self.node("Flatten", "flatten", [x], (self.shapes[x][0], math.prod(self.shapes[x][1:])))

    def add(self, x: str, y: str, name: str = "add") -> str:
        """Of equal shape."""
        return self.node("Add", name, [x, y], self.shapes[x])

    def scale(self, x: str, y: str) -> str:
        """X times y, which is broadcast."""
        return self.node("Mul", "scale", [x, y], self.shapes[x])

    def concat(self, *values: str, axis: int = 1) -> str:
        """Beside each other along one dimension."""
        shape = list(self.shapes[values[0]])
        shape[axis] = sum(self.shapes[value][axis] for value in values)
        return self.node("Concat", "concat", list(values), tuple(shape), axis=axis)

    def part(self, x: str, start: int, stop: int, axis: int = 1) -> str:
        """Elements from `start` to `stop` of one dimension."""
        shape = list(self.shapes[x])
        shape[axis] = stop - start
        return self.node(
            "Slice", "slice", [x, self.whole(start), self.whole(stop), self.whole(axis)], tuple(shape)
        )

    def reshape(self, x: str, *shape: int) -> str:
        """Another shape over the same elements."""
        return self.node("Reshape", "reshape", [x, self.whole(*shape)], shape)

    def transpose(self, x: str, *order: int) -> str:
        """Dimensions in another order."""
        return self.node("Transpose", "transpose", [x], tuple(self.shapes[x][at] for at in order), perm=order)

    def upsample(self, x: str, factor: int, mode: str = "nearest") -> str:
        """An image larger by a whole factor."""
        batch, channels, rows, columns = self.shapes[x]
        shape = (batch, channels, rows * factor, columns * factor)
        kind = "half_pixel" if mode == "linear" else "asymmetric"
        return self.node(
            "Resize", "resize", [x, "", "", self.whole(*shape)], shape, mode=mode,
            coordinate_transformation_mode=kind, **({"nearest_mode": "floor"} if mode == "nearest" else {}),
        )  # fmt: skip

    def linear(self, x: str, out: int, *, act: str = "", bias: bool = True, name: str = "linear") -> str:
        """A product over the last dimension, bias, activation."""
        shape = self.shapes[x]
        weight = self._weight(name, shape[-1], out)
        inputs = [x, weight]
        if len(shape) == 2:
            inputs += [self._weight(f"{name}.bias", out)] if bias else []
            return self.act(self.node("Gemm", name, inputs, (shape[0], out)), act)
        summand = self._weight(f"{name}.bias", out) if bias else ""
        y = self.node("MatMul", name, inputs, (*shape[:-1], out))
        y = self.node("Add", f"{name}.add", [y, summand], self.shapes[y]) if bias else y
        return self.act(y, act)

    def layer_norm(self, x: str, epsilon: float = 1e-5, name: str = "norm") -> str:
        """Over the last dimension, with scale and shift."""
        path, count = ".".join([*self._path, name]), self.shapes[x][-1]
        again = f"_{self._names[path] + 1}" if path in self._names else ""
        path = ".".join([*self._stored, name]) + again
        learnt = [self.weight(f"{path}.{one}", count) for one in ("scale", "shift")]
        return self.node("LayerNormalization", name, [x, *learnt], self.shapes[x], axis=-1, epsilon=epsilon)


def divisible(value: float, by: int = 8, floor: float = 0.9) -> int:
    """The nearest multiple, not below `floor` of the value: channels as MobileNets' code rounds them."""
    found = max(by, int(value + by / 2) // by * by)
    return found + by if found < floor * value else found


def squeeze_excite(b: GraphBuilder, x: str, squeezed: int, act: str, gate: str) -> str:
    """X times a factor a channel, computed from the means (Hu et al., arXiv 1709.01507)."""
    channels = b.channels(x)
    with b.within("squeeze"):
        y = b.conv(b.global_mean(x), squeezed, 1, norm=False, act=act, name="reduce")
        return b.scale(x, b.conv(y, channels, 1, norm=False, act=gate, name="expand"))


def classifier(b: GraphBuilder, x: str, classes: int = 1000) -> OperatorGraph:
    """The mean of the image and a product, as most image networks end."""
    return b.graph(b.linear(b.flat(b.global_mean(x)), classes, name="fc"))
