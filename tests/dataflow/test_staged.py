"""An op at a time from the near memory: what follows what, what is read again, what stays, by hand on a TPU v6e."""

from __future__ import annotations

import math

import pytest

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.result import Result
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError, SpecError
from einsim.workload import find_workload
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse

CHIP = load_machine("tpu-v6e")
BYTES_A_CYCLE = 1600e9 * 0.9306 / 1.75e9
DISPATCH = CHIP.dispatch.run_cycles


def product(m: int, k: int, n: int) -> Cascade:
    return parse("Z[m,n] = A[m,k] * W[k,n]", name="product", sizes={"m": m, "k": k, "n": n})


def ran(cascade: Cascade, machine: Machine = CHIP) -> Result:
    return simulate(lower(build_mapping(cascade, machine), cascade, machine), machine)


def test_what_fits_is_loaded_computed_and_stored_one_after_the_other() -> None:
    """16 x 16 folds of 256 x 256 over four arrays, each of 1024 rows after 32 cycles in which weights load."""
    moved = 2 * (1024 * 4096 + 4096 * 4096 + 1024 * 4096)
    computing = 16 * 16 // 4 * (1024 + 32) + CHIP.unit("mxu").cost("mac").latency_cycles
    by_hand = DISPATCH + moved / BYTES_A_CYCLE + computing
    assert ran(product(1024, 4096, 4096)).cycles == pytest.approx(by_hand, abs=10)


def test_a_vector_streams_the_weights_by() -> None:
    """Rows of no more than a register don't wait for the weights: the last tile alone is computed after them."""
    found, least = ran(product(1, 4096, 4096)), DISPATCH + 2 * (4096 * 4096 + 2 * 4096) / BYTES_A_CYCLE
    assert least < found.cycles < 1.03 * least


def test_operands_that_do_not_fit_come_again_for_each_tile_of_a_million_sums() -> None:
    """Of a result of 2 x 8 tiles of 1024 x 1024, W comes twice and A eight times."""
    k = 16384  # 32 MiB of A, 256 MiB of W
    found = ran(product(2048, k, 8192))
    again = 2 * (8 * 2048 * k + 2 * k * 8192)
    assert found.dram_bytes == again + 2 * 2048 * 8192


def test_what_another_op_reads_stays_where_there_is_room() -> None:
    ffn = find_workload("ffn").every(
        {"b": "1", "p": "1024", "d": "1024", "s": "3072", "activation": "swiglu"}
    )[0]
    found = ran(ffn)
    assert set(found.traffic["hbm"]) == {"X", "WG", "W1", "W2", "FF2"}
    small = ran(ffn, load_machine("tpu-v6e", {"memories.vmem.capacity": "16MiB"}))
    assert "ACT" in small.traffic["hbm"]


@pytest.mark.parametrize("shape", [(1, 384, 1152), (512, 1024, 4096), (1024, 8192, 8192), (128, 14336, 4096)])
def test_the_analytical_level_is_a_lower_bound_and_counts_the_same(shape: tuple[int, int, int]) -> None:
    cascade = product(*shape)
    program = lower(build_mapping(cascade, CHIP), cascade, CHIP)
    bound, found = analyse(program, CHIP), simulate(program, CHIP)
    assert bound.cycles <= found.cycles
    assert (bound.traffic, bound.moved_bytes) == (found.traffic, found.moved_bytes)


def test_what_carries_state_takes_what_suits_otherwise() -> None:
    cascade = find_workload("layernorm").every({"variant": "welford", "p": "64", "d": "64"})[0]
    assert build_mapping(cascade, CHIP).template != "staged"
    with pytest.raises(EinsimError, match="carries state"):
        build_mapping(cascade, CHIP, "staged")


def test_a_compiler_that_is_no_template_is_refused() -> None:
    with pytest.raises(SpecError, match=r"accel\.compiler: unknown template \(got 'stagd'\).*staged"):
        build_mapping(product(8, 8, 8), load_machine("tpu-v6e", {"compiler": "stagd"}))


def test_a_run_and_each_of_its_ops_are_dispatched() -> None:
    """At both levels the dispatch comes on top, and every unit's cycles still add up."""
    ffn = find_workload("ffn").every({"b": "1", "p": "64", "d": "256", "s": "512", "activation": "swiglu"})[0]
    free = load_machine("tpu-v6e", {"dispatch.run_cycles": 0})
    told = load_machine("tpu-v6e", {"dispatch.run_cycles": 1000, "dispatch.op_cycles": 70})
    for level in (analyse, simulate):
        mapping = build_mapping(ffn, free)  # three products, one of them with what is done to it: three ops
        before, after = (level(lower(mapping, ffn, chip), chip) for chip in (free, told))
        assert after.cycles - before.cycles == 1000 + 3 * 70
        assert after.latency_s - before.latency_s == pytest.approx(1210 / 1.75e9)
        assert all(sum(rows.values()) == after.cycles for rows in after.breakdown_by_unit.values())
        assert after.stalls["dispatch"] == 1210
        computed = [one.utilization["mxu"] * one.latency_s for one in (before, after)]
        assert computed[0] == pytest.approx(computed[1])


def test_attention_in_one_pass_is_a_kernel_of_steps_that_follow_each_other() -> None:
    """512 keys for 1024 queries a step: keys and values come again for each block of queries, and no step begins
    before the one before has ended: each takes at least both products' folds and latencies.
    """
    sizes = {"passes": "1", "b": "1", "h": "2", "p": "2048", "m": "2048", "e": "128", "f": "128", "m0": "512"}
    cascade = find_workload("attention").every(sizes)[0]
    mapping = build_mapping(cascade, CHIP)
    found = simulate(lower(mapping, cascade, CHIP), CHIP)
    assert mapping.template == "staged"
    assert found.dram_bytes == 2 * 2 * 2048 * 128 * (2 + 2 * 2)
    folds = 2 * (
        1024 // 4 + 32
    )  # of 512 keys over 256 columns, and over 256 rows, a quarter of the queries each
    latency = CHIP.unit("mxu").cost("mac").latency_cycles
    assert found.cycles > CHIP.dispatch.run_cycles + 2 * 2 * 4 * 2 * (folds + latency)


def grouped(heads: int, queries: int, keys: int) -> Cascade:
    sizes = {"b": 1, "h": heads, "kv_heads": 8, "p": queries, "m": keys, "e": 128, "f": 128}
    return find_workload("attention").every({**{k: str(v) for k, v in sizes.items()}, "passes": "3"})[0]


@pytest.mark.parametrize(("heads", "at_once"), [(24, 1), (32, 4), (64, 8)])
def test_queries_of_heads_that_share_keys_are_laid_together_in_runs_of_their_own(
    heads: int, at_once: int
) -> None:
    """Groups of 3 move row by row, groups of 4 in fours, groups of 8 in whole tiles; two runs beside attention."""
    free = load_machine("tpu-v6e", {"dispatch.group_row_cycles": 0, "dispatch.tile_rows": 1})
    work = grouped(heads, 128, 128)
    found, without = ran(work), ran(work, free)
    moves = heads * 128 // at_once
    by_hand = 2 * DISPATCH + math.ceil(moves * CHIP.dispatch.group_row_cycles)
    assert found.cycles - without.cycles == by_hand
    alone = find_workload("attention").every(
        {"b": "1", "h": "8", "p": "128", "m": "128", "e": "128", "f": "128", "passes": "3"}
    )[0]
    assert ran(alone).cycles == ran(alone, free).cycles


def test_scores_of_grouped_queries_that_have_no_room_stay_by_blocks_of_queries() -> None:
    """Queries, keys, values and results pass HBM once; scores of 2048 x 2048 for 24 heads, 192 MiB, don't."""
    found = ran(grouped(24, 2048, 2048))
    values = 2 * 24 * 2048 * 128 + 2 * 8 * 2048 * 128
    assert found.dram_bytes == 2 * values
    alone = find_workload("attention").every(
        {"b": "3", "h": "8", "p": "2048", "m": "2048", "e": "128", "f": "128", "passes": "3"}
    )[0]
    assert ran(alone).dram_bytes > 2 * 2 * 24 * 2048 * 2048  # each with keys of its own
