"""The report's roof is what the oracle takes where every element of the matrix unit has work all the time."""

from __future__ import annotations

import random

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, chain, keep
from einsim.report.case import Case
from einsim.validation.oracle.draw_machine import draw_machine
from einsim.workloads.notation import parse
from tests.validation.oracle.small import machine, outcome


def drawn_machine(number: int) -> Machine:
    """One core, with a matrix unit that takes 16 bits as they are."""
    rng = random.Random(f"roof/{number}")
    while (machine := draw_machine(rng, plain=True)).matrix_units[0].bits:
        pass
    return machine


def test_a_full_array_works_at_the_roof() -> None:
    for number in range(10):
        chip = drawn_machine(number)
        unit = chip.matrix_units[0]
        sizes = {"m": 2 * unit.dims["rows"], "n": 3 * unit.dims["cols"], "k": 5}
        work = parse("Z[m,n] = A[m,k] * B[k,n]", name="full", sizes=sizes)
        leaf = Compute(einsum="Z", unit=unit.name, spatial={"rows": ("m",), "cols": ("n",)})
        tree = chain(*(keep("A B Z", memory.name) for memory in chip.memories if memory.parent), leaf)
        found = outcome(work, chip, tree)
        program = lower(Mapping(cascade="full", machine=chip.name, template="test", tree=tree), work, chip)
        case = Case(result=analyse(program, chip), machine=chip)
        seconds = found.unit_cycles[unit.name] / chip.clock_hz
        assert case.macs / case.peak_macs_per_s == seconds
        moved = sum((found.books.reads + found.books.writes)["dram", tensor] for tensor in "ABZ")
        assert case.macs / case.intensity == moved
        assert case.dram_bytes_per_s == (chip.dram.read_bytes_per_s or 0)


def test_no_values_load_for_a_fold_without_points() -> None:
    # keys in rows, queries in columns of a 4 x 4 array, 8 x 8 points under the diagonal: of the 4 folds the
    # one of keys 4..7 and queries 0..3 is empty. In each of the 3 others all has passed in a step, and the
    # next 4 rows of keys load.
    work = parse("where m <= p\nS[p,m] = Q[p,e] * K[m,e]", name="causal", sizes={"p": 8, "m": 8, "e": 1})
    chip = machine()
    grid = msgspec.structs.replace(chip.unit("grid"), kind="systolic", dataflows=("weight-stationary",))
    chip = msgspec.structs.replace(chip, units=(grid, chip.unit("lanes")))
    spatial = {"rows": ("m",), "cols": ("p",)}
    leaf = Compute(einsum="S", unit="grid", spatial=spatial, stationarity="weight-stationary")
    tree = chain(keep("Q K S", "gb"), leaf)
    assert outcome(work, chip, tree).unit_cycles["grid"] == 3 * 4
    program = lower(Mapping(cascade="causal", machine=chip.name, template="test", tree=tree), work, chip)
    assert analyse(program, chip).breakdown_by_unit["grid"]["busy"] == 3 * 4
