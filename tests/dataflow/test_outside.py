"""What must be in DRAM at one time, by hand, and a mapping whose DRAM is a byte too small is refused."""

from __future__ import annotations

import random

import msgspec
import pytest

from einsim.dataflow.layout import lay_out
from einsim.dataflow.legality import check
from einsim.dataflow.outside import dram_bytes
from einsim.specs.errors import SpecError
from einsim.workloads.notation import parse
from tests.dataflow.cases import machine
from tests.dataflow.read_text import parse_text

SIZES = {"m": 8, "k": 4, "j": 2, "n": 3}
WORK = parse(
    "H[m,j] = X[m,k] * W[k,j]\nG[m,j] = exp(H[m,j])\nY[m,n] = G[m,j] * V[j,n]", name="ffn", sizes=SIZES
)
THROUGH = "sequence\n" + "\n".join(
    f"  keep {held} in gb x1\n    {leaf}" for held, leaf in (("X W H", "H on mm"), ("H G", "G on vec"), ("G V Y", "Y on mm"))
)  # fmt: skip
INSIDE = "keep H G in gb x1\n  sequence\n" + "\n".join(
    f"    keep {held} in gb x1\n      {leaf}" for held, leaf in (("X W", "H on mm"), ("V Y", "Y on mm"))
).replace("    keep V", "    G on vec\n    keep V")  # fmt: skip
BYTES = {"X": 64, "W": 16, "V": 12, "H": 32, "G": 32, "Y": 48}


def held(text: str, work=WORK) -> dict[str, int]:
    chip = machine(random.Random(5), levels=1)
    mapping = parse_text(f"ffn on chip (test)\n{text}")
    check(mapping, work, chip)
    return dram_bytes(mapping, lay_out(mapping, work), work, chip)


def test_inputs_stay_and_results_are_there_from_their_maker_to_their_last_reader():
    # beside X, W and V: H, then H and G (64 bytes), then G and Y (80 bytes)
    assert held(THROUGH) == {name: BYTES[name] for name in ("X", "W", "V", "G", "Y")}


def test_what_stays_on_chip_is_not_there_unless_it_is_an_output():
    assert held(INSIDE) == {name: BYTES[name] for name in ("X", "W", "V", "Y")}
    kept = msgspec.structs.replace(WORK, declared=("H",))
    assert held(INSIDE, kept) == {name: BYTES[name] for name in ("X", "W", "V", "H", "Y")}


def test_what_spills_is_there():
    spilled = INSIDE.replace("keep H G in gb x1", "keep H G in gb x1 spill=0.25")
    assert held(spilled)["H"] == BYTES["H"] // 4


@pytest.mark.parametrize("text", [THROUGH, INSIDE])
def test_a_dram_that_is_a_byte_too_small_is_told_with_need_and_capacity(text):
    need = sum(held(text).values())
    mapping = parse_text(f"ffn on chip (test)\n{text}")
    for short in (0, 1):
        chip = machine(random.Random(5), levels=1)
        memories = [
            msgspec.structs.replace(m, capacity_bytes=need - short) if m.name == "dram" else m
            for m in chip.memories
        ]
        chip = msgspec.structs.replace(chip, memories=tuple(memories))
        if not short:
            check(mapping, WORK, chip)
            continue
        with pytest.raises(SpecError) as raised:
            check(mapping, WORK, chip)
        rule = f"mapping: {need} bytes must be in dram at one time, whose capacity is {need - 1}"
        assert str(raised.value).startswith(rule)


def test_of_a_state_the_last_step_is_there():
    text = "initial R = 0\nR[s+1,p] = R[s,p] + X[s,p]"
    work = parse(text, name="ffn", sizes={"s": 4, "p": 4})
    found = held("keep R in gb x1\n  for s/1\n    keep X in gb x1\n      R on vec", work)
    assert found == {"X": 4 * 4 * 2, "R": 4 * 2}
