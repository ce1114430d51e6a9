"""A program that was lowered for another machine of the same structure is the one lowered for this machine."""

from __future__ import annotations

import random

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow import lower as lowering
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.structure import structure_of
from einsim.dataflow.templates import build_mapping
from einsim.specs.remembered import Remembered
from einsim.workloads.load import load_workload


def other(machine: Machine, seed: int) -> Machine:
    """The machine with other rates, room and energies."""
    rng = random.Random(seed)

    def times(value: float | None) -> int | None:
        return value and int(value * rng.choice((0.5, 1, 1.5, 3)))

    memories = tuple(
        msgspec.structs.replace(
            one,
            read_bytes_per_s=times(one.read_bytes_per_s),
            write_bytes_per_s=times(one.write_bytes_per_s),
            capacity_bytes=one.capacity_bytes and 4 * one.capacity_bytes,
            read_pj=rng.uniform(1, 9),
        )
        for one in machine.memories
    )
    units = tuple(
        msgspec.structs.replace(u, clock_hz=machine.clock_hz * rng.choice((1, 2))) for u in machine.units
    )
    return msgspec.structs.replace(machine, memories=memories, units=units, clock_hz=2e9)


@pytest.mark.parametrize("accel", ["tpu-v4i", "sa8295p", "fusemax-cloud", "u280-flightllm", "eyeriss-like"])
@pytest.mark.parametrize("name", ["ffn", "attention", "softmax"])
def test_what_is_remembered_is_what_would_be_lowered(
    name: str, accel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"seq": "512"} if name == "attention" else {"p": "256"}
    work, machine = (
        load_workload(name, {"b": "1", **settings} if name != "softmax" else settings),
        load_machine(accel),
    )
    mapping = build_mapping(work, machine)
    lower(mapping, work, machine)
    another = other(machine, seed=1)
    assert structure_of(another) == structure_of(machine)
    known = lower(mapping, work, another)
    results = analyse(known, another)
    monkeypatch.setattr(lowering, "_PROGRAMS", Remembered(1))
    fresh = lower(mapping, work, another)
    assert fresh.ops[0].costs is not known.ops[0].costs
    for mine, theirs in zip(known.ops, fresh.ops, strict=True):
        assert dict(mine.costs) == dict(theirs.costs)
        assert mine.latency_ticks == theirs.latency_ticks
    assert analyse(fresh, another) == results


def test_what_weighs_too_much_goes_the_oldest_first() -> None:
    known = Remembered[str](10, len)
    assert [known.get(key, lambda key=key: key * 4) for key in "abc"] == ["aaaa", "bbbb", "cccc"]
    assert known.get("b", lambda: "new") == "bbbb"
    assert known.get("a", lambda: "new") == "new"
