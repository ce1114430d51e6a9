"""What sizes each kernel takes: any other is refused by name before it is launched."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels import (
    attention_fused,
    attention_unfused,
    decode_tensor,
    gemm_f16,
    gemm_f32,
    gemm_sparse,
    rmsnorm,
    short_conv,
    top_k,
)
from einsim.specs.errors import SpecError

PIECE = 8  # FP16 values of a 16-byte access


def _gemm_f32(variant: str) -> dict[str, int]:
    tiling = gemm_f32.VARIANTS[variant]
    return {"m": tiling.bm, "n": tiling.bn, "k": tiling.bk}


def _attention_fused(variant: str) -> dict[str, int]:
    blocking = attention_fused.VARIANTS[variant.rsplit("-", 2)[0]]
    return {"p": blocking.bm, "m": blocking.bn}


def _attention_unfused(variant: str) -> dict[str, int]:
    dim = int(variant.rsplit("-", 2)[1].removeprefix("d"))
    return {"p": PIECE, "m": gemm_f16.VARIANTS[attention_unfused.VALUES_TILING[dim]].bk}


UNITS: dict[str, Callable[[str], dict[str, int]]] = {
    "copy": lambda variant: {"n": 4 if variant.startswith("16byte") else 1},
    "gemm-f32": _gemm_f32,
    "gemm-f16": lambda variant: {"n": PIECE, "k": gemm_f16.VARIANTS[variant].bk},
    "gemm-sparse": lambda _: {"m": 16, "n": PIECE, "k": gemm_sparse.BK},
    "gemm-wgmma": lambda _: {"k": PIECE},
    "gemm-sparse-wgmma": lambda _: {"m": 64, "k": 64},
    "attention-fused": _attention_fused,
    "attention-unfused": _attention_unfused,
    "ffn": lambda _: {"d": 64, "s": 64},
    "rmsnorm": lambda _: {"d": PIECE},
    "swiglu": lambda _: {"s": PIECE},
    "gemv": lambda _: {"k": PIECE},
}
MOST: dict[str, dict[str, int]] = {
    "rmsnorm": {"d": rmsnorm.COLUMNS},
    "decode-tensor": {"g": decode_tensor.QUERIES},
    "short-conv": {"r": short_conv.TAPS},
    "top-k": {"m": top_k.COLUMNS},
}


def units(case: KernelCase) -> dict[str, int]:
    """By rank, what the case's kernel needs a size to be a multiple of; ranks that are free are left out."""
    return UNITS[case.family](case.variant) if case.family in UNITS else {}


def _broken(case: KernelCase) -> Iterator[tuple[str, str]]:
    """Ranks whose size the case's kernel doesn't take, with the rule."""
    for rank, unit in units(case).items():
        if case.sizes[rank] % unit:
            yield rank, f"must be a multiple of {unit}"
    if case.family == top_k.FAMILY and case.sizes["k"] > case.sizes["m"]:
        yield "k", f"must be <= m = {case.sizes['m']}"
    for rank, most in MOST.get(case.family, {}).items():
        if case.sizes[rank] > most:
            yield rank, f"must be <= {most}"


def fits(case: KernelCase) -> bool:
    """Whether the case's kernel computes its sizes."""
    return not any(_broken(case))


def refuse(case: KernelCase) -> None:
    """SpecError, with the kernel's name, for a size that it doesn't compute."""
    for rank, rule in _broken(case):
        raise SpecError(f"{case.family}/{case.variant}.{rank}", rule, got=case.sizes[rank])
