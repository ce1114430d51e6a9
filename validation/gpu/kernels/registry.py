"""All kernel families, by name."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from validation.gpu.case import KernelCase
from validation.gpu.kernels import (
    attention_fused,
    attention_unfused,
    copy,
    decode,
    ffn,
    gemm_f16,
    gemm_f32,
    gemm_sparse,
    layernorm,
    linked,
    micro,
    reduction,
    softmax,
)

MODULES: tuple[ModuleType, ...] = (
    micro, copy, reduction, softmax, layernorm, gemm_f32, gemm_f16, gemm_sparse, attention_fused, attention_unfused, decode, ffn,
)  # fmt: skip
FAMILIES: dict[str, ModuleType] = {module.FAMILY: module for module in MODULES}

# the CUDA C++ behind each family, for the source hash
LINKED = {
    "micro": ("micro", "elementwise"), "copy": ("elementwise",), "gemm-f16": ("gemm_f16",), "gemm-sparse": ("gemm_sparse",),
    "attention-fused": ("attention", "attention_pipelined"), "attention-unfused": ("gemm_f16", "softmax_f16"), "decode": ("decode",),
    "ffn": ("gemm_f16", "elementwise"),
}  # fmt: skip
SHARED_PYTHON = {"softmax": "rows.py", "layernorm": "rows.py", "reduction": "rows.py"}


def all_cases(quick: bool = False) -> tuple[KernelCase, ...]:
    """Every case of every family, in the order of capture."""
    return tuple(case for module in MODULES for case in module.cases(quick))


def family_hash(family: str) -> str:
    """The hash of what decides a family's machine code: its Python, its CUDA C++ and the shared wrappers."""
    folder = Path(__file__).parent
    paths = [Path(str(FAMILIES[family].__file__))]
    if family in SHARED_PYTHON:
        paths.append(folder / SHARED_PYTHON[family])
    if family in LINKED:
        paths += [folder / "cuda" / "mma.cuh", *(folder / "cuda" / f"{name}.cu" for name in LINKED[family])]
    return linked.source_hash(*paths)
