"""On a GPU, every kernel variant rewrites poisoned outputs correctly, and a case can be timed (`make gpu`)."""

from __future__ import annotations

import pytest

from einsim.validation.gpu.kernels.registry import all_cases
from einsim.validation.gpu.plan import TOLERANCE

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("case", all_cases(quick=True), ids=lambda case: case.key)
def test_variant_agrees_with_float64(case) -> None:
    from einsim.validation.gpu.device import Device
    from einsim.validation.gpu.measure import checked

    error = checked(case, Device())[2]
    assert error <= TOLERANCE[case.bits]


def test_a_quick_row_is_timed() -> None:
    from einsim.validation.gpu.device import Device
    from einsim.validation.gpu.measure import Effort, measure
    from einsim.validation.gpu.power import Meter

    device = Device()
    case = next(case for case in all_cases(quick=True) if case.family == "reduction")
    row = measure(case, device, Meter(device.pci), "cold", Effort(graph_s=0.002, replays=4, vendor=False))
    assert 0 < row.p10_s <= row.median_s <= row.p90_s
