"""The cascade of Einsums: ranks, tensors, Einsums and iteration-space bounds, as frozen values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import msgspec

from einsim.workloads.bound import Bound, SameBlock
from einsim.workloads.expression import Access, Apply, Expr, Index, Literal, Term, accesses, expression_ops
from einsim.workloads.points import Box, count_points
from einsim.workloads.shape import tensor_shape
from einsim.workloads.sparsity import DENSE, Sparsity

__all__ = [
    "Access", "Apply", "Bound", "Cascade", "Einsum", "Expr", "Index", "Literal", "Partition", "Rank",
    "SameBlock", "Tensor", "Term",
]  # fmt: skip


MOST_COUNTS = 100_000
"""Point counts that a cascade remembers before it starts anew."""


class Rank(msgspec.Struct, frozen=True):
    """A named range 0 .. size-1."""

    name: str
    size: int


class Partition(msgspec.Struct, frozen=True):
    """`rank` is walked as `into`, outermost first: m -> m1, m0 means m = m1 * size(m0) + m0."""

    rank: str
    into: tuple[str, ...]


class Tensor(msgspec.Struct, frozen=True):
    """A tensor; `ranks` names the rank that each dimension is declared over, `bits` the width of a value."""

    name: str
    ranks: tuple[str, ...]
    bits: int = 16
    sparsity: Sparsity = DENSE


class Einsum(msgspec.Struct, frozen=True, dict=True):
    """`output = reduce over reduced of expr`; reduce is "sum", "max", "min" or None."""

    output: Access
    expr: Expr
    reduce: str | None = None
    reduced: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The tensor it writes; a tensor is written once, so this names the Einsum too."""
        return self.output.tensor

    @cached_property
    def ranks(self) -> tuple[str, ...]:
        """Every rank iterated: the output's first, then the reduced ones."""
        return tuple(dict.fromkeys(self.output.ranks + self.reduced))

    @cached_property
    def reads(self) -> tuple[Access, ...]:
        """Distinct input accesses in the order written."""
        return accesses(self.expr)

    @cached_property
    def ops(self) -> tuple[str, ...]:
        """Primitive operations of one iteration point, in order; () for a bare copy."""
        return expression_ops(self.expr, self.reduce)

    @cached_property
    def iterative(self) -> tuple[str, ...]:
        """Ranks along which it writes the next step's state, as in RM[m1+1,p]."""
        return tuple(
            index.terms[0].rank for index in self.output.indices if index.terms and index.offset == 1
        )


class Cascade(msgspec.Struct, frozen=True, dict=True):
    """Einsums in an order in which each reads only inputs, earlier results and its own earlier state.

    `initial` holds the value of a state tensor before the first step; `bounds` restrict the iterated points;
    `source` is the file it was read from. `einsim.workloads.notation.parse` reads `str(cascade)` back.
    """

    name: str
    ranks: tuple[Rank, ...]
    tensors: tuple[Tensor, ...]
    einsums: tuple[Einsum, ...]
    bounds: tuple[Bound | SameBlock, ...] = ()
    initial: Mapping[str, float] = {}
    source: str = ""
    partitions: tuple[Partition, ...] = ()

    def rank(self, name: str) -> Rank:
        """Raises KeyError for an unknown name, as do all look-ups here."""
        return self._ranks[name]

    def size(self, rank: str) -> int:
        """Size of a rank."""
        return self._ranks[rank].size

    def tensor(self, name: str) -> Tensor:
        """The tensor of this name."""
        return self._tensors[name]

    def einsum(self, name: str) -> Einsum:
        """The Einsum that writes the tensor of this name."""
        return self._einsums[name]

    def producer(self, tensor: str) -> Einsum | None:
        """The Einsum that writes the tensor, None for an input."""
        return self._einsums.get(tensor)

    def consumers(self, tensor: str) -> tuple[Einsum, ...]:
        """Einsums other than its producer that read the tensor."""
        return self._consumers.get(tensor, ())

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that nobody produces."""
        return tuple(tensor for tensor in self.tensors if tensor.name not in self._einsums)

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        """Tensors that are produced and that no other Einsum reads."""
        return tuple(t for t in self.tensors if t.name in self._einsums and not self.consumers(t.name))

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Elements along each dimension: the declared ranks' sizes, more where a state or a halo needs it."""
        if tensor not in self._shapes:
            self._shapes[tensor] = tensor_shape(self, tensor)
        return self._shapes[tensor]

    def elements(self, tensor: str) -> int:
        """Elements of the whole tensor, dense."""
        product = 1
        for extent in self.shape(tensor):
            product *= extent
        return product

    def points(self, einsum_name: str, tile: Mapping[str, tuple[int, int]] | None = None) -> int:
        """Exact number of iteration points of an Einsum under the bounds.

        `tile` restricts ranks to half-open ranges: {"m": (0, 256)}; ranks that it leaves out are whole.
        """
        box: Box = {rank: (0, self.size(rank)) for rank in self.einsum(einsum_name).ranks}
        for rank, (start, stop) in (tile or {}).items():
            if rank in box:
                box[rank] = (max(start, 0), min(stop, box[rank][1]))
        free = math.prod(
            max(0, stop - start) for rank, (start, stop) in box.items() if rank not in self._tied
        )
        tied = {rank: bounds for rank, bounds in box.items() if rank in self._tied}
        key = tuple(sorted(tied.items()))
        if key not in self._points:
            if len(self._points) >= MOST_COUNTS:
                self._points.clear()
            self._points[key] = count_points(self, tied)
        return free * self._points[key]

    @cached_property
    def _ranks(self) -> dict[str, Rank]:
        return {rank.name: rank for rank in self.ranks}

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def _einsums(self) -> dict[str, Einsum]:
        return {einsum.name: einsum for einsum in self.einsums}

    @cached_property
    def _consumers(self) -> dict[str, tuple[Einsum, ...]]:
        found: dict[str, tuple[Einsum, ...]] = {}
        for einsum in self.einsums:
            for tensor in dict.fromkeys(access.tensor for access in einsum.reads):
                if tensor != einsum.name:
                    found[tensor] = (*found.get(tensor, ()), einsum)
        return found

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {}

    @cached_property
    def _tied(self) -> frozenset[str]:
        sides = [side for bound in self.bounds for side in (bound.left, bound.right)]
        return frozenset(rank for side in sides for rank in side.ranks)

    @cached_property
    def _points(self) -> dict[tuple[tuple[str, tuple[int, int]], ...], int]:
        return {}

    @cached_property
    def _hash(self) -> int:
        state = tuple(sorted(self.initial.items()))
        return hash((self.name, self.ranks, self.tensors, self.einsums, self.bounds, state, self.partitions))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        # The printer needs these types, so it imports this file.
        from einsim.workloads.text import cascade_text

        return cascade_text(self)
