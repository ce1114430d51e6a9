"""What a cascade is made of: ranks and their partitions, tensors, and single Einsums, as frozen values."""

from __future__ import annotations

from functools import cached_property

import msgspec

from einsim.workloads.expression import Access, Expr, accesses, expression_ops
from einsim.workloads.ops import prune_parts
from einsim.workloads.sparsity import DENSE, Sparsity


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
    def accesses(self) -> dict[str, tuple[Access, ...]]:
        """Its accesses to each tensor: the output first, then the reads."""
        found = dict[str, tuple[Access, ...]]()
        for access in (self.output, *self.reads):
            found[access.tensor] = (*found.get(access.tensor, ()), access)
        return found

    @cached_property
    def ops(self) -> tuple[str, ...]:
        """Primitive operations of one iteration point, in order; () for a bare copy."""
        return expression_ops(self.expr, self.reduce)

    @property
    def contracts(self) -> bool:
        """Whether it multiplies two tensors and sums: what matrix units are for."""
        return self.ops == ("mac",) and len(self.reads) == 2

    @property
    def sums_products(self) -> bool:
        """Whether it sums products of several operands: two, as what contracts, or more."""
        return self.reduce == "sum" and "mac" in self.ops and len(self.reads) > 1

    def group(self, rank: str) -> int:
        """Points of a rank that it needs together: of what it prunes, a whole group."""
        parts = prune_parts(getattr(self.expr, "op", ""))
        return parts[1] if parts and parts[2] == rank else 1

    @cached_property
    def iterative(self) -> tuple[str, ...]:
        """Ranks along which it writes the next step's state, as in RM[m1+1,p]."""
        return tuple(
            index.terms[0].rank for index in self.output.indices if index.terms and index.offset == 1
        )
