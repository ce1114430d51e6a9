"""Attention as it stands in a cascade: the names of the library's attention, each with the cascade's own."""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec

from einsim.workloads import patterns
from einsim.workloads.bound import Bound, SameBlock
from einsim.workloads.canonical.changes import Changes, find_changed
from einsim.workloads.canonical.pattern import Matching
from einsim.workloads.cascade import Cascade
from einsim.workloads.points import difference


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """A place of a cascade that computes attention; arguments are names of `workloads.library.attention`.

    `changes` are Einsums that change what it reduces before it is read, such as a bias of QK.
    """

    cascade: Cascade
    matching: Matching
    changes: Changes = {}

    def tensor(self, name: str) -> str:
        """The cascade's name of a tensor, before its changes."""
        return self.matching.tensors[name]

    def tensors(self, names: str) -> tuple[str, ...]:
        """The cascade's names of several, which blanks divide."""
        return tuple(self.matching.tensors[name] for name in names.split())

    def changed(self, names: str) -> tuple[str, ...]:
        """As `tensors`, each with its changes after it."""
        return tuple(
            one for name in names.split() for one in (self.tensor(name), *self.changes.get(name, ()))
        )

    def besides(self, *, wide: bool) -> tuple[str, ...]:
        """What its changes read besides its own tensors: of `wide` ones, with an axis of keys and another of
        queries, or of the others.
        """
        known = {*self.matching.einsums, *self.matching.tensors.values()}
        changes = (self.cascade.einsum(one) for own in self.changes.values() for one in own)
        reads = dict.fromkeys(access.tensor for change in changes for access in change.reads)
        return tuple(name for name in reads if name not in known and self._wide(name) == wide)

    def _wide(self, tensor: str) -> bool:
        inner = {self.rank(name) for name in ("p", "m", "m1", "m0") if name in self.matching.ranks}
        accesses = self.cascade.accesses(tensor)
        return any(sum(not inner.isdisjoint(i.ranks) for i in access.indices) > 1 for access in accesses)

    def rank(self, name: str) -> str:
        """The cascade's rank; of several queries' ranks the innermost, "" where there is one query only."""
        own = self.matching.ranks[name]
        return own[-1] if own else ""

    def size(self, name: str) -> int:
        """Points along a rank, 1 where there is none; along all elements of a query, a key or a value."""
        if name in ("e", "f"):
            return math.prod(map(self.cascade.size, self.matching.ranks[name]))
        return self.cascade.size(self.rank(name)) if self.rank(name) else 1

    @property
    def group(self) -> int:
        """Query heads that share a head of keys, whose queries come together."""
        return math.prod(map(self.cascade.size, self.matching.ranks["p"][:-1]))

    @property
    def keys(self) -> int:
        """Keys, whether or not they are walked in blocks."""
        return self.size("m")

    @property
    def heads(self) -> tuple[str, ...]:
        """Ranks of the result outside its queries and elements, outermost first: batch, heads, groups."""
        inner = (*self.matching.ranks["f"], self.rank("p"))
        written = self.cascade.einsum(self.tensor("AV")).output.ranks
        return tuple(rank for rank in written if rank not in inner)

    @property
    def masks(self) -> tuple[Bound | SameBlock, ...]:
        """The bounds that act on it."""
        return self.matching.bounds

    @property
    def full(self) -> bool:
        """Whether every query sees every key, with or without masks."""
        scores = self.tensor("QK" if "QK" in self.matching.tensors else "BQK")
        walked = {self.rank(name) for name in ("m", "m1", "m0") if name in self.matching.ranks}
        others = (rank for rank in self.cascade.einsum(scores).ranks if rank not in walked)
        return self.cascade.points(scores) == math.prod(map(self.cascade.size, others)) * self.keys

    @property
    def causal(self) -> bool:
        """Whether the one mask is that key m is seen from query m on."""
        if len(self.masks) != 1 or not isinstance(self.masks[0], Bound):
            return False
        terms, constant = difference(self.masks[0].right, self.masks[0].left)
        blocks = {"m": 1} if "m1" not in self.matching.ranks else {"m1": self.size("m0"), "m0": 1}
        keys = {self.rank(name): -stride for name, stride in blocks.items()}
        return not constant and terms == {self.rank("p"): 1, **keys}

    @property
    def whole(self) -> bool:
        """Whether the cascade has nothing else, and no changes."""
        return not self.changes and len(self.matching.einsums) == len(self.cascade.einsums)


@lru_cache(maxsize=1024)
def grouped_queries(cascade: Cascade) -> tuple[tuple[int, int], ...]:
    """Of each place where several heads of queries share one of keys: how many, and queries of all heads."""
    found = (*attentions(cascade, 1), *attentions(cascade, 3))
    return tuple(
        (one.group, math.prod(map(cascade.size, one.heads)) * one.size("p"))
        for one in found if one.group > 1
    )  # fmt: skip


def attentions(cascade: Cascade, passes: int) -> tuple[Attention, ...]:
    """Where a cascade computes attention in so many passes, in its order, with keys along a single rank."""
    keys = "m" if passes == 3 else "m0"
    found = find_changed(patterns.attention(passes), cascade)
    return tuple(
        Attention(cascade=cascade, matching=one.matching, changes=one.changes)
        for one in found
        if len(one.matching.ranks[keys]) == 1
    )
