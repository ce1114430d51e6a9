"""Constants of a GPU from captures: `micro` rows and the `copy` rows of the fit split, and no others.

python -m validation.gpu.fit_machine validation/gpu/captures/nvidia-h200.csv h200-sxm
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from scipy.optimize import minimize, nnls

from accel.gpu.machine import Gpu, load_gpu
from validation.gpu.case import KernelCase
from validation.gpu.kernels.registry import all_cases
from validation.gpu.predict import predict
from validation.gpu.rows import Row, read
from validation.gpu.split import split

Pairs = Sequence[tuple[KernelCase, Row]]
STREAM = ("overhead.warm_touch_s", "overhead.cold_touch_s", "latency.block_start", "dram_write_cost")


def paired(rows: Sequence[Row]) -> list[tuple[KernelCase, Row]]:
    """Every row with its case; rows of kernels that are no longer there are left out."""
    by_key = {
        (case.family, case.variant, ";".join(f"{rank}={size}" for rank, size in case.sizes.items())): case
        for case in all_cases()
    }
    return [(by_key[row.key[:3]], row) for row in rows if row.key[:3] in by_key]


def constants(rows: Sequence[Row], gpu: Gpu) -> dict[str, float]:
    """Measured constants by dotted path; what is not measured is taken from `gpu`."""
    fit, _ = split(rows)
    micro = paired([row for row in rows if row.family == "micro"])
    copies = paired([row for row in fit if row.family == "copy"])
    found = direct(micro, gpu)
    gpu = replaced(gpu, found)
    found |= energies([*micro, *copies], gpu)
    gpu = replaced(gpu, found)
    start = np.array([value(gpu, path) for path in STREAM])

    def loss(scale: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        trial = replaced(gpu, dict(zip(STREAM, np.abs(scale) * start, strict=True)))
        errors = [abs(np.log(predict(case, trial, l2=row.l2).seconds / row.median_s)) for case, row in copies]
        return float(np.mean(errors))

    best = minimize(loss, np.ones(len(STREAM)), method="Nelder-Mead", options={"maxfev": 300, "fatol": 1e-4})
    return found | dict(zip(STREAM, (np.abs(best.x) * start).tolist(), strict=True))


def direct(micro: Pairs, gpu: Gpu) -> dict[str, float]:
    """Constants that a microbenchmark shows by itself: rates, latencies and what an empty kernel takes."""
    clock = gpu.clock_hz

    def best(variant: str, field: str) -> float:
        return max(
            float(getattr(case.total, field)) / (row.median_s * clock)
            for case, row in micro
            if row.variant == variant
        )

    def least(variant: str, state: str) -> float:
        """Clocks of a step, by the fastest row."""
        return min(
            row.median_s * clock / case.launches[0].runs[0].steps
            for case, row in micro
            if row.variant == variant and row.l2 == state
        )

    empty = sorted((case.launches[0].grid, row.median_s) for case, row in micro if row.variant == "empty")
    full = next(
        row.median_s * clock / case.launches[0].runs[0].steps
        for case, row in micro
        if row.variant == "barrier_rate" and case.launches[0].grid == gpu.sms and row.ranks["threads"] == 256
    )
    return {
        "sm.fma": best("fma_rate", "fma_ops") / gpu.sms,
        "sm.sfu": best("exp_rate", "sfu_ops") / gpu.sms,
        "sm.tensor_flops": best("mma_rate", "tensor_flops") / gpu.sms,
        "sm.sparse_tensor_flops": best("mma_sparse_rate", "sparse_tensor_flops") / gpu.sms,
        "l2_bytes_per_clock": best("l2_rate", "global_read_bytes"),
        "latency.l2": least("chase_global", "warm"),
        "latency.dram": least("chase_global", "cold"),
        "latency.barrier": full,
        "overhead.launch_s": empty[0][1],
        "overhead.block_s": (empty[-1][1] - empty[0][1]) / (empty[-1][0] - empty[0][0]),
    }


def energies(pairs: Pairs, gpu: Gpu) -> dict[str, float]:
    """Static power and picojoules by least squares, never negative, on rows with energy, each weighed by its
    own joules. An integer operation is taken to cost what an FMA costs; shared memory has no rows here.
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
            work.global_read_bytes + work.global_write_bytes,
        ]
        dram = predict(case, gpu, l2=row.l2).dram_bytes
        columns = [row.energy_launch_s, *(share * count * 1e-12 for count in core), dram * 1e-12]
        rows.append(np.array(columns) / row.energy_j)
        right.append(1.0)
    fitted, _ = nnls(np.array(rows), np.array(right))
    names = (
        *("static_w", "lane_pj", "sfu_pj", "tensor_flop_pj", "sparse_tensor_flop_pj"),
        *("l2_byte_pj", "dram_byte_pj"),
    )
    return {f"energy.{name}": float(x) for name, x in zip(names, fitted, strict=True)}


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
    for dotted, number in constants(read(Path(sys.argv[1])), load_gpu(sys.argv[2])).items():
        sys.stdout.write(f"{dotted}: {number:.4g}\n")
