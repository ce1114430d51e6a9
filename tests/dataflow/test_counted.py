"""What an operation's tiles do is the same whether a mapping that stands alike was lowered before or not."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.counted import LoweredBefore
from einsim.dataflow.legality import legal
from einsim.dataflow.lower import _on_structure
from einsim.dataflow.mapper.moves import Moves
from einsim.dataflow.mapper.refine import mapping_of
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.structure import structure_of
from einsim.dataflow.templates import build_mapping
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import load_workload

CASES = {
    "causal": ("attention", {"b": 1, "h": 4, "seq": 64, "e": 16, "passes": 3, "causal": True}, "tpu-v4i"),
    "one pass": (
        "attention",
        {"b": 1, "h": 2, "seq": 40, "e": 16, "passes": 1, "window": 9},
        "fusemax-cloud",
    ),
    "n:m": ("linear-training", {"n": 24, "i": 32, "o": 20, "sparsity": "2:4"}, "u280-flightllm"),
    "state": ("gated-short-convolution", {"b": 1, "seq": 24, "d": 8}, "sa8295p"),
}


@pytest.mark.parametrize("case", CASES)
def test_neighbours_lowered_after_each_other_are_as_each_alone(case):
    name, settings, preset = CASES[case]
    cascade, machine = load_workload(name, settings), load_machine(preset)
    structure, known = structure_of(machine).machine, LoweredBefore()
    start = build_mapping(cascade, machine)
    moves = Moves(MapSpace(cascade=cascade, machine=machine, menu="steps", buffers=2), "full")
    result, trees = analyse(_on_structure(start, cascade, structure, known), machine), [start.tree]
    for subject in moves.subjects(start.tree):
        trees += [tree for _, tree in zip(range(6), subject(start.tree, result), strict=False)]
    made = [mapping_of(tree, cascade, machine) for tree in trees]
    fit = [mapping for mapping in made if legal(mapping, cascade, machine)][:60]
    assert len(fit) > 15
    for mapping in fit:
        assert_as_alone(mapping, cascade, structure, known)


@pytest.mark.parametrize(
    ("preset", "key"),
    [
        pytest.param("tpu-v4i", "array.rows", marks=pytest.mark.slow),
        pytest.param("fusemax-cloud", "array.cols", marks=pytest.mark.slow),
    ],
)
def test_machines_whose_arrays_differ_are_as_each_alone(preset: str, key: str) -> None:
    """Whether the larger array was lowered for before the smaller one or after it."""
    cascade = load_workload("bert-base", {"b": 1, "seq": 96, "causal": True})
    structures = [structure_of(load_machine(preset, {key: size})) for size in ("96", "16", "64")]
    assert len({one.frame for one in structures}) == 1
    known = LoweredBefore()
    for machine in (one.machine for one in structures):
        for mapping in (build_mapping(cascade, machine), build_mapping(cascade, structures[0].machine)):
            assert_as_alone(mapping, cascade, machine, known)


def assert_as_alone(mapping: Mapping, cascade: Cascade, structure: Machine, known: LoweredBefore) -> None:
    one = _on_structure(mapping, cascade, structure, known)
    alone = _on_structure(mapping, cascade, structure, LoweredBefore())
    for mine, theirs in zip(one.ops, alone.ops, strict=True):
        assert dict(mine.costs.tiles.volumes) == dict(theirs.costs.tiles.volumes), mine.name
        assert mine.costs.tiles.counts == theirs.costs.tiles.counts, mine.name
        plain = [msgspec.structs.replace(op, costs={}) for op in (mine, theirs)]
        assert plain[0] == plain[1]
