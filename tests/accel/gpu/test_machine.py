"""GPU presets are whole, sourced and strict."""

from __future__ import annotations

from pathlib import Path

import pytest

from einsim.accel.gpu.machine import gpu_names, load_gpu
from einsim.specs.errors import SpecError


def preset(name: str) -> str:
    import einsim.accel.gpu

    return (Path(einsim.accel.gpu.__file__).parent / "presets" / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", gpu_names())
def test_a_preset_carries_its_own_name(name: str) -> None:
    assert load_gpu(name).name == name


def test_h100_and_h200_are_one_processor_with_two_memories() -> None:
    ours, theirs = load_gpu("h100-sxm"), load_gpu("h200-sxm")
    fixed = ("warps", "blocks", "registers", "shared_bytes", "issue_lanes", "l1_bytes")
    assert [getattr(ours.sm, name) for name in fixed] == [getattr(theirs.sm, name) for name in fixed]
    for name in ("fma", "sfu", "tensor_flops", "sparse_tensor_flops", "shared_bytes_per_clock"):
        assert getattr(ours.sm, name) == pytest.approx(getattr(theirs.sm, name), rel=0.02)
    assert ours.dram_bytes_per_s < 3.35e12 < theirs.dram_bytes_per_s < 4.8e12


def test_an_unknown_name_is_told_with_a_near_one() -> None:
    with pytest.raises(SpecError, match=r"unknown GPU.*h200-sxm"):
        load_gpu("h200-sx")


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("sms: 132", "sms: 0", "must be > 0"),
        ("  sfu: 15.94", "  sfu: -1", "must be > 0"),
        ("sms: 132", "smss: 132", "smss"),
        ('  latency: "measured', '  launch: "measured', "has no source"),
    ],
)
def test_a_fault_is_told_with_its_file(tmp_path: Path, old: str, new: str, rule: str) -> None:
    text = preset("h200-sxm")
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SpecError, match=rule) as caught:
        load_gpu(path)
    assert "mine.yaml" in str(caught.value)
