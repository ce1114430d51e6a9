"""Row-stationary tiles: sets of PEs counted by hand, against the oracle point by point, and Eyeriss's own mapping."""

from __future__ import annotations

import random

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check, legal
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Loop, Mapping, walk
from einsim.dataflow.row_stationary import row_sets
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError, RuleError, SpecError
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workload import find_workload
from einsim.workloads.cascade import Cascade
from tests.dataflow.read_text import parse_text

CHIP = load_machine("eyeriss")
SIDES = {  # images x groups, channels, filters, rows, kernel, stride
    "CONV1": (4, 3, 96, 55, 11, 4), "CONV2": (8, 48, 128, 27, 5, 1), "CONV4": (8, 192, 192, 13, 3, 1),
    "CONV5": (8, 192, 128, 13, 3, 1),
}  # fmt: skip


def conv(b: int, c: int, k: int, y: int, r: int, stride: int = 1, x: int = 0) -> Cascade:
    sizes = {"b": b, "c": c, "k": k, "y": y, "x": x or y, "r": r, "q": r, "stride": stride}
    return find_workload("conv").every({name: str(size) for name, size in sizes.items()})[0]


@pytest.mark.parametrize(
    ("tile", "sets", "stack", "window", "filters"),
    # Chen et al., JSSC 2017, Table III of AlexNet: t sets (x r that add up), q of the channels, p filters of a PE.
    [
        ({"k": 32, "c": 1, "y": 7, "r": 11, "q": 11}, 2, 1, 11, 16),  # p 16, q 1, r 1, t 2
        ({"k": 16, "c": 2, "y": 27, "r": 5, "q": 5}, 1, 1, 10, 16),  # two pieces of 14 and 13 rows: t 1
        ({"k": 32, "c": 6, "y": 13, "r": 3, "q": 3}, 4, 2, 9, 16),  # q 3, r 2, t 2
        ({"k": 32, "c": 4, "y": 28, "r": 3, "q": 3}, 2, 1, 12, 16),  # folded, two sets
    ],
)  # fmt: skip
def test_sets_are_those_of_the_chip(
    tile: dict[str, int], sets: int, stack: int, window: int, filters: int
) -> None:
    cascade = conv(1, tile["c"], tile["k"], tile["y"], tile["r"])
    node = Compute(
        einsum="O", unit="pes", spatial={"rows": ("r",), "cols": ("y",)}, stationarity="row-stationary"
    )
    found = row_sets(CHIP.unit("pes"), node, cascade.einsum("O"), {**cascade.sizes, **tile})
    assert (found.sets, found.stack, found.window, found.filters) == (sets, stack, window, filters)
    assert found.steps == filters * cascade.size("x") * (window + 1)


@pytest.mark.parametrize("layer", SIDES)
def test_the_rule_gives_the_published_mapping(layer: str) -> None:
    """Table III: m, e, n of a tile, and what a pass takes: p x t filters, q x r channels."""
    published = {  # m, e, n, p t, q r
        "CONV1": (96, 7, 1, 32, 1), "CONV2": (64, 27, 1, 16, 2), "CONV4": (64, 13, 4, 32, 6),
        "CONV5": (64, 13, 4, 32, 6),
    }  # fmt: skip
    b, c, k, y, r, stride = SIDES[layer]
    cascade = conv(b, c, k, y, r, stride)
    tiles = {rank: [cascade.size(rank)] for rank in "kybc"}
    for node, _ in walk(build_mapping(cascade, CHIP).tree):
        if isinstance(node, Loop):
            tiles[node.rank].append(node.tile)
    m = tiles["k"][1] if len(tiles["k"]) > 2 else tiles["k"][0]
    assert (m, tiles["y"][-1], tiles["b"][-1], tiles["k"][-1], tiles["c"][-1]) == published[layer]


def test_sums_pass_the_buffer_once_a_pass_and_inputs_once_a_group_of_filters() -> None:
    """AlexNet's CONV4 by hand: 32 passes over the channels write all sums and read them back or out; inputs are
    written for each of three tiles of filters and read for each of six passes. The chip: 37.4 MB without the fill.
    """
    cascade = conv(8, 192, 192, 13, 3)
    result = analyse(lower(build_mapping(cascade, CHIP), cascade, CHIP), CHIP)
    sums, inputs = 8 * 192 * 13 * 13, 8 * 192 * 15 * 15
    assert result.traffic["gb"] == {"O": 2 * 2 * 32 * sums, "I": 2 * (6 + 3) * inputs}
    assert (2 * 2 * 32 * sums + 2 * 6 * inputs) / 1e6 == pytest.approx(37.4, abs=0.1)
    assert result.traffic["dram"] == {"O": 2 * sums, "I": 2 * 3 * inputs, "W": 2 * 2 * 192 * 192 * 9}


def drawn(seed: int) -> DrawnCase:
    """A small convolution in row-stationary tiles of any size."""
    rng = random.Random(seed)
    r = rng.choice((2, 3))
    cascade = conv(
        rng.randint(1, 2), rng.randint(1, 7), rng.randint(1, 9), rng.randint(1, 9), r, rng.randint(1, 2), x=4
    )
    loops = [f"for {rank}/{rng.randint(1, cascade.size(rank))}" for rank in rng.sample("kyb", 3)]
    lines = [*loops, "keep O in gb x1", f"for c/{rng.randint(1, cascade.size('c'))}", "keep I in gb x2"]
    lines += ["O on pes rows=r cols=y row-stationary"]
    text = "\n".join("  " * at + line for at, line in enumerate(lines))
    return DrawnCase(
        name=str(seed),
        kind="conv",
        work=cascade,
        chip=CHIP,
        mapping=parse_text(f"conv on eyeriss (test)\n{text}"),
    )


@pytest.mark.parametrize("seed", range(12))
def test_values_bytes_cycles_and_energy_are_those_of_every_point(seed: int) -> None:
    verdict = judge(drawn(seed))
    assert verdict.legal
    assert verdict.right
    assert verdict.found == ()
    assert verdict.compared["energy"] > 5


def test_what_a_pe_has_no_spad_for_is_refused() -> None:
    cascade = conv(1, 64, 64, 13, 3)
    text = "conv on eyeriss (test)\nkeep I O in gb x1\n  O on pes rows=r cols=y row-stationary"
    with pytest.raises(SpecError, match="no room for a set of PEs on pes"):
        check(parse_text(text), cascade, CHIP)  # 64 channels: 192 values in the windows of four sets
    few = text.replace("keep I", "for c/4\n  keep I").replace("\n  O on", "\n    O on")
    with pytest.raises(SpecError, match=r"has 192 weights in a PE of pes|has 16|whose spad holds") as caught:
        check(parse_text(few.replace("for c/4", "for c/5")), cascade, CHIP)
    assert "spad" in str(caught.value)


def test_other_work_takes_what_suits_otherwise() -> None:
    product = find_workload("gemm").every({"m": "64", "n": "64", "k": "64"})[0]
    assert build_mapping(product, CHIP).template != "row-stationary"
    with pytest.raises(EinsimError, match="no convolution"):
        build_mapping(product, CHIP, "row-stationary")


def test_a_machine_states_the_spads_of_such_an_array() -> None:
    with pytest.raises(RuleError, match="registers by_role"):
        msgspec.structs.replace(CHIP.unit("pes"), registers=None)


def test_the_analytical_level_is_a_lower_bound() -> None:
    cascade = conv(2, 6, 32, 28, 3)
    program = lower(build_mapping(cascade, CHIP), cascade, CHIP)
    bound, found = analyse(program, CHIP), simulate(program, CHIP)
    assert bound.cycles <= found.cycles
    assert bound.traffic == found.traffic
    assert legal(
        Mapping(cascade="conv", machine="eyeriss", template="x", tree=build_mapping(cascade, CHIP).tree),
        cascade,
        CHIP,
    )
