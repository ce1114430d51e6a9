"""A recording is the run: the same time, work and waiting, whole or in windows, and it changes nothing."""

from __future__ import annotations

import bisect
import itertools

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.dataflow.account import static_counts
from einsim.dataflow.analytical import engine_ticks
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.sim.trace.record import record
from einsim.specs.errors import RuleError
from einsim.workloads.load import load_workload
from tests.dataflow.cases import program_case

SEEDS = st.integers(0, 2**32)


def drawn(seed):
    case = program_case(seed, largest=9)
    assume(case is not None)
    work, chip, mapping = case
    return lower(mapping, work, chip), mapping, work, chip


def attention(template="fusemax-interleaved", machine="fusemax-cloud", **sizes):
    chip = load_machine(machine, {"array.rows": "4", "array.cols": "4", "vector.lanes": "4"})
    values = {"passes": "1", "b": "1", "h": "3", "e": "4", "f": "4", "m": "96", "p": "40", "m0": "4"} | sizes
    cascade = load_workload("attention", values)
    mapping = build_mapping(cascade, chip, template)
    return lower(mapping, cascade, chip), mapping, cascade, chip


def without_overlap(pieces):
    pieces = sorted((piece.start, piece.end) for piece in pieces)
    return all(one[1] <= two[0] for one, two in itertools.pairwise(pieces))


@settings(max_examples=8)
@given(SEEDS)
def test_a_whole_recording_holds_all_work_and_all_waiting(seed):
    program, mapping, work, chip = drawn(seed)
    seen = record(program, mapping, work, chip)
    result = simulate(program, chip)
    assert seen.ended
    assert -(-seen.end // program.ticks_per_cycle) == result.cycles
    total = {}
    counts = static_counts(program)
    for op in program.ops:
        for engine, ticks in engine_ticks(op, counts[op.id]).items():
            total[engine] = total.get(engine, 0) + ticks
    for engine in (*seen.units, *seen.ports):
        mine = [span for span in seen.spans if span.engine == engine]
        assert without_overlap(mine)
        held = sum(span.end - span.start for span in mine)
        assert held >= total.get(engine, 0)
    for unit in seen.units:
        mine = [span for span in seen.spans if span.engine == unit]
        idle = [stall for stall in seen.stalls if stall.unit == unit]
        assert without_overlap([*mine, *idle])  # together they leave no hole before the unit's last operation
        last = max((span.end for span in mine), default=0)
        assert sum(piece.end - piece.start for piece in (*mine, *idle)) == last


@settings(max_examples=8)
@given(SEEDS)
def test_buffers_hold_what_was_reserved_for_them_at_most(seed):
    program, mapping, work, chip = drawn(seed)
    seen = record(program, mapping, work, chip)
    for level in seen.levels:
        assert 0 <= level.held_bytes <= program.buffers[level.memory]
    ticks = [level.tick for level in seen.levels]
    assert ticks == sorted(ticks)
    left = {level.memory: level.held_bytes for level in seen.levels}
    assert not any(left.values())  # at the end every tile has been given up


@settings(max_examples=8)
@example(11274, 0.0, 0.125)  # a transfer's last port still drains at its end
@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_a_window_is_that_part_of_the_whole(seed, first, second):
    program, mapping, work, chip = drawn(seed)
    whole = record(program, mapping, work, chip)
    cycles = -(-whole.end // program.ticks_per_cycle)
    begin, end = sorted((int(first * cycles), int(second * cycles)))
    assume(begin < end)
    same(whole, record(program, mapping, work, chip, from_cycle=begin, to_cycle=end))


def same(whole, part):
    def inside(pieces):
        found = []
        for piece in pieces:
            start, end = max(piece.start, part.begin), min(piece.end, part.end)
            if start < end:
                name = getattr(piece, "iteration", "") or getattr(piece, "cause", "")
                found.append((start, end, getattr(piece, "engine", ""), getattr(piece, "name", ""), name))
        return sorted(found)

    assert inside(part.spans) == inside(whole.spans)
    assert set(inside(part.stalls)) <= set(inside(whole.stalls))
    for memory in {level.memory for level in part.levels}:
        theirs = [level for level in whole.levels if level.memory == memory]
        ticks = [level.tick for level in theirs]
        for level in (level for level in part.levels if level.memory == memory):
            assert theirs[bisect.bisect_right(ticks, level.tick) - 1].held_bytes == level.held_bytes


@pytest.mark.parametrize("template", ["fusemax-interleaved", "fusemax-stalled"])
def test_the_run_jumps_to_a_late_window_and_finds_it_the_same(template):
    program, mapping, work, chip = attention(template, m="160")
    whole = record(program, mapping, work, chip)
    cycles = whole.end // program.ticks_per_cycle
    same(
        whole,
        record(program, mapping, work, chip, from_cycle=cycles * 3 // 4, to_cycle=cycles * 3 // 4 + 200),
    )


def test_a_window_far_into_a_million_tokens_costs_little():
    program, mapping, work, chip = attention(m="65536", p="4096")
    far = simulate(program, chip).cycles // 2
    seen = record(program, mapping, work, chip, from_cycle=far, to_cycle=far + 300)
    assert len(seen.spans) > 50
    assert seen.begin == far * program.ticks_per_cycle


def test_memory_is_bounded_by_the_number_of_spans():
    program, mapping, work, chip = attention()
    seen = record(program, mapping, work, chip, most_spans=100)
    assert not seen.ended
    assert 100 <= len(seen.spans) <= 100 + len(program.engines)
    assert max(span.end for span in seen.spans) == seen.end
    same(record(program, mapping, work, chip), seen)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"from_cycle": -1}, "from: must be >= 0 (got -1)"),
        ({"from_cycle": 9, "to_cycle": 9}, "to: must be later than 'from' (9) (got 9)"),
        ({"from_cycle": 10**9}, "from: must be before the run's end at cycle {cycles} (got 1000000000)"),
    ],
)
def test_a_window_that_holds_nothing_is_refused(window, message):
    program, mapping, work, chip = attention()
    cycles = simulate(program, chip).cycles
    with pytest.raises(RuleError) as caught:
        record(program, mapping, work, chip, **window)
    assert str(caught.value) == message.format(cycles=cycles)
