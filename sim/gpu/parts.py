"""A cascade as several kernels in turn: which Einsums each kernel computes, and which none does.

Attention, norms, gated activations, rotary embeddings and products are found by what Einsums compute of one
another, wherever they stand; what is left is priced as a copy of as many bytes, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from einsim.sim.gpu.case import ceil_div
from einsim.sim.gpu.kernels import copy, gemm_f32, gemm_wgmma, gemv, layernorm, rope, swiglu
from einsim.sim.gpu.kernels.sizes import fits
from einsim.sim.gpu.realise import (
    LAYERNORMS,
    Realisation,
    attention_of,
    product_of,
    rmsnorm_of,
    size_of,
)
from einsim.specs.errors import SpecError
from einsim.workloads import patterns
from einsim.workloads.canonical.pattern import find
from einsim.workloads.cascade import Cascade
from einsim.workloads.einsum import Einsum
from einsim.workloads.expression import Access, Apply, Index
from einsim.workloads.recognised import attentions

COPY = "16byte-x1"  # by which what no kernel computes is priced
COPY_BITS = 2 * 32  # that it moves a value: read and written


class KernelPart(msgspec.Struct, frozen=True, kw_only=True):
    """Einsums that one kernel computes; `known` is False where none does and a copy of as many bytes stands
    for it.
    """

    einsums: tuple[str, ...]
    found: Realisation
    known: bool = True


def parts(cascade: Cascade) -> tuple[KernelPart, ...]:
    """All Einsums in the order in which they run, each in one part; () if no kernel computes any of them."""
    place = {einsum.name: at for at, einsum in enumerate(cascade.einsums)}
    chosen, taken = list[KernelPart](), set[str]()
    for part in _found(cascade):
        if taken.isdisjoint(part.einsums):
            chosen.append(part)
            taken |= set(part.einsums)
    if not chosen:
        return ()
    chosen += (_copied(cascade, einsum) for einsum in cascade.einsums if einsum.name not in taken)
    return tuple(sorted(chosen, key=lambda part: max(map(place.__getitem__, part.einsums))))


def _found(cascade: Cascade) -> Iterator[KernelPart]:
    """What kernels compute, larger kernels first; what their rules refuse is left to smaller ones."""
    for passes in (1, 3, 2):
        for one in attentions(cascade, passes):
            names = (*one.matching.einsums, *(name for own in one.changes.values() for name in own))
            try:
                yield KernelPart(einsums=names, found=attention_of(one, passes))
            except SpecError:
                continue
    for norm in find(patterns.rmsnorm(), cascade):
        try:
            yield KernelPart(einsums=norm.einsums, found=rmsnorm_of(cascade, norm))
        except SpecError:
            continue
    for kind, variant in LAYERNORMS.items():
        for norm in find(patterns.layernorm(kind), cascade):
            shape = size_of(cascade, norm, "p"), size_of(cascade, norm, "d")
            cases = tuple(case for case in layernorm.cases(shapes=(shape,)) if case.variant == variant)
            yield KernelPart(einsums=norm.einsums, found=Realisation(cases=cases))
    for gate in find(patterns.gated(), cascade):
        width = math.prod(map(cascade.size, cascade.einsum(gate.einsums[0]).output.indices[-1].ranks))
        rows = cascade.elements(gate.einsums[0]) // width
        cases = tuple(filter(fits, swiglu.cases(shapes=((rows, width),))))
        if cases and _unmasked(cascade, gate.einsums[0]):
            yield KernelPart(einsums=gate.einsums, found=Realisation(cases=cases))
    for product in find(patterns.product(), cascade):
        if _unmasked(cascade, product.einsums[0]):
            yield KernelPart(einsums=product.einsums, found=product_of(cascade, product))
    for einsum in cascade.einsums:
        found = _turned(cascade, einsum) or _multiplied(cascade, einsum)
        if found is not None:
            yield KernelPart(einsums=(einsum.name,), found=found)


def _turned(cascade: Cascade, einsum: Einsum) -> Realisation | None:
    """Rotary embedding: a tensor times cosines, and the same with halves of a head exchanged times sines."""
    expr = einsum.expr
    if not isinstance(expr, Apply) or expr.op != "add":
        return None
    pairs = [arg.args for arg in expr.args if isinstance(arg, Apply) and arg.op == "mul"]
    if [len(pair) for pair in pairs] != [2, 2]:
        return None
    (here, cosine), (there, sine) = pairs
    accesses = [one for one in (here, there, cosine, sine) if isinstance(one, Access)]
    if len(accesses) < 4:
        return None
    here, there, cosine, sine = accesses
    if here.tensor != there.tensor or cosine.indices != sine.indices or here.indices != einsum.output.indices:
        return None
    moved = [(one, other) for one, other in zip(here.indices, there.indices, strict=True) if one != other]
    if len(moved) != 1 or not _exchanged(cascade, *moved[0]):
        return None
    if not _unmasked(cascade, einsum.name):
        return None
    dim = math.prod(map(cascade.size, moved[0][0].ranks))
    inner = {*moved[0][0].ranks}
    tokens = math.prod(cascade.size(rank) for rank in cosine.ranks if rank not in inner)
    heads = cascade.elements(einsum.name) // (tokens * dim)
    if dim not in (64, 128):
        return None
    return Realisation(cases=rope.cases(shapes=((tokens, heads, dim),)))


def _exchanged(cascade: Cascade, here: Index, there: Index) -> bool:
    """Whether one index has half a head more where the other has less: c*J+j and -c*J+j+J, c of two."""
    mine = {term.rank: term.coefficient for term in here.terms}
    other = {term.rank: term.coefficient for term in there.terms}
    flipped = [rank for rank in mine if other.get(rank) == -mine[rank]]
    same = all(other.get(rank) == mine[rank] for rank in mine if rank not in flipped)
    return (
        mine.keys() == other.keys() and len(flipped) == 1 and same and cascade.size(flipped[0]) == 2
        and there.offset == here.offset + mine[flipped[0]]
    )  # fmt: skip


def _multiplied(cascade: Cascade, einsum: Einsum) -> Realisation | None:
    """A product of two tensors whose rows are indexed by several ranks at once, such as blocks of keys."""
    expr = einsum.expr
    if not isinstance(expr, Apply) or expr.op != "mul" or "mac" not in einsum.ops:
        return None
    if len(expr.args) != 2 or not all(isinstance(arg, Access) for arg in expr.args):
        return None
    left, right = (set(arg.ranks) for arg in expr.args if isinstance(arg, Access))
    out = set(einsum.output.ranks)
    if left & right & out or not left & right or (left | right) - out != left & right:
        return None
    m, n, k = (math.prod(map(cascade.size, ranks)) for ranks in (left & out, right & out, left & right))
    if not _unmasked(cascade, einsum.name):
        return None
    wide = cascade.tensor(einsum.reads[0].tensor).bits > 16
    cases = (gemm_f32 if wide else gemm_wgmma).cases(shapes=((m, n, k),))
    if not wide and 1 in (m, n):
        cases += gemv.cases(shapes=((max(m, n), k),))
    cases = tuple(filter(fits, cases))
    return Realisation(cases=cases) if cases else None


def _unmasked(cascade: Cascade, name: str) -> bool:
    """Whether an Einsum has all points of its ranks."""
    return cascade.points(name) == math.prod(map(cascade.size, cascade.einsum(name).ranks))


def _copied(cascade: Cascade, einsum: Einsum) -> KernelPart:
    """Every tensor that an Einsum reads, and what it writes, moved once."""
    tensors = {einsum.name, *(access.tensor for access in einsum.reads)}
    bits = sum(cascade.elements(name) * cascade.tensor(name).bits for name in tensors)
    cases = copy.cases(shapes=(4 * max(1, ceil_div(bits, 4 * COPY_BITS)),))
    chosen = tuple(case for case in cases if case.variant == COPY)
    return KernelPart(einsums=(einsum.name,), found=Realisation(cases=chosen), known=False)
