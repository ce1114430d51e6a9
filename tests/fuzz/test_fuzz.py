"""Three hundred drawn inputs find no fault; the laws, the judge and the watch find those that are planted."""

from __future__ import annotations

import random

import msgspec
import pytest

from einsim.evaluation import evaluate
from tests.fuzz import kinds, laws
from tests.fuzz.bench import Bench, FaultError, Said, message_fault
from tests.fuzz.draw import ODD, Draw, mutate, paths
from tests.fuzz.watch import fuzz

CASES = 300


def test_drawn_inputs_are_refused_in_a_line_or_keep_all_laws():
    kinds_seen = set()
    failed = fuzz(0, range(CASES), lambda done: kinds_seen.add(done["kind"]))
    assert not failed, "\n".join(map(str, failed))
    assert kinds_seen == {kind.__name__ for kind in kinds.KINDS}


def test_the_same_number_is_the_same_case(tmp_path):
    logs = []
    for folder in (tmp_path / "a", tmp_path / "a"):
        folder.mkdir(exist_ok=True)
        bench = Bench(folder)
        kinds.play(3, 5, bench)
        logs.append(bench.log)
    assert logs[0] == logs[1]


def test_a_mutation_changes_one_thing_and_any_value_may_come():
    seen = set()
    for seed in range(2000):
        data = mutate(Draw(seed), {"a": {"b": 4, "c": [1, 2]}, "d": "3pJ"})
        seen |= {repr(value) for path in paths(data) for value in [laws_at(data, path)]}
    assert {repr(value) for value in ODD if not isinstance(value, dict | list)} <= seen


def laws_at(data, path):
    for key in path:
        data = data[key]
    return data


@pytest.mark.parametrize(
    ("field", "change", "said"),
    [
        ("cycles", lambda value: value - 1, "cycles of"),
        ("latency_s", lambda value: float("nan"), "latency_s is nan"),
        ("latency_s", lambda value: value * 2, "cycles take"),
        ("utilization", lambda value: dict.fromkeys(value, 1.5), "utilization of"),
        ("dram_bytes", lambda value: value + 1, "dram_bytes is"),
        ("energy_by", lambda value: {**value, "leakage": 1.0}, "by Einsum"),
        ("moved_bytes", lambda value: {**value, "dram": {}}, "useful ones"),
        ("stalls", lambda value: {"fog": 1}, "stalls of"),
    ],
)
def test_each_law_finds_what_breaks_it(field, change, said):
    found = evaluate("softmax", "tpu-v4i", settings={"p": 8, "d": 8})
    assert not list(laws.broken(found.result, found.mapped.machine))
    worse = msgspec.structs.replace(found.result, **{field: change(getattr(found.result, field))})
    assert said in "; ".join(laws.broken(worse, found.mapped.machine))


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("cycles", lambda value: 10 * value),
        ("traffic", lambda value: {}),
        ("energy_by", lambda value: {part: 2 * joules for part, joules in value.items()}),
    ],
)
def test_levels_that_differ_are_found(field, change):
    found = evaluate("softmax", "tpu-v4i", settings={"p": 8, "d": 8}, level="analytical")
    simulated = evaluate("softmax", "tpu-v4i", settings={"p": 8, "d": 8}).result
    machine = found.mapped.machine
    assert not list(laws.between(found.result, simulated, machine))
    worse = msgspec.structs.replace(found.result, **{field: change(getattr(found.result, field))})
    assert list(laws.between(worse, simulated, machine))


@pytest.mark.parametrize(
    "said",
    [
        Said(1, "{}", ""), Said(0, "", ""), Said(2, "", ""), Said(2, "", "error: a\nerror: b\n"),
        Said(2, "", "Traceback (most recent call last)\n"), Said(2, "", "error: \u202ex\n"), Said(0, "x", "oops\n"),
    ],
)  # fmt: skip
def test_the_judge_takes_only_one_line_or_an_answer(said, tmp_path):
    with pytest.raises(FaultError):
        Bench(tmp_path).judge(said)
    Bench(tmp_path).judge(Said(0, "x", "warning: y\n"))
    Bench(tmp_path).judge(Said(2, "", "error: no\n"))
    with pytest.raises(FaultError):
        message_fault("x" * 10_000)


def test_a_traceback_is_a_fault_and_so_is_a_worker_that_ends(tmp_path, monkeypatch):
    def broken(*arguments):
        raise KeyError(arguments)

    monkeypatch.setattr("tests.fuzz.bench.main", broken)
    with pytest.raises(FaultError, match="KeyError"):
        Bench(tmp_path).run("list")


def test_draws_are_of_all_kinds():
    draw = Draw("0:0")
    assert isinstance(draw, random.Random)
    assert sum(kinds.KINDS.values()) == 100
