"""Work adds up: over phases, runs of blocks and launches."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from einsim.sim.gpu.case import BlockRun, KernelCase, Launch, Work, ceil_div, even, merged
from einsim.sim.gpu.kernels.gemm_wgmma import persistent


@given(st.lists(st.integers(0, 5), max_size=40))
def test_runs_keep_every_block_in_order(steps: list[int]) -> None:
    runs = merged(steps)
    assert [run.steps for run in runs for _ in range(run.blocks)] == steps
    assert all(a.steps != b.steps for a, b in pairwise(runs))


@given(st.integers(1, 50), st.integers(0, 50), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_launch_does_its_phases_once_a_block_and_its_step_once_a_step(
    blocks: int, steps: int, before: int, each: int, after: int
) -> None:
    launch = Launch(
        kernel="k", runs=even(blocks, steps), threads=32, registers=8, prologue=Work(fma_ops=before), step=Work(fma_ops=each),
        epilogue=Work(fma_ops=after, barriers=1),
    )  # fmt: skip
    assert launch.total == Work(fma_ops=blocks * (before + after + steps * each), barriers=blocks)


def test_a_case_is_the_sum_of_its_launches() -> None:
    launch = Launch(
        kernel="k", runs=(BlockRun(blocks=2, steps=3), BlockRun(blocks=1, steps=5)), threads=32, registers=8, step=Work(sfu_ops=7),
        unique_read_bytes=10, unique_write_bytes=1,
    )  # fmt: skip
    case = KernelCase(
        family="f", variant="v", cascade="", sizes={"m": 4, "n": 2}, launches=(launch, launch), useful_flops=0, bits=16
    )  # fmt: skip
    assert (launch.grid, launch.steps) == (3, 11)
    assert case.total == Work(sfu_ops=2 * 11 * 7)
    assert case.unique_bytes == 22
    assert case.key == "f/v/m=4;n=2"


@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_ceil_div_covers_with_no_slack(value: int, by: int) -> None:
    assert (ceil_div(value, by) - 1) * by < value <= ceil_div(value, by) * by or value == 0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 500))
def test_shares_of_work_together_are_no_less_than_it_and_no_more_than_one_each_beyond(
    flops: int, read: int, among: int
) -> None:
    work = Work(wgmma_flops=flops, global_read_bytes=read)
    back = work.share(among).times(among)
    for found, wanted in ((back.wgmma_flops, flops), (back.global_read_bytes, read)):
        assert wanted <= found < wanted + among


@given(st.integers(1, 5000), st.integers(1, 300), st.integers(1, 40))
def test_blocks_that_stay_deal_every_tile_out_evenly(tiles: int, slots: int, steps: int) -> None:
    runs = persistent(tiles, slots, steps)
    assert sum(run.blocks for run in runs) == min(tiles, slots)
    assert sum(run.blocks * run.steps for run in runs) == tiles * steps
    assert max(run.steps for run in runs) - min(run.steps for run in runs) in (0, steps)
