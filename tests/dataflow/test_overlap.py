"""A tile holds its unit for a norm of its own cycles and of what its operands take at ports."""

from __future__ import annotations

import math

import pytest

from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import best_mapping
from einsim.dataflow.mapping import Compute, Mapping, chain, keep
from einsim.dataflow.volume import held
from einsim.sim.engine import simulate
from einsim.specs.errors import SpecError
from einsim.workloads.notation import parse

GHZ = 10**9
WORK = parse("Z[m,n] = A[m,k] * B[k,n]", name="product", sizes={"m": 8, "n": 8, "k": 640})


def machine(overlap, rate):
    free = {"capacity_bytes": None, "write_bytes_per_s": None}
    memories = (
        Memory(name="dram", parent=None, read_bytes_per_s=None, **free),
        Memory(name="near", parent="dram", read_bytes_per_s=rate * GHZ, shared_port=False, **free),
    )
    unit = Unit(
        name="mm", kind="array", dims={"rows": 8, "cols": 8}, ops={"mac": OpCost()}, reads_from="near",
        overlap=overlap,
    )  # fmt: skip
    return Machine(name="chip", family="generic", clock_hz=float(GHZ), memories=memories, units=(unit,))


def run(chip, level):
    """Operands are there; tiles of 64 cycles that read 2 * 8 * 64 values of 2 bytes each."""
    leaf = Compute(einsum="Z", unit="mm", spatial={"rows": ("m",), "cols": ("n",)})
    tree = chain(keep("A B", "near", buffers=1), keep("Z", "mm", buffers=1), ("k", 64), leaf)
    return level(
        lower(Mapping(cascade="product", machine="chip", template="by hand", tree=tree), WORK, chip), chip
    )


@pytest.mark.parametrize("level", [analyse, simulate])
@pytest.mark.parametrize("order", [1.0, 2.0, 3.0])
def test_a_tile_takes_the_norm_of_its_cycles_and_its_operands(level, order):
    """2048 bytes at 32 a cycle are as long as the 64 cycles, at 64 half as long; loads cost nothing."""
    for rate in (32, 64):
        alone = run(machine(0.0, 10**6), level).cycles
        found, moved = run(machine(order, rate), level), 2048 / rate
        each = (64**order + moved**order) ** (1 / order)
        assert found.cycles == pytest.approx(alone + 10 * (each - 64), abs=2)


def test_time_lies_between_the_longest_and_the_sum_and_falls_with_the_order():
    times = [simulated(order) for order in (1.0, 1.5, 2.0, 4.0, 16.0, 0.0)]
    assert times == sorted(times, reverse=True)
    assert held(64, [48, 0], 1.0) == 112
    assert held(64, [48], 2.0) == 80  # 3, 4, 5
    assert held(64, [48], 0.0) == 64
    assert held(64, [], 2.0) == 64
    assert held(3, [4, 12], 2.0) == 13
    assert held(10, [7], 64.0) == math.ceil(10)


def simulated(order):
    return run(machine(order, 48), simulate).cycles


@pytest.mark.parametrize("order", [1.0, 1.7, 2.0, 5.0])
def test_the_analytical_level_stays_a_lower_bound_and_the_jump_exact(order):
    chip = machine(order, 40)
    leaf = Compute(einsum="Z", unit="mm", spatial={"rows": ("m",), "cols": ("n",)})
    tree = chain(keep("Z", "mm", buffers=1), ("k", 4), keep("A B", "near"), leaf)
    program = lower(Mapping(cascade="product", machine="chip", template="by hand", tree=tree), WORK, chip)
    ran = simulate(program, chip)
    assert ran.cycles == simulate(program, chip, jump=False).cycles
    assert analyse(program, chip).cycles <= ran.cycles
    assert sum(ran.breakdown_by_unit["mm"].values()) == ran.cycles


def test_energy_and_bytes_do_not_depend_on_it():
    one, other = (run(machine(order, 32), simulate) for order in (0.0, 1.0))
    assert (one.traffic, one.energy_by) == (other.traffic, other.energy_by)


def test_a_search_says_that_it_cannot_count_it():
    with pytest.raises(SpecError, match="takes all of a tile to overlap, and that of mm doesn't"):
        best_mapping(WORK, machine(2.0, 32))
