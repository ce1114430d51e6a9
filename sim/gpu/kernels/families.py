"""The kernel families that are described, by name."""

from __future__ import annotations

from types import ModuleType

from einsim.sim.gpu.kernels import (
    attention_fused,
    attention_unfused,
    attention_wgmma,
    copy,
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
    linear_attention,
    reduction,
    rmsnorm,
    rope,
    short_conv,
    softmax,
    swiglu,
    top_k,
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
        gemm_wgmma,
        gemm_sparse_wgmma,
        attention_wgmma,
        rmsnorm,
        rope,
        swiglu,
        gemv,
        decode_grouped,
        decode_tensor,
        short_conv,
        linear_attention,
        top_k,
    )
}
