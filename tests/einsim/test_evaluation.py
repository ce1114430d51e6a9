"""An evaluation says how its machine computed the cascade: by a LoopTree on units, or by a kernel."""

from __future__ import annotations

import pytest

from einsim.evaluation import Mapped, Realised, evaluate
from einsim.specs.errors import SpecError


def test_a_machine_of_units_computes_by_a_mapping_of_the_cascade() -> None:
    found = evaluate("softmax", "tpu-v4i", settings={"p": "16", "d": "64"}, level="analytical")
    assert isinstance(found.how, Mapped)
    assert found.mapped is found.how
    assert found.mapped.mapping.cascade == found.cascade.name
    assert found.machine is found.mapped.machine


def test_a_gpu_computes_by_a_kernel_as_the_machine_was_set() -> None:
    found = evaluate("softmax", "h100-sxm", settings={"p": "16", "d": "64", "accel.sms": "66"})
    assert isinstance(found.how, Realised)
    assert found.how.kernel.family == "softmax"
    assert found.how.machine.sms == 66
    with pytest.raises(SpecError, match="a kernel has no mapping or trace"):
        _ = found.mapped
