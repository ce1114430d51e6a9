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
