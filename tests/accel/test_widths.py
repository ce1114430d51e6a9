"""What wide operands cost on a narrow unit: by hand, and as laws."""

from __future__ import annotations

import pytest

from einsim.accel.machine import OpCost, Unit
from einsim.accel.widths import issued, lacks
from einsim.specs.errors import RuleError

MAC16 = OpCost(cycles=2, energy_pj=0.9)


def unit(*bits: int, **by_bits: OpCost) -> Unit:
    ops = {op: OpCost(energy_pj=0.5) for op in ("mac", "mul", "add", "max", "exp", "cmp", "select")}
    ops["mac"] = OpCost(energy_pj=0.5, by_bits={key.strip("_"): cost for key, cost in by_bits.items()})
    ops["sigmoid"] = OpCost(made_of={"exp": 1, "add": 1})
    ops["square"] = OpCost(made_of={"mul": 1})
    return Unit(name="mm", kind="array", dims={"rows": 2, "cols": 2}, ops=ops, bits=bits, reads_from="gb")


@pytest.mark.parametrize(
    ("op", "bits", "passes"),
    [
        ("mac", (8, 8), 1), ("mac", (4, 3), 1), ("mac", (16, 8), 2), ("mac", (8, 16), 2), ("mac", (16, 16), 4),
        ("mac", (32, 32), 16), ("mul", (12, 9), 4), ("mul", (12, 4), 2), ("add", (16, 8), 2), ("max", (32,), 4),
        ("select", (16, 16), 2), ("cmp", (9, 1), 2), ("exp", (8,), 1),
    ],
)  # fmt: skip
def test_products_take_each_pair_of_slices_and_sums_each_slice(op, bits, passes):
    assert issued(unit(8), op, bits) == (op,) * passes


@pytest.mark.parametrize("op", ["mac", "add"])
def test_a_width_of_too_many_passes_is_refused(op):
    """Passes are listed one by one: 2**31 bits took all memory (drawn input 303:542)."""
    assert len(issued(unit(8), "mac", (512, 512))) == 2**12
    with pytest.raises(RuleError, match="of which a wider one can't be composed"):
        issued(unit(8), op, (2**31, 2**31))


def test_a_unit_that_states_no_width_takes_any():
    assert issued(unit(), "mac", (64, 64)) == ("mac",)


def test_the_widest_of_several_widths_is_the_slice():
    assert issued(unit(4, 8), "mac", (16, 16)) == ("mac",) * 4


def test_a_stated_width_is_taken_where_it_is_done_first():
    wide = unit(8, _16=MAC16)
    assert issued(wide, "mac", (8, 8)) == ("mac",)
    assert issued(wide, "mac", (16, 16)) == ("mac@16",)
    assert wide.cost("mac@16") == MAC16
    assert issued(wide, "mac", (32, 16)) == ("mac@16",) * 2
    assert issued(wide, "mac", (16, 8)) == ("mac@16",)  # 2 cycles, as two passes take, for 0.9 pJ, not 1
    slow = unit(8, _16=OpCost(cycles=5, energy_pj=0.9))
    assert issued(slow, "mac", (16, 16)) == ("mac",) * 4
    assert issued(unit(8, _16x8=MAC16), "mac", (8, 16)) == ("mac@16x8",)
    assert issued(unit(8, _16x8=MAC16), "mac", (32, 16)) == ("mac@16x8",) * 4


def test_a_function_is_had_whole_or_made_of_others():
    assert issued(unit(8), "square", (16,)) == ("mul",) * 4
    with pytest.raises(RuleError) as raised:
        issued(unit(8), "exp", (16,))
    assert str(raised.value) == "mm has exp for 8 bits, of which a wider one can't be composed (got 16)"
    with pytest.raises(RuleError):
        issued(unit(8), "sigmoid", (16,))


def test_what_a_unit_lacks_is_said():
    assert lacks(unit(8), (("mac", (16, 16)), ("add", (8,)))) == ""
    assert lacks(unit(8), (("erf", (8,)), ("log", (8,)))) == "mm lacks erf, log"
    assert lacks(unit(8), (("exp", (16,)),)).startswith("mm has exp for 8 bits")


def test_figures_by_width_need_the_width_of_the_others():
    with pytest.raises(RuleError) as raised:
        unit(_16=MAC16)
    assert str(raised.value).startswith("ops.mac.by_bits: needs the unit's `bits`")
