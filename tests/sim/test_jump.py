"""The jump is exact: the same cycles, stalls, traffic and counts as the plain run, in less work."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import Simulation, simulate
from einsim.sim.jump import Jumper
from einsim.sim.memory.timed import timed
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from tests.dataflow.cases import program_case

SEEDS = st.integers(0, 2**32)


def alike(program, chip):
    plain, jumped = Simulation(program, jump=False), Simulation(program, jump=True)
    plain.go()
    jumped.go()
    for mine, theirs in zip(plain.actors, jumped.actors, strict=True):
        assert mine.counts == theirs.counts, mine.op.name
    ours, other = plain.result(chip), jumped.result(chip)
    assert ours.cycles == other.cycles
    assert ours.stalls_by_unit == other.stalls_by_unit
    assert ours.traffic == other.traffic
    assert ours.energy_by == other.energy_by
    assert ours.by_einsum == other.by_einsum
    assert ours.bottleneck == other.bottleneck
    return jumped.skipped


@settings(max_examples=24, deadline=None, derandomize=True)
@given(SEEDS)
def test_jump_equals_the_plain_run(seed):
    case = program_case(seed, largest=12)
    assume(case is not None)
    work, chip, mapping = case
    alike(lower(mapping, work, chip), chip)


def attention(template, machine, **sizes):
    chip = load_machine(machine, {"array.rows": "4", "array.cols": "4", "vector.lanes": "4"})
    passes = "3" if template in ("flat", "unfused", "resident") else "1"
    values = {"passes": passes, "b": "1", "h": "3", "e": "4", "f": "4", "m": "96", "p": "40"} | sizes
    cascade = load_workload("attention", values)
    return lower(build_mapping(cascade, chip, template), cascade, chip), chip


@pytest.mark.parametrize(
    ("template", "machine", "sizes"),
    [
        ("fusemax-interleaved", "fusemax-cloud", {"m0": "4"}),
        ("fusemax-interleaved", "fusemax-cloud", {"m0": "4", "p": "42"}),
        ("fusemax-interleaved", "fusemax-cloud", {"m0": "4", "m": "64", "p": "64", "causal": "true"}),
        ("fusemax-stalled", "fusemax-cloud", {"m0": "4"}),
        ("fusemax-on-flat", "flat-cloud", {"m0": "4"}),
        ("flat", "flat-cloud", {}),
        ("unfused", "flat-cloud", {"m": "90"}),
        ("resident", "fusemax-cloud", {}),
    ],
)
def test_jump_equals_the_plain_run_on_templates(template, machine, sizes):
    program, chip = attention(template, machine, **sizes)
    alike(program, chip)


@pytest.mark.parametrize("timing", [{}, {"dram.timing": "ddr4-3200", "dram.bandwidth": "25GB/s"}])
def test_a_jump_changes_no_part_s_state_relative_to_time_and_loop(monkeypatch, timing):
    """The protocol's law, part by part: what moved is where it was, for who looks from the new base."""
    chip = load_machine("flat-cloud", {"array.rows": "8", "array.cols": "8", "vector.lanes": "8"} | timing)
    values = {"passes": "3", "b": "2", "h": "64", "e": "64", "f": "64", "m": "64", "p": "64"}
    cascade = load_workload("attention", values)
    program, ports = timed(lower(build_mapping(cascade, chip, "unfused"), cascade, chip), chip)
    plain, looked = Jumper._jump, []

    def jump(self, loop, before, index, leads):
        run = self.run
        stood = [list(actor.position) for actor in run.actors]
        base = self.base(loop)
        old = [part.state(base) for part in run.parts]
        times = [actor.mark().times for actor in run.actors]
        counted, skipped = [dict(actor.counts) for actor in run.actors], run.skipped
        if not plain(self, loop, before, index, leads):
            assert run.skipped == skipped
            return False
        moved = [actor.position != position for actor, position in zip(run.actors, stood, strict=True)]
        base = self.base(loop)
        for part, state, mine in zip(run.parts, old, [*moved, *[True] * len(run.parts)], strict=False):
            assert not mine or part.state(base) == state, part
        for actor, before_it, mine in zip(run.actors, times, moved, strict=True):
            ahead = run.skipped - skipped if mine else 0
            assert actor.mark().times == tuple(time + ahead for time in before_it)
        assert any(moved)
        assert counted != [actor.counts for actor in run.actors]
        looked.append(loop)
        return True

    monkeypatch.setattr(Jumper, "_jump", jump)
    run = Simulation(program, jump=True, ports=ports)
    run.go()
    assert looked


def tiles(program):
    """Tiles that a run goes through one by one."""
    run = Simulation(program, jump=True)
    run.tiles = 10**9
    run.go()
    return 10**9 - run.tiles


def test_sibling_loops_that_each_go_at_a_pace_of_their_own_are_skipped():
    """QK's loop runs ahead of that of GM, which reads all of it: the distance grows, and nothing hangs on it."""
    program, chip = attention("flat", "flat-cloud", h="1", p="4", m="600")
    assert alike(program, chip)
    few = tiles(program)
    assert tiles(attention("flat", "flat-cloud", h="1", p="4", m="6000000")[0]) <= few + 40


def test_a_queued_operation_is_not_overtaken_in_a_jump():
    """Of two that queue for a unit the older one comes first: a jump ends where the mover becomes the younger.

    Written out, since a drawn case's number is another case once a machine has a new field.
    """
    case = msgspec.json.decode((Path(__file__).parent / "queued.json").read_bytes())
    chip = msgspec.convert(case["machine"], Machine)
    mapping = msgspec.convert(case["mapping"], Mapping)
    assert alike(lower(mapping, parse(case["cascade"]), chip), chip)


def test_the_jump_skips_nearly_all_of_a_long_run():
    program, chip = attention("fusemax-interleaved", "fusemax-cloud", m0="4", m="4096")
    run = Simulation(program, jump=True)
    run.go()
    assert run.skipped > 0.8 * run.ledger.last
    assert simulate(program, chip).cycles == run.result(chip).cycles
