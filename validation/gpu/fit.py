"""Fits what a kernel family may have fitted: two efficiencies of the model, and two of the roofline that is
the baseline. On rows of the fit split only.

    python -m validation.gpu.fit
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from scipy.optimize import minimize

from accel.gpu.machine import Gpu, load_gpu
from validation.gpu.case import KernelCase
from validation.gpu.fit_machine import Pairs, paired
from validation.gpu.model import Efficiency
from validation.gpu.predict import predict
from validation.gpu.rows import Row, read
from validation.gpu.split import split

FITTED = Path(__file__).parent / "captures" / "nvidia-h200-fitted.json"
CAPTURE = Path(__file__).parent / "captures" / "nvidia-h200.csv"


class Fitted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of each family: the model's efficiencies, and the roofline's (share of peak, share of bandwidth)."""

    model: dict[str, Efficiency]
    roofline: dict[str, tuple[float, float]]


def roofline(case: KernelCase, gpu: Gpu, peak: float, bandwidth: float) -> float:
    """Seconds by a roofline: every launch's start, then FLOPs or bytes at a share of their best rates."""
    work = case.total
    flops = work.tensor_flops / gpu.sm.tensor_flops + work.sparse_tensor_flops / gpu.sm.sparse_tensor_flops
    flops = max(flops, work.fma_ops / gpu.sm.fma) / (gpu.sms * gpu.clock_hz)
    starts = len(case.launches) * (gpu.overhead.launch_s + gpu.overhead.cold_touch_s)
    return starts + max(flops / peak, case.unique_bytes / gpu.dram_bytes_per_s / bandwidth)


def least(pairs: Pairs, seconds: Callable[[KernelCase, Row, float, float], float]) -> tuple[float, float]:
    """Two positive figures with the least mean relative error over the rows, from several starts."""

    def loss(logs: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        one, two = (float(x) for x in np.exp(np.clip(logs, np.log(0.02), np.log(20.0))))
        return float(np.mean([abs(seconds(c, r, one, two) / r.median_s - 1.0) for c, r in pairs]))

    starts = [np.log([a, b]) for a, b in ((0.9, 1.0), (0.7, 1.5), (0.9, 2.5))]
    first = min(starts, key=loss)
    simplex = first + np.array([[0.0, 0.0], [0.15, 0.0], [0.0, 0.4]])
    found = minimize(
        loss,
        first,
        method="Nelder-Mead",
        options={"maxfev": 60, "initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-5},
    )
    best = np.exp(np.clip(found.x, np.log(0.02), np.log(20.0)))
    return float(round(best[0], 3)), float(round(best[1], 3))


def fitted(rows: Sequence[Row], gpu: Gpu) -> Fitted:
    """Efficiencies of every family, from the fit split of these rows."""
    pairs = paired(split(rows)[0])
    families = dict.fromkeys(case.family for case, _ in pairs)
    model, baseline = {}, {}
    for family in families:
        own = [(case, row) for case, row in pairs if case.family == family]

        def by_model(case: KernelCase, row: Row, rate: float, latency: float) -> float:
            return predict(case, gpu, l2=row.l2, efficiency=Efficiency(rate=rate, latency=latency)).seconds

        def by_roofline(case: KernelCase, row: Row, peak: float, bandwidth: float) -> float:
            return roofline(case, gpu, peak, bandwidth)

        rate, latency = least(own, by_model)
        model[family] = Efficiency(rate=rate, latency=latency)
        baseline[family] = least(own, by_roofline)
    return Fitted(model=model, roofline=baseline)


def read_fitted() -> Fitted:
    """The committed efficiencies."""
    return msgspec.json.decode(FITTED.read_bytes(), type=Fitted)


if __name__ == "__main__":
    found = fitted(read(CAPTURE), load_gpu("h200-sxm"))
    FITTED.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    sys.stdout.write(f"{FITTED}\n")
