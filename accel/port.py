"""What passes a memory's port."""

from __future__ import annotations

from einsim.specs.rules import Number, rule, up


@rule
def whole_accesses(size_bytes: Number, access_bytes: Number) -> Number:
    """Accesses that move so many bytes together, the last one in full: energy and port time go by them."""
    return up(size_bytes, access_bytes)


@rule
def whole_bytes(size_bytes: Number, access_bytes: Number) -> Number:
    """Bytes that pass with them."""
    return whole_accesses(size_bytes, access_bytes) * access_bytes
