"""Two modes of one array compute one after the other, at both levels; alone, each is as if it were its own."""

from __future__ import annotations

import random

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.sim.engine import simulate
from einsim.specs.errors import RuleError
from einsim.workloads.notation import parse
from tests.dataflow.cases import machine
from tests.dataflow.read_text import parse_text

BOTH = parse("Y[m] = exp(X[m])\nZ[n] = exp(W[n])", name="both", sizes={"m": 64, "n": 64})
TEXT = "keep X Y W Z in gb x1\n  pipeline\n    Y on mm\n    Z on {unit}"


def chip(*, turns: bool) -> Machine:
    plain = machine(random.Random(5), levels=1, ideal=True)
    mm = plain.unit("mm")
    mv = msgspec.structs.replace(mm, name="mv", mode_of="mm" if turns else "")
    return msgspec.structs.replace(plain, units=(mm, mv))


@pytest.mark.parametrize("level", [analyse, simulate])
def test_both_modes_take_the_sum_of_their_times(level):
    def cycles(unit: str, *, turns: bool) -> int:
        of = chip(turns=turns)
        return level(lower(parse_text(f"both on chip (t)\n{TEXT.format(unit=unit)}"), BOTH, of), of).cycles

    together, in_turn, one = (
        cycles("mv", turns=False), cycles("mv", turns=True), cycles("mm", turns=True),
    )  # fmt: skip
    assert in_turn >= 2 * together * 0.9 > together
    assert in_turn == pytest.approx(one, rel=0.1)


@pytest.mark.parametrize("level", [analyse, simulate])
def test_a_mode_alone_waits_for_nobody(level):
    text = "keep X Y in gb x1\n  Y on mv"
    alone = parse("Y[m] = exp(X[m])", name="both", sizes={"m": 64})
    times = [
        level(lower(parse_text(f"both on chip (t)\n{text}"), alone, of), of).cycles
        for of in (chip(turns=True), chip(turns=False))
    ]
    assert times[0] == times[1]


def test_the_arrays_of_flightllm_are_modes_of_one():
    assert [unit.mode_of for unit in load_machine("u280-flightllm").units] == ["", "mm", ""]


def test_a_mode_needs_a_unit_with_arithmetic_of_its_own():
    plain = chip(turns=True)
    with pytest.raises(RuleError) as raised:
        msgspec.structs.replace(plain, units=(plain.units[1],))
    assert "mode_of: must name a unit with arithmetic of its own (got 'mm')" in str(raised.value)


@pytest.mark.parametrize("level", [analyse, simulate])
def test_a_unit_that_stops_dram_computes_and_moves_in_turn(level):
    """Loads of a product at 2 bytes a cycle, and tiles of it in between: the sum of both, at both levels."""
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="both", sizes={"m": 64, "n": 16, "k": 16})
    text = "for m/16\n  keep A Z in gb x2\n    keep B in gb x1\n      Z on mm"
    plain = machine(random.Random(5), levels=1, ideal=True)
    dram = msgspec.structs.replace(plain.dram, shared_port=True, read_bytes_per_s=2 * 10**9)
    plain = msgspec.structs.replace(plain, memories=(dram, *plain.memories[1:]))
    stopping = msgspec.structs.replace(plain.unit("mm"), stops=plain.dram.name)
    chips = plain, msgspec.structs.replace(plain, units=(stopping,))
    beside, in_turn = (
        level(lower(parse_text(f"both on chip (t)\n{text}"), work, chip), chip) for chip in chips
    )
    busy = {name: beside.bound_by[name] for name in ("mm", plain.dram.name)} if level is analyse else None
    assert in_turn.cycles > beside.cycles
    if busy:
        assert in_turn.cycles == pytest.approx(sum(busy.values()), rel=0.01)
    assert in_turn.dram_bytes == beside.dram_bytes


def test_what_is_stopped_has_one_shared_port():
    plain = machine(random.Random(5), levels=1, ideal=True)
    for stops in ("gb", "nowhere", "mm"):
        with pytest.raises(RuleError, match="must name a memory of one bank and one shared bandwidth"):
            msgspec.structs.replace(plain, units=(msgspec.structs.replace(plain.unit("mm"), stops=stops),))
