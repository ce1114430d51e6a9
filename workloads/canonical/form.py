"""What a cascade is, whatever its names: the form of it or of some of its Einsums, and its identity."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from einsim.workloads.canonical.graph import Labelling, refined
from einsim.workloads.canonical.structure import Structure
from einsim.workloads.cascade import Cascade

REMEMBERED = 4096
"""Forms that are kept in memory."""


class Canonical(msgspec.Struct, frozen=True, kw_only=True):
    """A form's `digest`, and the cascade's own names at each canonical place.

    A place of `ranks` holds one rank with its twins (`twins.py`), outermost axis first. Of two cascades with
    equal digests, names at equal places correspond.
    """

    digest: str
    ranks: tuple[tuple[str, ...], ...]
    tensors: tuple[str, ...]
    einsums: tuple[str, ...]


@lru_cache(REMEMBERED)
def canonical(cascade: Cascade, einsums: frozenset[str] = frozenset(), *, bounds: bool = True) -> Canonical:
    """The form of a cascade, or of these of its Einsums.

    It says which Einsum computes what from which, over which ranks and under which `bounds`; not sizes, bits,
    formats, offsets of masks, literals or the order of axes, nor how many ranks a batch has. Operands of
    commutative operators and independent Einsums may stand in any order.
    """
    chosen = tuple(e for e in cascade.einsums if not einsums or e.name in einsums)
    return _canonical(Structure(cascade, chosen, bounds=bounds, apart=False), exact=False)


@lru_cache(REMEMBERED)
def identity(cascade: Cascade, einsums: frozenset[str] = frozenset()) -> Canonical:
    """As `canonical`, with every figure that has a part in what it costs: equal digests are the same problem
    under other names.
    """
    chosen = tuple(e for e in cascade.einsums if not einsums or e.name in einsums)
    return _canonical(Structure(cascade, chosen, bounds=True, apart=True), exact=True)


def classes(cascade: Cascade) -> dict[str, int]:
    """A number for each Einsum, the same under other names and in another order, that Einsums share only if
    refinement finds nothing in the whole cascade that tells them apart.
    """
    structure = Structure(cascade, cascade.einsums, bounds=True, apart=True)
    colours = refined(structure.graph.exact())
    return {name: colours[vertex] for vertex, name in structure.einsums.items()}


def _canonical(structure: Structure, *, exact: bool) -> Canonical:
    found = Labelling(structure.graph.exact() if exact else structure.graph)
    order = found.order
    return Canonical(
        digest=found.digest,
        ranks=tuple(structure.ranks[v] for v in order if v in structure.ranks),
        tensors=tuple(structure.tensors[v] for v in order if v in structure.tensors),
        einsums=tuple(structure.einsums[v] for v in order if v in structure.einsums),
    )
