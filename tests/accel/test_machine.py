"""The machine's structs: sums of ops, sizes, and refusals of machines that can't be."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.specs.errors import RuleError


def unit(**fields):
    given_fields = {
        "name": "u",
        "kind": "array",
        "dims": {"rows": 2, "cols": 3},
        "ops": {},
        "reads_from": "gb",
    }
    return Unit(**{**given_fields, **fields})


def memory(name, parent, **fields):
    sizes = {"capacity_bytes": None, "read_bytes_per_s": None, "write_bytes_per_s": None}
    return Memory(name=name, parent=parent, **{**sizes, **fields})


def machine(**fields):
    memories = (memory("dram", None), memory("gb", "dram"))
    parts = {"name": "m", "family": "generic", "clock_hz": 1.0, "memories": memories, "units": (unit(),)}
    return Machine(**{**parts, **fields})


@given(st.dictionaries(st.sampled_from(["cores", "rows", "cols"]), st.integers(1, 999), min_size=1))
def test_pes_is_the_product_of_the_dimensions(dims):
    product = 1
    for size in dims.values():
        product *= size
    assert unit(dims=dims).pes == product


@given(st.integers(1, 50), st.integers(1, 9), st.floats(0, 100), st.integers(0, 9))
def test_a_made_op_costs_the_sum_of_its_parts(count, cycles, energy_pj, latency_cycles):
    made = OpCost(made_of={"mac": count, "add": 1}, latency_cycles=latency_cycles)
    ops = {"mac": OpCost(cycles=cycles, energy_pj=energy_pj), "add": OpCost(energy_pj=1.0), "exp": made}
    cost = unit(ops=ops).cost("exp")
    assert cost.cycles == count * cycles + 1
    assert cost.energy_pj == pytest.approx(count * energy_pj + 1.0)
    assert cost.latency_cycles == latency_cycles
    assert cost.made_of is None


def test_made_ops_nest():
    ops = {
        "mac": OpCost(cycles=2),
        "exp": OpCost(made_of={"mac": 6}),
        "tanh": OpCost(made_of={"exp": 2, "mac": 1}),
    }
    assert unit(ops=ops).cost("tanh").cycles == 26


def test_unknown_ops_name_the_near_one():
    with pytest.raises(RuleError) as caught:
        unit(ops={"rsqrt": OpCost()}).cost("rsqr")
    assert str(caught.value) == "unit 'u' has no op 'rsqr'; did you mean 'rsqrt'?"
    assert not unit(ops={"rsqrt": OpCost()}).supports("sqrt")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dims": {}}, "dims: must name at least one dimension"),
        ({"dims": {"rows": 0}}, "dims.rows: must be >= 1 (got 0)"),
        (
            {"ops": {"exp": OpCost(made_of={"mac": 1})}},
            "ops.exp.made_of: unit 'u' has no op 'mac'; did you mean",
        ),
        ({"ops": {"a": OpCost(made_of={"a": 1})}}, "ops.a.made_of: must not be made of itself (a -> a)"),
        ({"ops": {"a": OpCost(made_of={"b": 1}), "b": OpCost(made_of={"a": 1})}}, "(a -> b -> a)"),
        ({"ops": {"a": OpCost(made_of={"b": 0}), "b": OpCost()}}, "ops.a.made_of.b: must be >= 1 (got 0)"),
        (
            {"dataflows": ("weight-stationery",)},
            "dataflows: unknown dataflow (got 'weight-stationery'); did you mean 'weight-stationary'",
        ),
    ],
)
def test_units_that_cannot_be(fields, message):
    fields = fields if "exp" not in fields.get("ops", {}) else {"ops": {**fields["ops"], "max": OpCost()}}
    with pytest.raises(RuleError) as caught:
        unit(**fields)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"units": ()}, "units: must have at least one unit"),
        ({"units": (unit(), unit())}, "two parts of the machine have the same name (got 'u')"),
        ({"units": (unit(name="gb"),)}, "two parts of the machine have the same name (got 'gb')"),
        (
            {"units": (unit(reads_from="gbb"),)},
            "units.u.reads_from: no memory of this name (got 'gbb'); did you mean 'gb'?",
        ),
        ({"memories": ()}, "memories: exactly one memory must have no parent (it is DRAM) (got [])"),
        (
            {"memories": (memory("dram", None), memory("gb", None))},
            "memories: exactly one memory must have no parent (it is DRAM) (got ['dram', 'gb'])",
        ),
        (
            {"memories": (memory("dram", None), memory("gb", "dran"))},
            "memories.gb.parent: no memory of this name (got 'dran'); did you mean 'dram'?",
        ),
        (
            {"memories": (memory("dram", None), memory("gb", "l1"), memory("l1", "gb"))},
            "memories.l1.parent: memories form a ring (gb -> l1 -> gb)",
        ),
    ],
)
def test_machines_that_cannot_be(fields, message):
    with pytest.raises(RuleError) as caught:
        machine(**fields)
    assert str(caught.value) == message


def test_parts_by_name_and_kind():
    vector = unit(name="v", kind="vector", dims={"lanes": 4})
    found = machine(units=(unit(), vector))
    assert found.unit("v") is vector
    assert found.vector_units == (vector,)
    assert [each.name for each in found.matrix_units] == ["u"]
    assert found.dram.name == "dram"
    assert found.memory("gb").parent == "dram"
    with pytest.raises(RuleError, match="machine 'm' has no unit 'w'"):
        found.unit("w")
    with pytest.raises(RuleError, match="machine 'm' has no memory 'drm'; did you mean 'dram'"):
        found.memory("drm")


def test_a_machine_is_a_value():
    assert machine() == machine()
    assert msgspec.json.decode(msgspec.json.encode(machine()), type=Machine) == machine()
    with pytest.raises(AttributeError):
        machine().name = "other"
