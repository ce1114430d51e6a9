"""Every cycle of every unit has one reason, the reasons add up, and they are those of the stalls."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.sim.breakdown import IDLE, breakdown, by_unit, hundredths
from einsim.sim.engine import simulate
from einsim.workloads.load import load_workload
from tests.dataflow.cases import program_case


def attention(template, machine, **settings_of_machine):
    values = {
        "passes": "1" if template.startswith("fusemax") else "3",
        "b": "1",
        "h": "4",
        "e": "64",
        "f": "64",
    }
    cascade = load_workload("attention", values | {"m": "512", "p": "512"})
    chip = load_machine(machine, settings_of_machine)
    return simulate(lower(build_mapping(cascade, chip, template), cascade, chip), chip)


@settings(max_examples=12)
@given(st.integers(0, 2**32))
def test_every_cycle_has_one_reason_and_the_jump_knows_them_all(seed):
    case = program_case(seed, largest=12)
    assume(case is not None)
    work, chip, mapping = case
    program = lower(mapping, work, chip)
    result = simulate(program, chip)
    assert simulate(program, chip, jump=False).breakdown_by_unit == result.breakdown_by_unit
    rows = breakdown(result)
    engines = {engine.name for engine in program.engines}
    ops = {op.name for op in program.ops}
    for unit, stalls in result.stalls_by_unit.items():
        mine = [row for row in rows if row.unit == unit]
        assert sum(row.cycles for row in mine) == result.cycles
        assert sum(row.share for row in mine) == pytest.approx(1)
        assert all(row.cycles >= 0 for row in mine)
        for cause, cycles in stalls.items():
            assert sum(row.cycles for row in mine if row.cause == cause) == cycles
        assert {row.what for row in mine if row.cause == "bandwidth"} <= engines
        assert {row.what for row in mine if row.cause in ("dependency", "capacity")} <= {*ops, ""}


def test_the_analytical_level_knows_busy_and_not_busy():
    case = next(found for seed in range(50) if (found := program_case(seed)) is not None)
    work, chip, mapping = case
    result = analyse(lower(mapping, work, chip), chip)
    for unit in result.utilization:
        mine = {row.text: row.cycles for row in breakdown(result) if row.unit == unit}
        assert set(mine) == {"busy", "not busy"}
        assert sum(mine.values()) == result.cycles


def test_a_tile_at_a_time_waits_for_its_own_chain():
    """FuseMax without interleaving: the array waits for the running maximum, the vector unit for the column's."""
    rows = breakdown(attention("fusemax-stalled", "fusemax-cloud"))
    largest = {
        unit: next(row for row in rows if row.unit == unit and row.cause != "busy")
        for unit in ("array2d", "array1d")
    }
    assert largest["array2d"].text == "waiting for RM"
    assert largest["array1d"].text == "waiting for LM"
    assert largest["array1d"].share > 0.5


def test_a_slow_dram_starves_and_is_named():
    rows = breakdown(attention("unfused", "flat-cloud", **{"dram.bandwidth": "20GiB/s"}))
    worst = next(row for row in rows if row.unit == "array2d" and row.cause != "busy")
    assert (worst.cause, worst.what, worst.text) == ("bandwidth", "dram", "starved by dram")
    assert worst.share > 0.5


def test_after_its_last_operation_a_unit_has_no_work_left():
    rows = breakdown(attention("unfused", "flat-cloud"))
    assert any(row.text == IDLE and row.unit == "array1d" for row in rows)
    assert not any(row.text == IDLE and row.unit == "array2d" for row in rows)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=12))
def test_percentages_as_printed_add_up_and_are_rounded_by_less_than_one(parts):
    shares = hundredths(parts)
    if not sum(parts):
        assert set(shares) == {0}
        return
    assert sum(shares) == 10_000
    assert all(abs(share - 10_000 * part / sum(parts)) < 1 for share, part in zip(shares, parts, strict=True))


@pytest.mark.parametrize("most", [2, 3, 8])
def test_the_lines_of_a_unit_add_up_however_few_are_shown(most):
    result = attention("unfused", "flat-cloud", **{"dram.bandwidth": "20GiB/s"})
    whole = by_unit(result, most=100)
    assert set(whole) == set(result.utilization)
    for unit, lines in by_unit(result, most=most).items():
        assert len(lines) == min(most, len(whole[unit]))
        assert sum(cycles for _, cycles, _ in lines) == result.cycles
        assert sum(round(100 * float(share.removesuffix(" %"))) for _, _, share in lines) == 10_000
