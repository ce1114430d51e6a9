"""Figures of a machine that were fitted on measured rows: with their error, and what stands without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

MOST = 4
"""Constants of a chip that may be fitted: more would follow the rows, not the machine."""


class FittedConstant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One constant, whose value stands where the machine has it: `einsim fit` writes both."""

    sourced: int | float | str
    """The figure by sources alone, which stands in predictions without a fit."""
    error: Annotated[float, msgspec.Meta(ge=0, le=100)]
    """Relative standard error of the fitted figure."""
    rows: Annotated[int, msgspec.Meta(ge=1, le=10**6)]
    """Measured rows that it was fitted on."""


def without_fit(fitted: Mapping[str, FittedConstant]) -> dict[str, int | float | str]:
    """What `--set` takes to have every fitted figure by sources alone."""
    return {path: one.sourced for path, one in fitted.items()}
