"""What a program takes with the ends of its engines' work is a bound: no run is shorter, however it was mapped."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.ends import Ends
from einsim.dataflow.legality import legal
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.validation.oracle.compare import draw
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse
from tests.dataflow.read_text import parse_text


def ends_and_run(mapping: Mapping, work: Cascade, machine: Machine) -> tuple[float, float, float]:
    """Seconds: the bound of engines alone, with their ends, and the run."""
    program = lower(mapping, work, machine)
    ticks, _ = Ends(program).bound()
    seconds = ticks / program.ticks_per_cycle / program.clock_hz
    return analyse(program, machine).latency_s, seconds, simulate(program, machine).latency_s


def drawn_runs(seed: int, count: int) -> int:
    compared = 0
    for number in range(count):
        case = draw(seed, number, reworked=number % 2 == 1)
        if case is None or not legal(case.mapping, case.work, case.chip):
            continue
        _, bound, run = ends_and_run(case.mapping, case.work, case.chip)
        assert bound <= run * (1 + 1e-9), case.name
        compared += 1
    return compared


def test_no_run_is_shorter() -> None:
    assert drawn_runs(5, 24) > 8


@pytest.mark.slow
def test_no_run_is_shorter_of_many() -> None:
    assert drawn_runs(6, 2000) > 600


GATED = """
G[p,s] = X[p,d] * WG[d,s]
U[p,s] = X[p,d] * WU[d,s]
H[p,s] = G[p,s] * U[p,s]
Y[p,o] = H[p,s] * WO[s,o]
"""


def test_what_is_waited_for_twice_passes_once() -> None:
    """An Einsum that reads what the one before makes waits for its tiles, and for the end of its branch."""
    work = parse(GATED, name="gated", sizes={"p": 96, "d": 128, "s": 256, "o": 128})
    machine = load_machine("flat-edge")
    alone, bound, run = ends_and_run(build_mapping(work, machine, "unfused"), work, machine)
    assert alone < bound <= run
    assert bound > 0.9 * run


def test_a_sum_goes_on_once_the_tile_before_is_there() -> None:
    """The latency of a unit passes between tiles of a reduced rank."""
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="sums", sizes={"m": 384, "n": 128, "k": 2048})
    mapping = parse_text("""sums on u280-flightllm (t)
keep A in activations x2
  keep Z in activations x2
    keep Z in partial_sums x2
      for k/32
        keep B in weights x2
          Z on mm cores=m rows=k cols=n weight-stationary""")
    _, bound, run = ends_and_run(mapping, work, load_machine("u280-flightllm"))
    assert bound == pytest.approx(run, rel=1e-9)


def test_a_port_idles_while_a_slower_one_fills_its_first_tile_and_empties_its_last() -> None:
    """DRAM passes 5 bytes a cycle and `gb` 8: of the first tile of X and of the last of Y, 128 x 512 values of
    2 bytes each, `gb` waits for (1/5 - 1/8) of the cycles.
    """
    work = parse("Y[p,d] = X[p,d] * X[p,d]", name="square", sizes={"p": 256, "d": 512})
    machine = load_machine("eyeriss-like", {"buffer": "2MiB"})
    mapping = parse_text("""square on eyeriss-like (t)
for p/128
  keep X Y in gb x2
    Y on array1d lanes=p*d""")
    alone, bound, run = ends_and_run(mapping, work, machine)
    tile = 128 * 512 * 2
    idle = 2 * tile * (1 / 5 - 1 / 8) / machine.clock_hz
    assert alone + idle * 0.99 <= bound <= run
