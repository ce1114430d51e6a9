"""Fits what a kernel family may have fitted: two efficiencies of the model, and two of the roofline that is
the baseline. On rows of the fit split only, for one device.

    python -m einsim.validation.gpu.fit h100-sxm
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from scipy.optimize import minimize

from einsim.accel.gpu.machine import Gpu, load_gpu
from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.factors import Efficiency, factors_path
from einsim.sim.gpu.predict import predict
from einsim.validation.gpu.fit_machine import Pairs, paired
from einsim.validation.gpu.kernels.registry import MICRO
from einsim.validation.gpu.measurement import Measurement, read
from einsim.validation.gpu.split import digest, split

CAPTURES = Path(__file__).parent / "captures"
DEVICES = {"h100-sxm": "nvidia-h100-80gb-hbm3", "h200-sxm": "nvidia-h200"}  # preset: capture

# The rule of the fit, fixed before it was run. Errors are logarithms, weighed as if they were Laplace-
# distributed with a scale of 5 %; a factor is taken to be near 1, log-normal with these widths; so that six
# rows can't pull a factor far from 1, and eighty can.
SCALE, RATE_WIDTH, LATENCY_WIDTH = 0.05, 0.25, 0.5
SHARE = 0.8  # which the roofline's shares of peak and bandwidth are taken to be near
FOLDS = 3  # by shape: factors are kept only if they serve rows that they weren't fitted on


class Fitted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of each family: the model's factors, and the roofline's (share of peak, share of bandwidth)."""

    model: dict[str, Efficiency]
    roofline: dict[str, tuple[float, float]]

    def write(self, preset: str) -> None:
        """Commit them: the model's where it reads them, the baseline's beside the captures."""
        for path, found in ((factors_path(preset), self.model), (roofline_path(preset), self.roofline)):
            path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def roofline(case: KernelCase, gpu: Gpu, peak: float, bandwidth: float) -> float:
    """Seconds by a roofline: every launch's start, then FLOPs or bytes at a share of their best rates."""
    work = case.total
    flops = work.tensor_flops / gpu.sm.tensor_flops + work.sparse_tensor_flops / gpu.sm.sparse_tensor_flops
    flops += work.wgmma_flops / gpu.sm.wgmma_flops + work.sparse_wgmma_flops / gpu.sm.sparse_wgmma_flops
    flops = max(flops, work.fma_ops / gpu.sm.fma) / (gpu.sms * gpu.clock_hz)
    starts = len(case.launches) * (gpu.overhead.launch_s + gpu.overhead.start_s + gpu.overhead.cold_touch_s)
    return starts + max(flops / peak, case.unique_bytes / gpu.dram_bytes_per_s / bandwidth)


def least(
    loss: Callable[[float, float], float], starts: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """The two positive figures with the least loss, from several starts."""

    def at(logs: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        one, two = (float(x) for x in np.exp(np.clip(logs, np.log(0.02), np.log(20.0))))
        return loss(one, two)

    first = min((np.log(pair) for pair in starts), key=at)
    simplex = first + np.array([[0.0, 0.0], [0.15, 0.0], [0.0, 0.4]])
    found = minimize(
        at,
        first,
        method="Nelder-Mead",
        options={"maxfev": 60, "initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-5},
    )
    best = np.exp(np.clip(found.x, np.log(0.02), np.log(20.0)))
    return float(round(best[0], 3)), float(round(best[1], 3))


def off(pairs: Pairs, gpu: Gpu, efficiency: Efficiency) -> list[float]:
    """Absolute logarithms of predicted over measured."""
    return [
        abs(float(np.log(predict(case, gpu, l2=row.l2, efficiency=efficiency).seconds / row.median_s)))
        for case, row in pairs
    ]


def efficiencies(pairs: Pairs, gpu: Gpu) -> Efficiency:
    """A family's two factors by the rule above."""

    def loss(rate: float, latency: float) -> float:
        prior = (np.log(rate) / RATE_WIDTH) ** 2 / 2 + (np.log(latency) / LATENCY_WIDTH) ** 2 / 2
        return sum(off(pairs, gpu, Efficiency(rate=rate, latency=latency))) / SCALE + float(prior)

    rate, latency = least(loss, ((1.0, 1.0), (0.85, 1.0), (1.15, 1.5)))
    return Efficiency(rate=rate, latency=latency)


def kept(pairs: Pairs, gpu: Gpu) -> Efficiency:
    """The factors of all rows if factors of the other shapes serve left-out shapes better than none do."""
    fold = [digest(row.sizes) // 3 % FOLDS for _, row in pairs]
    without, within = 0.0, 0.0
    for each in range(FOLDS):
        out = [pair for pair, number in zip(pairs, fold, strict=True) if number == each]
        rest = [pair for pair, number in zip(pairs, fold, strict=True) if number != each]
        if out and rest:
            within += sum(off(out, gpu, efficiencies(rest, gpu)))
            without += sum(off(out, gpu, Efficiency()))
    return efficiencies(pairs, gpu) if within < without else Efficiency()


def shares(pairs: Pairs, gpu: Gpu) -> tuple[float, float]:
    """A family's two shares of the roofline, by the same loss; each is taken to be near SHARE."""

    def loss(peak: float, bandwidth: float) -> float:
        prior = sum((np.log(share / SHARE) / LATENCY_WIDTH) ** 2 / 2 for share in (peak, bandwidth))
        found = [abs(np.log(roofline(c, gpu, peak, bandwidth) / r.median_s)) for c, r in pairs]
        return float(sum(found)) / SCALE + float(prior)

    return least(loss, ((0.9, 1.0), (0.7, 0.9), (0.5, 0.7)))


def fitted(rows: Sequence[Measurement], gpu: Gpu) -> Fitted:
    """Factors of every family, from the fit split of these rows; where that is empty, since a family has one
    variant, there are none, and the roofline's shares are the ones that are assumed beforehand.
    """
    pairs = paired(split(rows)[0])
    families = [row.family for row in rows if row.family not in MICRO]
    model, baseline = dict.fromkeys(families, Efficiency()), dict.fromkeys(families, (SHARE, SHARE))
    for family in dict.fromkeys(case.family for case, _ in pairs):
        own = [(case, row) for case, row in pairs if case.family == family]

        model[family] = kept(own, gpu)
        baseline[family] = shares(own, gpu)
    return Fitted(model=model, roofline=baseline)


def capture_path(preset: str) -> Path:
    """The full capture of a preset's device."""
    return CAPTURES / f"{DEVICES[preset]}.csv"


def unseen_path(preset: str) -> Path:
    """The capture of a preset's device on shapes that nothing was fitted on."""
    path = capture_path(preset)
    return path.with_stem(f"{path.stem}-unseen")


def models_path(preset: str) -> Path:
    """The capture of a preset's device on shapes of published models, which not every device has."""
    path = capture_path(preset)
    return path.with_stem(f"{path.stem}-models")


def fresh_path(preset: str) -> Path:
    """The capture of a preset's device on shapes of further models, made when everything had been fitted."""
    path = capture_path(preset)
    return path.with_stem(f"{path.stem}-fresh")


def captured(preset: str) -> tuple[Measurement, ...]:
    """What a preset's device measured of every family on the shapes that the split divides."""
    path = models_path(preset)
    return (*read(capture_path(preset)), *(read(path) if path.exists() else ()))


def roofline_path(preset: str) -> Path:
    """The committed shares of the baseline on a preset's device."""
    return CAPTURES / f"{preset}-roofline.json"


@cache
def read_roofline(preset: str) -> dict[str, tuple[float, float]]:
    """The committed shares of the baseline, by kernel family."""
    return msgspec.json.decode(roofline_path(preset).read_bytes(), type=dict[str, tuple[float, float]])


if __name__ == "__main__":
    for name in sys.argv[1:] or DEVICES:
        fitted(captured(name), load_gpu(name)).write(name)
        sys.stdout.write(f"{factors_path(name)}\n{roofline_path(name)}\n")
