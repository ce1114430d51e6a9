"""A recurrence whose steps sum along an array's rows pays for that sum in each step of a simulation."""

from __future__ import annotations

import random

import msgspec
import pytest

from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping_text import parse_text
from einsim.sim.engine import simulate
from einsim.workloads.notation import parse
from tests.dataflow.cases import machine

STEPS = 40
WORK = parse(
    "initial H = 0\nM[t,n] = A[n,k] * H[t,k]\nH[t+1,n] = M[t,n] + X[t,n]",
    name="chain",
    sizes={"t": STEPS, "n": 16, "k": 16},
)
TEXT = """
keep A X H M in gb x1
  for t/1
    pipeline
      M on mm rows=k cols=n
      H on vec lanes=n
"""


@pytest.mark.parametrize(("stated", "each"), [({}, 4), ({"mac": 9}, 9), ({"max": 9}, 0)])
def test_each_step_waits_for_the_sum_of_the_one_before(stated, each):
    plain = machine(random.Random(5), levels=1, ideal=True)
    ops = {
        op: msgspec.structs.replace(cost, cycles=1, latency_cycles=0, by_bits={})
        for op, cost in plain.units[0].ops.items()
    }
    mm = msgspec.structs.replace(
        plain.unit("mm"),
        dims={"rows": 16, "cols": 16},
        ops=ops,
        bits=(),
        fill="hidden",
        reduction_latency_cycles=stated,
    )
    vec = msgspec.structs.replace(plain.unit("vec"), dims={"lanes": 16}, ops=ops, clock_hz=None, bits=())
    chip = msgspec.structs.replace(plain, units=(mm, vec))
    mapping = parse_text(f"chain on chip (test){TEXT}")
    check(mapping, WORK, chip)
    program = lower(mapping, WORK, chip)
    assert STEPS * (2 + each) <= simulate(program, chip).cycles <= STEPS * (2 + each) + 4
    assert analyse(program, chip).cycles <= simulate(program, chip).cycles
