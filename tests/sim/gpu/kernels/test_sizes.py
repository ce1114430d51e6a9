"""A kernel refuses, by its name and before any launch, what it doesn't compute."""

from __future__ import annotations

import pytest

from einsim.sim.gpu.kernels.families import FAMILIES
from einsim.sim.gpu.kernels.sizes import fits, refuse, units
from einsim.specs.errors import SpecError
from einsim.validation.gpu.kernels.registry import all_cases, model_cases, unseen_cases

# (family, variant, shape, what is said): sizes that no kernel of the variant computes
REFUSED = (
    ("attention-fused", "pipelined-256x32r32-d64-full", (16, 640), "p: must be a multiple of 256 (got 640)"),
    ("attention-fused", "128x64r16-d128-causal", (1, 100), "p: must be a multiple of 128 (got 100)"),
    ("attention-unfused", "128x128x32s4-d64-full", (1, 100), "p: must be a multiple of 8 (got 100)"),
    ("gemm-f16", "128x128x64s3", (128, 128, 96), "k: must be a multiple of 64 (got 96)"),
    ("gemm-f16", "128x128x32s4", (128, 129, 96), "n: must be a multiple of 8 (got 129)"),
    ("gemm-f32", "64x64x16", (100, 64, 64), "m: must be a multiple of 64 (got 100)"),
    ("gemm-sparse", "64x64x64s4", (17, 64, 64), "m: must be a multiple of 16 (got 17)"),
    ("gemm-wgmma", "128x256s4", (1, 1, 12), "k: must be a multiple of 8 (got 12)"),
    ("gemm-sparse-wgmma", "128x256s4", (63, 1, 64), "m: must be a multiple of 64 (got 63)"),
    ("copy", "16byte-x4", 1001, "n: must be a multiple of 4 (got 1001)"),
    ("ffn", "fused", (5, 100, 64), "d: must be a multiple of 64 (got 100)"),
    ("rmsnorm", "kept", (1, 12), "d: must be a multiple of 8 (got 12)"),
    ("rmsnorm", "kept", (1, 16392), "d: must be <= 16384 (got 16392)"),
    ("swiglu", "packed", (1, 12), "s: must be a multiple of 8 (got 12)"),
    ("gemv", "warp-a-row", (1, 12), "k: must be a multiple of 8 (got 12)"),
)


@pytest.mark.parametrize(("family", "variant", "shape", "said"), REFUSED)
def test_a_size_is_refused_by_the_kernels_name(family: str, variant: str, shape: object, said: str) -> None:
    (case,) = (case for case in FAMILIES[family].cases((shape,)) if case.variant == variant)
    with pytest.raises(SpecError) as told:
        refuse(case)
    assert f"{family}/{variant}.{said}" in str(told.value)
    assert not fits(case)


def test_whatever_is_captured_fits() -> None:
    for case in (*all_cases(), *all_cases(quick=True), *unseen_cases(), *model_cases()):
        refuse(case)
        assert all(case.sizes[rank] % unit == 0 for rank, unit in units(case).items())
