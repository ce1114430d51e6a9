"""An entry of the library: a name, what it is, its parameters and the function that builds it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from einsim.workloads.cascade import Cascade
from einsim.workloads.settings import Parameter, Settings


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """`build` turns settings, all defaults filled in, into the cascade."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    build: Callable[[Settings], Cascade]


def with_bits(cascade: Cascade, settings: Settings) -> Cascade:
    """The cascade with the same width for every value, as `bits` says."""
    bits = settings.size("bits")
    tensors = tuple(msgspec.structs.replace(tensor, bits=bits) for tensor in cascade.tensors)
    return msgspec.structs.replace(cascade, tensors=tensors)
