"""The tables of docs/gpu.md, as Markdown, from the committed captures.

python -m einsim.validation.gpu.tables [errors|kernels|lean|sparse] [h100-sxm|h200-sxm]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.stats import kendalltau

from einsim.accel.gpu.machine import Gpu, load_gpu
from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.factors import read_factors
from einsim.sim.gpu.predict import predict
from einsim.validation.gpu.fit import capture_path, captured
from einsim.validation.gpu.fit_machine import paired
from einsim.validation.gpu.kernels.registry import MICRO
from einsim.validation.gpu.measurement import Measurement, read
from einsim.validation.gpu.model_shapes import FIRST
from einsim.validation.gpu.suite import MEASURED, errors, points

Pair = tuple[KernelCase, Measurement]


def table(titles: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """Lines of one Markdown table."""
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def accuracy(name: str) -> Iterator[str]:
    """Errors of the held-out rows by family, in percent of the measured time."""

    def lines() -> Iterator[Sequence[str]]:
        for family in (*MEASURED, "all"):
            held = [point for point in points(name) if point.held and family in ("all", point.row.family)]
            if family == "all":
                held = [point for point in held if point.row.family not in FIRST]
            if not held:
                continue
            by_level = {
                level: errors(held, level) for level in ("zero_fit", "calibrated", "transfer", "roofline")
            }
            fitted = by_level["calibrated"]
            tau = kendalltau([p.row.median_s for p in held], [p.calibrated_s for p in held]).statistic
            means = {level: percent(found) for level, found in by_level.items()}
            median, p90 = (f"{100 * np.percentile(fitted, share):.1f}" for share in (50, 90))
            yield (
                family, str(len(held)), means["zero_fit"], means["calibrated"], median, p90, f"{tau:.2f}",
                means["transfer"], means["roofline"],
            )  # fmt: skip

    titles = (
        "family", "held-out rows", "zero-fit MAPE", "calibrated MAPE", "median", "90th percentile",
        "Kendall tau",
        "other device's factors", "roofline MAPE",
    )  # fmt: skip
    yield from table(titles, lines())


def percent(found: Sequence[float]) -> str:
    """The mean of errors in percent; a dash where there is none."""
    return f"{100 * np.mean(found):.1f}" if np.isfinite(found).all() else "-"


def kernels(name: str) -> Iterator[str]:
    """The best row of every variant: its rate, that over the bound of its pipes at the measured clock, and
    over torch.
    """
    gpu, best = load_gpu(name), dict[tuple[str, str], Pair]()

    def rate(pair: Pair) -> float:
        return (pair[0].useful_flops or pair[0].unique_bytes) / pair[1].median_s

    for case, row in paired([r for r in captured(name) if r.family not in MICRO and r.l2 == "cold"]):
        key = case.family, case.variant
        if key not in best or bound(case, row, gpu) > bound(*best[key], gpu):
            best[key] = case, row

    def lines() -> Iterator[Sequence[str]]:
        for (family, variant), (case, row) in best.items():
            flops, moved = case.useful_flops / row.median_s / 1e12, case.unique_bytes / row.median_s / 1e12
            torch = f"{row.vendor_s / row.median_s:.2f}" if row.vendor_s > 0 else "-"
            share = f"{100 * bound(case, row, gpu):.0f} %"
            yield family, variant, row.sizes, f"{flops:.1f}", f"{moved:.2f}", f"{row.sm_mhz}", share, torch

    titles = ("family", "variant", "at", "TFLOP/s", "TB/s", "MHz", "of its roofline", "of torch's speed")
    yield from table(titles, lines())


def bound(case: KernelCase, row: Measurement, gpu: Gpu) -> float:
    """Share of the roofline: useful FLOPs on their pipe at the measured clock, or unique bytes over DRAM."""
    work, clocks = case.total, gpu.sms * row.sm_mhz * 1e6
    peak = gpu.sm.tensor_flops if work.tensor_flops else gpu.sm.fma * 2
    flops = case.useful_flops
    if work.wgmma_flops:
        peak = gpu.sm.wgmma_flops
    if (
        work.sparse_tensor_flops or work.sparse_wgmma_flops
    ):  # useful FLOPs of 2:4 are half the dense-equivalent ones
        peak = gpu.sm.sparse_tensor_flops if work.sparse_tensor_flops else gpu.sm.sparse_wgmma_flops
        flops *= 2
    return max(flops / peak / clocks, case.unique_bytes / gpu.dram_bytes_per_s) / row.median_s


def lean(name: str) -> Iterator[str]:
    """Speed-up of stream-K over the other two schedules of decode attention: measured (predicted)."""
    gpu, known = load_gpu(name), read_factors(name)
    seen: dict[tuple[int, int, int], dict[str, tuple[float, float]]] = {}
    for case, row in paired([row for row in read(capture_path(name)) if row.family == "decode"]):
        key = case.sizes["e"], case.sizes["m"], case.sizes["h"]
        guess = predict(case, gpu, efficiency=known[case.family]).seconds
        seen.setdefault(key, {})[case.variant.rsplit("-d", 1)[0]] = row.median_s, guess

    def lines() -> Iterator[Sequence[str]]:
        for (dim, tokens, heads), times in sorted(seen.items()):
            ours = times["stream-k"]
            others = (times[other] for other in ("block-a-head", "fixed-split"))
            cells = (f"{other[0] / ours[0]:.2f} ({other[1] / ours[1]:.2f})" for other in others)
            yield str(dim), str(heads), f"{tokens // 1024}k", *cells

    titles = ("head dim", "heads", "context", "over a block a head", "over fixed split")
    yield from table(titles, lines())


def sparse(name: str) -> Iterator[str]:
    """Best dense tile over best 2:4 tile of every shape, measured and predicted, and the vendor's."""
    gpu, known = load_gpu(name), read_factors(name)
    best: dict[tuple[str, str], tuple[float, float, float]] = {}
    for case, row in paired([r for r in read(capture_path(name)) if r.family in ("gemm-f16", "gemm-sparse")]):
        if row.l2 == "cold":
            guess = predict(case, gpu, efficiency=known[case.family]).seconds
            known_best = best.get((case.family, row.sizes), (np.inf, np.inf, np.inf))
            found = row.median_s, guess, row.vendor_s
            best[case.family, row.sizes] = (
                min(known_best[0], found[0]), min(known_best[1], found[1]), min(known_best[2], found[2]),
            )  # fmt: skip

    def lines() -> Iterator[Sequence[str]]:
        for (family, sizes), two in best.items():
            if family == "gemm-sparse" and ("gemm-f16", sizes) in best:
                dense = best["gemm-f16", sizes]
                shape = ", ".join(pair.split("=")[1] for pair in sizes.split(";"))
                ratios = (f"{a / b:.2f}" for a, b in zip(dense, two, strict=True))
                yield shape, f"{dense[0] * 1e6:.1f}", f"{two[0] * 1e6:.1f}", *ratios

    titles = ("m, n, k", "dense us", "2:4 us", "measured", "predicted", "torch dense over cuSPARSELt")
    yield from table(titles, lines())


TABLES: dict[str, Callable[[str], Iterator[str]]] = {
    "errors": accuracy, "kernels": kernels, "lean": lean, "sparse": sparse,
}  # fmt: skip

if __name__ == "__main__":
    kind, preset = (
        (*sys.argv[1:], "errors", "h100-sxm")[:2] if len(sys.argv) != 2 else (sys.argv[1], "h100-sxm")
    )
    sys.stdout.write("\n".join(TABLES[kind](preset)) + "\n")
