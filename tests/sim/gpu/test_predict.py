"""Laws of a prediction: energy is power times time under the cap, L2 saves DRAM, and it is quick."""

from __future__ import annotations

import time

import msgspec
import pytest

from einsim.accel.gpu.machine import load_gpu
from einsim.sim.gpu.predict import kept, predict
from einsim.validation.gpu.kernels.registry import all_cases

GPU = load_gpu("h200-sxm")
CASES = {case.key: case for case in all_cases()}
BIG = CASES["gemm-f16/128x256x64s3/m=8192;n=8192;k=8192"]


def test_power_stays_under_the_cap_and_touches_it_when_the_clock_gives_way() -> None:
    capped = predict(BIG, GPU)
    free = predict(
        BIG, msgspec.structs.replace(GPU, energy=msgspec.structs.replace(GPU.energy, cap_w=5000.0))
    )
    assert capped.clock_hz < GPU.clock_hz == free.clock_hz
    assert capped.seconds > free.seconds
    assert capped.joules / capped.seconds == pytest.approx(GPU.energy.cap_w, rel=0.03)


def test_every_case_has_a_positive_time_above_its_binding_pipe() -> None:
    for case in list(CASES.values())[::5]:
        got = predict(case, GPU)
        assert got.seconds > max(got.bounds.values()) * 0.999
        assert 0 < got.joules <= 1.1 * GPU.energy.cap_w * got.seconds


def test_warm_is_never_slower_than_cold() -> None:
    for case in CASES.values():
        if case.family == "copy":
            assert predict(case, GPU, l2="warm").seconds <= predict(case, GPU).seconds


def test_l2_keeps_what_fits_and_nothing_of_twice_its_size() -> None:
    assert kept(GPU.l2_bytes, GPU) == 1.0
    assert kept(2.0 * GPU.l2_bytes, GPU) == 0.0


def test_dram_is_never_crossed_by_less_than_what_is_unique() -> None:
    for case in CASES.values():
        if len(case.launches) == 1 and case.family != "micro":
            assert predict(case, GPU).dram_bytes >= case.unique_bytes * 0.999


def test_more_bandwidth_is_never_slower() -> None:
    less = msgspec.structs.replace(GPU, dram_bytes_per_s=GPU.dram_bytes_per_s * 0.7)
    for case in list(CASES.values())[::7]:
        assert predict(case, GPU).seconds <= predict(case, less).seconds * 1.001


def test_a_prediction_takes_about_a_millisecond() -> None:
    some = list(CASES.values())[::12]
    for case in some:
        predict(case, GPU)
    best = 1.0
    for _ in range(3):
        start = time.perf_counter()
        for case in some:
            predict(case, GPU)
        best = min(best, (time.perf_counter() - start) / len(some))
    assert best < 4e-3  # 0.3 ms on an idle core; the rest is for a crowded one
