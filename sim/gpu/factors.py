"""The two factors that a kernel family may have on a GPU, fitted on captures; by preset, in factors/."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from einsim.accel.gpu.machine import Gpu

FOLDER: Final = Path(__file__).parent / "factors"
LIKE: Final = "h100-sxm"  # whose factors serve a GPU that was not measured


class Efficiency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a kernel family: its pipes' rates, and its unhidden latency, over the model's.

    Both 1: nothing was fitted. A rate above 1 means that its pipes overlap better than the model says.
    """

    rate: float = 1.0
    latency: float = 1.0


def measured(gpu: Gpu) -> bool:
    """Whether kernels were captured on it, so that its factors are its own."""
    return gpu.name in {path.stem for path in FOLDER.glob("*.json")}


def origin(gpu: Gpu, family: str) -> str:
    """The preset on whose captures a family's factors were fitted: this GPU's own, if its kernels were
    captured on it, else another's.
    """
    first = gpu.name if measured(gpu) else LIKE
    others = sorted(path.stem for path in FOLDER.glob("*.json"))
    return next(name for name in (first, *others) if family in read_factors(name))


def factors_path(preset: str) -> Path:
    """The factors of a preset's device."""
    return FOLDER / f"{preset}.json"


@cache
def read_factors(preset: str) -> dict[str, Efficiency]:
    """The factors of a preset's device as committed, by kernel family."""
    return msgspec.json.decode(factors_path(preset).read_bytes(), type=dict[str, Efficiency])
