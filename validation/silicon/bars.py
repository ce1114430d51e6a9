"""The bars that were set for held-out rows before the models were: of which groups, how large an error."""

from __future__ import annotations

import msgspec


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on the held-out rows of all `groups` together; None where none was set.

    `mean`, `median` and `p90` are of errors without sign, `sourced` is the mean with no constant fitted.
    `long_mean` is the mean of rows above `long_s`; `order` the least Kendall tau between what was run;
    `of_roofline` the largest share of the roofline's mean error.
    """

    name: str
    groups: tuple[str, ...]
    mean: float | None = None
    median: float | None = None
    p90: float | None = None
    sourced: float | None = None
    long_mean: float | None = None
    long_s: float = 0.0
    order: float | None = None
    of_roofline: float | None = None


BARS = (
    Bar(name="sa8295p whole networks", groups=("sa8295p networks",), mean=0.25, median=0.15, order=0.9),
    Bar(
        name="tpu-v6e rows",
        groups=("tpu-v6e gemm", "tpu-v6e ffn", "tpu-v6e attention"),
        mean=0.12, p90=0.30, long_mean=0.08, long_s=20e-6, of_roofline=0.5,
    ),
)  # fmt: skip
