"""A part's cascade while its operators are lowered one after the other: ranks, tensors and statements."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import msgspec

from einsim.specs.errors import SpecError
from einsim.workloads.cascade import Cascade
from einsim.workloads.graphs.formula import Formula, Read, Statement, coalesced, literal
from einsim.workloads.graphs.graph import OperatorGraph
from einsim.workloads.notation import parse

Digits = tuple[str, ...]
"""Ranks that together walk one dimension, the outermost first; () for a dimension of one element."""
Dims = tuple[Digits, ...]
"""Those of each dimension of a value."""

_LONGEST_TWICE = 80
"""Characters of an expression that is worth repeating: a repeated one is computed once, but read again."""


def hints(shape: tuple[int, ...]) -> str:
    """Letters for a value's ranks: an image's or a sequence's."""
    return {5: "bkzyx", 4: "bkyx", 3: "bpd", 2: "bd"}.get(len(shape), "defghjlnouvw"[: len(shape)])


class PartInput(msgspec.Struct, frozen=True, kw_only=True):
    """Where an input of a part's cascade comes from: a value of the graph, padded by `before` elements of
    `fill` along each dimension and as many after it as `shape` needs, then cut to that shape.
    """

    value: str
    shape: tuple[int, ...]
    before: tuple[int, ...]
    fill: float = 0.0
    kind: str = ""
    """"rows" of a table that a gather reads, or "share", the reciprocal of the elements that a window of a
    mean has inside its input, "taps" of a resize, or its input padded by its "edge"."""

    @property
    def made(self) -> bool:
        """Whether it is a table that is known beforehand, of no value's elements."""
        return self.kind == "taps" or self.kind.startswith("share")


class Made(msgspec.Struct, frozen=True):
    """A value within the part: its dimensions' ranks, and what computes it."""

    dims: Dims
    formula: Formula

    @property
    def kept(self) -> bool:
        """Whether it is a tensor by itself rather than an expression of others."""
        return self.formula.text == "{0}"


def _renaming(one: Dims, other: Dims) -> dict[str, str] | None:
    """The ranks of dimensions by those of others, where there are as many."""
    if tuple(map(len, one)) != tuple(map(len, other)):
        return None
    pairs = zip(
        (rank for digits in one for rank in digits),
        (rank for digits in other for rank in digits),
        strict=True,
    )
    return dict(pairs)


class PartDraft:
    """Lowers nodes of one part. `outside` are the values that others read, `stored` those not computed.

    Inputs are named by their role: I, I2 ... are activations, W, W2 ... matrices, all else is stored too.
    """

    def __init__(self, graph: OperatorGraph, outside: Collection[str], stored: Collection[str]) -> None:
        self.graph, self.outside, self.stored, self.uses = graph, outside, stored, graph.uses
        self.sizes: dict[str, int] = {}
        self.statements: list[Statement] = []
        self.made: dict[str, Made] = {}
        self.sources: dict[str, PartInput] = {}
        self.results: dict[str, str] = {}
        self._outer: dict[object, str] = {}
        self._names: set[str] = set()

    def rank(self, hint: str, size: int) -> Digits:
        """A new rank, named so or nearly so; none for a size of 1."""
        if size == 1:
            return ()
        name = self._unique(hint, self.sizes)
        self.sizes[name] = size
        return (name,)

    def size(self, digits: Digits) -> int:
        """Elements of a dimension."""
        return math.prod(self.sizes[rank] for rank in digits)

    def shape(self, value: str) -> tuple[int, ...]:
        """Of a value of the graph."""
        return self.graph.shapes[value]

    def dims(self, value: str, letters: str = "") -> Dims:
        """A value's ranks; where it comes from outside, new ones named by these letters."""
        if value in self.made:
            return self.made[value].dims
        shape = self.shape(value)
        return tuple(self.rank(name, size) for name, size in zip(letters or hints(shape), shape, strict=True))

    def outer(self, value: str, dims: Dims, hint: str = "") -> Read:
        """An input of the part, read at these ranks; dimensions of one element are left out."""
        split = tuple(tuple(self.sizes[rank] for rank in digits) for digits in dims)
        if tuple(map(math.prod, split)) != self.shape(value):
            raise SpecError(value, f"must be of shape {tuple(map(math.prod, split))}", got=self.shape(value))
        indices = tuple(rank for digits in dims for rank in digits)
        source = PartInput(value=value, shape=self.shape(value), before=(0,) * len(self.shape(value)))
        return self.input(source, indices, hint, split)

    def input(self, source: PartInput, indices: tuple[str, ...], hint: str = "", key: object = None) -> Read:
        """An input that is read at these indices, with what makes it of a value."""
        found = (source, key)
        if found not in self._outer:
            hint = hint or ("B" if source.value in self.stored else "I")
            # B alone is the size of a rank b, so a tensor of no rank has another name.
            name = self._unique(hint if indices else f"{hint}S", self._names)
            self._names.add(name)
            self._outer[found] = name
            self.sources[name] = source
        return Read(self._outer[found], indices)

    def read(self, value: str, dims: Dims, hint: str = "") -> Formula:
        """A value at these ranks, broadcast where it has one element; the result's trailing dimensions."""
        number = self.graph.scalar(value)
        if number is not None:
            return literal(number)
        shape = self.shape(value)
        dims = tuple(
            () if size == 1 else digits
            for size, digits in zip(shape, dims[len(dims) - len(shape) :], strict=True)
        )
        if value not in self.made:
            return Formula("{0}", (self.outer(value, dims, hint),))
        made = self.made[value]
        if made.dims == dims:
            return made.formula
        renamed = _renaming(made.dims, dims)
        if renamed is not None and self._sizes_of(renamed) == self._sizes_of(renamed.values()):
            return made.formula.renamed(renamed)
        read = self.tensor(value)
        return Formula("{0}", (Read(read.tensor, tuple(rank for digits in dims for rank in digits)),))

    def tensor(self, value: str, hint: str = "Y") -> Read:
        """A value within the part as a tensor of its own."""
        made = self.made[value]
        if not made.kept or made.formula.reads[0].tensor in self.sources:
            self.keep(value, made.dims, self.emit(hint, made.dims, made.formula))
        return self.made[value].formula.reads[0]

    def emit(self, hint: str, dims: Dims, formula: Formula, reduce: str = "", over: Digits = ()) -> Read:
        """A statement that computes a new tensor."""
        name = self._unique(hint if any(dims) else f"{hint}S", self._names)
        self._names.add(name)
        target = Read(name, tuple(rank for digits in dims for rank in digits))
        self.statements.append(Statement(target, formula, reduce, over))
        return target

    def keep(self, value: str, dims: Dims, read: Read) -> None:
        """Say that a value is a tensor."""
        self.made[value] = Made(dims, Formula("{0}", (read,)))

    def define(self, value: str, dims: Dims, formula: Formula) -> None:
        """Say what computes a value; it is a tensor where others read it, or it is too long to repeat."""
        self.made[value] = Made(dims, formula)
        twice = self.uses.get(value, 0) > 1 and len(formula.text) + 12 * len(formula.reads) > _LONGEST_TWICE
        if value in self.outside or twice or len(formula.text) > 10 * _LONGEST_TWICE:
            self.tensor(value)

    def _sizes_of(self, ranks: Iterable[str]) -> list[int]:
        return [self.sizes[rank] for rank in ranks]

    def finish(self, name: str) -> Cascade:
        """The cascade; inputs that no statement reads any more are gone."""
        for value in self.outside:
            if value in self.made:
                self.results[value] = self.tensor(value).tensor
        statements, sizes = coalesced(self.statements, self.sizes)
        read = {one.tensor for statement in statements for one in statement.formula.reads}
        self.sources = {tensor: source for tensor, source in self.sources.items() if tensor in read}
        used = {index for s in statements for one in (s.target, *s.formula.reads) for index in one.indices}
        names = {word for index in used for word in index.replace("*", " ").replace("+", " ").split()}
        kept = [tensor for tensor in dict.fromkeys(self.results.values()) if tensor in read]
        text = "".join(f"{statement}\n" for statement in statements)
        scalars = {
            one.tensor for statement in statements for one in statement.formula.reads if not one.indices
        }
        text += "".join(f"tensor {tensor}[]\n" for tensor in self.sources if tensor in scalars)
        text += f"output {', '.join(kept)}\n" if kept else ""
        return parse(text, name=name, sizes={rank: size for rank, size in sizes.items() if rank in names})

    @staticmethod
    def _unique(hint: str, taken: Collection[str]) -> str:
        if hint not in taken:
            return hint
        return next(f"{hint}{at}" for at in range(2, 10_000) if f"{hint}{at}" not in taken)
