"""Operations on their way to a program: what they compute or move, where, and in which loops."""

from __future__ import annotations

import msgspec

from einsim.dataflow.layout import Home, Leaf
from einsim.workloads.cascade import Access


class DraftOp(msgspec.Struct, frozen=True, kw_only=True):
    """An operation before it has waits and costs. `leaf` is the compute, or the one a transfer serves."""

    kind: str
    subject: str
    leaf: Leaf
    place: tuple[int, ...]
    path: tuple[int, ...]
    when: dict[int, str]
    home: Home | None = None
    moves: tuple[tuple[Leaf, Access], ...] = ()  # the accesses for which a transfer moves tiles
    carried: tuple[str, ...] = ()  # ranks of a state along which it brings the step before

    @property
    def name(self) -> str:
        """For example `QK` or `load K`."""
        return self.subject if self.kind == "compute" else f"{self.kind} {self.subject}"

    @property
    def served(self) -> tuple[Leaf, ...]:
        """The leaves whose tiles a transfer moves."""
        return tuple({leaf.place: leaf for leaf, _ in self.moves}.values())

    @property
    def standing(self) -> tuple[int, ...]:
        """The place of the node that it belongs to: a transfer's is its home's."""
        return self.home.place if self.home is not None else self.place

    @property
    def resumes(self) -> bool:
        """Whether it goes on with partial results of earlier tiles, or brings those back."""
        return self.kind == "compute" or (self.kind == "load" and self.makes)

    @property
    def makes(self) -> bool:
        """Whether it makes or moves results, whole or partial, of its leaf."""
        return self.subject == self.leaf.node.einsum and not self.carried
