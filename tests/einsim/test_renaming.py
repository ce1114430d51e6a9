"""Names mean nothing: another name for every rank, tensor, Einsum, unit, memory and workload, another order of
YAML keys and of independent Einsums, and no figure of any machine moves by a bit.
"""

from __future__ import annotations

import random
from functools import cache
from itertools import islice
from pathlib import Path

import msgspec
import pytest
import yaml

from einsim.accel.gpu.machine import load_gpu
from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import best_mapping
from einsim.dataflow.spatial import able
from einsim.dataflow.templates import build_mapping
from einsim.evaluation import evaluate
from einsim.sim.engine import simulate
from einsim.sim.gpu.realise import realise
from einsim.sim.gpu.result import choose, result
from einsim.specs.errors import EinsimError, RuleError
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import load_workload
from tests.presets import DISTINCT
from tests.workloads.renamed import renamed

ROOT = Path(__file__).parents[2]
PRESETS = sorted(path.stem for path in (ROOT / "accel" / "presets").glob("*.yaml"))
GPUS = sorted(path.stem for path in (ROOT / "accel" / "gpu" / "presets").glob("*.yaml"))
HEADS = {"b": "1", "h": "4", "e": "32", "seq": "256"}
WORKLOADS: list[tuple[str, dict[str, str]]] = [
    ("attention-3pass", HEADS),
    ("attention-3pass", {**HEADS, "kv_heads": "2", "causal": "true"}),
    ("attention-2pass", HEADS),
    ("attention-1pass", HEADS),
    ("attention-1pass", {**HEADS, "causal": "true", "window": "100", "m0": "64"}),
    ("attention-decode", {**HEADS, "kv_heads": "2", "seq": "2K"}),
    ("ffn", {"b": "1", "p": "128", "d": "256", "s": "512"}),
    ("ffn", {"b": "2", "p": "64", "d": "256", "s": "512", "activation": "swiglu"}),
    ("softmax", {"p": "256", "d": "512"}),
    ("layernorm", {"p": "256", "d": "512"}),
    ("layernorm", {"p": "256", "d": "64", "variant": "moments"}),
    ("rmsnorm", {"p": "256", "d": "512"}),
    ("linear-training", {"n": "64", "i": "128", "o": "256"}),
    ("linear-training", {"n": "64", "i": "128", "o": "256", "sparsity": "2:8", "prune": "inline", "update": "true"}),
    ("conv", {"b": "1", "c": "16", "k": "32", "y": "14", "x": "14"}),
    ("depthwise-separable", {"b": "1", "c": "16", "k": "32", "y": "14", "x": "14"}),
    ("gated-short-convolution", {"seq": "256", "d": "128"}),
    ("bert-base", {"seq": "128", "b": "1"}),
    ("llama2-7b", {"seq": "128", "b": "1"}),
    ("llama2-7b", {"seq": "512", "b": "1", "phase": "decode"}),
    ("t5", {"seq": "128", "b": "1", "phase": "decode", "passes": "1"}),
    ("llama2-7b", {"seq": "64", "b": "1"}),
]  # fmt: skip
SPOKEN = ("register-file", "registers", "cores", "noc")
LAYERS = 17
"""Where in the list whole layers begin."""
KERNELS = [
    ("attention-1pass", {"seq": "1K", "b": "2", "causal": "true"}), ("attention-3pass", {"seq": "1K", "b": "2"}),
    ("attention-decode", {"m": "8K", "b": "4"}), ("ffn", {"seq": "1K", "b": "1"}), ("softmax", {"bits": "32"}),
    ("layernorm", {"bits": "32"}), ("layernorm", {"variant": "welford", "bits": "32"}),
    ("rmsnorm", {"bits": "16"}), ("gemm", {"bits": "16"}), ("attention-decode", {"m": "8K", "b": "4", "kv_heads": "3"}),
]  # fmt: skip


def nameless(value: object) -> object:
    """Every figure of a result; a table by name is what it holds, in order of size."""
    if isinstance(value, msgspec.Struct):
        return [nameless(part) for part in msgspec.structs.astuple(value)]
    if isinstance(value, dict):
        return sorted((nameless(part) for part in value.values()), key=repr)
    if isinstance(value, tuple | list):
        return [nameless(part) for part in value]
    return "" if isinstance(value, str) else value


def figures(cascade: Cascade, machine: Machine) -> list[object]:
    program = lower(build_mapping(cascade, machine), cascade, machine)
    return [nameless(analyse(program, machine)), nameless(simulate(program, machine))]


def another(machine: Machine, seed: int) -> Machine:
    """The machine with other names for itself, its units and its memories."""
    pick = random.Random(seed)
    parts = [*machine.units, *machine.memories]
    numbers = pick.sample(range(10**6), len(parts))
    names = {part.name: f"{pick.choice('az')}{number}" for part, number in zip(parts, numbers, strict=True)}
    return msgspec.structs.replace(called(machine, names), name=f"m{seed}")


def called(machine: Machine, names: dict[str, str]) -> Machine:
    """The machine with these names for its units and memories."""

    def places(given: object) -> object:
        """What stands under `parent` or `reads_from`: a memory, several, or one for each role."""
        if isinstance(given, dict):
            return {role: names[name] for role, name in given.items()}
        if isinstance(given, tuple):
            return tuple(names[name] for name in given)
        return None if given is None else names[str(given)]

    units = tuple(
        msgspec.structs.replace(
            unit,
            name=names[unit.name],
            reads_from=places(unit.reads_from),
            **{tie: names.get(getattr(unit, tie), "") for tie in ("mode_of", "follows", "stops")},
        )
        for unit in machine.units
    )
    memories = tuple(
        msgspec.structs.replace(
            memory,
            name=names[memory.name],
            parent=places(memory.parent),
            bus=memory.bus and "w",
        )
        for memory in machine.memories
    )
    return msgspec.structs.replace(machine, units=units, memories=memories)


def computes(cascade: Cascade, machine: Machine) -> bool:
    """Whether the machine has the ops: one that multiplies matrices only has no exponential."""
    return all(able(cascade, machine, einsum) for einsum in cascade.einsums)


@cache
def of_preset(accel: str, number: int) -> tuple[Cascade, Machine, list[object]]:
    """A preset with one of the workloads that it takes in its turn, and their figures."""
    machine = load_machine(accel)
    cascade = fitting(machine, 2 * PRESETS.index(accel) % LAYERS, 2)[number]
    return cascade, machine, figures(cascade, machine)


def check(cascade: Cascade, machine: Machine, seeds: int) -> None:
    mine = figures(cascade, machine)
    for seed in range(seeds):
        assert figures(renamed(cascade, seed), another(machine, seed)) == mine


def fitting(machine: Machine, start: int, count: int) -> list[Cascade]:
    """The next so many workloads of the list, from a place on, that the machine has the ops for."""
    listed = [*WORKLOADS[start:LAYERS], *WORKLOADS[:start]]
    loaded = (load_workload(*one) for one in listed)
    return list(islice((cascade for cascade in loaded if computes(cascade, machine)), count))


@pytest.mark.parametrize("accel", DISTINCT)
@pytest.mark.parametrize("turn", range(2))
def test_names_change_no_figure(accel: str, turn: int) -> None:
    """Each preset with two workloads of the list, so that all are taken."""
    cascade, machine, mine = of_preset(accel, turn)
    assert figures(renamed(cascade, 0), another(machine, 0)) == mine


@pytest.mark.parametrize("accel", ["fusemax-cloud", pytest.param("tpu-v4i", marks=pytest.mark.slow)])
def test_names_change_no_figure_of_a_layer(accel: str) -> None:
    check(load_workload("llama2-7b", {"seq": "64", "b": "1"}), load_machine(accel), 1)


@pytest.mark.slow
@pytest.mark.parametrize("accel", PRESETS)
@pytest.mark.parametrize(("workload", "settings"), WORKLOADS)
def test_names_change_no_figure_of_any(workload: str, settings: dict[str, str], accel: str) -> None:
    """A machine that lacks an op lacks it under any name."""
    cascade, machine = load_workload(workload, settings), load_machine(accel)
    if computes(cascade, machine):
        check(cascade, machine, 2)
        return
    for seed in range(2):
        with pytest.raises(EinsimError, match="no unit can compute"):
            figures(renamed(cascade, seed), another(machine, seed))


@pytest.mark.parametrize("accel", GPUS)
@pytest.mark.parametrize(("workload", "settings"), KERNELS)
def test_names_change_no_figure_of_a_gpu(workload: str, settings: dict[str, str], accel: str) -> None:
    gpu, cascade = load_gpu(accel), load_workload(workload, settings)

    def priced(one: Cascade) -> object:
        return nameless(result(choose(realise(one).cases, gpu), gpu, one))

    assert priced(renamed(cascade, 1)) == priced(cascade)


@pytest.mark.parametrize(("workload", "at"), [("ffn", 6), ("conv", 14)])
def test_names_change_no_search(workload: str, at: int) -> None:
    name, settings = WORKLOADS[at]
    assert name == workload
    search(load_workload(name, settings), load_machine("flat-edge"), "latency", 2_000)


@pytest.mark.slow
@pytest.mark.parametrize(("accel", "objective"), [("flat-edge", "energy"), ("tpu-v4i", "latency")])
@pytest.mark.parametrize(("workload", "settings"), WORKLOADS[:LAYERS])
def test_names_change_no_search_of_any(
    workload: str, settings: dict[str, str], accel: str, objective: str
) -> None:
    search(load_workload(workload, settings), load_machine(accel), objective, 5_000)


def search(cascade: Cascade, machine: Machine, objective: str, nodes: int) -> None:
    one = best_mapping(cascade, machine, objective, nodes=nodes)  # type: ignore[arg-type]
    other = best_mapping(renamed(cascade, 1), another(machine, 1), objective, nodes=nodes)  # type: ignore[arg-type]
    assert nameless(other.result) == nameless(one.result)
    assert (other.proven, other.nodes, other.gap) == (one.proven, one.nodes, pytest.approx(one.gap))


def shuffled(data: object, pick: random.Random) -> object:
    if isinstance(data, dict):
        return {key: shuffled(data[key], pick) for key in pick.sample(list(data), len(data))}
    return [shuffled(part, pick) for part in data] if isinstance(data, list) else data


@pytest.mark.parametrize("accel", DISTINCT)
def test_the_order_of_a_machines_keys_says_nothing(accel: str, tmp_path: Path) -> None:
    data = yaml.safe_load((ROOT / "accel" / "presets" / f"{accel}.yaml").read_text())
    path = tmp_path / f"{accel}.yaml"
    path.write_text(yaml.safe_dump(shuffled(data, random.Random(accel)), sort_keys=False))
    cascade, _, mine = of_preset(accel, 0)
    assert figures(cascade, load_machine(str(path))) == mine


def test_words_that_the_house_uses_are_names_like_any(tmp_path: Path) -> None:
    """A rank `passes` is no choice of cascades, units of `register`s are none; `leakage` is taken."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: x\nranks: {passes: 48, n: 32, k: 16}\neinsums: Z[passes,n] = A[passes,k] * B[k,n]\n"
    )
    other = tmp_path / "other.yaml"
    other.write_text(path.read_text().replace("passes", "m"))
    mine, theirs = (evaluate(str(file), "tpu-v4i").result for file in (path, other))
    assert nameless(mine) == nameless(theirs)
    machine, cascade = load_machine("eyeriss-like"), load_workload(*WORKLOADS[8])
    words = dict(zip((part.name for part in (*machine.units, *machine.memories)), SPOKEN, strict=True))
    assert figures(cascade, called(machine, words)) == figures(cascade, machine)
    with pytest.raises(RuleError, match="static energy"):
        called(machine, {**words, "gb": "leakage"})


MACHINE = """
machine: written-out
clock: 1GHz
memories:
  dram: {bandwidth: 64GB/s, access: 8B, read_energy: 100pJ}
  buffer: {parent: dram, capacity: 64KiB, bandwidth: 256GB/s, access: 8B, read_energy: 5pJ}
units:
  grid: {kind: array, dims: {rows: 8, cols: 16}, reads_from: buffer, ops: {mac: {energy: 0.5pJ}}}
  tall: {kind: array, dims: {rows: 16, cols: 8}, reads_from: buffer, ops: {mac: {energy: 0.25pJ}}}
  lanes: {kind: vector, dims: {lanes: 32}, reads_from: buffer, ops: {mac: {energy: 1pJ}, add: {energy: 0.5pJ}, max: {energy: 0.5pJ}}}
"""
WORK = """
name: mine
ranks: {b: 2, m: 64, n: 32, k: 48}
tensors: {A: {bits: 8}, B: {bits: 8}}
where: [k <= m]
einsums: |
  Z[b,m,n] = A[b,m,k] * B[k,n]
  X[b,m]   = max[n](Z[b,m,n])
  Y[b,m,n] = exp(Z[b,m,n] - X[b,m])
"""


@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_written_parts_says_nothing(seed: int, tmp_path: Path) -> None:
    """Two arrays of as many PEs finish a square tile at once: which one is taken is no matter of place."""
    pick = random.Random(seed)
    machine, work = tmp_path / "machine.yaml", tmp_path / "work.yaml"
    machine.write_text(MACHINE)
    work.write_text(WORK)
    one = figures(load_workload(str(work), {}), load_machine(str(machine)))
    machine.write_text(yaml.safe_dump(shuffled(yaml.safe_load(MACHINE), pick), sort_keys=False))
    work.write_text(yaml.safe_dump(shuffled(yaml.safe_load(WORK), pick), sort_keys=False))
    assert figures(load_workload(str(work), {}), another(load_machine(str(machine)), seed)) == one
