"""A cascade is realised by kernels of its own sizes, and a prediction's parts add up to its whole."""

from __future__ import annotations

import pytest

from einsim.accel.gpu.machine import load_gpu
from einsim.sim.gpu.realise import realise
from einsim.sim.gpu.result import choose, result
from einsim.specs.errors import SpecError
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse

GPU = load_gpu("h100-sxm")
TAKEN = [
    ("attention-1pass", {"seq": "1K", "b": "2"}, "attention-fused"),
    ("attention-3pass", {"seq": "1K", "b": "2", "causal": "true"}, "attention-unfused"),
    ("attention-decode", {"m": "8K", "b": "4"}, "decode"),
    ("ffn", {"seq": "1K", "b": "1"}, "ffn"),
    ("softmax", {"bits": "32"}, "softmax"),
    ("layernorm", {"bits": "32"}, "layernorm"),
]


def product(text: str = "Z[m,n] = A[m,k] * B[k,n]", **sizes: int):
    return parse(text, name="product", sizes={"m": 512, "n": 1024, "k": 2048, **sizes})


@pytest.mark.parametrize(("workload", "settings", "family"), TAKEN)
def test_a_kernel_does_the_work_of_its_cascade(workload: str, settings: dict[str, str], family: str) -> None:
    cascade = load_workload(workload, settings)
    found = realise(cascade)
    assert {case.family for case in found.cases} == {family}
    assert found.notes == ()
    points = sum(cascade.points(e.name) for e in cascade.einsums if "mac" in e.ops)
    if points and family != "layernorm":
        for case in found.cases:  # two FLOPs a multiply-accumulate; a 1-pass cascade merges tiles beside them
            assert case.useful_flops == pytest.approx(2 * points, rel=0.02), case.key


def test_a_product_is_realised_whatever_the_order_of_its_ranks() -> None:
    kernels = [
        {case.key for case in realise(product(text)).cases}
        for text in ("Z[m,n] = A[m,k] * B[k,n]", "Z[m,n] = A[k,m] * B[n,k]", "Z[m,n] = B[n,k] * A[m,k]")
    ]
    assert kernels[0] == kernels[1] == kernels[2]


def test_odd_sizes_are_padded_and_told() -> None:
    found = realise(product(m=1000, k=2050))
    assert found.notes == ("sizes 1000, 1024, 2050 are padded to 1008, 1024, 2112",)
    assert {case.sizes["k"] for case in found.cases} == {2112}


@pytest.mark.parametrize(
    ("workload", "settings", "words"),
    [
        ("conv", {}, "a GPU takes one matrix product"),
        ("attention-2pass", {}, "passes=1 or passes=3"),
        ("attention-1pass", {"e": "80", "f": "80"}, "64 or 128"),
        ("attention-1pass", {"window": "128"}, "no mask but the causal one"),
        ("attention-1pass", {"p": "64", "m": "128"}, "as many queries as keys"),
        ("ffn", {"activation": "swiglu"}, "ungated GELU"),
        ("llama2-7b", {}, "a GPU takes one matrix product"),
    ],
)
def test_what_no_kernel_computes_is_told(workload: str, settings: dict[str, str], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        realise(load_workload(workload, settings))


@pytest.mark.parametrize(("workload", "settings", "family"), TAKEN)
def test_the_parts_of_a_result_add_up(workload: str, settings: dict[str, str], family: str) -> None:
    cascade = load_workload(workload, settings)
    choice = choose(realise(cascade).cases, GPU)
    got = result(choice, GPU, cascade.name)
    assert choice.case.family == family
    assert sum(got.energy_by.values()) == pytest.approx(got.energy_j)
    busy = min(got.bound_by[got.bottleneck], got.cycles)
    assert busy + sum(got.stalls.values()) == got.cycles
    assert got.latency_s == pytest.approx(got.cycles / choice.prediction.clock_hz, rel=1e-3)
    assert sum(got.traffic["dram"].values()) == pytest.approx(got.dram_bytes, abs=2)
    assert got.timeline[-1].end_cycle == pytest.approx(got.cycles, abs=1)
    assert all(0 <= share <= 1 for share in got.utilization.values())


def test_the_quickest_variant_is_chosen_and_a_named_one_is_obeyed() -> None:
    cases = realise(product()).cases
    best = choose(cases, GPU)
    for case in cases:
        named = choose(cases, GPU, case.variant)
        assert named.case == case
        assert named.prediction.seconds >= best.prediction.seconds
    with pytest.raises(SpecError, match="did you mean '128x128x32s4'"):
        choose(cases, GPU, "128x128x32s")
