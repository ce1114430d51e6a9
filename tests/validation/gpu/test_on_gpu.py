"""On a GPU, every kernel variant rewrites poisoned outputs correctly, at sizes that fill no tile too, and a case
can be timed (`make gpu`).
"""

from __future__ import annotations

import pytest

from einsim.sim.gpu.kernels.families import FAMILIES
from einsim.sim.gpu.kernels.sizes import fits
from einsim.validation.gpu.kernels.registry import all_cases, micro_hopper, micro_tiles
from einsim.validation.gpu.plan import TOLERANCE

pytestmark = pytest.mark.gpu

# Sizes of one value, below a tile, and of no multiple of any tile, warp or 16-byte access.
RAGGED = {
    "copy": (1, 1001, 4100),
    "reduction": {"rows": ((3, 1), (5, 777)), "vector": ((1, 1), (1, 5001))},
    "softmax": ((3, 1), (5, 777)),
    "layernorm": ((3, 1), (5, 777)),
    "gemm-f32": ((128, 128, 48),),
    "gemm-f16": ((17, 264, 192), (300, 1000, 64)),
    "gemm-sparse": ((48, 72, 128),),
    "attention-fused": ((2, 128), (2, 640)),
    "attention-unfused": ((1, 320), (4, 4, 192), (6, 3, 320)),
    "decode": ((3, 1), (2, 77), (2, 1000)),
    "ffn": ((17, 128, 192),),
    "gemm-wgmma": ((1, 1, 8), (17, 264, 136), (640, 768, 1000), (1000, 3001, 2048), (17, 263, 5000)),
    "gemm-sparse-wgmma": ((64, 1, 64), (192, 1000, 320), (1024, 777, 1024)),
    "attention-wgmma": ((1, 1, 1), (2, 1, 77), (4, 2, 640), (6, 3, 1000)),
    "rmsnorm": ((3, 8), (17, 1000), (5, 2056), (100, 16384)),
    "rope": ((3, 5, 64), (129, 3, 128)),
    "swiglu": ((1, 8), (17, 1000)),
    "gemv": ((1, 8), (77, 3584), (4097, 264)),
    "decode-tensor": (
        (4, 4, 1, 128),
        (8, 2, 77, 64),
        (16, 8, 1000, 128),
        (14, 7, 513, 64),
        (32, 16, 200, 128),
    ),
    "short-conv": ((1, 1, 1, 3), (3, 2, 130, 4), (2, 67, 5, 1), (1, 200, 300, 2)),
    "linear-attention": ((1, 1, 64), (3, 77, 128), (2, 200, 64)),
    "top-k": ((1, 1, 1), (3, 130, 7), (5, 64, 64), (2, 11264, 50)),
    "decode-grouped": ((4, 4, 1, 128), (8, 2, 77, 64), (16, 8, 1000, 128), (16, 8, 513, 64)),
}
RAGGED_CASES = [
    case for family, shapes in RAGGED.items() for case in FAMILIES[family].cases(shapes) if fits(case)
]


MICROBENCHMARKS = (*micro_hopper.cases(), *micro_tiles.cases())


@pytest.mark.parametrize("case", [*all_cases(quick=True), *MICROBENCHMARKS], ids=lambda case: case.key)
def test_variant_agrees_with_float64(case) -> None:
    from einsim.validation.gpu.device import Device
    from einsim.validation.gpu.measure import checked

    error = checked(case, Device())[2]
    assert error <= TOLERANCE[case.bits]


def test_every_family_has_ragged_sizes_that_it_takes() -> None:
    assert {case.family for case in RAGGED_CASES} == set(FAMILIES) == set(RAGGED)


@pytest.mark.parametrize("case", RAGGED_CASES, ids=lambda case: case.key)
def test_ragged_sizes_agree_with_float64(case) -> None:
    from einsim.validation.gpu.device import Device
    from einsim.validation.gpu.measure import checked

    assert checked(case, Device())[2] <= TOLERANCE[case.bits]


def test_a_quick_row_is_timed() -> None:
    from einsim.validation.gpu.device import Device
    from einsim.validation.gpu.measure import Effort, measure
    from einsim.validation.gpu.power import Meter

    device = Device()
    case = next(case for case in all_cases(quick=True) if case.family == "reduction")
    row = measure(case, device, Meter(device.pci), "cold", Effort(graph_s=0.002, replays=4, vendor=False))
    assert 0 < row.p10_s <= row.median_s <= row.p90_s
