"""A machine written out in full loads as it stands; faults name their line."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.specs.errors import SpecError

TEXT = """\
machine: my-chip
clock: 1GHz
memories:
  dram: {bandwidth: 100GB/s, access: 8B, read_energy: 1.3nJ}
  gb:
    parent: dram
    capacity: 1MiB
    read_bandwidth: 256GB/s
    write_bandwidth: 128GB/s
units:
  mm:
    kind: systolic
    dims: {rows: 16, cols: 16}
    reads_from: gb
    ops:
      mac: {energy: 1pJ}
    fill: exposed
    exploits: ["2:4"]
  vec:
    kind: vector
    dims: {lanes: 8}
    reads_from: gb
    clock: 500MHz
    ops: {mac: {}, add: {}, max: {}}
sources:
  clock: a guess of mine
assumed:
  - units
"""


def test_a_memory_that_all_share_is_not_filled_from_those_of_cores(tmp_path):
    file = tmp_path / "chip.yaml"
    file.write_text(
        TEXT.replace("capacity: 1MiB", "copies: 2\n  shared: {parent: [gb, dram]}\n  rest:\n    parent: gb")
    )
    with pytest.raises(
        SpecError, match=r"memories.shared.copies: must be 2: it is filled from gb, of which each"
    ):
        load_machine(file)


@pytest.fixture
def chip(tmp_path):
    def load(text=TEXT, overrides=None):
        file = tmp_path / "chip.yaml"
        file.write_text(text)
        return load_machine(str(file), overrides or {})

    return load


def test_everything_written_is_there(chip):
    machine = chip()
    assert (machine.name, machine.family, machine.clock_hz) == ("my-chip", "generic", 1e9)
    assert machine.dram.read_bytes_per_s == 100 * 10**9
    assert machine.dram.read_pj == machine.dram.write_pj == 1300
    assert machine.memory("gb").write_bytes_per_s == 128 * 10**9
    assert machine.unit("mm").pes == 256
    assert machine.unit("mm").fill == "exposed"
    assert machine.unit("mm").exploits == ("2:4",)
    assert machine.unit("vec").clock_hz == 5e8


def test_vector_units_are_completed_and_matrix_units_are_not(chip):
    machine = chip()
    assert machine.unit("vec").supports("erf")
    assert not machine.unit("mm").supports("mul")
    assert "units.vec.ops.erf" in machine.assumed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "parent: dram",
            "parent: dam",
            "accel.memories.gb.parent: no memory of this name (got 'dam'); did you mean 'dram'?",
        ),
        (
            "    reads_from: gb\n    ops:",
            "    reads_from: bg\n    ops:",
            ":14 accel.units.mm.reads_from: no memory",
        ),
        ("lanes: 8", "lanes: 0", ":21 accel.units.vec.dims.lanes: must be >= 1 (got 0)"),
        ("rows: 16", "rows: -16", ":13 accel.units.mm.dims.rows: must be >= 1 (got -16)"),
        ("{rows: 16, cols: 16}", "{}", ":13 accel.units.mm.dims: must have length >= 1 (got {})"),
        (
            "capacity: 1MiB",
            "capacity: 2PiB",
            ":7 accel.memories.gb.capacity: must be <= 1125899906842624 bytes",
        ),
        ("clock: 1GHz", "clock: 1THz", ":2 accel.clock: must be <= 100000000000 Hz (got '1THz')"),
        ("clock: 1GHz", "clock: 0", ":2 accel.clock: must be >= 1 Hz (got 0)"),
        ("clock: 1GHz\n", "", ":1 accel: missing key 'clock'"),
        (
            "kind: vector",
            "kind: vectr",
            ":20 accel.units.vec.kind: unknown value (got 'vectr'); did you mean 'vector'?",
        ),
        (
            "ops: {mac: {}",
            "ops: {mac: {cycles: 0}",
            ":24 accel.units.vec.ops.mac.cycles: must be >= 1 (got 0)",
        ),
        (
            "ops: {mac: {}",
            "ops: {mac: {energy: -1}",
            ":24 accel.units.vec.ops.mac.energy: must be >= 0 pJ (got -1)",
        ),
        (
            "add: {}",
            "add: {made_of: {mc: 1}}",
            ":24 accel.units.vec.ops.add.made_of: unit 'vec' has no op 'mc'",
        ),
        (
            "add: {}",
            "add: {made_of: {add: 1}}",
            ":24 accel.units.vec.ops.add.made_of: must not be made of itself",
        ),
        (
            "ops: {mac: {}, add: {}, max: {}}",
            "ops: {}",
            ":24 accel.units.vec.ops: must have length >= 1 (got {})",
        ),
        (
            "  mm:\n",
            "  m.m:\n",
            ":10 accel.units: a key must be a letter, then letters, digits, - and _, 64 at most (got 'm.m')",
        ),
        ("units:\n", "unts:\n", ":10 accel.unts: unknown key; did you mean 'units'?"),
        (
            "machine: my-chip",
            "family: npuu",
            ":1 accel.family: unknown family (got 'npuu'); did you mean 'npu'?",
        ),
        ("machine: my-chip\n", "", "accel: missing key 'family' (or 'machine' for one written out in full)"),
        ("machine: my-chip\n", "machine: my-chip\nfamily: npu\n", ":2 accel.family: unknown key"),
        (
            "  clock: a guess of mine",
            "  clck: a guess",
            ":26 accel.sources.clck: no such path in this file (got 'clck')",
        ),
        ("  clock: a guess of mine", "  clock: ''", ":26 accel.sources.clock: must name a source"),
        ("  - units", "  - unit", "accel.assumed[0]: no such path in this file (got 'unit')"),
        ("  - units", "  - units.mm.row", "accel.assumed[0]: no such path in this file (got 'units.mm.row')"),
    ],
)
def test_faults_name_their_line(chip, old, new, message):
    assert old in TEXT
    with pytest.raises(SpecError) as caught:
        chip(TEXT.replace(old, new))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_overrides_reach_into_names(chip):
    machine = chip(overrides={"memories.gb.capacity": "2MiB", "units.mm.dims.rows": "32"})
    assert machine.memory("gb").capacity_bytes == 2 * 2**20
    assert machine.unit("mm").pes == 512


ROLES = TEXT.replace(
    "    reads_from: gb\n    ops:\n", "    reads_from: {inputs: gb, outputs: acc}\n    ops:\n"
).replace("units:", "  acc: {parent: [gb, dram], capacity: 64KiB}\nunits:", 1)


def test_a_unit_names_a_memory_for_each_role_and_a_memory_its_parents(chip):
    machine = chip(ROLES)
    assert machine.memory("acc").parents == ("gb", "dram")
    assert machine.unit("mm").memories == {"inputs": "gb", "weights": "gb", "outputs": "acc"}
    assert machine.unit("mm").by_role
    assert not machine.unit("vec").by_role
    one = chip(ROLES.replace("[gb, dram]", "gb"))
    assert one.memory("acc").parents == ("gb",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("outputs: acc", "outputs: akk", "chip.yaml:15 accel.units.mm.reads_from.outputs: no memory of this name (got 'akk'); known: dram, gb, acc"),
        ("outputs: acc", "output: acc", "chip.yaml:15 accel.units.mm.reads_from.output: unknown key; did you mean 'outputs'?"),
        (", outputs: acc", "", "chip.yaml:15 accel.units.mm.reads_from: missing key 'outputs'"),
        ("reads_from: {inputs: gb, outputs: acc}", "reads_from: 7", "chip.yaml:15 accel.units.mm.reads_from: must be text or a mapping (got 7)"),
        ("[gb, dram]", "[]", "chip.yaml:10 accel.memories.acc.parent: must name a memory; DRAM is the one that has no such key"),
        ("[gb, dram]", "[gb, acc]", "chip.yaml:10 accel.memories.acc.parent: memories form a ring (acc -> acc)"),
        ("[gb, dram]", "[gb, gg]", "chip.yaml:10 accel.memories.acc.parent: no memory of this name (got 'gg'); known: dram, gb, acc"),
        ("capacity: 64KiB", "capacity: 64KiB, holds: [inputs]", "chip.yaml:15 accel.units.mm.reads_from.outputs: must hold outputs: it holds inputs (got 'acc')"),
        ("dims: {lanes: 8}\n    reads_from: gb", "dims: {lanes: 8}\n    reads_from: {inputs: gb, weights: gb, outputs: gb}", "units.vec.reads_from.weights: is for matrix units: all that a vector unit reads is inputs"),
    ],
)  # fmt: skip
def test_roles_and_parents_that_cannot_be(chip, old, new, message):
    assert old in ROLES
    with pytest.raises(SpecError) as caught:
        chip(ROLES.replace(old, new))
    assert message in str(caught.value)
