"""Searches that flags restrict: what drawn ones found, each with the right value."""

from __future__ import annotations

from contextlib import suppress

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.mapper.best import best_mapping
from einsim.dataflow.mapper.space import MapSpace
from einsim.specs.errors import EinsimError
from einsim.workloads.notation import parse

MACHINE = """
machine: two
clock: 1GHz
memories:
  dram: {bandwidth: 64GB/s, access: 8B}
  a: {parent: dram, capacity: 64B, bandwidth: 64GB/s, access: 2B}
  b: {parent: dram, capacity: 1MiB, bandwidth: 64GB/s, access: 2B}
units:
  left: {kind: vector, dims: {lanes: 4}, reads_from: a, ops: {mac: {}, mul: {}, add: {}}}
  right: {kind: vector, dims: {lanes: 4}, reads_from: b, ops: {exp: {}, sqrt: {}}}
"""


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "two.yaml").write_text(MACHINE)
    return load_machine(tmp_path / "two.yaml")


def test_an_einsum_without_ranks_is_searched(machine):
    work = parse("S = A[m] * A[m]\nR = sqrt(S)", name="norm", sizes={"m": 8})
    space = MapSpace(cascade=work, machine=machine, buffers=2, menu="steps")
    found = best_mapping(work, machine, "buffer", space=space, templates=False)
    assert found.result.by_einsum["R"].points == 1


def test_a_restricted_search_says_which_einsum_has_no_unit(tmp_path):
    (tmp_path / "one.yaml").write_text(
        MACHINE.replace("sqrt", "tanh").replace("mul: {}", "min: {}, sqrt: {}")
    )
    machine = load_machine(tmp_path / "one.yaml")
    text = "P[m,k] = sqrt(A[m,k])\nQ[m] = min[k](P[m,k])\nV[k] = max[n](B[k,n])\nW[m] = Q[m] + Q[m]"
    work = parse(text, name="w", sizes={"m": 8, "k": 7, "n": 2})
    space = MapSpace(cascade=work, machine=machine, menu="steps", most_fused=3, buffers=2)
    with pytest.raises(EinsimError, match="no unit can compute Einsum V"):
        best_mapping(work, machine, space=space, nodes=1000)


def test_what_is_held_in_several_memories_is_within_the_cap_together(machine):
    work = parse("S[m] = A[m] + B[m]\nT[m] = exp(S[m])", name="w", sizes={"m": 64})
    held = []
    for cap in range(16, 200, 16):
        with suppress(EinsimError):
            found = best_mapping(work, machine, within_bytes=cap, effort="quick")
            held.append(sum(found.result.buffers.values()))
            assert held[-1] <= cap
    assert held
