"""Which kernels realise a cascade: the family by the cascade's form, in every tile variant."""

from __future__ import annotations

from types import ModuleType

import msgspec

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels import (
    attention_fused,
    attention_unfused,
    decode,
    ffn,
    gemm_f16,
    gemm_f32,
    gemm_sparse,
    layernorm,
    softmax,
)
from einsim.specs.errors import SpecError
from einsim.workloads.bound import Bound
from einsim.workloads.cascade import Cascade
from einsim.workloads.sparsity import NM

TAKEN = (
    "one matrix product (16 or 32 bits, dense or 2:4), attention in 1 or 3 passes (full or causal, heads of "
    "64 or 128), attention-decode, ffn with GELU, softmax, layernorm"
)
HEAD_DIMS = (64, 128)
GEMM_UNITS: dict[ModuleType, tuple[int, int, int]] = {  # m, n, k
    gemm_f16: (16, 8, 64),
    gemm_sparse: (16, 8, 64),
    gemm_f32: (128, 128, 16),
}
LAYERNORMS = {"layernorm-naive": "two-pass", "layernorm-moments": "one-pass", "layernorm-welford": "one-pass"}


class Realisation(msgspec.Struct, frozen=True, kw_only=True):
    """The kernels that compute a cascade, one of which is to be chosen, and what differs from the request."""

    cases: tuple[KernelCase, ...]
    notes: tuple[str, ...] = ()


def realise(cascade: Cascade) -> Realisation:
    """The kernels for a cascade. SpecError if there are none, which says what there is."""
    for form in (_product, _attention, _decode, _ffn, _softmax, _layernorm):
        found = form(cascade)
        if found is not None:
            return found
    raise _refused(cascade, f"no kernel computes this; a GPU takes {TAKEN}")


def _refused(cascade: Cascade, rule: str, hint: str = "") -> SpecError:
    return SpecError("workload", rule, got=cascade.name, hint=hint)


def _padded(value: int, unit: int) -> int:
    return ceil_div(value, unit) * unit


def _product(cascade: Cascade) -> Realisation | None:
    """Z[m,n] = A[m,k] * B[k,n] in any order of ranks, A or B perhaps 2:4 along k."""
    if len(cascade.einsums) != 1 or cascade.bounds:
        return None
    (einsum,) = cascade.einsums
    reads, out = einsum.reads, einsum.output.ranks
    if "mac" not in einsum.ops or len(reads) != 2 or len(out) != 2 or len(einsum.reduced) != 1:
        return None
    (k,) = einsum.reduced
    left = next((read for read in reads if set(read.ranks) == {out[0], k}), None)
    right = next((read for read in reads if set(read.ranks) == {out[1], k}), None)
    if left is None or right is None:
        return None
    m, n, depth = (cascade.size(rank) for rank in (*out, k))
    family: ModuleType = gemm_f16
    notes = list[str]()
    if cascade.tensor(left.tensor).bits > 16:
        family = gemm_f32
    for read in (left, right):
        sparsity = cascade.tensor(read.tensor).sparsity
        if isinstance(sparsity, NM) and (sparsity.n, sparsity.m, sparsity.rank) == (2, 4, k):
            family = gemm_sparse
            if read is right:  # Z^T = B^T A^T: the sparse operand is the kernel's left one
                m, n = n, m
        elif sparsity.patterns:
            notes.append(
                f"{read.tensor} is taken as dense: no kernel exploits {sparsity.patterns[0]} along it"
            )
    shape = tuple(_padded(size, unit) for size, unit in zip((m, n, depth), GEMM_UNITS[family], strict=True))
    if shape != (m, n, depth):
        notes.append(f"sizes {m}, {n}, {depth} are padded to {', '.join(map(str, shape))}")
    return Realisation(cases=family.cases(shapes=(shape,)), notes=tuple(notes))


def _attention(cascade: Cascade) -> Realisation | None:
    """softmax(Q K) V over whole sequences."""
    if not cascade.name.startswith("attention-") or cascade.name.startswith("attention-decode"):
        return None
    families = {"1pass": attention_fused, "3pass": attention_unfused}
    family = families.get(cascade.name.removeprefix("attention-"))
    if family is None:
        raise _refused(cascade, "no kernel takes two passes", "--set passes=1 or passes=3")
    if cascade.size("m") != cascade.size("p"):
        raise _refused(cascade, "the kernels take as many queries as keys", "attention-decode for new tokens")
    tokens = _padded(cascade.size("p"), 256)
    notes = () if tokens == cascade.size("p") else (f"{cascade.size('p')} tokens are padded to {tokens}",)
    causal, dim = _causal(cascade), _head_dim(cascade)
    cases = tuple(
        case
        for case in family.cases(shapes=((_heads(cascade), tokens),))
        if (case.sizes["e"], case.sizes["causal"]) == (dim, int(causal))
    )
    return Realisation(cases=cases, notes=notes)


def _decode(cascade: Cascade) -> Realisation | None:
    """New tokens over a cache: one row of every head."""
    if not cascade.name.startswith("attention-decode"):
        return None
    if cascade.size("p") != 1:
        raise _refused(cascade, "the decode kernels take one new token", "--set p=1")
    dim = _head_dim(cascade)
    cases = decode.cases(shapes=((_heads(cascade), cascade.size("m")),))
    return Realisation(cases=tuple(case for case in cases if case.sizes["e"] == dim))


def _heads(cascade: Cascade) -> int:
    """Heads of the whole batch."""
    sizes = {rank.name: rank.size for rank in cascade.ranks}
    if "g" in sizes:
        raise _refused(cascade, "the kernels give every query head its own keys", "--set kv_heads to heads")
    return sizes.get("b", 1) * sizes.get("h", 1)


def _head_dim(cascade: Cascade) -> int:
    dim = cascade.size("e")
    if dim not in HEAD_DIMS or cascade.size("f") != dim:
        raise _refused(cascade, f"heads must be of 64 or 128 elements (got e={dim}, f={cascade.size('f')})")
    return dim


def _causal(cascade: Cascade) -> bool:
    """Whether the mask is m <= p, and nothing else."""
    if not cascade.bounds:
        return False
    bound = cascade.bounds[0]
    plain = len(cascade.bounds) == 1 and isinstance(bound, Bound)
    if not plain or bound.left.offset or bound.right.offset:
        raise _refused(
            cascade, "the kernels take no mask but the causal one", "leave out window and documents"
        )
    return True


def _ffn(cascade: Cascade) -> Realisation | None:
    """Two products around a GELU."""
    if cascade.name != "ffn":
        return None
    ops = cascade.einsum("ACT").ops
    if len(cascade.einsums) != 3 or not {"erf", "tanh"} & set(ops):
        raise _refused(cascade, "the kernels compute an ungated GELU", "--set activation=gelu_tanh")
    tokens, notes = cascade.size("b") * cascade.size("p"), list[str]()
    shape = (_padded(tokens, 16), _padded(cascade.size("d"), 64), _padded(cascade.size("s"), 64))
    if shape != (tokens, cascade.size("d"), cascade.size("s")):
        notes.append(f"sizes are padded to {', '.join(map(str, shape))}")
    return Realisation(cases=ffn.cases(shapes=(shape,)), notes=tuple(notes))


def _softmax(cascade: Cascade) -> Realisation | None:
    if cascade.name != "softmax":
        return None
    rows, columns = cascade.size("p"), cascade.size("d")
    return Realisation(cases=softmax.cases(shapes=((rows, columns),)), notes=_in_fp32(cascade))


def _layernorm(cascade: Cascade) -> Realisation | None:
    if cascade.name not in LAYERNORMS:
        return None
    rows, columns, variant = cascade.size("p"), cascade.size("d"), LAYERNORMS[cascade.name]
    cases = layernorm.cases(shapes=((rows, columns),))
    return Realisation(
        cases=tuple(case for case in cases if case.variant == variant), notes=_in_fp32(cascade)
    )


def _in_fp32(cascade: Cascade) -> tuple[str, ...]:
    bits = cascade.tensor("X").bits
    return () if bits == 32 else (f"the kernel holds values of 32 bits, not {bits}",)
