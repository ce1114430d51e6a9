"""What the mapper returns: legal, simulated without deadlock, with the traffic that the model counts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import problem

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import best_mapping
from einsim.dataflow.mapper.bound import least
from einsim.dataflow.mapper.objective import Objective
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapping import Keep, Loop, walk
from einsim.dataflow.mapping_file import dump_mapping, load_mapping
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.workloads.library import build
from einsim.workloads.notation import parse

EDGE = load_machine("flat-edge")


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10**9), objective=st.sampled_from(["latency", "energy", "edp", "buffer", "pareto"])
)
def test_what_is_returned_is_legal_and_runs(seed: int, objective: str) -> None:
    space = problem(seed)
    try:
        answer = best_mapping(space.cascade, space.machine, objective, space=space, budget_s=600)  # type: ignore[arg-type]
    except EinsimError:
        return
    assert answer.proven or answer.note.startswith("not proven: ")
    for tree, result in answer.front:
        check(tree, space.cascade, space.machine)
        program = lower(tree, space.cascade, space.machine)
        run = simulate(program, space.machine)
        assert run.traffic == result.traffic
        assert run.cycles >= result.cycles


def test_the_bound_of_billions_of_points_is_that_of_a_few() -> None:
    """It goes through no place of what a whole Einsum reads."""
    found = {}
    for size in (2**8, 2**16):
        work = parse("Z[b,m,p] = X[b,m,p] + M[b,p]", name="shifted", sizes={"b": 64, "m": size, "p": size})
        found[size] = least(MapSpace(cascade=work, machine=EDGE, menu="steps")).latency_s
    assert found[2**16] == pytest.approx(2**16 * found[2**8], rel=0.01)


def test_units_of_the_same_multipliers_are_no_more_of_them() -> None:
    """A U280's MM and MV modes share their DSPs: the bound of all mappings took both at once, 4/5 of this."""
    chip = load_machine("u280-flightllm")
    text = "\n".join(f"{name}[p,d] = A[p,s] * {name}W[s,d]" for name in "XYZUV")
    work = parse(text, name="five", sizes={"p": 512, "s": 768, "d": 768})
    peak = 3 * 32 * 128 / 4  # macs a cycle of 16 by 16 bits
    assert least(MapSpace(cascade=work, machine=chip, menu="steps")).latency_s * chip.clock_hz >= (
        5 * 512 * 768 * 768 / peak * (1 - 1e-6)
    )


def test_an_operand_that_no_memory_may_hold_passes_through_none() -> None:
    """The unit's memory holds results only: a traceback (drawn input 404:5881)."""
    memories = tuple(
        one if one.parent is None else msgspec.structs.replace(one, holds=("outputs",))
        for one in EDGE.memories
    )
    chip = msgspec.structs.replace(EDGE, memories=memories)
    work = parse("Z[m] = X[m]", name="copy", sizes={"m": 8})
    assert least(MapSpace(cascade=work, machine=chip, menu="steps")).latency_s > 0


@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
def test_it_is_never_worse_than_the_library(objective: str) -> None:
    work = build("attention", seq=64, b=1, h=2, passes=3)
    answer = best_mapping(work, EDGE, objective, budget_s=1)  # type: ignore[arg-type]

    def value(result: object) -> float:
        time_s, joules = result.latency_s, result.energy_stated_j  # type: ignore[attr-defined]
        return float({"latency": time_s, "energy": joules, "edp": time_s * joules}[objective])

    for name in ("unfused", "resident", "flat"):
        tree = build_mapping(work, EDGE, name)
        other = analyse(lower(tree, work, EDGE), EDGE)
        assert value(answer.result) <= value(other) * (1 + 1e-9)


@pytest.mark.parametrize("objective", ["latency", pytest.param("energy", marks=pytest.mark.slow)])
def test_masks_never_cost_more_than_none(objective: Objective) -> None:
    masks: tuple[dict[str, object], ...] = ({}, {"causal": True}, {"causal": True, "documents": (96, 32)})
    figures = []
    for mask in masks:
        work = build("attention", seq=128, b=1, h=2, passes=3, **mask)
        result = best_mapping(work, EDGE, objective, effort="quick").result
        figures.append(result.latency_s if objective == "latency" else result.energy_stated_j or 0.0)
    assert figures[0] > figures[1] > figures[2]


def test_bounds_and_state_are_judged_but_not_proven() -> None:
    causal = build("attention", seq=64, b=1, h=1, passes=3, causal=True)
    answer = best_mapping(causal, EDGE, "latency", budget_s=1)
    check(answer.mapping, causal, EDGE)
    assert not answer.proven
    assert answer.note


LAYER = """\
initial H = 0
X[t,d]     = U[t,m] * W[m,d]
DA[t,d,n]  = exp(X[t,d] * A[d,n])
H[t+1,d,n] = H[t,d,n] * DA[t,d,n] + X[t,d] * B[t,n]
Y[t,d]     = H[t+1,d,n] * C[t,n]
O[t,m]     = Y[t,d] * V[d,m]
"""


@pytest.mark.parametrize("preset", ["tpu-v4i", pytest.param("fusemax-cloud", marks=pytest.mark.slow)])
def test_a_recurrence_is_a_group_of_a_layer(preset: str) -> None:
    chip = load_machine(preset)
    work = parse(LAYER, name="layer", sizes={"t": 16, "m": 64, "d": 64, "n": 4})
    answer = best_mapping(work, chip, "latency", templates=False)
    check(answer.mapping, work, chip)
    program = lower(answer.mapping, work, chip)
    run = simulate(program, chip)
    assert (run.traffic, run.cycles >= answer.result.cycles) == (answer.result.traffic, True)
    steps = [node for node, above in walk(answer.mapping.tree) if isinstance(node, Loop) and node.rank == "t"]
    assert any(node.tile == 1 for node in steps)
    homes = [
        above for node, above in walk(answer.mapping.tree) if isinstance(node, Keep) and "H" in node.tensors
    ]
    assert homes
    assert all("t" not in {one.rank for one in above if isinstance(one, Loop)} for above in homes)


def test_a_state_that_is_no_single_step_is_left_to_its_own_space() -> None:
    text = "initial R = 0\nR[s+1,p] = R[s,p] + X[s,p]\nZ[q,p] = R[q,p] * Y[q,p]"
    work = parse(text, name="all", sizes={"s": 3, "q": 3, "p": 2})
    assert not MapSpace(cascade=work, machine=EDGE).covers  # all steps are kept


def test_a_latent_that_two_einsums_read_comes_once_from_dram() -> None:
    text = "S[h,m] = QL[h,c] * L[m,c]\nN[h,m] = exp(S[h,m])\nOL[h,c] = N[h,m] * L[m,c]"
    latent = parse(text, name="latent", sizes={"h": 4, "m": 64, "c": 32})
    answer = best_mapping(latent, EDGE, "latency", templates=False)
    assert answer.result.traffic["dram"]["L"] == 64 * 32 * latent.tensor("L").bits // 8


def test_within_is_obeyed_and_impossible_limits_are_an_error() -> None:
    gemm = parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": 24, "n": 24, "k": 24})
    free = best_mapping(gemm, EDGE, "energy", budget_s=600)
    held = sum(free.result.buffers.values())
    tight = best_mapping(gemm, EDGE, "energy", budget_s=600, within_bytes=held // 2)
    assert sum(tight.result.buffers.values()) <= held // 2
    assert tight.result.energy_stated_j >= free.result.energy_stated_j
    with pytest.raises(EinsimError, match="no mapping of gemm that fits within 2 bytes"):
        best_mapping(gemm, EDGE, "energy", budget_s=600, within_bytes=2)


def test_what_has_no_mapping_at_all_is_said_as_by_the_default() -> None:
    work, machine = parse("Y[i] = exp(X[i])", name="w", sizes={"i": 4}), load_machine("gemmini")
    with pytest.raises(EinsimError, match="no unit can compute Einsum Y"):
        best_mapping(work, machine)


def test_the_file_that_is_written_is_read_back(tmp_path: Path) -> None:
    gemm = parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": 15, "n": 16, "k": 17})
    answer = best_mapping(gemm, EDGE, "energy", budget_s=600)
    path = tmp_path / "made.yaml"
    path.write_text(dump_mapping(answer.mapping), encoding="utf-8")
    assert load_mapping(path, gemm, EDGE).tree == answer.mapping.tree


def test_a_gemm_reaches_its_lower_bounds() -> None:
    """Every tensor crosses DRAM once and the array is never idle, where the buffer holds it all."""
    gemm = parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": 128, "n": 128, "k": 128})
    answer = best_mapping(
        gemm,
        EDGE,
        "latency",
        space=MapSpace(cascade=gemm, machine=EDGE, menu="perfect", unit={"Z": "array2d"}),
    )
    assert answer.result.dram_bytes == 3 * 128 * 128 * 2
    assert answer.result.cycles == 128**3 // 1024
