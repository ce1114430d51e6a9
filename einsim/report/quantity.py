"""Figures as people read them: three significant digits and the unit that keeps them short."""

from __future__ import annotations

import math
from collections.abc import Sequence

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_JOULES = ((1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ"), (1e-12, "pJ"))
_WATTS = ((1e3, "kW"), (1.0, "W"), (1e-3, "mW"), (1e-6, "µW"))
_BYTES = (
    (2.0**50, "PiB"),
    (2.0**40, "TiB"),
    (2.0**30, "GiB"),
    (2.0**20, "MiB"),
    (2.0**10, "KiB"),
    (1.0, "B"),
)
_COUNT = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def seconds(value: float) -> str:
    """`29.7 ms` for 0.0297."""
    return _scaled(value, _SECONDS)


def joules(value: float) -> str:
    """`30.9 J` for 30.9."""
    return _scaled(value, _JOULES)


def watts(value: float) -> str:
    """`922 W` for 922.4."""
    return _scaled(value, _WATTS)


def size(value: float) -> str:
    """`1.50 GiB` for 1610612736 bytes."""
    return _scaled(value, _BYTES)


def count(value: float) -> str:
    """`27.9 M` for 27918336."""
    return _scaled(value, _COUNT)


def percent(value: float) -> str:
    """`96.5 %` for 0.9648."""
    return f"{digits(100 * value)} %"


def times(value: float) -> str:
    """`7.21×` for 7.2113."""
    return f"{digits(value)}×"


def digits(value: float) -> str:
    """Three significant digits, never in exponent form."""
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))))
    return f"{value:.{places}f}"


def _scaled(value: float, scales: Sequence[tuple[float, str]]) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f} {scales[-1][1] if value else _base(scales)}".strip()
    # A value that would round up to 1000 of a unit is 1.00 of the next one.
    rounded = abs(float(f"{value:.3g}"))
    factor, unit = next(((f, u) for f, u in scales if rounded >= f), scales[-1])
    return f"{digits(value / factor)} {unit}".strip()


def _base(scales: Sequence[tuple[float, str]]) -> str:
    return next(unit for factor, unit in scales if factor == 1.0)
