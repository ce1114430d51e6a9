"""A recurrence whose steps sum along an array's rows pays for that sum in each step, at both levels."""

from __future__ import annotations

import random

import msgspec
import pytest

from einsim.accel.machine import Machine
from einsim.dataflow import chain
from einsim.dataflow.account import static_counts
from einsim.dataflow.analytical import analyse, least_ticks
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.sim.engine import simulate
from einsim.workloads.notation import parse
from tests.dataflow.cases import machine, program_case
from tests.dataflow.read_text import parse_text

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


def chip_that_takes(stated: dict[str, int], levels: int = 1) -> Machine:
    plain = machine(random.Random(5), levels=levels, ideal=True)
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
    return msgspec.structs.replace(plain, units=(mm, vec))


@pytest.mark.parametrize(("stated", "each"), [({}, 4), ({"mac": 9}, 9), ({"max": 9}, 0)])
def test_each_step_waits_for_the_sum_of_the_one_before(stated, each):
    chip, mapping = chip_that_takes(stated), parse_text(f"chain on chip (test){TEXT}")
    check(mapping, WORK, chip)
    program = lower(mapping, WORK, chip)
    assert STEPS * (2 + each) == analyse(program, chip).cycles
    assert STEPS * (2 + each) <= simulate(program, chip).cycles <= STEPS * (2 + each) + 4


def test_many_steps_take_as_many_times_what_one_takes():
    steps = 10**6
    work = msgspec.structs.replace(
        WORK,
        ranks=tuple(
            msgspec.structs.replace(rank, size=steps) if rank.name == "t" else rank for rank in WORK.ranks
        ),
    )
    chip, mapping = chip_that_takes({}), parse_text(f"chain on chip (test){TEXT}")
    assert analyse(lower(mapping, work, chip), chip).cycles == steps * (2 + 4)


def test_a_tile_that_goes_on_with_a_sum_waits_for_the_one_before():
    """Three tiles of 4 along k: a cycle each, and 2 until 4 rows have come together."""
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="sum", sizes={"m": 1, "n": 1, "k": 12})
    chip = chip_that_takes({})
    mapping = parse_text("sum on chip (test)\nkeep A B Z in gb x2\n  for k/4\n    Z on mm rows=k")
    program = lower(mapping, work, chip)
    assert analyse(program, chip).cycles == simulate(program, chip).cycles == 3 * (1 + 2)


def test_what_goes_through_dram_is_waited_for():
    """A cycle, a cycle: the second Einsum has its operand when it has left two memories and come back."""
    work = parse("B[i] = exp(A[i])\nC[i] = exp(B[i])", name="two", sizes={"i": 16})
    chip = chip_that_takes({}, levels=2)
    text = (
        "two on chip (test)\npipeline\n  keep A B in gb x2\n    keep A B in l1 x2\n      B on mm rows=i\n"
        "  keep B C in gb x2\n    keep B C in l1 x2\n      C on vec lanes=i"
    )
    program = lower(parse_text(text), work, chip)
    assert analyse(program, chip).cycles == simulate(program, chip).cycles == 2


def test_steps_of_its_own_state_in_one_tile_are_steps_one_by_one():
    work = parse(
        "initial S = 0\nS[t+1,c] = S[t,c] * D[c] + X[t,c]\nY[c] = S[T,c] * G[c]",
        name="last",
        sizes={"t": 5, "c": 6},
    )
    text = "last on chip (test)\nkeep S D X G Y in gb x2\n  pipeline\n    {}S on vec lanes=c\n    Y on vec lanes=c"
    chip = chip_that_takes({})
    one, many = (lower(parse_text(text.format(loop)), work, chip) for loop in ("", "for t/1\n      "))
    for level in (analyse, simulate):
        found, wanted = level(one, chip), level(many, chip)
        assert found.cycles == wanted.cycles
        assert found.traffic == wanted.traffic
        assert found.energy_by == wanted.energy_by


@pytest.mark.parametrize("seed", range(12))
def test_the_last_iterations_are_no_longer_than_all(seed, monkeypatch):
    if (case := program_case(seed)) is None:
        return
    work, chip, mapping = case
    program = lower(mapping, work, chip)
    counts = static_counts(program)
    whole = chain.chain_ticks(program, counts)
    assert whole <= least_ticks(program, counts)
    monkeypatch.setattr(chain, "MOST", 0)
    few = chain.chain_ticks(program, counts)
    assert 0 < few <= whole
    monkeypatch.setattr(chain, "_parts", lambda program: [chain._whole(program)])
    assert chain.chain_ticks(lower(mapping, work, chip), counts) == few


def test_loops_one_after_the_other_are_walked_in_time_in_proportion_to_their_number(monkeypatch):
    """Each was walked with all the others: 1,000 Einsums took 25 CPU-s, 5,000 more than 240."""
    monkeypatch.setattr(chain, "MOST", 0)
    walked = []
    step = chain._Run.step
    monkeypatch.setattr(chain._Run, "step", lambda run: (walked.append(1), step(run))[1])
    known = {}
    for many in (4, 8, 16):
        text, tree = "", "chain on chip (test)\nsequence"
        for at in range(many):
            text += (
                f"initial S{at} = 0\nS{at}[t+1,c] = S{at}[t,c] * D[c] + {f'S{at - 1}' if at else 'X'}[t,c]\n"
            )
            tree += f"\n  keep D S{at} {f'S{at - 1}' if at else 'X'} in gb x1\n    for t/1\n      S{at} on vec lanes=c"
        work, chip = parse(text, name="chain", sizes={"t": 40, "c": 6}), chip_that_takes({})
        found = []
        for parts in (chain._parts, lambda program: [chain._whole(program)]):
            walked.clear()
            with monkeypatch.context() as patched:
                patched.setattr(chain, "_parts", parts)
                program = lower(parse_text(tree), work, chip)
                found.append((chain.chain_ticks(program, static_counts(program)), len(walked)))
        (ticks, known[many]), (wanted, _) = found
        assert ticks == wanted
    assert known[16] - known[8] == 2 * (known[8] - known[4])


def test_a_round_of_a_sequence_ends_before_the_next_though_bounds_leave_nothing_of_a_child():
    """Row i takes i cycles for its sum, of which the first has no point, and one more on the other unit."""
    work = parse(
        "where j < i\nN[i] = sum[j](X[i,j])\nY[i] = N[i] + B[i]", name="rows", sizes={"i": 4, "j": 4}
    )
    chip = chip_that_takes({})
    text = (
        "rows on chip (test)\nkeep X B N Y in gb x2\n  for i/1\n    sequence\n      N on vec\n      Y on mm"
    )
    program = lower(parse_text(text), work, chip)
    assert analyse(program, chip).cycles == simulate(program, chip).cycles == sum(range(4)) + 4
