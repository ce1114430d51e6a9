"""Sparsity patterns of a tensor: what is stored (values and metadata) and what compute remains."""

from __future__ import annotations

import math
from typing import Protocol

import msgspec

from einsim.specs.rules import Number, down, rule, up


@rule
def kept_in_groups(n: Number, m: Number, extent: Number) -> Number:
    """Elements that stay of so many consecutive ones where n of every m do, up to n of a last part; all of
    them where m is 0.
    """
    if m == 0:
        return extent
    whole = down(extent, m)
    return whole * n + min(extent - whole * m, n)


@rule
def bytes_at(stored_bits: Number, values: Number) -> Number:
    """Whole bytes of what passes together, where `values` values take these bits and pass once each."""
    return up(stored_bits, 8 * values)


class Dense(msgspec.Struct, frozen=True, tag="dense"):
    """Every element is stored and computed."""

    rank: str = ""

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names under which a machine may say it exploits this: none needed."""
        return ()

    def kept(self, extent: int, start: int = 0) -> int:
        """Elements that remain of `extent` consecutive ones from `start` on."""
        return extent

    def metadata_bits(self, elements: int, start: int = 0) -> int:
        """Bits of metadata stored for `elements` elements from `start` on."""
        return 0


class _InGroups(msgspec.Struct, frozen=True):
    """At most some of every group of consecutive elements remain; each kept value stores its place there."""

    @property
    def group(self) -> tuple[int, int]:
        """(n, m): at most n of every m remain."""
        raise NotImplementedError

    def kept(self, extent: int, start: int = 0) -> int:
        """Elements that remain of `extent` from `start` on: up to n of each part of a group."""
        n, m = self.group
        head = min(-start % m, extent)
        return min(n, head) + kept_in_groups(n, m, extent - head)

    def metadata_bits(self, elements: int, start: int = 0) -> int:
        """Bits of metadata stored for `elements` elements from `start` on."""
        return self.kept(elements, start) * (self.group[1] - 1).bit_length()


class NM(_InGroups, frozen=True, tag="n:m"):
    """At most n of every m consecutive elements along `rank` are non-zero (NVIDIA's 2:4 generalised).

    Metadata is each kept value's place in its group, ceil(log2 m) bits; 2:4 takes 2 bits a kept value, as in
    Mishra et al., arXiv 2104.08378.
    """

    n: int
    m: int
    rank: str

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names under which a machine may say it exploits this."""
        return (f"{self.n}:{self.m}", "n:m")

    @property
    def group(self) -> tuple[int, int]:
        """(n, m): at most n of every m remain."""
        return self.n, self.m


class TopK(_InGroups, frozen=True, tag="top-k"):
    """The k largest of the `of` elements of every fibre along `rank`; each kept value stores its position."""

    k: int
    of: int
    rank: str

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names under which a machine may say it exploits this."""
        return ("top-k",)

    @property
    def group(self) -> tuple[int, int]:
        """(k, of): at most k of every `of` remain."""
        return self.k, self.of


class Block(msgspec.Struct, frozen=True, tag="block"):
    """Blocks of `size` elements along `rank`, a `density` share stored whole; one bit a block says which."""

    size: int
    density: float
    rank: str

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names under which a machine may say it exploits this."""
        return ("block",)

    def share(self, blocks: int) -> int:
        """Blocks that remain of so many."""
        return _share(blocks, self.density)

    def kept(self, extent: int, start: int = 0) -> int:
        """Elements that remain of `extent` consecutive ones from `start` on: those of the first blocks."""
        lead = start % self.size
        return max(0, min(extent, self.share(self.metadata_bits(extent, start)) * self.size - lead))

    def metadata_bits(self, elements: int, start: int = 0) -> int:
        """Bits of metadata stored for `elements` elements from `start` on: one for each block of them."""
        return -(-(start % self.size + elements) // self.size) if elements else 0


class Density(msgspec.Struct, frozen=True, tag="density"):
    """A `density` share of the elements is non-zero, anywhere; a bitmap of one bit an element says where."""

    density: float
    rank: str = ""

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names under which a machine may say it exploits this."""
        return ("unstructured",)

    def share(self, count: int) -> int:
        """Elements that remain of so many."""
        return _share(count, self.density)

    def kept(self, extent: int, start: int = 0) -> int:
        """Elements that remain of `extent` of them, wherever they stand."""
        return self.share(extent)

    def metadata_bits(self, elements: int, start: int = 0) -> int:
        """Bits of metadata stored for `elements` elements."""
        return elements


class RunLength(msgspec.Struct, frozen=True, tag="run-length"):
    """Zeros anywhere, as a memory codes them that writes pairs of a run of zeros and the value after it: a
    run counts up to 2^run_bits - 1, so that a longer one takes pairs whose value is zero, and words hold
    whole pairs. A tensor is never declared so. Chen et al., Eyeriss, JSSC 2017: 5 bits, 3 of 16 in 64.

    Pairs are the mean of zeros that are independent of each other: a value ends a pair, or 2^run_bits zeros.
    """

    density: float
    run_bits: int
    word_bits: int
    rank: str = ""

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names under which a machine may say it exploits this: it doesn't compute with it."""
        return ("run-length",)

    @property
    def pairs(self) -> float:
        """Pairs for a value."""
        full = 2**self.run_bits
        ends: float = 1 - (1 - self.density) ** full
        return self.density / ends if ends else 1 / full

    def kept(self, extent: int, start: int = 0) -> int:
        """Pairs of `extent` values."""
        return _share(extent, self.pairs)

    def metadata_bits(self, elements: int, start: int = 0) -> int:
        """Bits that count zeros, of so many values; what words leave empty is not among them."""
        return self.kept(elements) * self.run_bits

    def coded_bits(self, elements: int, bits: int) -> int:
        """Bits of the words that hold so many values of `bits` each."""
        pair, pairs = self.run_bits + bits, self.kept(elements)
        each = self.word_bits // pair
        return self.word_bits * (up(pairs, each) if each else pairs * up(pair, self.word_bits))


def _share(count: int, density: float) -> int:
    """ceil(count * density), deaf to the last bits of the float product."""
    return math.ceil(round(count * density, 6))


Sparsity = Dense | NM | TopK | Block | Density | RunLength


def group_size(sparsity: Sparsity) -> int:
    """Elements along its rank that a pattern takes together: a group, a block, or each by itself."""
    if isinstance(sparsity, NM | TopK):
        return sparsity.group[1]
    return sparsity.size if isinstance(sparsity, Block) else 1


DENSE = Dense()


class Stored(Protocol):
    """What `stored_bytes` needs to know of a tensor."""

    @property
    def bits(self) -> int:
        """Bits of a value."""

    @property
    def sparsity(self) -> Sparsity:
        """The pattern."""


def run_bits(tensor: Stored, elements: int, start: int = 0) -> int:
    """Bits that consecutive elements from `start` on take in the tensor's own format, values and metadata."""
    sparsity = tensor.sparsity
    if isinstance(sparsity, RunLength):
        return sparsity.coded_bits(elements, tensor.bits)
    return sparsity.kept(elements, start) * tensor.bits + sparsity.metadata_bits(elements, start)


def stored_bytes(tensor: Stored, elements: int) -> int:
    """Bytes that `elements` elements take in the tensor's own format, rounded up."""
    return bytes_at(run_bits(tensor, elements), 1)


def dense_bytes(tensor: Stored, elements: int) -> int:
    """Bytes that `elements` elements take once decompressed."""
    return bytes_at(elements * tensor.bits, 1)
