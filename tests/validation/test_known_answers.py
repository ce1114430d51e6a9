"""Small inputs whose answers are known by hand, through legality, lowering and both levels; derivations beside.

What is asked on each line is a figure that a user reads: bytes of a tensor in a memory, joules, cycles. Where two
inputs have to cost alike, or one at most a share of the other, both are run.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

import einsim
from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.result import Result
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from tests.dataflow.read_text import parse_text
from tests.workloads.renamed import ANOTHER_HAND

PLAIN = """
machine: plain
clock: 1GHz
memories:
  dram: {bandwidth: 16GB/s, access: 8B, read_energy: 100pJ}
  gb: {parent: dram, capacity: CAPACITY, bandwidth: 128GB/s, access: 16B, read_energy: 10pJ, write_energy: 12pJ}
units:
  grid: {kind: systolic, dims: {rows: SIDE, cols: SIDE}, reads_from: gb, ops: {mac: {energy: 0.5pJ}},
         dataflows: [output-stationary, weight-stationary]}
  lanes: {kind: vector, dims: {lanes: SIDE}, reads_from: gb,
          ops: {mac: {energy: 0.6pJ}, add: {energy: 0.2pJ}, mul: {energy: 0.2pJ}, max: {energy: 0.1pJ}}}
assumed: [clock, memories, units]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machines")


def written(folder: Path, text: str, **values: object) -> Machine:
    for word, value in values.items():
        text = text.replace(word, str(value))
    path = folder / "machine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_machine(str(path))


def plain(folder: Path, side: int = 8, capacity: str = "512KiB") -> Machine:
    return written(folder, PLAIN, SIDE=side, CAPACITY=capacity)


def cost(work: Cascade, chip: Machine, tree: str = "", level: Any = analyse) -> Result:
    """Figures by a mapping's text, or by the default one."""
    mapping = parse_text(f"hand on {chip.name} (test)\n{tree}") if tree else build_mapping(work, chip)
    check(mapping, work, chip)
    result: Result = level(lower(mapping, work, chip), chip)
    assert all(share <= 1 for share in result.utilization.values())
    return result


@cache
def library(
    workload: str, accel: str, level: Any = analyse, machine: tuple[tuple[str, str], ...] = (), **values: str
) -> Result:
    return cost(load_workload(workload, values), load_machine(accel, dict(machine)), level=level)


# --- what a tile touches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "shift", "every"), [(256, 128, 384), (64, 64, 128), (64, 1, 65), (48, 200, 96)]
)
@pytest.mark.parametrize("level", [analyse, simulate])
def test_a_tensor_read_at_two_places_crosses_once_for_both(
    folder: Path, rows: int, shift: int, every: int, level: Any
) -> None:
    # rows 0 .. rows-1 and shift .. shift+rows-1 together: `every` rows of 8 values of 2 bytes
    work = parse(f"Y[t,c] = X[t,c] + X[t+{shift},c]", name="two", sizes={"t": rows, "c": 8})
    found = cost(work, plain(folder), "keep X Y in gb x1\n  Y on lanes lanes=t", level)
    assert found.traffic["dram"]["X"] == every * 8 * 2


@pytest.mark.parametrize(("first", "second", "at"), [(64, 64, 64), (64, 32, 16), (32, 64, 100)])
def test_two_readers_of_other_rows_bring_all_of_them(folder: Path, first: int, second: int, at: int) -> None:
    # rows 0 .. first-1 and at .. at+second-1, each once
    work = parse(
        f"A[t,c] = X[t,c] * G[c]\nB[u,c] = X[u+{at},c] * G[c]",
        name="readers",
        sizes={"t": first, "u": second, "c": 16},
    )
    tree = "keep X G A B in gb x1\n  sequence\n    A on lanes lanes=t\n    B on lanes lanes=u"
    rows = len({*range(first), *range(at, at + second)})
    assert cost(work, plain(folder), tree).traffic["dram"]["X"] == rows * 16 * 2


def test_a_neighbour_is_a_row_more_not_a_tensor_more(folder: Path) -> None:
    # 513 rows of 16 values are read; the rows that tiles share may cross again, a tenth at most
    work = parse("Y[t,c] = X[t,c] - X[t+1,c]", name="halo", sizes={"t": 512, "c": 16})
    assert 513 * 32 <= cost(work, plain(folder)).traffic["dram"]["X"] <= 1.1 * 513 * 32


@pytest.mark.parametrize("step", [2, 4, 7])
def test_holes_of_a_stride_are_not_read(folder: Path, step: int) -> None:
    # every step-th row of 64 values: 128 rows
    work = parse(f"Y[t,k] = X[{step}*t,c] * W[c,k]", name="stride", sizes={"t": 128, "c": 64, "k": 32})
    assert cost(work, plain(folder)).traffic["dram"]["X"] == 128 * 64 * 2


@pytest.mark.parametrize("accel", ["tpu-v4i", "eyeriss-like", "sa8295p"])
def test_a_pointwise_convolution_of_stride_two_is_its_twin_of_stride_one(accel: str) -> None:
    # 14 x 14 outputs of 1 x 1 use 14 x 14 pixels of 32 channels, whatever lies between them
    sizes = {"b": "1", "c": "32", "k": "64", "y": "14", "x": "14", "r": "1", "q": "1"}
    two, one = (library("conv", accel, simulate, stride=step, **sizes) for step in ("2", "1"))
    assert two.traffic["dram"]["I"] == one.traffic["dram"]["I"] == 32 * 14 * 14 * 2
    assert two.cycles <= 1.05 * one.cycles


@pytest.mark.parametrize("keys", [257, 300, 256])
def test_the_end_of_a_partition_is_read_as_far_as_there_are_keys(keys: int) -> None:
    # keys of 64 values in blocks of 256, the last one as long as it is
    found = library("attention", "fusemax-cloud", b="1", h="1", e="64", p="256", m=str(keys), passes="1")
    assert found.traffic["dram"]["K"] == keys * 64 * 2


# --- which points are computed -------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["m >= 48", "p + 63 - m < 16"])
@pytest.mark.parametrize("tile", [8, 16, 24, 64])
@pytest.mark.parametrize("level", [analyse, simulate])
def test_only_what_a_bound_leaves_is_read_computed_and_written(
    folder: Path, bound: str, tile: int, level: Any
) -> None:
    # keys 48 .. 63: 16 of 4 values, 64 products of 0.5 pJ, 16 results, however tiles cut them
    work = parse(f"where {bound}\nS[p,m] = Q[p,e] * K[m,e]", name="late", sizes={"p": 1, "m": 64, "e": 4})
    tree = f"for m/{tile}\n  keep Q K S in gb x1\n    S on grid rows=m cols=p"
    found = cost(work, plain(folder, 4), tree, level)
    assert found.traffic["dram"]["K"] == 16 * 4 * 2
    assert found.traffic["dram"]["S"] == 16 * 2
    assert found.energy_by["grid mac"] == pytest.approx(64 * 0.5e-12)


@pytest.mark.parametrize(
    ("window", "accel"), [(1024, "tpu-v4i"), (500, "tpu-v4i"), (1024, "fusemax-cloud"), (64, "fusemax-cloud")]
)
def test_a_window_at_decode_reads_its_keys_only(window: int, accel: str) -> None:
    # the new key and window - 1 before it, 4 heads of 64 values; whole tiles may bring a tenth more
    found = library(
        "attention-decode", accel, b="1", h="16", kv_heads="4", e="64", seq="4K", window=str(window)
    )
    assert 4 * (window - 1) * 64 * 2 <= found.traffic["dram"]["K"] <= 1.1 * 4 * window * 64 * 2


def test_a_window_at_decode_takes_a_windows_time() -> None:
    # a 32nd of the keys: at most a twentieth of their bytes, and less than a third of the time with all the rest
    values = {"model": "llama2-7b", "seq": "16K", "b": "1"}
    every, some = (
        library("attention-decode", "sa8295p", simulate, **values),
        library("attention-decode", "sa8295p", simulate, window="512", **values),
    )
    assert some.traffic["dram"]["K"] <= 0.05 * every.traffic["dram"]["K"]
    assert some.latency_s <= 0.3 * every.latency_s


@pytest.mark.parametrize("accel", ["fusemax-cloud", "tpu-v4i"])
def test_causal_attention_costs_its_half(accel: str) -> None:
    # half of the points, and what tiles on the diagonal compute besides
    values = {"b": "1", "h": "2", "e": "64", "seq": "2048", "passes": "3"}
    every, half = (
        library("attention", accel, simulate, **values),
        library("attention", accel, simulate, causal="true", **values),
    )
    assert half.cycles <= 0.75 * every.cycles
    assert half.energy_j <= 0.75 * every.energy_j


def test_documents_cost_what_is_inside_them() -> None:
    # eight documents of 128 keys: an eighth of the points
    values = {"b": "1", "h": "4", "e": "64", "seq": "1024"}
    every, some = (
        library("attention", "sa8295p", simulate, **values),
        library("attention", "sa8295p", simulate, documents="128", **values),
    )
    assert some.energy_by["tensor mac"] <= 0.3 * every.energy_by["tensor mac"]
    assert some.cycles <= every.cycles


def test_a_window_of_a_sixteenth_takes_less_than_a_fifth() -> None:
    values = {"b": "1", "h": "1", "e": "64", "seq": "4K"}
    every, some = (
        library("attention", "sa8295p", simulate, **values),
        library("attention", "sa8295p", simulate, window="256", **values),
    )
    assert some.cycles <= 0.2 * every.cycles


# --- what it costs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accel", ["tpu-v4i", "sa8295p", "fusemax-cloud"])
def test_lanes_of_all_cores_are_shared_out_once(accel: str) -> None:
    # a selection and a sum at each of 8 x 512 x 16 x 32 points on all lanes of all cores: no faster
    work = parse(
        "Z[h,n,f] = sum[k](select(Q[h,n,k], V[h,k,f], 0))",
        name="vectors",
        sizes={"h": 8, "n": 512, "k": 16, "f": 32},
    )
    chip = load_machine(accel)
    found = cost(work, chip, level=simulate)
    lanes = max(unit.pes for unit in chip.units if unit.supports("select"))
    assert found.cycles >= 8 * 512 * 16 * 32 / lanes


def test_grouped_queries_read_the_keys_that_there_are() -> None:
    # 8 of 32 heads have keys: 8 x 1024 of 64 values, the new one from the projections
    found = library(
        "attention-decode", "tpu-v4i", b="1", h="32", kv_heads="8", e="64", seq="1024", passes="1"
    )
    for tensor in "KV":
        assert 8 * 1023 * 64 * 2 <= found.traffic["dram"][tensor] <= 1.05 * 8 * 1024 * 64 * 2


@pytest.mark.parametrize("side", [8, 16])
def test_each_step_of_an_array_feeds_its_edges(folder: Path, side: int) -> None:
    # rows = o, cols = x, and nothing stays: in each of the y c r q steps a value of W a row and of X a column
    sizes = {"o": side, "x": side, "y": 8, "c": 4, "r": 3, "q": 3}
    work = parse("Y[o,y,x] = X[c,y+r,x+q] * W[o,c,r,q]", name="conv", sizes=sizes)
    found = cost(
        work, plain(folder, side), "keep X W Y in gb x1\n  Y on grid rows=o cols=x output-stationary"
    )
    steps = 8 * 4 * 3 * 3
    assert found.traffic["gb"]["W"] >= steps * side * 2
    assert found.traffic["gb"]["X"] >= steps * side * 2


def test_a_prefill_leaves_its_keys_and_values_behind() -> None:
    # 64 tokens x 4096 values of K and of V
    found = library("llama2-7b", "tpu-v4i", seq="64", b="1")
    assert found.traffic["dram"]["K"] >= 64 * 4096 * 2
    assert found.traffic["dram"]["V"] >= 64 * 4096 * 2


@pytest.mark.parametrize("accel", ["u280-flightllm", "vhk158-flightllm", "sa8295p"])
def test_wider_operands_are_passes_of_the_narrow_multiplier(accel: str) -> None:
    # 32 x 32 on 8 x 8 is sixteen products; a machine that can't may refuse, none may do it in the same time
    tensors = "tensor A bits {0}\ntensor B bits {0}\ntensor C bits {0}\n"
    sizes = {"m": 128, "n": 128, "k": 256}
    narrow, wide = (
        parse(tensors.format(bits) + "C[m,n] = A[m,k] * B[k,n]", name="widths", sizes=sizes)
        for bits in (8, 32)
    )
    one, other = (cost(work, load_machine(accel), level=simulate) for work in (narrow, wide))
    assert other.cycles >= 2 * one.cycles


@pytest.mark.parametrize(
    ("accel", "key"), [("u280-flightllm", "dram.capacity"), ("tpu-v4i", "dram.capacity")]
)
def test_what_lives_in_dram_has_to_fit_there(accel: str, key: str) -> None:
    # 16K keys and values of 8 heads of 64: 32 MiB
    work = load_workload("attention", {"b": "1", "h": "8", "e": "64", "seq": "16K"})
    chip = load_machine(accel, {key: "1MiB"})
    with pytest.raises(EinsimError, match="capacity"):
        cost(work, chip)


@pytest.mark.parametrize("accel", ["vhk158-flightllm", "tpu-v4i", "sa8295p"])
def test_a_network_of_a_megabyte_a_second_is_felt(accel: str) -> None:
    values = {"b": "1", "p": "128", "d": "256", "s": "512"}
    free = library("ffn", accel, simulate, **values)
    slow = library("ffn", accel, simulate, (("noc.bandwidth", "1MB/s"),), **values)
    assert slow.cycles >= 2 * free.cycles


MANY = """
machine: many
clock: 1GHz
multicast: false
NOCmemories:
  dram: {bandwidth: 1TB/s}
  l2: {parent: dram, capacity: 8MiB, bandwidth: 2TB/s}
  near: {parent: l2, copies: CORES, capacity: 64KiB, bandwidth: 250GB/s}
units:
  tensor: {kind: array, dims: {cores: CORES, rows: 16, cols: 16}, reads_from: near, ops: {mac: {}},
           registers: {bytes_per_pe: 64B}}
assumed: [clock, memories, units, multicast]
"""


@pytest.mark.parametrize("cores", [4, 8])
def test_a_network_that_never_limits_costs_nothing(folder: Path, cores: int) -> None:
    work = parse(
        "m -> m1, m0\nn -> n1, n0\nZ[m1*M0+m0,n1*N0+n0] = A[m1*M0+m0,k] * B[k,n1*N0+n0]", name="blocks",
        sizes={"m": 64, "n": 128, "k": 128, "m0": 16, "n0": 16},
    )  # fmt: skip
    tree = (
        f"for m1/2\n  for n1/{cores // 2}\n    keep A B Z in l2 x1\n      keep Z in tensor x1\n        for k/16\n"
        "          keep A B in near x4\n            Z on tensor cores=m1*n1 rows=m0 cols=n0"
    )
    alone = cost(work, written(folder, MANY, NOC="", CORES=cores), tree, simulate)
    noc = "noc: {bandwidth: 800TB/s, multicast: false}\n"
    assert cost(work, written(folder, MANY, NOC=noc, CORES=cores), tree, simulate).cycles <= alone.cycles + 1


# --- names mean nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("accel", ["flat-cloud", "fusemax-cloud", "tpu-v4i"])
def test_attention_by_other_names_costs_the_same(accel: str) -> None:
    mine = parse(ANOTHER_HAND, name="mine", sizes={"b": 1, "h": 4, "e": 64, "f": 64, "m": 1024, "p": 1024})
    theirs = library("attention", accel, simulate, b="1", h="4", e="64", seq="1024", passes="3")
    assert cost(mine, load_machine(accel), level=simulate).cycles == theirs.cycles


def on_gpu(tmp_path: Path, text: str) -> Result:
    path = tmp_path / "work.yaml"
    path.write_text(text, encoding="utf-8")
    return einsim.evaluate(str(path), "h100-sxm").result


def test_two_sums_under_a_famous_name_are_two_sums_or_refused(tmp_path: Path) -> None:
    # 2 x 8 x 2048 x 64 values of 2 bytes are 4 MiB: microseconds of HBM and two launches
    text = "name: attention-1pass\nranks: {h: 8, m: 2048, p: 2048, e: 64, f: 64}\neinsums: |\n"
    try:
        found = on_gpu(tmp_path, text + "  S[h,p] = sum[e](Q[h,p,e])\n  D[h,m] = sum[f](V[h,m,f])\n")
    except EinsimError:
        return
    assert found.latency_s <= 3e-5


def test_softmax_is_known_by_what_it_computes(tmp_path: Path) -> None:
    text = """
name: rows
ranks: {r: 2048, c: 1024}
tensors: {X: {bits: 32}, G: {bits: 32}, N: {bits: 32}, D: {bits: 32}, Y: {bits: 32}}
einsums: |
  G[r]   = max[c](X[r,c])
  N[r,c] = exp(X[r,c] - G[r])
  D[r]   = sum[c](N[r,c])
  Y[r,c] = N[r,c] / D[r]
"""
    theirs = einsim.evaluate("softmax", "h100-sxm", settings={"p": 2048, "d": 1024, "bits": 32}).result
    assert on_gpu(tmp_path, text).latency_s <= 1.01 * theirs.latency_s


def test_two_products_by_another_hand_run_or_are_refused(tmp_path: Path) -> None:
    text = "name: ffn\nranks: {p: 256, d: 512, s: 2048, o: 512}\neinsums: |\n"
    try:
        found = on_gpu(tmp_path, text + "  H[p,s] = X[p,d] * W1[d,s]\n  Y[p,o] = H[p,s] * W2[s,o]\n")
    except EinsimError:
        return
    # 2 x 256 x 512 x 2048 products at 495 T a second at most, and two launches
    assert found.latency_s >= 2 * 256 * 512 * 2048 / 495e12


@pytest.mark.parametrize("accel", ["flat-cloud", "fusemax-cloud", "tpu-v4i", "sa8295p"])
def test_one_query_without_a_rank_of_queries_runs(accel: str) -> None:
    text = ANOTHER_HAND.replace(",p]", "]").replace("b,", "")
    work = parse(text, name="one", sizes={"h": 4, "m": 256, "e": 32, "f": 32})
    # each key and value once: 4 heads of 256 of 32
    found = cost(work, load_machine(accel))
    assert found.traffic["dram"]["K"] == found.traffic["dram"]["V"] == 4 * 256 * 32 * 2


@pytest.mark.parametrize("points", [16, 512])
def test_two_readers_on_the_same_cores_take_their_tile_once(points: int) -> None:
    # both go round the four cores by the same rows of the same heads, so what cores take together is S, once:
    # 12 * points^2 bytes of 8 bits, however many points a tile has (12 * 512^2 are too many to visit one by one)
    work = parse(
        "D[h,p] = S[h,p,m]\nA[h,p,m] = S[h,p,m] / D[h,p]", name="w", sizes={"h": 12, "p": points, "m": points}
    )
    work = msgspec.structs.replace(
        work, tensors=tuple(msgspec.structs.replace(tensor, bits=8) for tensor in work.tensors)
    )
    text = "keep S D A in local x1\n  pipeline\n    D on array1d cores=h*p lanes=m\n    A on array1d cores=h*p lanes=m"
    chip = load_machine("tpu-v4i")
    tree = parse_text(f"w on tpu-v4i (test)\n{text}")
    check(tree, work, chip)
    result = analyse(lower(tree, work, chip), chip)
    assert result.traffic["dram"]["S"] == 12 * points**2
    assert not any("count as if whole" in note for note in result.notes)
