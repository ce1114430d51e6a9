"""The kernel families that are described, by name."""

from __future__ import annotations

from types import ModuleType

from einsim.sim.gpu.kernels import (
    attention_fused,
    attention_unfused,
    copy,
    decode,
    ffn,
    gemm_f16,
    gemm_f32,
    gemm_sparse,
    layernorm,
    reduction,
    softmax,
)

FAMILIES: dict[str, ModuleType] = {
    module.FAMILY: module
    for module in (
        copy,
        reduction,
        softmax,
        layernorm,
        gemm_f32,
        gemm_f16,
        gemm_sparse,
        attention_fused,
        attention_unfused,
        decode,
        ffn,
    )
}
