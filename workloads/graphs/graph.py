"""A network as a graph of operators, as frozen values. Operators and their attributes are those of ONNX.

https://onnx.ai/onnx/operators gives the meaning of each; what a file says by constant inputs (axes, bounds
of a Clip) stays an input whose value is one of the `constants`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import cached_property

import msgspec

from einsim.specs.errors import SpecError

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...]


class Constant(msgspec.Struct, frozen=True):
    """A small array that is known: its shape, and its elements row by row."""

    shape: tuple[int, ...]
    values: tuple[float, ...]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One operator. An optional input that is left out is "", as in ONNX."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = {}

    @property
    def output(self) -> str:
        """Its first output."""
        return self.outputs[0]

    def given(self, at: int) -> str:
        """The input at a place, "" where it is left out."""
        return self.inputs[at] if at < len(self.inputs) else ""

    def number(self, key: str, otherwise: float) -> float:
        """An attribute that is one number."""
        value = self.attributes.get(key, otherwise)
        assert isinstance(value, int | float)
        return value

    def whole(self, key: str, otherwise: int) -> int:
        """An attribute that is one whole number."""
        return int(self.number(key, otherwise))

    def wholes(self, key: str, otherwise: tuple[int, ...]) -> tuple[int, ...]:
        """An attribute that is several whole numbers."""
        value = self.attributes.get(key, otherwise)
        assert isinstance(value, tuple)
        return tuple(int(one) for one in value)

    def text(self, key: str, otherwise: str) -> str:
        """An attribute that is text."""
        return str(self.attributes.get(key, otherwise))

    def refused(self, rule: str, got: object) -> SpecError:
        """An error that names the operator and its node."""
        return SpecError(f"{self.op} {self.name}", rule, got=got)


class OperatorGraph(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Nodes in an order in which each reads only inputs, weights, constants and earlier outputs.

    `shapes` holds every value's. `weights` are values that are stored, by the parameters that were learnt for
    each: as many as it has elements, except where others were folded into it. `source` is a file or a paper.
    """

    name: str
    nodes: tuple[Node, ...]
    shapes: Mapping[str, tuple[int, ...]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: Mapping[str, int]
    constants: Mapping[str, Constant] = {}
    source: str = ""

    @property
    def parameters(self) -> int:
        """All that was learnt; the running means and variances of a batch norm are not."""
        return sum(self.weights.values())

    def elements(self, value: str) -> int:
        """Of a value."""
        return math.prod(self.shapes[value])

    @cached_property
    def producers(self) -> dict[str, Node]:
        """The node that makes each value."""
        return {output: node for node in self.nodes for output in node.outputs if output}

    @cached_property
    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """The nodes that read each value."""
        found: dict[str, tuple[Node, ...]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.inputs):
                found[value] = (*found.get(value, ()), node)
        return found

    @cached_property
    def uses(self) -> Counter[str]:
        """How often each value is read, by nodes or as an output of the whole graph."""
        found = Counter(value for node in self.nodes for value in node.inputs)
        found.update(self.outputs)
        return found

    def stored(self, value: str) -> bool:
        """Whether it is a weight or a constant, and not computed from the graph's inputs."""
        return value in self.weights or value in self.constants

    def scalar(self, value: str) -> float | None:
        """The number that a constant of one element is, None for any other value."""
        known = self.constants.get(value)
        return known.values[0] if known and len(known.values) == 1 else None
