"""Every kernel as data obeys the hardware's limits and the mathematics of its cascade."""

from __future__ import annotations

import pytest

from einsim.sim.gpu.case import KernelCase
from einsim.validation.gpu.kernels.registry import FAMILIES, MICRO, all_cases, model_cases

CASES = (*all_cases(), *model_cases())
# NVIDIA H100/H200, compute capability 9.0: a block's shared memory with opt-in, an SM's registers
SHARED_BYTES, REGISTERS = 227 * 1024, 65536
BY_FAMILY = {family: [case for case in CASES if case.family == family] for family in FAMILIES}


def exact(case: KernelCase) -> bool:
    """Whether the tiles cover the problem without padding."""
    tile = case.launches[0].tile
    return all(case.sizes[rank] % tile[rank] == 0 for rank in ("m", "n", "k"))


def test_keys_are_unique() -> None:
    assert len({case.key for case in CASES}) == len(CASES) >= 500


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_blocks_fit_on_an_sm(family: str) -> None:
    for launch in (launch for case in BY_FAMILY[family] for launch in case.launches):
        assert launch.grid >= 1
        assert launch.threads % 32 == 0
        assert launch.threads <= 1024
        assert launch.threads * launch.registers <= REGISTERS
        assert launch.registers <= 255
        assert launch.shared_bytes <= SHARED_BYTES


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(MICRO)))
def test_no_kernel_moves_or_computes_less_than_it_must(family: str) -> None:
    for case in BY_FAMILY[family]:
        work = case.total
        products = work.tensor_flops + work.sparse_tensor_flops + work.wgmma_flops + work.sparse_wgmma_flops
        done = products + 2 * (work.fma_ops + work.sfu_ops + work.alu_ops)
        assert done >= case.useful_flops, case.key
        for launch in case.launches:
            assert launch.total.global_read_bytes >= launch.unique_read_bytes * 0.999, case.key
            assert launch.total.global_write_bytes >= launch.unique_write_bytes * 0.95, case.key


@pytest.mark.parametrize("case", [c for c in BY_FAMILY["gemm-f16"] if exact(c)], ids=lambda c: c.key)
def test_dense_gemm_does_two_flops_a_point_and_reads_each_tile_once_a_block(case: KernelCase) -> None:
    m, n, k = (case.sizes[rank] for rank in "mnk")
    tile = case.launches[0].tile
    assert case.total.tensor_flops == case.useful_flops == 2 * m * n * k
    assert case.total.global_read_bytes == 2 * m * n * k * (1 / tile["m"] + 1 / tile["n"])
    assert case.total.global_write_bytes == 2 * m * n


@pytest.mark.parametrize("case", [c for c in BY_FAMILY["gemm-sparse"] if exact(c)], ids=lambda c: c.key)
def test_sparse_gemm_keeps_half_the_flops_and_five_eighths_of_a(case: KernelCase) -> None:
    m, n, k = (case.sizes[rank] for rank in "mnk")
    assert case.total.sparse_tensor_flops == 2 * case.useful_flops == 2 * m * n * k
    assert case.launches[0].unique_read_bytes == 2 * m * k * (1 / 2 + 1 / 16) + 2 * n * k


@pytest.mark.parametrize("case", BY_FAMILY["attention-fused"], ids=lambda c: c.key)
def test_fused_attention_computes_the_tiles_the_mask_leaves(case: KernelCase) -> None:
    done, launch = case.total.tensor_flops, case.launches[0]
    if case.sizes["causal"]:
        block, tile = launch.tile["p"], launch.tile["m"]
        heads, tokens, dim = case.sizes["h"], case.sizes["p"], case.sizes["e"]
        assert case.useful_flops <= done <= case.useful_flops + 4 * heads * dim * tokens * (block + tile)
        steps = [run.steps for run in launch.runs]
        assert steps == sorted(steps, reverse=True)  # the longest blocks go first
    else:
        assert done == case.useful_flops
    assert case.unique_bytes == 4 * case.sizes["h"] * case.sizes["p"] * case.sizes["e"] * 2


def test_unfused_attention_moves_the_square_four_times_more_than_fused() -> None:
    fused = {tuple(case.sizes.values()): case for case in BY_FAMILY["attention-fused"]}
    for case in BY_FAMILY["attention-unfused"]:
        square = 2 * case.sizes["h"] * case.sizes["p"] * case.sizes["m"]
        twin = fused.get(tuple(case.sizes.values()))
        if twin is not None:
            # scores and weights are written once and read once; under the mask, softmax reads half the scores
            passes = 3.5 if case.sizes["causal"] else 4
            assert case.unique_bytes == twin.unique_bytes + passes * square
            assert case.useful_flops == twin.useful_flops
