"""The bars that were set for held-out rows before the models were: of which groups, how large an error."""

from __future__ import annotations

import msgspec


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on the held-out rows of all `groups` together, or of those of some `quantities`; None where none
    was set. `most` is of the row that is furthest off.

    `sparse_ratio` is the largest mean error of how much faster networks with sparse weights are than dense.
    `mean`, `median` and `p90` are of errors without sign, `sourced` is the mean with no constant fitted.
    `long_mean` is the mean of rows above `long_s`; `order` the least Kendall tau between what was run;
    `of_roofline` the largest share of the roofline's mean error.
    """

    name: str
    groups: tuple[str, ...]
    quantities: tuple[str, ...] = ()
    most: float | None = None
    mean: float | None = None
    median: float | None = None
    p90: float | None = None
    sourced: float | None = None
    long_mean: float | None = None
    long_s: float = 0.0
    order: float | None = None
    of_roofline: float | None = None
    sparse_ratio: float | None = None


DPU_BOARDS = ("kv260-dpu networks", "zcu104-dpu networks", "zcu102-dpu networks")
DPU_RESOURCES = ("zcu102-dpu resources",)
ROCKCHIP = ("rk3588-core networks", "rk3576-core networks")
BARS = (
    Bar(name="dpu frame rates", groups=DPU_BOARDS, mean=0.15),
    Bar(name="dpu DSPs", groups=DPU_RESOURCES, quantities=("dsp",), most=0.0),
    Bar(name="dpu block RAM", groups=DPU_RESOURCES, quantities=("bram36",), most=0.03),
    Bar(name="dpu LUTs and FFs", groups=DPU_RESOURCES, quantities=("lut", "ff"), most=0.12),
    Bar(name="rk3588 and rk3576 networks", groups=ROCKCHIP, mean=0.25),
    Bar(name="rk3576 2:4 over dense", groups=ROCKCHIP[1:], sparse_ratio=0.08),
    Bar(name="another Hexagon by YAML alone", groups=("sa8775p-core networks",), mean=0.35),
    Bar(name="sa8295p whole networks", groups=("sa8295p-core networks",), mean=0.25, median=0.15, order=0.9),
    Bar(
        name="tpu-v6e rows",
        groups=("tpu-v6e gemm", "tpu-v6e ffn", "tpu-v6e attention"),
        mean=0.12, p90=0.30, long_mean=0.08, long_s=20e-6, of_roofline=0.5,
    ),
    Bar(name="FPGA decoders", groups=("llama-fpga language models",), mean=0.15),
    Bar(
        name="eyeriss latency of a layer", groups=("eyeriss layers",), quantities=("latency_s",),
        mean=0.03, sourced=0.1,
    ),
    Bar(
        name="eyeriss DRAM bytes of a layer", groups=("eyeriss layers",), quantities=("dram_bytes",),
        mean=0.15,
    ),
    Bar(
        name="eyeriss buffer bytes of a layer", groups=("eyeriss layers",), quantities=("gb_bytes",),
        mean=0.15,
    ),
    Bar(name="eyeriss power of a layer", groups=("eyeriss layers",), quantities=("power_w",), mean=0.2),
)  # fmt: skip
