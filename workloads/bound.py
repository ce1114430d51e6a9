"""Bounds of the iteration space: affine order (causal, windows, padding) and shared blocks (documents)."""

from __future__ import annotations

import msgspec

from einsim.workloads.expression import Index


class Bound(msgspec.Struct, frozen=True):
    """Only points with left <= right are iterated.

    A bound acts on the Einsums that iterate ranks on both of its sides (or any of its ranks, when it has one
    side only). A rank of it that the Einsum doesn't iterate takes its most permissive value, so that
    `m1*M0+m0 <= p` keeps a whole m1 block as long as one of its m0 is kept.
    """

    left: Index
    right: Index


class SameBlock(msgspec.Struct, frozen=True):
    """Only points whose left and right lie in the same block (document) are iterated.

    `lengths` are the blocks' lengths from 0 on; the last one repeats for as long as needed. What lies before
    0 is a block by itself.
    """

    left: Index
    right: Index
    lengths: tuple[int, ...]
