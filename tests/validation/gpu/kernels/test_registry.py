"""The registry: every described family has code that can be run, and shapes; a hash tells their code apart."""

from __future__ import annotations

import pytest

from einsim.sim.gpu.kernels.families import FAMILIES as DESCRIBED
from einsim.validation.gpu.kernels import copy, gemm_f32
from einsim.validation.gpu.kernels.registry import FAMILIES, MICRO, code_of, family_hash
from einsim.validation.gpu.model_shapes import FIRST, MORE
from einsim.validation.gpu.shapes import CAPTURED, QUICK, UNSEEN


def test_every_described_family_has_code_and_shapes() -> None:
    assert tuple(FAMILIES) == (*MICRO, *DESCRIBED)
    assert all(callable(module.bind) for module in FAMILIES.values())
    for shapes in (CAPTURED, QUICK, UNSEEN):
        assert (*shapes, *FIRST) == tuple(DESCRIBED)
    assert set(MORE) < set(CAPTURED)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_source_hash_is_stable_and_its_own(family: str) -> None:
    assert family_hash(family) == family_hash(family)
    assert sum(family_hash(other) == family_hash(family) for other in FAMILIES) == 1


def test_the_hash_sees_what_makes_a_kernel_and_the_numbers_of_its_description() -> None:
    code = code_of(DESCRIBED["gemm-f32"], gemm_f32)
    assert "PAD = 4" in code
    assert "def kernel(tiling: Tiling)" in code
    assert "def launch(" not in code
    assert "FAMILY" not in code
    assert "def bind" not in code_of(copy)
