"""What the mapper returns for library workloads on every family: legal, no deadlock, the traffic it counts."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import best_mapping
from einsim.sim.engine import simulate
from einsim.workloads.cascade import Cascade
from einsim.workloads.library import build
from einsim.workloads.load import load_workload

MACHINES = (
    "flat-edge",
    "fusemax-cloud",
    "tpu-v4i",
    "eyeriss-like",
    "sa8295p",
    "u280-flightllm",
    "vcu1525-sat",
)


def workload(name: str) -> Cascade:
    return {
        "attention": lambda: build("attention", seq=64, b=1, h=4, passes=3),
        "layer": lambda: load_workload("bert-base", {"seq": 64, "b": 1}),
        "decode": lambda: build("attention-decode", seq=128, b=1, h=4, passes=3),
    }[name]()


def runs(accel: str, name: str, objective: str, nodes: int) -> None:
    work, chip = workload(name), load_machine(accel)
    answer = best_mapping(work, chip, objective, nodes=nodes, templates=False)  # type: ignore[arg-type]
    assert answer.mapping.template in ("mapper", "refined")
    check(answer.mapping, work, chip)
    run = simulate(lower(answer.mapping, work, chip), chip)
    assert run.traffic == answer.result.traffic
    assert run.cycles >= answer.result.cycles
    assert 0 <= answer.gap < 1


@pytest.mark.parametrize("accel", MACHINES)
def test_it_is_legal_and_runs_with_the_same_traffic(accel: str) -> None:
    runs(accel, "decode", "latency", 5_000)


@pytest.mark.slow
@pytest.mark.parametrize("accel", MACHINES)
@pytest.mark.parametrize("name", ["attention", "layer", "decode"])
@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
def test_every_workload_runs_everywhere(accel: str, name: str, objective: str) -> None:
    runs(accel, name, objective, 20_000)
