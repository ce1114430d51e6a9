"""Constants of a GPU from captures: `micro` rows, and for four of them copies.

python -m einsim.validation.gpu.fit_machine CAPTURES.csv h100-sxm [--copies]

With --copies it prints the four figures that only kernels show instead; the presets have those of the H100.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from scipy.optimize import minimize, nnls

from einsim.accel.gpu.machine import Gpu, load_gpu
from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels.named import named
from einsim.sim.gpu.predict import core_joules, predict
from einsim.specs.errors import SpecError
from einsim.validation.gpu.kernels import micro_hopper, micro_tiles
from einsim.validation.gpu.kernels.micro_hopper import TILE_ROWS
from einsim.validation.gpu.kernels.registry import FAMILIES, MICRO, sizes_text
from einsim.validation.gpu.measurement import Measurement, read
from einsim.validation.gpu.split import split

Pairs = Sequence[tuple[KernelCase, Measurement]]
WARP = 32
IN_FLIGHT = 6  # tiles of a block
STREAM = ("overhead.start_s", "overhead.cold_touch_s", "l2_write_cost", "dram_write_cost")
NEARLY_NONE = 1e-12  # seconds of what isn't there
LEAST_PJ = 1e-3  # of what the captures can't tell from none


def paired(rows: Sequence[Measurement]) -> list[tuple[KernelCase, Measurement]]:
    """Every row with its case; rows of kernels that are no longer there are left out."""
    found = []
    for row in rows:
        try:
            found.append((case_of(row), row))
        except SpecError:
            continue
    return found


def case_of(row: Measurement) -> KernelCase:
    """The case that a row is of; SpecError for none."""
    if row.family in MICRO:
        by_name = microbenchmarks()
        if row.key[:3] not in by_name:
            raise SpecError("variant", "no microbenchmark of this name and sizes", got=row.variant)
        return by_name[row.key[:3]]
    return named(row.family, row.variant, row.ranks)


@cache
def microbenchmarks() -> dict[tuple[str, str, str], KernelCase]:
    """Every microbenchmark by what a row calls it."""
    return {
        (case.family, case.variant, sizes_text(case)): case
        for family in MICRO
        for case in FAMILIES[family].cases()
    }


def constants(rows: Sequence[Measurement], gpu: Gpu) -> dict[str, float]:
    """Constants that `micro` rows give, by dotted path; what is not measured is taken from `gpu`."""
    micro = paired([row for row in rows if row.family == "micro"])
    found = direct(micro, gpu)
    found |= starts(micro, replaced(gpu, found))
    found |= streams(micro, replaced(gpu, found))
    return found | energies(micro, replaced(gpu, found))


def hopper_constants(rows: Sequence[Measurement], gpu: Gpu) -> dict[str, float]:
    """Constants that microbenchmarks of sm_90a give, by dotted path: rates of `wgmma` at the clock that the
    power cap left during the energy replay, tiles that neighbours share, requests for one line, rows beyond a
    matrix, a tile's latency, and energies.
    """
    pairs = paired([row for row in rows if row.family in (micro_hopper.FAMILY, micro_tiles.FAMILY)])

    def capped(field: str) -> float:
        return max(
            float(getattr(case.total, field)) / (row.energy_launch_s * row.energy_sm_mhz * 1e6) / gpu.sms
            for case, row in pairs
            if getattr(case.total, field)
        )

    def best(variant: str, count: Callable[[KernelCase], float], **sizes: int) -> float:
        return max(
            count(case) / (row.median_s * gpu.clock_hz)
            for case, row in pairs
            if row.variant == variant and all(row.ranks[rank] == size for rank, size in sizes.items())
        )

    found = {
        "sm.wgmma_flops": capped("wgmma_flops"),
        "sm.sparse_wgmma_flops": capped("sparse_wgmma_flops"),
        "l2_tile_bytes_per_clock": best("tile_rate", lambda case: float(case.total.global_read_bytes)),
        "l2_line_requests": best("line_copy_rate", requests, lines=1),
        "l2_edge_rows": best("edge_rate", edges, inside=TILE_ROWS // 2),
    }
    tile = next(row for _, row in pairs if row.variant == "edge_rate" and row.ranks["inside"] == TILE_ROWS)
    clocks = tile.median_s * gpu.clock_hz / tile.ranks["iterations"] * IN_FLIGHT
    found["latency.tile"] = clocks - gpu.latency.l2
    return found | product_energies(rows, replaced(gpu, found))


def edges(case: KernelCase) -> float:
    """Rows beyond the matrix in all tiles."""
    launch = case.launches[0]
    return float(launch.steps * (TILE_ROWS - case.sizes["inside"]))


def requests(case: KernelCase) -> float:
    """Requests of warps in all: four a step."""
    launch = case.launches[0]
    return 4.0 * launch.steps * launch.threads / WARP


def product_energies(rows: Sequence[Measurement], gpu: Gpu) -> dict[str, float]:
    """Picojoules of a `wgmma` FLOP, dense and 2:4, and of a tile's byte from L2: what rows with products drew
    beyond what the other constants say, by least squares, never negative.

    Microbenchmarks multiply what lies in shared memory and blocks that read the same tile at a time get it
    for less than kernels do, so that kernels' rows of the fit split are among them.
    """
    paths = ("energy.wgmma_flop_pj", "energy.sparse_wgmma_flop_pj", "energy.l2_tile_byte_pj")
    bare, left, right = replaced(gpu, dict.fromkeys(paths, NEARLY_NONE)), [], []
    chosen = [row for row in rows if row.family in MICRO] + list(split(rows)[0])
    for case, row in paired([row for row in chosen if row.energy_j > 0]):
        work, crossed = case.total, predict(case, gpu, l2=row.l2)
        if not work.wgmma_flops + work.sparse_wgmma_flops:
            continue
        share = (row.energy_sm_mhz * 1e6 / gpu.clock_hz) ** gpu.energy.clock_exponent
        known = gpu.energy.static_w * row.energy_launch_s + crossed.energy_by["dram"]
        known += share * sum(core_joules(case, bare).values())
        counts = (work.wgmma_flops, work.sparse_wgmma_flops, work.global_read_bytes)
        left.append(np.array([share * count * 1e-12 for count in counts]) / row.energy_j)
        right.append(1.0 - known / row.energy_j)
    fitted, _ = nnls(np.array(left), np.array(right))
    return {path: max(float(x), LEAST_PJ) for path, x in zip(paths, fitted, strict=True)}


def stream_constants(rows: Sequence[Measurement], gpu: Gpu) -> dict[str, float]:
    """What no microbenchmark shows by itself, by the copies of the fit split: what a kernel takes beyond an
    empty one, warm and cold, and what a byte written costs at L2 and DRAM. One device's serve all presets.
    """
    copies = paired([row for row in split(rows)[0] if row.family == "copy"])
    first = np.array([value(gpu, path) for path in STREAM])

    def loss(scale: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        trial = replaced(gpu, dict(zip(STREAM, np.abs(scale) * first, strict=True)))
        errors = [abs(np.log(predict(case, trial, l2=row.l2).seconds / row.median_s)) for case, row in copies]
        return float(np.mean(errors))

    best = minimize(loss, np.ones(len(STREAM)), method="Nelder-Mead", options={"maxfev": 300, "fatol": 1e-4})
    return dict(zip(STREAM, (np.abs(best.x) * first).tolist(), strict=True))


def direct(micro: Pairs, gpu: Gpu) -> dict[str, float]:
    """Constants that a microbenchmark shows by itself: rates, latencies and what an empty kernel takes."""
    clock = gpu.clock_hz

    def best(variant: str, field: str) -> float:
        return max(
            float(getattr(case.total, field)) / (row.median_s * clock)
            for case, row in micro
            if row.variant == variant
        )

    def step(variant: str, state: str = "warm", working_set: int = 0) -> float:
        """Clocks of a step, by the fastest row; of one working set if it is given."""
        return min(
            row.median_s * clock / case.launches[0].runs[0].steps
            for case, row in micro
            if (row.variant, row.l2) == (variant, state)
            and working_set in (0, row.ranks["working_set_bytes"])
        )

    empty = sorted((case.launches[0].grid, row.median_s) for case, row in micro if row.variant == "empty")
    alone = next(
        row.median_s * clock / case.launches[0].runs[0].steps
        for case, row in micro
        if row.variant == "barrier_rate" and case.launches[0].grid == gpu.sms and row.ranks["threads"] == 256
    )
    warps = max(
        case.launches[0].steps * case.launches[0].threads / WARP / (row.median_s * clock)
        for case, row in micro
        if row.variant == "barrier_rate"
    )
    return {
        "sm.fma": best("fma_rate", "fma_ops") / gpu.sms,
        "sm.sfu": best("exp_rate", "sfu_ops") / gpu.sms,
        "sm.tensor_flops": best("mma_rate", "tensor_flops") / gpu.sms,
        "sm.sparse_tensor_flops": best("mma_sparse_rate", "sparse_tensor_flops") / gpu.sms,
        "sm.shared_bytes_per_clock": best("shared_rate", "shared_read_bytes") / gpu.sms,
        "sm.barrier_warps": warps / gpu.sms,
        "l2_bytes_per_clock": best("l2_rate", "global_read_bytes"),
        "latency.shared": step("chase_shared"),
        "latency.l1": step("chase_cached", working_set=16 * 2**10),
        "latency.l2": step("chase_global"),
        "latency.dram": step("chase_global", "cold"),
        "latency.barrier": alone,
        "overhead.launch_s": empty[0][1],
        "overhead.block_s": (empty[-1][1] - empty[0][1]) / (empty[-1][0] - empty[0][0]),
    }


def starts(micro: Pairs, gpu: Gpu) -> dict[str, float]:
    """A block's start: what `touch` with a block an SM takes on warm data, beyond what the model says of the
    rest of it.
    """
    measured = {
        row.l2: (case, row.median_s)
        for case, row in micro
        if row.variant == "touch" and case.launches[0].grid == gpu.sms
    }
    bare = replaced(gpu, {"latency.block_start": NEARLY_NONE, "overhead.start_s": NEARLY_NONE})
    case, warm_s = measured["warm"]
    return {"latency.block_start": max((warm_s - predict(case, bare, l2="warm").seconds) * gpu.clock_hz, 1.0)}


def streams(micro: Pairs, gpu: Gpu) -> dict[str, float]:
    """DRAM's rate of reads alone, less what the first touch and the first load take."""
    start = gpu.overhead.launch_s + gpu.overhead.start_s + gpu.overhead.cold_touch_s
    start += gpu.latency.dram / gpu.clock_hz
    return {
        "dram_bytes_per_s": max(
            case.launches[0].unique_read_bytes / (row.median_s - start)
            for case, row in micro
            if row.variant == "read_rate"
        )
    }


def energies(pairs: Pairs, gpu: Gpu) -> dict[str, float]:
    """Static power and picojoules by least squares, never negative, on rows with energy, each weighed by its
    own joules. An integer operation is taken to cost what an FMA costs.
    """
    rows, right = [], []
    for case, row in pairs:
        if not row.energy_j > 0:
            continue
        work = case.total
        share = (row.energy_sm_mhz * 1e6 / gpu.clock_hz) ** gpu.energy.clock_exponent
        core = [
            work.fma_ops + work.alu_ops,
            work.sfu_ops,
            work.tensor_flops,
            work.sparse_tensor_flops,
            work.shared_read_bytes + work.shared_write_bytes,
            work.global_read_bytes + work.global_write_bytes,
        ]
        crossed = predict(case, gpu, l2=row.l2)
        dram = (crossed.dram_bytes - crossed.dram_write_bytes, crossed.dram_write_bytes)
        columns = [
            row.energy_launch_s,
            *(share * count * 1e-12 for count in core),
            *(count * 1e-12 for count in dram),
        ]
        rows.append(np.array(columns) / row.energy_j)
        right.append(1.0)
    fitted, _ = nnls(np.array(rows), np.array(right))
    names = (
        *("static_w", "lane_pj", "sfu_pj", "tensor_flop_pj", "sparse_tensor_flop_pj"),
        *("shared_byte_pj", "l2_byte_pj", "dram_byte_pj", "dram_write_byte_pj"),
    )
    return {f"energy.{name}": max(float(x), LEAST_PJ) for name, x in zip(names, fitted, strict=True)}


def value(gpu: Gpu, path: str) -> float:
    """One constant by its dotted path."""
    at: object = gpu
    for name in path.split("."):
        at = getattr(at, name)
    return float(at)  # type: ignore[arg-type]


def replaced(gpu: Gpu, values: Mapping[str, float]) -> Gpu:
    """The GPU with some constants replaced, by dotted path."""
    for path, number in values.items():
        group, _, name = path.rpartition(".")
        if group:
            part = msgspec.structs.replace(getattr(gpu, group), **{name: number})
            gpu = msgspec.structs.replace(gpu, **{group: part})
        else:
            gpu = msgspec.structs.replace(gpu, **{name: number})
    return gpu


if __name__ == "__main__":
    fit = stream_constants if "--copies" in sys.argv else constants
    for dotted, number in fit(read(Path(sys.argv[1])), load_gpu(sys.argv[2])).items():
        sys.stdout.write(f"{dotted}: {number:.4g}\n")
