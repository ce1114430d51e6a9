"""Statements of a cascade while it is being made: what each reads by index, kept apart from its text."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Read(msgspec.Struct, frozen=True):
    """An element of a tensor; an index is a rank's name, or an affine expression of several."""

    tensor: str
    indices: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.tensor}[{','.join(self.indices)}]" if self.indices else self.tensor


class Formula(msgspec.Struct, frozen=True):
    """An expression in the notation of cascades in which {0}, {1} ... stand for `reads`."""

    text: str
    reads: tuple[Read, ...] = ()

    def __str__(self) -> str:
        return self.text.format(*self.reads)

    def renamed(self, ranks: Mapping[str, str]) -> Formula:
        """The same over other ranks."""

        def index(text: str) -> str:
            return "+".join(
                "*".join(ranks.get(word, word) for word in term.split("*")) for term in text.split("+")
            )

        reads = (Read(read.tensor, tuple(map(index, read.indices))) for read in self.reads)
        return Formula(self.text, tuple(reads))


def literal(value: float) -> Formula:
    """A number."""
    return Formula("inf" if value == float("inf") else "(-inf)" if value == -float("inf") else repr(value))


def apply(text: str, *arguments: Formula) -> Formula:
    """An expression of expressions: {0}, {1} ... of `text` stand for them, each as often as it likes."""
    reads: list[Read] = []
    texts = []
    for argument in arguments:
        at = len(reads)
        texts.append(argument.text.format(*(f"{{{at + place}}}" for place in range(len(argument.reads)))))
        reads += argument.reads
    return Formula(text.format(*texts), tuple(reads))


class Statement(msgspec.Struct, frozen=True):
    """An Einsum: `target = reduce[over](formula)`. Without `reduce`, what is on the right only is summed."""

    target: Read
    formula: Formula
    reduce: str = ""
    over: tuple[str, ...] = ()

    def __str__(self) -> str:
        right = str(self.formula)
        return (
            f"{self.target} = {self.reduce}[{','.join(self.over)}]({right})"
            if self.reduce
            else f"{self.target} = {right}"
        )


def coalesced(statements: list[Statement], sizes: dict[str, int]) -> tuple[list[Statement], dict[str, int]]:
    """Ranks that always stand beside each other, in one order, as one rank: rows and columns of what is done
    point by point are as good as one. A cascade has no more loops than it needs, and more cascades are equal.
    """
    while pair := _pair(statements, sizes):
        first, second = pair
        sizes = {
            name: size * sizes[second] if name == first else size
            for name, size in sizes.items()
            if name != second
        }
        statements = [_without(statement, second) for statement in statements]
    return statements, sizes


def _pair(statements: list[Statement], sizes: dict[str, int]) -> tuple[str, str] | None:
    """The first two ranks that are always side by side, if there are any."""
    after: dict[str, str | None] = {}
    before: dict[str, str | None] = {}
    alone: set[str] = set()
    seen: dict[tuple[str, int], str] = {}
    for statement in statements:
        for read in (statement.target, *statement.formula.reads):
            indices = read.indices
            for at, index in enumerate(
                indices
            ):  # a tensor that is read by other ranks too keeps its dimensions
                if seen.setdefault((read.tensor, at), index) != index:
                    alone |= {*_names(index), *_names(seen[read.tensor, at])}
            for at, index in enumerate(indices):
                if index not in sizes:
                    alone |= _names(index)
                    continue
                following = indices[at + 1] if at + 1 < len(indices) and indices[at + 1] in sizes else None
                leading = indices[at - 1] if at and indices[at - 1] in sizes else None
                after[index] = following if after.get(index, following) == following else None
                before[index] = leading if before.get(index, leading) == leading else None
    for rank, other in after.items():
        if other is None or other == rank or before.get(other) != rank or {rank, other} & alone:
            continue
        if all((rank in statement.over) == (other in statement.over) for statement in statements):
            return rank, other
    return None


def _names(index: str) -> set[str]:
    return set(index.replace("*", " ").replace("+", " ").split())


def _without(statement: Statement, rank: str) -> Statement:
    def read(one: Read) -> Read:
        return Read(one.tensor, tuple(index for index in one.indices if index != rank))

    formula = Formula(statement.formula.text, tuple(map(read, statement.formula.reads)))
    over = tuple(one for one in statement.over if one != rank)
    return Statement(read(statement.target), formula, statement.reduce, over)
