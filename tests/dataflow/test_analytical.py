"""The analytical bound counts what an operation waits for: its engine, and the ports that it streams through."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, Sequence, chain, keep
from einsim.sim.engine import simulate
from einsim.workloads.notation import parse


def test_weights_straight_from_dram_take_dram_s_time_in_a_sequence_too() -> None:
    machine = load_machine("fusemax-cloud")
    work = parse(
        "Y[p,f] = X[p,d] * W[d,f]\nZ[p,g] = Y[p,f] * V[f,g]", name="two",
        sizes={"p": 1, "d": 4096, "f": 4096, "g": 4096},
    )  # fmt: skip
    leaves = tuple(
        Compute(
            einsum=name,
            unit="array2d",
            spatial={"rows": (k,), "cols": (n,)},
            stationarity="weight-stationary",
        )
        for name, k, n in (("Y", "d", "f"), ("Z", "f", "g"))
    )
    tree = chain(keep(("X", "Y", "Z"), "gb"), Sequence(children=leaves))
    program = lower(
        Mapping(cascade="two", machine=machine.name, template="by hand", tree=tree), work, machine
    )
    bound, run = analyse(program, machine), simulate(program, machine)
    assert bound.traffic == run.traffic
    assert bound.latency_s >= bound.dram_bytes / (400 * 2**30)
    assert run.cycles == pytest.approx(bound.cycles, rel=0.01)
    assert run.cycles >= bound.cycles
