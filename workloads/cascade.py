"""The cascade of Einsums: ranks, tensors, Einsums and iteration-space bounds, as frozen values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import msgspec

from einsim.workloads.bound import Bound, SameBlock
from einsim.workloads.einsum import Einsum, Partition, Rank, Tensor
from einsim.workloads.expression import Access, Apply, Expr, Index, Literal, Term
from einsim.workloads.points import Box, count_points
from einsim.workloads.shape import radix, reach
from einsim.workloads.text import cascade_text
from einsim.workloads.widths import WideOp, wide_ops

__all__ = [
    "Access", "Apply", "Bound", "Cascade", "Einsum", "Expr", "Index", "Literal", "Partition", "Rank",
    "SameBlock", "Tensor", "Term",
]  # fmt: skip


MOST_COUNTS = 100_000
"""Point counts that a cascade remembers before it starts anew."""


class Cascade(msgspec.Struct, frozen=True, dict=True):
    """Einsums in an order in which each reads only inputs, earlier results and its own earlier state.

    `initial` holds the value of a state tensor before the first step; `bounds` restrict the iterated points;
    `declared` names outputs that are read on too; `source` is the file it was read from.
    `einsim.workloads.notation.parse` reads `str(cascade)` back.
    """

    name: str
    ranks: tuple[Rank, ...]
    tensors: tuple[Tensor, ...]
    einsums: tuple[Einsum, ...]
    bounds: tuple[Bound | SameBlock, ...] = ()
    initial: Mapping[str, float] = {}
    source: str = ""
    partitions: tuple[Partition, ...] = ()
    declared: tuple[str, ...] = ()

    def rank(self, name: str) -> Rank:
        """Raises KeyError for an unknown name, as do all look-ups here."""
        return self._ranks[name]

    def size(self, rank: str) -> int:
        """Size of a rank."""
        return self._ranks[rank].size

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Size of every rank, by name."""
        return {rank.name: rank.size for rank in self.ranks}

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
    def macs(self) -> int:
        """Multiply-accumulates, whatever machine does them: the points of every Einsum that sums products."""
        return sum(self.points(einsum.name) for einsum in self.einsums if "mac" in einsum.ops)

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that nobody produces."""
        return tuple(tensor for tensor in self.tensors if tensor.name not in self._einsums)

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        """Tensors that must be in memory in the end: those declared so, and those that no other Einsum reads.

        Of a state it is the last step.
        """
        return tuple(tensor for tensor in self.tensors if self.is_output(tensor.name))

    def is_output(self, tensor: str) -> bool:
        """Whether a tensor is one of the `outputs`."""
        return tensor in self._einsums and (tensor in self._declared or not self.consumers(tensor))

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Elements along each dimension: the declared ranks' sizes, more where a state or a halo needs it."""
        if tensor not in self._shapes:
            declared = self.tensor(tensor).ranks
            every = list(self.accesses(tensor))
            self._shapes[tensor] = tuple(
                max([self.size(rank), *(self.extent(access.indices[axis], rank) for access in every)])
                for axis, rank in enumerate(declared)
            )
        return self._shapes[tensor]

    def accesses(self, tensor: str) -> Iterator[Access]:
        """Every access to a tensor, its producer's write first."""
        yield from (access for _, access in self.users(tensor))

    def users(self, tensor: str) -> Sequence[tuple[Einsum, Access]]:
        """Every Einsum that accesses a tensor with how it does, the producer's write first."""
        return self._users.get(tensor, ())

    def extent(self, index: Index, declared: str) -> int:
        """Elements that an index needs along a dimension declared over a rank.

        A partition of the declared rank never passes its end: the part beyond is cut off by a bound.
        """
        into = radix(index, self.sizes)
        if any(part.into == into and self.size(part.rank) == self.size(declared) for part in self.partitions):
            return self.size(declared)
        return reach(index, self.sizes)[1] + 1

    @cached_property
    def overwritten(self) -> dict[str, tuple[str, ...]]:
        """Of each state, the ranks along which a step takes the place of the one before.

        Along the others some Einsum reads many steps at once, by another rank, or one that is neither the
        present one nor the one before, nor the last or initial one, so all of them are kept.
        """
        found: dict[str, tuple[str, ...]] = {}
        for einsum in self.einsums:
            if not einsum.iterative:
                continue
            reads = [access for _, access in self.users(einsum.name)[1:]]
            for at, index in enumerate(einsum.output.indices):
                rank = index.ranks[0] if index.offset == 1 and index.terms else ""
                near = {(1, 0), (1, 1), (0, 0), (0, self.size(rank))} if rank else set()
                if rank and {_slope(read.indices[at], rank) for read in reads} <= near:
                    found[einsum.name] = (*found.get(einsum.name, ()), rank)
        return found

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
            self._points[key] = count_points(self.bounds, self.sizes, tied)
        return free * self._points[key]

    def wide_ops(self, einsum: str) -> tuple[WideOp, ...]:
        """The ops of an Einsum, each with its operands' bits: see `einsim.workloads.widths`."""
        if einsum not in self._wide_ops:
            made = self.einsum(einsum)
            names = (made.name, *(read.tensor for read in made.reads))
            self._wide_ops[einsum] = wide_ops(made, {name: self.tensor(name).bits for name in names})
        return self._wide_ops[einsum]

    @cached_property
    def _wide_ops(self) -> dict[str, tuple[WideOp, ...]]:
        return {}

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
        found: dict[str, list[Einsum]] = {}
        for einsum in self.einsums:
            for tensor in dict.fromkeys(access.tensor for access in einsum.reads):
                if tensor != einsum.name:
                    found.setdefault(tensor, []).append(einsum)
        return {tensor: tuple(einsums) for tensor, einsums in found.items()}

    @cached_property
    def _users(self) -> dict[str, list[tuple[Einsum, Access]]]:
        found = {einsum.name: [(einsum, einsum.output)] for einsum in self.einsums}
        for einsum in self.einsums:
            for access in einsum.reads:
                found.setdefault(access.tensor, []).append((einsum, access))
        return found

    @cached_property
    def tensor_places(self) -> dict[str, int]:
        """The place of each tensor among the tensors."""
        return {tensor.name: at for at, tensor in enumerate(self.tensors)}

    @cached_property
    def einsum_places(self) -> dict[str, int]:
        """The place of each Einsum among the Einsums."""
        return {einsum.name: at for at, einsum in enumerate(self.einsums)}

    @cached_property
    def ends(self) -> dict[object, object]:
        """What `einsim.workloads.ahead` has found of pairs of accesses, by how they look."""
        return {}

    @cached_property
    def _declared(self) -> frozenset[str]:
        return frozenset(self.declared)

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
        parts = self.bounds, state, self.partitions, self.declared
        return hash((self.name, self.ranks, self.tensors, self.einsums, *parts))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return cascade_text(
            self.name, self.sizes, self.partitions, self.tensors, self.initial, self.declared, self.bounds,
            self.einsums,
        )  # fmt: skip


def _slope(index: Index, rank: str) -> tuple[int, int] | None:
    """The coefficient of a rank in an index of no other one, and where that begins."""
    if {*index.ranks} - {rank}:
        return None
    return sum(term.coefficient for term in index.terms), index.offset
