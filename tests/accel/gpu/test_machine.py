"""GPU presets are whole, sourced and strict."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel.gpu.machine import gpu_names, load_gpu
from specs.errors import SpecError


def preset(name: str) -> str:
    import accel.gpu

    return (Path(accel.gpu.__file__).parent / "presets" / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", gpu_names())
def test_a_preset_carries_its_own_name(name: str) -> None:
    assert load_gpu(name).name == name


def test_h100_and_h200_differ_in_dram_only() -> None:
    ours, theirs = load_gpu("h100-sxm"), load_gpu("h200-sxm")
    assert ours.dram_bytes_per_s / 3.35e12 == pytest.approx(theirs.dram_bytes_per_s / 4.8e12, rel=1e-3)
    assert (ours.sm, ours.latency, ours.overhead, ours.energy) == (
        theirs.sm,
        theirs.latency,
        theirs.overhead,
        theirs.energy,
    )


def test_an_unknown_name_is_told_with_a_near_one() -> None:
    with pytest.raises(SpecError, match=r"unknown GPU.*h200-sxm"):
        load_gpu("h200-sx")


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("sms: 132", "sms: 0", "must be > 0"),
        ("fma: 122.9", "fma: -1", "must be > 0"),
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
