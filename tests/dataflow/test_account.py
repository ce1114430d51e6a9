"""What a machine doesn't state is left out of the books and named; what is stated adds up."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.load import load_machine, preset_names
from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.accel.registers import RegisterFile
from einsim.dataflow.account import MOVES, action_pj, priced
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.unpriced import unpriced
from einsim.dataflow.program import READ, WRITE, Action
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.workloads.notation import parse

WORK = parse("Z[m,n] = A[m,k] * B[k,n]", sizes={"m": 8, "n": 8, "k": 8})
WHOLE = Machine(
    name="small", family="generic", clock_hz=1e9, leakage_w=0.5,
    memories=(
        Memory(name="dram", parent=None, capacity_bytes=None, read_bytes_per_s=10**9, write_bytes_per_s=None,
               access_bytes=4, read_pj=8.0, write_pj=9.0),
        Memory(name="gb", parent="dram", capacity_bytes=1 << 20, read_bytes_per_s=10**9, write_bytes_per_s=None,
               read_pj=1.0, write_pj=2.0),
    ),
    units=(
        Unit(name="grid", kind="array", dims={"rows": 4, "cols": 4}, ops={"mac": OpCost(energy_pj=0.5)}, reads_from="gb",
             registers=RegisterFile(bytes_per_pe=64, read_pj=0.1, write_pj=0.2), dataflows=("output-stationary",)),
    ),
)  # fmt: skip
GRID, DRAM, GB = WHOLE.units[0], WHOLE.memories[0], WHOLE.memories[1]


def without(**taken: object) -> Machine:
    """The machine with some figures of its parts not stated."""
    grid = msgspec.structs.replace(GRID, **taken.get("grid", {}))  # type: ignore[arg-type]
    dram = msgspec.structs.replace(DRAM, **taken.get("dram", {}))  # type: ignore[arg-type]
    gb = msgspec.structs.replace(GB, **taken.get("gb", {}))  # type: ignore[arg-type]
    return msgspec.structs.replace(WHOLE, memories=(dram, gb), units=(grid,), **taken.get("chip", {}))  # type: ignore[arg-type]


def results(chip: Machine) -> list:
    program = lower(build_mapping(WORK, chip), WORK, chip)
    return [analyse(program, chip), simulate(program, chip)]


@pytest.mark.parametrize(
    ("taken", "labels"),
    [
        ({"dram": {"read_pj": None}}, ["dram read"]),
        ({"dram": {"read_pj": None, "write_pj": None}}, ["dram read", "dram write"]),
        ({"gb": {"write_pj": None}}, ["gb write"]),
        ({"grid": {"ops": {"mac": OpCost()}}}, ["grid mac"]),
        ({"grid": {"registers": RegisterFile(bytes_per_pe=64, read_pj=0.1)}}, ["grid register write"]),
        ({"chip": {"leakage_w": None}}, ["leakage"]),
    ],
)
def test_what_is_not_stated_is_named_and_the_rest_is_what_it_was(taken: dict, labels: list[str]) -> None:
    for whole, part in zip(results(WHOLE), results(without(**taken)), strict=True):
        assert whole.energy_not_stated == ()
        assert list(part.energy_not_stated) == labels
        assert (part.energy_j, part.power_w, part.tops_per_w) == (None, None, None)
        assert part.energy_stated_j < whole.energy_j
        kept = {name: joules for name, joules in part.energy_by.items() if name.split()[0] not in labels[0]}
        assert kept.items() <= whole.energy_by.items()
        assert 0.0 not in part.energy_by.values()
        data = part.to_dict()
        assert (data["energy_j"], data["energy_not_stated"]) == (None, labels)
        assert data["energy_stated_j"] == pytest.approx(sum(part.energy_by.values()))
        mine = part.by_einsum["Z"]
        assert set(mine.energy_not_stated) <= set(labels)
        assert (mine.energy_j is None) == bool(mine.energy_not_stated)


def test_nothing_stated_is_no_zero() -> None:
    nothing = {"read_pj": None, "write_pj": None}
    bare = without(
        dram=nothing, gb=nothing, chip={"leakage_w": None}, grid={"ops": {"mac": OpCost()}, "registers": None}
    )
    for result in results(bare):
        assert (result.energy_j, result.energy_stated_j, result.energy_by, result.energy_beside) == (
            None,
            None,
            {},
            {},
        )
        assert result.by_einsum["Z"].energy_stated_j is None


def test_a_stated_zero_is_a_figure() -> None:
    free = without(chip={"leakage_w": 0.0}, grid={"ops": {"mac": OpCost(energy_pj=0.0)}})
    for result in results(free):
        assert result.energy_not_stated == ()
        assert result.energy_by["grid mac"] == 0.0
        assert result.energy_j == pytest.approx(sum(result.energy_by.values()))


def test_energy_by_einsum_has_its_memories_and_adds_up() -> None:
    for result in results(WHOLE):
        dynamic = result.energy_j - result.energy_by["leakage"]
        moves = result.energy_beside[MOVES]
        assert result.by_einsum["Z"].energy_j + moves == pytest.approx(dynamic)
        assert (
            result.by_einsum["Z"].energy_j > result.energy_by["grid mac"] + result.energy_by["grid registers"]
        )
        assert moves == pytest.approx(
            (8 * 2 * 8 * 8 * 2 / 4 + 9 * 8 * 8 * 2 / 4 + 2 * 2 * 8 * 8 * 2 + 8 * 8 * 2) * 1e-12
        )


def test_a_made_op_has_the_energy_of_its_parts_or_none() -> None:
    ops = {"mac": OpCost(energy_pj=2.0), "add": OpCost(), "exp": OpCost(made_of={"mac": 6}), "tanh": OpCost(made_of={"exp": 1, "add": 1})}  # fmt: skip
    unit = msgspec.structs.replace(GRID, ops=ops)
    assert (unit.cost("exp").energy_pj, unit.cost("tanh").energy_pj) == (12.0, None)


def test_an_action_is_data_whatever_its_unit_is_called() -> None:
    odd = msgspec.structs.replace(GRID, name="register", ops={"read": OpCost(energy_pj=7.0)})
    chip = msgspec.structs.replace(WHOLE, units=(odd,))
    op, access = Action("register", "op", "read"), Action("register", "register", READ)
    assert (action_pj(chip, op), action_pj(chip, access)) == (7.0, 0.1)
    assert (op.component, access.component) == ("register read", "register registers")
    energy, missing = priced(chip, {op: 2, access: 10, Action("gb", "access", WRITE): 5})
    assert energy == pytest.approx({"register read": 14e-12, "register registers": 1e-12, "gb": 10e-12})
    assert missing == ()


def test_a_timed_dram_has_a_background_that_only_the_simulation_knows() -> None:
    chip = load_machine("fusemax-cloud", {"dram.timing": "hbm2e", "buffer": "1MiB"})
    bound, found = results(chip)
    assert bound.energy_not_stated == ("dram background",)
    assert found.energy_not_stated == ()
    assert found.energy_by["dram background"] == found.energy_beside["dram background"] > 0
    assert "dram" not in found.energy_by
    shared = [share.energy_stated_j for share in found.by_einsum.values()]
    assert sum((*shared, *found.energy_beside.values())) == pytest.approx(found.energy_j)


def test_a_search_for_energy_needs_what_a_mapping_may_take() -> None:
    assert unpriced(WORK, WHOLE) == ()
    assert unpriced(WORK, without(chip={"leakage_w": None})) == ()  # it goes on without
    assert unpriced(WORK, without(gb={"read_pj": None}, grid={"ops": {"mac": OpCost()}})) == (
        "gb read",
        "grid mac",
    )


SILENT = {
    *(name for name in preset_names() if name.startswith(("dpu-", "ethos-", "nvdla-"))),
    "kv260-dpu",
    "llama-fpga",
    "sa8295p-core",
    "sa8775p-core",
    "rk3588-core",
    "rk3576-core",
    "tpu-v6e",
    "zcu102-dpu",
    "zcu104-dpu",
}


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_states_all_that_it_spends_or_nothing(name: str) -> None:
    """No energy of the chips whose times others measured is published, but of Eyeriss."""
    for result in results(load_machine(name)):
        if name in SILENT:
            assert result.energy_by == {}
            assert result.energy_not_stated
            continue
        assert result.energy_not_stated == ()
        assert result.energy_j > 0
