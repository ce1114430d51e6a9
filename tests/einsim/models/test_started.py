"""Starting a run counts once a step, however many parts it has, and every table still adds up."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.dispatch import Dispatch
from einsim.accel.load import load_machine
from einsim.models.judge import evaluate_model

RUN, OP = 10_000, 70
TINY = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_hidden_layers": 3, "vocab_size": 256, "hidden_act": "silu",
}  # fmt: skip
PLAIN = load_machine("tpu-v4i")


def with_dispatch(run=0, op=0):
    return msgspec.structs.replace(PLAIN, dispatch=Dispatch(run_cycles=run, op_cycles=op))


def judged(machine, name="squeezenet-1.1", **settings):
    return evaluate_model(name, machine, settings=settings, level="analytical")


def test_a_network_is_started_once():
    plain, started = (judged(machine, image=64).total for machine in (PLAIN, with_dispatch(run=RUN)))
    assert started.cycles == plain.cycles + RUN
    assert started.latency_s == pytest.approx(plain.latency_s + RUN / PLAIN.clock_hz)
    assert started.dram_bytes == plain.dram_bytes
    assert started.stalls["dispatch"] == RUN
    for rows in started.breakdown_by_unit.values():
        assert sum(rows.values()) == started.cycles
    for unit, share in started.utilization.items():
        assert share == pytest.approx(plain.utilization[unit] * plain.cycles / started.cycles)


def test_every_op_of_every_part_is_started():
    plain, started = (judged(machine, image=64) for machine in (PLAIN, with_dispatch(op=OP)))
    ops = (started.total.cycles - plain.total.cycles) / OP
    assert ops >= sum(row.count for row in plain.rows)
    assert ops == int(ops)


def test_parts_add_up_to_the_total():
    found = judged(with_dispatch(run=RUN, op=OP), image=64)
    assert sum(line.cycles for line in found.part_lines()) == found.total.cycles
    assert sum(line.latency_s for line in found.part_lines()) == pytest.approx(found.total.latency_s)


def test_each_token_is_a_run():
    settings = {"seq": 16, "decode": 5, "b": 1}
    plain, started = (judged(machine, "gpt2", **settings) for machine in (PLAIN, with_dispatch(run=RUN)))
    before, after = ({one.phase: one.result.cycles for one in found.phases} for found in (plain, started))
    assert after["prefill"] - before["prefill"] == RUN
    assert after["decode"] - before["decode"] == 5 * RUN
    second = started.phases[-1].last_step_s - plain.phases[-1].last_step_s
    assert second == pytest.approx(RUN / PLAIN.clock_hz)


def test_one_part_alone_is_a_run():
    plain, started = (
        judged(machine, "gpt2", seq=16, decode=1, b=1, layer=3) for machine in (PLAIN, with_dispatch(run=RUN))
    )
    assert started.total.cycles - plain.total.cycles == len(started.phases) * RUN


def test_time_is_that_of_the_cycles(file):
    """Pieces begin at edges of the clock; what they leak until there counts (drawn input 909:2417)."""
    machine = msgspec.structs.replace(with_dispatch(run=RUN), clock_hz=1.0e9 + 7)
    found = judged(machine, file(TINY), seq=8, decode=2)
    pieces = [one for row in found.rows for each in row.judged for one in each.pieces]
    assert len(pieces) > 4
    for result in (found.total, *(row.result for row in found.rows), *(one.result for one in pieces)):
        assert result.latency_s * machine.clock_hz == pytest.approx(result.cycles, rel=1e-12)
        if machine.static_w:
            assert result.energy_by["leakage"] == pytest.approx(machine.static_w * result.latency_s, rel=1e-9)
