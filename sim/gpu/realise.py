"""Which kernels realise a cascade: the family by the cascade's form, in every tile variant.

A form is what the Einsums compute of one another (`workloads.canonical`); names say nothing.
"""

from __future__ import annotations

import math
from types import ModuleType

import msgspec

from einsim.dataflow.leaf import sparse_rank
from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels import (
    attention_fused,
    attention_unfused,
    attention_wgmma,
    decode,
    decode_grouped,
    decode_tensor,
    ffn,
    gemm_f16,
    gemm_f32,
    gemm_sparse,
    gemm_sparse_wgmma,
    gemm_wgmma,
    gemv,
    layernorm,
    rmsnorm,
    softmax,
)
from einsim.sim.gpu.kernels.sizes import fits, refuse
from einsim.specs.errors import SpecError
from einsim.workloads import patterns
from einsim.workloads.blocks.ffn import ACTIVATIONS
from einsim.workloads.canonical.pattern import Matching, Pattern, match
from einsim.workloads.cascade import Cascade
from einsim.workloads.recognised import Attention, attentions
from einsim.workloads.sparsity import NM

TAKEN = (
    "one matrix product (16 or 32 bits, dense or 2:4), a matrix times a vector, attention in 1 or 3 passes "
    "(full or causal, heads of 64 or 128), attention-decode, ffn with GELU, softmax, layernorm, rmsnorm"
)
HEAD_DIMS = (64, 128)
SHARES = range(2, decode_tensor.QUERIES + 1)  # query heads a key head that decode takes
GEMM_UNITS: dict[ModuleType, tuple[int, int, int]] = {  # m, n, k
    gemm_f16: (16, 8, 64),
    gemm_sparse: (16, 8, 64),
    gemm_f32: (128, 128, 16),
}
NEWER = {gemm_f16: gemm_wgmma, gemm_sparse: gemm_sparse_wgmma}  # by wgmma, of the same products
LAYERNORMS = {"naive": "two-pass", "moments": "one-pass", "welford": "one-pass"}
GELUS = ("gelu", "gelu_tanh")


class Realisation(msgspec.Struct, frozen=True, kw_only=True):
    """The kernels that compute a cascade, one of which is to be chosen, and what differs from the request."""

    cases: tuple[KernelCase, ...]
    notes: tuple[str, ...] = ()


def realise(cascade: Cascade) -> Realisation:
    """The kernels for a cascade. SpecError if there are none, which says what there is."""
    for form in (_product, _attention, _ffn, _softmax, _layernorm, _rmsnorm):
        found = form(cascade)
        if found is not None:
            return found
    raise _refused(cascade, f"no kernel computes this; a GPU takes {TAKEN}")


def _refused(cascade: Cascade, rule: str, hint: str = "") -> SpecError:
    return SpecError("workload", rule, got=cascade.name, hint=hint)


def _padded(value: int, unit: int) -> int:
    return ceil_div(value, unit) * unit


def _whole(pattern: Pattern, cascade: Cascade) -> Matching | None:
    """How the cascade is the pattern's; None if it isn't, or if it leaves points out."""
    found = match(pattern, cascade)
    return None if found is None or found.bounds else found


def size_of(cascade: Cascade, found: Matching, rank: str) -> int:
    """Points along all ranks that stand for a pattern's."""
    return math.prod(map(cascade.size, found.ranks[rank]))


def _product(cascade: Cascade) -> Realisation | None:
    """Z[m,n] = A[m,k] * B[k,n] in any order of ranks, each one or several, A or B perhaps 2:4 along k."""
    forms = (patterns.product(), patterns.square(), patterns.matrix_vector())
    found = next((one for one in (_whole(form, cascade) for form in forms) if one is not None), None)
    return None if found is None else product_of(cascade, found)


def product_of(cascade: Cascade, found: Matching) -> Realisation:
    """The kernels of a product that stands in a cascade."""
    m, n, depth = (size_of(cascade, found, rank) if rank in found.ranks else 1 for rank in "mnk")
    family: ModuleType = gemm_f16
    notes = list[str]()
    if cascade.tensor(found.tensors["A"]).bits > 16:
        family = gemm_f32
    for side in ("A", "B"):
        operand = cascade.tensor(found.tensors.get(side, found.tensors["A"]))
        sparsity = operand.sparsity
        reads = (read for einsum in cascade.einsums for read in einsum.reads if read.tensor == operand.name)
        along = {sparse_rank(cascade, read) for read in reads}
        if isinstance(sparsity, NM) and (sparsity.group, along) == ((2, 4), {found.rank("k")}):
            family = gemm_sparse
            if side == "B":  # Z^T = B^T A^T: the sparse operand is the kernel's left one
                m, n = n, m
        elif sparsity.patterns:
            notes.append(
                f"{operand.name} is taken as dense: no kernel exploits {sparsity.patterns[0]} along it"
            )
    sizes = m, n, depth
    shape = tuple(_padded(size, unit) for size, unit in zip(sizes, GEMM_UNITS[family], strict=True))
    cases: list[KernelCase] = []
    if family in NEWER:
        cases += filter(fits, NEWER[family].cases(shapes=(sizes,)))
    if family is gemm_f16 and 1 in (m, n):
        cases += filter(fits, gemv.cases(shapes=((max(m, n), depth),)))
    if shape == sizes or not cases:  # kernels that take the sizes as they are go before those that pad them
        cases += family.cases(shapes=(shape,))
        if shape != sizes:
            notes.append(f"sizes {m}, {n}, {depth} are padded to {', '.join(map(str, shape))}")
    return Realisation(cases=tuple(cases), notes=tuple(notes))


def _attention(cascade: Cascade) -> Realisation | None:
    """softmax(Q K) V: of one query by the decode kernels, of as many queries as keys by the others."""
    for passes in (1, 2, 3):
        one = next((one for one in attentions(cascade, passes) if one.whole), None)
        if one is not None:
            return attention_of(one, passes)
    return None


def attention_of(one: Attention, passes: int) -> Realisation:
    """The kernels of attention that stands in a cascade. SpecError if none computes it."""
    new = one.size("p") == 1 or (one.full and one.size("p") != one.keys and _rows(one) in SHARES)
    return _decode(one) if new else _whole_sequences(one, passes)


def _rows(one: Attention) -> int:
    """Rows of queries that read the same keys: query heads of a key head, and queries of each."""
    return math.prod(map(one.cascade.size, one.matching.ranks["p"]))


def _whole_sequences(one: Attention, passes: int) -> Realisation:
    cascade = one.cascade
    if passes == 2:
        raise _refused(cascade, "no kernel takes two passes", "--set passes=1 or passes=3")
    if one.keys != one.size("p"):
        rule = "the kernels take as many queries as keys, or one query"
        raise _refused(cascade, rule, "attention-decode for one new token")
    if one.masks and not one.causal and not one.full:
        rule = "the kernels take no mask but the causal one"
        raise _refused(cascade, rule, "leave out window and documents")
    share, dim = _rows(one) // one.size("p"), _head_dim(one)
    heads, tokens = _key_heads(one) * share, _padded(one.keys, 256)
    cases: list[KernelCase] = []
    if passes == 1:
        cases += attention_wgmma.cases(shapes=((heads, share, one.keys),))
    if passes == 3:
        cases += attention_unfused.cases(shapes=((heads, share, tokens),))
    elif share == 1 and tokens == one.keys:
        cases += attention_fused.cases(shapes=((heads, tokens),))
    notes = (f"{one.keys} tokens are padded to {tokens}",) if cases[0].sizes["m"] != one.keys else ()
    wanted = dim, int(one.causal)
    return Realisation(
        cases=tuple(case for case in cases if (case.sizes["e"], case.sizes["causal"]) == wanted),
        notes=(*notes, *_in(16, cascade, *one.tensors("Q K V AV"))),
    )


def _decode(one: Attention) -> Realisation:
    """New tokens over a cache: one row of every head."""
    if not one.full:
        rule = "the decode kernels read every key"
        raise _refused(one.cascade, rule, "leave out window and documents, or set seq to the window")
    dim, share = _head_dim(one), _rows(one)
    if share > 1 and share not in SHARES:
        rule = f"the decode kernels give a key head at most {max(SHARES)} query heads (got {share})"
        raise _refused(one.cascade, rule, "--set kv_heads")
    heads = _key_heads(one) * share
    cases = decode.cases(shapes=((heads, one.keys),))
    if share > 1:
        shape = heads, share, one.keys, dim
        cases = decode_tensor.cases(shapes=(shape,))
        cases += decode_grouped.cases(shapes=(shape,)) if share in decode_grouped.BLOCKS_AN_SM else ()
    return Realisation(
        cases=tuple(case for case in cases if case.sizes["e"] == dim),
        notes=_in(16, one.cascade, *one.tensors("Q K V AV")),
    )


def _key_heads(one: Attention) -> int:
    """Heads of keys of the whole batch."""
    return math.prod(map(one.cascade.size, one.matching.ranks["b"]))


def _head_dim(one: Attention) -> int:
    e, f = one.size("e"), one.size("f")
    if e not in HEAD_DIMS or f != e:
        raise _refused(one.cascade, f"heads must be of 64 or 128 elements (got e={e}, f={f})")
    return e


def _ffn(cascade: Cascade) -> Realisation | None:
    """Two products around a GELU."""
    forms = {kind: _whole(patterns.feed_forward(kind), cascade) for kind in ACTIVATIONS}
    kind = next((kind for kind, form in forms.items() if form is not None), None)
    if kind is None:
        return None
    found = forms[kind]
    if kind not in GELUS or found is None:
        raise _refused(cascade, "the kernels compute an ungated GELU", "--set activation=gelu_tanh")
    tokens, d, s, o = (size_of(cascade, found, rank) for rank in ("p", "d", "s", "o"))
    if o != d:
        raise _refused(cascade, f"the kernels give as many elements as they take (got {d} and {o})")
    notes = list[str]()
    shape = (_padded(tokens, 16), _padded(d, 64), _padded(s, 64))
    if shape != (tokens, d, s):
        notes.append(f"sizes are padded to {', '.join(map(str, shape))}")
    notes += _in(16, cascade, *(found.tensors[name] for name in ("X", "W1", "W2", "FF2")))
    return Realisation(cases=ffn.cases(shapes=(shape,)), notes=tuple(notes))


def _softmax(cascade: Cascade) -> Realisation | None:
    found = _whole(patterns.softmax(), cascade)
    if found is None:
        return None
    shape = (size_of(cascade, found, "p"), size_of(cascade, found, "d"))
    return Realisation(cases=softmax.cases(shapes=(shape,)), notes=_in(32, cascade, found.tensors["X"]))


def _layernorm(cascade: Cascade) -> Realisation | None:
    for kind, variant in LAYERNORMS.items():
        found = _whole(patterns.layernorm(kind), cascade)
        if found is not None:
            shape = (size_of(cascade, found, "p"), size_of(cascade, found, "d"))
            cases = layernorm.cases(shapes=(shape,))
            return Realisation(
                cases=tuple(case for case in cases if case.variant == variant),
                notes=_in(32, cascade, found.tensors["X"]),
            )
    return None


def _rmsnorm(cascade: Cascade) -> Realisation | None:
    found = _whole(patterns.rmsnorm(), cascade)
    return None if found is None else rmsnorm_of(cascade, found)


def rmsnorm_of(cascade: Cascade, found: Matching) -> Realisation:
    """The kernel of an RMS norm that stands in a cascade. SpecError for sizes that it doesn't take."""
    cases = rmsnorm.cases(shapes=((size_of(cascade, found, "p"), size_of(cascade, found, "d")),))
    refuse(cases[0])
    return Realisation(cases=cases, notes=_in(16, cascade, found.tensors["X"]))


def _in(bits: int, cascade: Cascade, *tensors: str) -> tuple[str, ...]:
    """A note where the kernel's values are of another width than asked for."""
    others = {cascade.tensor(name).bits for name in tensors} - {bits}
    return (f"the kernel holds values of {bits} bits, not {min(others)}",) if others else ()
