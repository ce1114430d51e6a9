"""The committed captures: complete, of the kernels in this tree, correct, and physically possible."""

from __future__ import annotations

import math
from collections import Counter
from statistics import median

import pytest

from einsim.validation.gpu.capture import summary
from einsim.validation.gpu.fit import CAPTURES, DEVICES
from einsim.validation.gpu.kernels.registry import (
    FAMILIES,
    MICRO,
    all_cases,
    family_hash,
    fresh_cases,
    model_cases,
    unseen_cases,
)
from einsim.validation.gpu.measurement import read
from einsim.validation.gpu.model_shapes import FIRST
from einsim.validation.gpu.plan import TOLERANCE, fresh_plan, models_plan, plan, unseen_plan

PATHS = sorted(CAPTURES.glob("*.csv"))
ROWS = {path.stem: read(path) for path in PATHS}
CASES = {
    (c.family, c.variant, ";".join(f"{r}={s}" for r, s in c.sizes.items())): c
    for c in (*all_cases(), *all_cases(True), *unseen_cases(), *model_cases(), *fresh_cases())
}
# NVIDIA H200 SXM, datasheet: dense and 2:4 FP16 tensor cores at 1830 MHz (scaled to the 1980 MHz it boosts to), HBM, power cap
TENSOR_FLOPS, SPARSE_FLOPS, HBM_BYTES_PER_S, POWER_W = (
    989e12 * 1980 / 1830,
    1979e12 * 1980 / 1830,
    4.8e12,
    700,
)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_rows_are_of_the_kernels_in_this_tree(name: str) -> None:
    hashes = {family: family_hash(family) for family in {row.family for row in ROWS[name]}}
    for row in ROWS[name]:
        assert row.source_hash == hashes[row.family], row.key
        case = CASES[row.key[:3]]
        assert row.registers.split("+") == [
            str(launch.registers) for launch in case.launches
        ] or row.registers.split("+") == [
            str(r) for r in dict.fromkeys(launch.registers for launch in case.launches)
        ], row.key


@pytest.mark.parametrize("name", sorted(ROWS))
def test_every_row_was_right_before_it_was_timed(name: str) -> None:
    for row in ROWS[name]:
        assert row.error <= TOLERANCE[CASES[row.key[:3]].bits], row.key
        assert 0 < row.p10_s <= row.median_s <= row.p90_s, row.key
        assert row.launches >= 1
        assert row.replays >= 3


@pytest.mark.parametrize("name", DEVICES.values())
def test_the_full_capture_is_complete(name: str) -> None:
    counts = Counter(row.key for row in ROWS[name])
    assert max(counts.values()) == 1
    assert set(counts) == {item.key for item in plan()}
    assert len(ROWS[name]) >= 500
    assert {row.family for row in ROWS[name]} == set(FAMILIES) - set(FIRST) - set(MICRO[1:])
    assert sum(not math.isnan(row.energy_j) and row.energy_s >= 0.1 for row in ROWS[name]) >= 60


@pytest.mark.parametrize("name", DEVICES.values())
def test_unseen_shapes_are_complete_and_in_no_other_capture(name: str) -> None:
    keys = {row.key for row in ROWS[f"{name}-unseen"]}
    assert keys == {item.key for item in unseen_plan()}
    assert not keys & {row.key for row in ROWS[name]}


def test_shapes_of_models_are_complete_and_in_no_other_capture() -> None:
    keys = [row.key for row in ROWS["nvidia-h200-models"]]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {item.key for item in models_plan()}
    assert not set(keys) & {row.key for row in (*ROWS["nvidia-h200"], *ROWS["nvidia-h200-unseen"])}
    assert sum(row.family not in MICRO for row in ROWS["nvidia-h200-models"]) >= 580


def test_shapes_of_further_models_are_complete_and_in_no_other_capture() -> None:
    keys = {row.key for row in ROWS["nvidia-h200-fresh"]}
    assert keys == {item.key for item in fresh_plan()}
    assert len(keys) >= 290
    assert not keys & {row.key for name, rows in ROWS.items() if not name.endswith("fresh") for row in rows}


def test_decode_by_tensor_cores_reaches_80_percent_of_the_vendors_speed() -> None:
    """Median of shapes; by FMAs it is 0.72."""
    rows = [row for row in ROWS["nvidia-h200-models"] if row.vendor_s > 0]
    shares = {
        family: median(row.vendor_s / row.median_s for row in rows if row.family == family)
        for family in ("decode-tensor", "decode-grouped")
    }
    assert shares["decode-tensor"] >= 0.8 > shares["decode-grouped"]


def test_warp_group_products_reach_80_percent_of_the_vendors_speed() -> None:
    """The best tile of each shape: products of at least 2^36 FLOP, sequences of at least 2048 tokens (median)."""
    best: dict[tuple[str, str], float] = {}
    for row in ROWS["nvidia-h200-models"]:
        case, ranks = CASES[row.key[:3]], row.ranks
        large = case.useful_flops >= 2**36 if row.family.startswith("gemm") else ranks.get("p", 0) >= 2048
        if row.family.endswith("-wgmma") and large and row.vendor_s > 0:
            kind = row.variant.split("-", 1)[1] if row.family.startswith("attention") else ""
            key = f"{row.family}{kind}", row.sizes
            best[key] = max(best.get(key, 0.0), row.vendor_s / row.median_s)
    for group in {family for family, _ in best}:
        assert median(share for (family, _), share in best.items() if family == group) >= 0.8, group


@pytest.mark.parametrize("name", sorted(ROWS))
def test_nothing_is_faster_than_the_hardware(name: str) -> None:
    for row in ROWS[name]:
        case = CASES[row.key[:3]]
        work = case.total
        clocks = 1.98e9 * row.sms  # of all SMs together, a second
        floor_s = max(
            (work.tensor_flops + work.wgmma_flops) / TENSOR_FLOPS
            + (work.sparse_tensor_flops + work.sparse_wgmma_flops) / SPARSE_FLOPS,
            work.fma_ops / 128 / clocks,
            work.sfu_ops / 16 / clocks,
            (work.shared_read_bytes + work.shared_write_bytes) / 128 / clocks,
            case.unique_bytes / HBM_BYTES_PER_S
            if row.l2 == "cold" and len(case.launches) == 1 and row.buffers == 1
            else 0,
        )
        assert row.median_s >= floor_s, row.key


@pytest.mark.parametrize("name", DEVICES.values())
def test_joules_stay_within_the_power_limit_and_above_idle(name: str) -> None:
    for row in ROWS[name]:
        if not math.isnan(row.energy_j):
            assert row.idle_w < row.energy_j / row.energy_launch_s < 1.1 * POWER_W, row.key


@pytest.mark.parametrize("name", DEVICES.values())
def test_the_fused_attention_and_the_gemm_reach_their_share_of_mma_sync(name: str) -> None:
    """Shares of 63 % of 989 TFLOP/s: half for attention at 8k tokens, 60 % for the GEMM, at the clock power allows."""
    roofline = 0.63 * 989e12

    def best(family: str, **sizes: int) -> float:
        found = [
            row
            for row in ROWS[name]
            if row.family == family and all(row.ranks[rank] == size for rank, size in sizes.items())
        ]
        return max(CASES[row.key[:3]].useful_flops / row.median_s for row in found)

    assert best("gemm-f16", m=8192, n=8192, k=8192) >= 0.60 * roofline
    for dim in (64, 128):
        for causal in (0, 1):
            assert best("attention-fused", p=8192, e=dim, causal=causal) >= 0.50 * roofline, (dim, causal)


def test_stream_k_beats_a_block_a_head_where_heads_are_few() -> None:
    times = {
        (row.variant, row.ranks["h"], row.ranks["m"]): row.median_s
        for row in ROWS["nvidia-h100-80gb-hbm3"]
        if row.family == "decode"
    }
    for dim in (64, 128):
        assert times[f"block-a-head-d{dim}", 8, 131072] > 5 * times[f"stream-k-d{dim}", 8, 131072]


def test_the_summary_has_a_line_for_every_variant() -> None:
    lines = summary(CAPTURES / "nvidia-h200.csv").splitlines()
    assert len(lines) == 1 + len({(row.family, row.variant) for row in ROWS["nvidia-h200"]})
