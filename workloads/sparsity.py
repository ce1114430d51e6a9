"""Sparsity patterns of a tensor: what is stored (values and metadata) and what compute remains."""

from __future__ import annotations

import math
from typing import Protocol

import msgspec


class Dense(msgspec.Struct, frozen=True, tag="dense"):
    """Every element is stored and computed."""

    rank: str = ""

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names under which a machine may say it exploits this: none needed."""
        return ()

    def kept(self, extent: int) -> int:
        """Elements that remain of `extent` consecutive ones."""
        return extent

    def metadata_bits(self, elements: int) -> int:
        """Bits of metadata stored for `elements` elements."""
        return 0


class NM(msgspec.Struct, frozen=True, tag="n:m"):
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

    def kept(self, extent: int) -> int:
        """floor(extent / m) * n + min(extent mod m, n)."""
        return extent // self.m * self.n + min(extent % self.m, self.n)

    def metadata_bits(self, elements: int) -> int:
        """Bits of metadata stored for `elements` elements."""
        return self.kept(elements) * (self.m - 1).bit_length()


class TopK(msgspec.Struct, frozen=True, tag="top-k"):
    """The k largest of the `of` elements of every fibre along `rank`; each kept value stores its position."""

    k: int
    of: int
    rank: str

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names under which a machine may say it exploits this."""
        return ("top-k",)

    def kept(self, extent: int) -> int:
        """Elements that remain of `extent` consecutive ones."""
        return extent // self.of * self.k + min(extent % self.of, self.k)

    def metadata_bits(self, elements: int) -> int:
        """Bits of metadata stored for `elements` elements."""
        return self.kept(elements) * (self.of - 1).bit_length()


class Block(msgspec.Struct, frozen=True, tag="block"):
    """Blocks of `size` elements along `rank`, a `density` share stored whole; one bit a block says which."""

    size: int
    density: float
    rank: str

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names under which a machine may say it exploits this."""
        return ("block",)

    def kept(self, extent: int) -> int:
        """Elements that remain of `extent` consecutive ones."""
        blocks = -(-extent // self.size)
        return min(extent, _share(blocks, self.density) * self.size)

    def metadata_bits(self, elements: int) -> int:
        """Bits of metadata stored for `elements` elements."""
        return -(-elements // self.size)


class Density(msgspec.Struct, frozen=True, tag="density"):
    """A `density` share of the elements is non-zero, anywhere; a bitmap of one bit an element says where."""

    density: float
    rank: str = ""

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names under which a machine may say it exploits this."""
        return ("unstructured",)

    def kept(self, extent: int) -> int:
        """Elements that remain of `extent` consecutive ones."""
        return _share(extent, self.density)

    def metadata_bits(self, elements: int) -> int:
        """Bits of metadata stored for `elements` elements."""
        return elements


def _share(count: int, density: float) -> int:
    """ceil(count * density), deaf to the last bits of the float product."""
    return math.ceil(round(count * density, 6))


Sparsity = Dense | NM | TopK | Block | Density
DENSE = Dense()


class Stored(Protocol):
    """What `stored_bytes` needs to know of a tensor."""

    @property
    def bits(self) -> int:
        """Bits of a value."""

    @property
    def sparsity(self) -> Sparsity:
        """The pattern."""


def stored_bytes(tensor: Stored, elements: int) -> int:
    """Bytes that `elements` elements take in the tensor's own format, values and metadata, rounded up."""
    sparsity = tensor.sparsity
    return -(-(sparsity.kept(elements) * tensor.bits + sparsity.metadata_bits(elements)) // 8)


def dense_bytes(tensor: Stored, elements: int) -> int:
    """Bytes that `elements` elements take once decompressed."""
    return -(-elements * tensor.bits // 8)


def metadata_bytes(tensor: Stored, elements: int) -> int:
    """The metadata part of `stored_bytes`, rounded up on its own."""
    return -(-tensor.sparsity.metadata_bits(elements) // 8)
