"""A mapping's file that deals blocks: read, run and refused with its line."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.mapping_file import load_deal, load_mapping
from einsim.evaluation import evaluate
from einsim.sim.dealing import deal_out
from einsim.specs.errors import SpecError
from einsim.workload import find_workload

CORES = """
machine: four
clock: 1GHz
multicast: false
leakage: 0W
memories:
  dram: {bandwidth: 100GB/s}
  l2: {parent: dram, capacity: 4MiB, bandwidth: 400GB/s}
  near: {parent: l2, copies: 4, capacity: 128KiB, bandwidth: 128GB/s}
units:
  mm: {kind: array, dims: {cores: 4, rows: 16, cols: 16}, reads_from: near, ops: {mac: {}}, registers: {bytes_per_pe: 64B}}
"""
BLOCKS = """
mapping:
  deal: {tiles: {m: 64, n: 64}, through: l2, slots: 2, together: 4}
  tree:
    - {keep: [Z], in: mm, buffers: 1}
    - {for: k, tile: 64}
    - {keep: [A, W], in: near, buffers: 2}
    - {compute: Z, on: mm, spatial: {rows: m, cols: n}}
"""
SIZES = {"m": 256, "n": 128, "k": 128}


@pytest.fixture
def files(tmp_path):
    def written(blocks=BLOCKS):
        for name, text in (("cores", CORES), ("blocks", blocks)):
            (tmp_path / f"{name}.yaml").write_text(text)
        return str(tmp_path / "cores.yaml"), str(tmp_path / "blocks.yaml")

    return written


@pytest.mark.parametrize("level", ["analytical", "sim"])
def test_a_run_by_a_file_that_deals_is_the_deal_that_it_says(files, level):
    cores, blocks = files()
    machine, cascade = load_machine(cores), find_workload("gemm").build(SIZES)
    deal = load_deal(blocks, cascade, machine)
    assert (deal.tiles, deal.through, deal.slots, deal.together) == ({"m": 64, "n": 64}, "l2", 2, 4)
    found = evaluate("gemm", cores, settings=SIZES, mapping=blocks, level=level)
    said = msgspec.structs.replace(found.result, evidence=())  # of evaluations
    assert said == deal_out(deal, cascade, machine, level=level)
    with pytest.raises(SpecError, match="is dealt to cores in blocks"):
        assert found.mapped


def test_a_file_that_deals_is_no_mapping_of_the_whole_and_one_that_does_not_no_deal(files):
    cores, blocks = files()
    machine, cascade = load_machine(cores), find_workload("gemm").build(SIZES)
    with pytest.raises(SpecError, match=r"blocks\.yaml:3 mapping\.deal: deals blocks to cores"):
        load_mapping(blocks, cascade, machine)
    _, plain = files(
        BLOCKS.replace("  deal: {tiles: {m: 64, n: 64}, through: l2, slots: 2, together: 4}\n", "")
    )
    assert load_deal(plain, cascade, machine) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "m: 64",
            "m: 60",
            r"blocks\.yaml:3 mapping\.deal\.tiles\.m: must divide the 256 points of m \(got 60\)",
        ),
        (
            "through: l2",
            "through: l3",
            r"blocks\.yaml:3 mapping\.deal\.through: no memory of this name \(got 'l3'\)",
        ),
        ("slots: 2", "slots: 0", r"blocks\.yaml:3 mapping\.deal\.slots: must be >= 1"),
        ("m: 64, n: 64", "k: 64", "each block must compute results of its own, and Z is not along k"),
        ("slots", "slot", "unknown key"),
        ("in: near, buffers: 2", "in: near, buffers: 99", "near"),
    ],
)
def test_what_a_file_deals_wrongly_is_refused_with_its_line(files, old, new, said):
    cores, blocks = files(BLOCKS.replace(old, new))
    with pytest.raises(SpecError, match=said):
        evaluate("gemm", cores, settings=SIZES, mapping=blocks)
