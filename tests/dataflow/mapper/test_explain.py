"""What limits a mapping is what helps when it is doubled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import problem

from einsim.accel.load import load_machine
from einsim.dataflow.mapper.best import best_mapping
from einsim.dataflow.mapper.explain import doubled, explain, larger
from einsim.dataflow.mapper.space import MapSpace
from einsim.specs.errors import EinsimError
from einsim.workloads.notation import parse

EDGE = load_machine("flat-edge")


@settings(max_examples=24, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_a_faster_part_never_slows_and_never_more_than_halves(seed: int) -> None:
    space = problem(seed)
    try:
        answer = best_mapping(space.cascade, space.machine, "latency", space=space, budget_s=600)
    except EinsimError:
        return
    found = explain(answer.mapping, space.cascade, space.machine)
    assert found.time_bound_s <= found.result.latency_s * (1 + 1e-9) + 1 / space.machine.clock_hz
    faster = [change for change in found.changes if change.what.endswith("twice as fast")]
    assert faster
    assert all(change.speedup >= 0.99 for change in faster)
    bottom = answer.result.latency_s / 2 - 1 / space.machine.clock_hz
    assert all(change.latency_s >= bottom for change in faster)
    assert [one.busy_cycles for one in found.limits] == sorted(
        (one.busy_cycles for one in found.limits), reverse=True
    )


@pytest.mark.parametrize(("k", "part"), [(4096, "array2d"), (8, "dram")])
def test_a_gemm_is_helped_by_what_limits_it(k: int, part: str) -> None:
    sizes = {"m": 256, "n": 256, "k": k} if part == "array2d" else {"m": 2048, "n": 2048, "k": k}
    gemm = parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes=sizes)
    space = MapSpace(cascade=gemm, machine=EDGE, menu="steps")
    answer = best_mapping(gemm, EDGE, "latency", budget_s=600, space=space)
    found = explain(answer.mapping, gemm, EDGE)
    assert found.limits[0].engine == part
    assert found.changes[0].what == f"{part} twice as fast"
    assert found.ridge_macs_per_byte is not None
    assert (found.macs_per_byte < found.ridge_macs_per_byte) == (part == "dram")


def test_a_larger_memory_is_tried_with_a_new_mapping() -> None:
    gemm = parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": 20, "n": 20, "k": 20})
    answer = best_mapping(gemm, EDGE, "latency", budget_s=600)
    found = explain(answer.mapping, gemm, EDGE, budget_s=5)
    names = {change.what for change in found.changes if change.remapped}
    assert names == {"a new mapping alone", "gb twice as large"}


def test_changes_change_one_thing() -> None:
    for _, other in (*doubled(EDGE), *larger(EDGE)):
        same = sum(
            a == b
            for a, b in zip((*EDGE.memories, *EDGE.units), (*other.memories, *other.units), strict=True)
        )
        assert same == len(EDGE.memories) + len(EDGE.units) - 1
