"""A sweep: points in their order, no worse than the default, the same for any number of workers."""

from __future__ import annotations

import pytest

import einsim
from einsim import sweeping
from einsim.specs.errors import EinsimError, SpecError

SIZES = {"p": 64, "d": 64}
POINTS = [{**SIZES, "accel.dram.bandwidth": f"{rate}GB/s"} for rate in (100, 200)]


def test_a_sweep_is_no_worse_than_the_default() -> None:
    for point, one in zip(POINTS, einsim.sweep("softmax", "tpu-v4i", POINTS, workers=1), strict=True):
        assert isinstance(one, einsim.Evaluation)
        default = einsim.evaluate("softmax", "tpu-v4i", settings=point, level="analytical")
        assert one.result.cycles <= default.result.cycles


@pytest.mark.slow
def test_a_sweep_is_the_same_for_any_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "LINE", 1)
    alone, together = (list(einsim.sweep("softmax", "tpu-v4i", POINTS, workers=n)) for n in (1, 2))
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one, einsim.Evaluation)
        assert isinstance(other, einsim.Evaluation)
        assert one.result == other.result


def test_a_start_is_never_lost() -> None:
    """What a neighbour has found competes: its mapping is legal here, and what is returned is no worse."""
    settings = {**SIZES, "accel.dram.bandwidth": "200GB/s"}
    found = einsim.evaluate(
        "softmax", "tpu-v4i", settings=settings, mapping="auto", level="analytical", effort="quick"
    )
    start = found.mapped.mapping
    slower = {**SIZES, "accel.dram.bandwidth": "100GB/s"}
    judged = einsim.evaluate("softmax", "tpu-v4i", settings=slower, mapping=start, level="analytical")
    again = einsim.evaluate(
        "softmax", "tpu-v4i", settings=slower, mapping="auto", level="analytical", effort="quick",
        starts=(start,),
    )  # fmt: skip
    assert again.result.cycles <= judged.result.cycles


def test_a_point_without_a_mapping_says_why_and_a_wrong_one_is_refused() -> None:
    points = [{**SIZES, "accel.buffer": "1B"}, {**SIZES, "accel.buffer": "1MiB"}]
    none, one = einsim.sweep("softmax", "fusemax-cloud", points, workers=1)
    assert isinstance(none, EinsimError)
    assert isinstance(one, einsim.Evaluation)
    with pytest.raises(SpecError, match="neither the workload nor the machine"):
        list(einsim.sweep("softmax", "fusemax-cloud", [{"nothing": 1}], workers=1))
    with pytest.raises(SpecError, match="starts"):
        einsim.evaluate("softmax", "fusemax-cloud", starts=(one.mapped.mapping,))
