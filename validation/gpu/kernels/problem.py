"""What a bound kernel offers the capture: launch it, poison and check its outputs, and the vendor library's
own version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Arena(Protocol):
    """Device memory of one problem; every take is 1024-byte aligned and rotates with the problem."""

    sms: int

    def seed(self) -> int:
        """A fresh seed for host-made data."""

    def normal(self, shape: tuple[int, ...], dtype: str, scale: float = 1.0) -> Any:
        """A device array of fresh random numbers, N(0, scale^2)."""

    def output(self, shape: tuple[int, ...], dtype: str) -> Any:
        """A device array for results; `poison` fills it with NaN bytes."""

    def zeros(self, shape: tuple[int, ...], dtype: str) -> Any:
        """A device array of zeros, left alone by `poison`."""

    def put(self, host: Array) -> Any:
        """A device copy of a host array."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One set of buffers with the calls on it.

    launch(stream) enqueues every launch of the case. check() compares the outputs with float64 numpy and
    returns the relative error ||out - ref|| / ||ref|| (NaN for anything unwritten). vendor() runs the same
    mathematics in torch, or is None.
    """

    launch: Callable[[Any], None]
    check: Callable[[], float]
    vendor: Callable[[], Any] | None = None
    compiled: tuple[Any, ...] = ()


def relative_error(got: Array, reference: Array) -> float:
    """||got - reference|| / ||reference|| in float64; NaN when anything in `got` is."""
    reference = np.asarray(reference, dtype=np.float64)
    return float(np.linalg.norm(np.asarray(got, dtype=np.float64) - reference) / np.linalg.norm(reference))


def address(array: Any) -> int:
    """The device address of a numba device array."""
    return int(array.__cuda_array_interface__["data"][0])


def sample(count: int, of: int, seed: int) -> Array:
    """`count` distinct indices below `of`, sorted; the first and the last are among them."""
    if count >= of:
        return np.arange(of)
    picks = np.random.default_rng(seed).choice(of, size=count, replace=False)
    picks[0], picks[-1] = 0, of - 1
    return np.unique(picks)
