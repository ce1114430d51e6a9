"""Files of figures that others publish: which columns name the chip, what was run and what was measured.

A kind of file is recognised by its columns. A new kind is a row of KINDS, a new chip or network a line of a
table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.validation.silicon import names
from einsim.validation.silicon.chip_figure import COLUMNS, ChipFigure, positive, read, read_lines
from einsim.workloads.graphs import networks
from einsim.workloads.load import is_model_name, load_model, network_names

QUALCOMM_WIDTHS = {
    "float": "bits=16 precision=16 moves=copies",  # runs as fp16
    "w8a8": "bits=8 precision=8 moves=copies",
    "w8a16": "bits=16 weights=8 precision=16 moves=copies",
}


class Measured(NamedTuple):
    """A column of figures: what quantity it is, the factor to einsim's unit, and settings of what was run."""

    quantity: str
    factor: float = 1.0
    settings: str = ""


class FileKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of file.

    `columns` are those that it is recognised by. `chip` is the column of the chip and `chips` what einsim
    calls those that it knows, a preset with `--set` pairs; without a column, all rows are of the one chip "".
    `why` is said of rows of others.
    `work` are the columns that name what was run, which `find` knows; `kind` is what kind of work it is, ""
    where `find` says so. `image` is the column of the image's size, `widths` that of the precision with its
    `--set` pairs by its text. `values` are the figures by column. `variant` are columns that tell rows apart,
    of each what `variant_part` matches. `zeros` is the column of the percentage of a layer's inputs that is
    zero: of its results as much is as of the next row's inputs, if that one reads as many channels, else as
    of its own. A row whose cell isn't among those of `only` is not judged.
    """

    name: str
    columns: tuple[str, ...]
    chips: Mapping[str, str] = {}
    work: tuple[str, ...]
    find: names.Finder = names.nothing
    values: Mapping[str, Measured] = {}
    why: str = "no machine of this name is known"
    chip: str = ""
    kind: str = ""
    image: str = ""
    widths: str = ""
    width: Mapping[str, str] = {}
    zeros: str = ""
    variant: tuple[str, ...] = ()
    variant_part: str = ".*"
    only: Mapping[str, tuple[str, ...]] = {}


DPU_BOARDS = {
    "KV260": "kv260-dpu", "Kria KV260 SOM": "kv260-dpu", "ZCU104": "zcu104-dpu",
    "ZCU102": "zcu102-dpu", "ZCU102 (0432055-05)": "zcu102-dpu",
    "ZCU102 (0432055-04)": "zcu102-dpu clock=287MHz",
}  # fmt: skip
DPU_SIZES = {
    f"B{size}": f"zcu102-dpu arch=b{size} cores=1 features.depthwise=false"
    for size in (512, 800, 1024, 1152, 1600, 2304, 3136, 4096)
}
ROCKCHIP = {
    "RK3588 1core": "rk3588-core", "RK3576 1core": "rk3576-core",
    "RK3576 1core 2:4-sparse": "rk3576-core sparse=2:4",
}  # fmt: skip
ETHOS = {
    "ethos-u55-32": "ethos-u55-128 tensor.pixels=1 tensor.packs=[] tensor.cols=4",
    "ethos-u55-64": "ethos-u55-128 tensor.pixels=1 tensor.packs=[]",
    "ethos-u55-128": "ethos-u55-128", "ethos-u55-256": "ethos-u55-128 tensor.pixels=4",
    "ethos-u65-256": "ethos-u65-256", "ethos-u65-512": "ethos-u65-256 cores=2",
}  # fmt: skip
"""Arm's accelerators by their name: products a cycle are 1, 2 or 4 pixels of 8 x 8 channels."""
NVDLA = {
    str(
        rows * cols
    ): f"nvdla-large tensor.rows={rows} tensor.cols={cols} scratchpad={kib}KiB dram.bandwidth={gb}GB/s"
    for rows, cols, kib, gb in (
        (64, 32, 512, 20),
        (64, 16, 256, 15),
        (32, 16, 256, 10),
        (32, 8, 256, 5),
        (16, 8, 256, 2),
        (8, 8, 128, 1),
    )
}
"""NVDLA's sizes by products a cycle: channels of inputs and results, buffer, bandwidth of the estimates."""
FPGA_DECODERS = {
    "ZCU104": "llama-fpga", "ZCU104 PS+PL": "llama-fpga",
    "ZCU104 PL only": "llama-fpga dram.bandwidth=19.2GB/s dram.channels=1 matrix.dot.rows=1",
    "KV260": "llama-fpga accel.part=kv260 dram.bandwidth=19.2GB/s dram.channels=1 matrix.dot.rows=1",
    "Alveo U250": "llama-fpga accel.part=u250 slrs=4 dram.bandwidth=76.8GB/s dram.channels=4 "
    "dram.capacity=64GiB matrix.dot.rows=1",
}  # fmt: skip
"""Boards that Li et al. have decoders on: memory channels, and as many lanes for each."""
PROMPT = 128
"""Tokens of a prompt's chunk that Qualcomm's runtime reads at once, and of RKLLM's benchmark."""

KINDS = (
    FileKind(
        name="aihub",
        columns=("model", "component", "precision", "chipset", "runtime", "latency_ms", "layers_cpu"),
        chip="chipset", chips={"SA8295P": "sa8295p-core", "SA8775P": "sa8775p-core"}, kind="networks",
        work=("model", "component"), find=names.network("aihub"), image="input_resolution",
        widths="precision", width=QUALCOMM_WIDTHS, values={"latency_ms": Measured("latency_s", 1e-3)},
        variant=("precision", "runtime"), only={"layers_cpu": ("0", ""), "layers_gpu": ("0", "")},
    ),
    FileKind(
        name="aihub-llm",
        columns=("model", "component", "precision", "chipset", "runtime", "tokens_per_second", "ttft_ms_min"),
        chip="chipset", chips={"SA8295P": "sa8295p-core", "SA8775P": "sa8775p-core"}, kind="language models",
        work=("model",), find=names.network("aihub-llm"), widths="precision",
        width=dict.fromkeys(("w4", "w4a16"), "weights=4 activations=16 precision=16"),
        values={
            "tokens_per_second": Measured("tokens_per_s", 1.0, f"seq={PROMPT} decode=1"),
            "ttft_ms_min": Measured("first_token_s", 1e-3, f"seq={PROMPT} decode=1"),
        },
        variant=("precision", "runtime"),
    ),
    FileKind(
        name="dpu-fps", columns=("board", "dpu_config", "framework", "network", "fps_multi_thread"),
        chip="board", chips=DPU_BOARDS, kind="networks", work=("framework", "network"),
        find=names.network("vitis-ai", strip=r"(_imagenet|_coco|_VOC)?(_3\.5)?$"), image="input",
        values={
            # Programs of Vitis AI leave every result in DRAM, and sum images by themselves.
            "fps_multi_thread": Measured("per_s", 1.0, "weights=8 activations=8 between=dram sums=apart")
        },
        variant=("src",), variant_part=r"v\d+\.\d+",
        only={"prune_ratio": ("",)},
    ),
    FileKind(
        name="dpu-resources", columns=("arch", "dsp_usage", "lut", "register", "bram36", "dsp"),
        chip="arch", chips=DPU_SIZES, kind="resources", work=("arch",), find=names.dpu_size,
        widths="dsp_usage", width={"high": "dsp_usage=high", "low": "dsp_usage=low"}, variant=("dsp_usage",),
        values={
            "dsp": Measured("dsp"), "bram36": Measured("bram36"), "lut": Measured("lut"),
            "register": Measured("ff"),
        },
    ),
    FileKind(
        name="rknn-fps", columns=("model", "input_shape", "dtype", "platform", "metric", "value"),
        chip="platform", chips=ROCKCHIP, kind="networks", work=("model",), find=names.network("rknn"),
        image="input_shape", widths="dtype",
        # Every result goes to DRAM: a core has no more memory than its convolution buffer.
        width={
            "INT8": "bits=8 precision=8 moves=copies between=dram",
            "FP16": "bits=16 precision=16 moves=copies between=dram",
        },
        values={"value": Measured("per_s")}, variant=("dtype", "release", "platform"),
        only={"metric": ("fps",)},
    ),
    FileKind(
        name="coral", columns=("model", "input", "devboard_edgetpu_ms"), chips={}, kind="networks",
        work=("model",), find=names.network("coral"), image="input",
        values={"devboard_edgetpu_ms": Measured("latency_s", 1e-3)},
    ),
    FileKind(
        name="fpga-llm", columns=("platform", "model", "precision", "phase", "tokens_per_s", "memory"),
        chip="platform", chips=FPGA_DECODERS, kind="language models", work=("model",),
        find=names.network("fpga-llm"), widths="precision",
        width=dict.fromkeys(("AWQ int4", "int4"), "weights=4 group=128 kv=8"),
        values={"tokens_per_s": Measured("tokens_per_s", 1.0, "seq=512 decode=1")}, variant=("platform",),
    ),
    FileKind(
        name="rkllm", columns=("platform", "model", "size", "dtype", "seqlen", "tokens_per_s", "ttft_ms"),
        chip="platform", chips={}, kind="language models", work=("model", "size"),
        find=names.network("rkllm"), widths="dtype",
        width={
            "w8a8": "weights=8 activations=8 precision=8",
            "w4a16": "weights=4 activations=16 precision=16",
            "w4a16_g128": "weights=4 activations=16 group=128 precision=16",
        },
        values={
            "tokens_per_s": Measured("tokens_per_s", 1.0, f"seq={PROMPT} decode=64"),
            "ttft_ms": Measured("first_token_s", 1e-3, f"seq={PROMPT} decode=64"),
        },
        variant=("dtype",), only={"seqlen": (str(PROMPT),)},
    ),
    FileKind(
        name="eyeriss",
        columns=(
            "net", "layer", "batch", "ifmap_padded", "filter", "ofmap", "c_per_group", "m", "stride",
            "groups", "processing_latency_ms",
        ),
        chips={"": "eyeriss"}, kind="layers",
        work=("batch", "ofmap", "filter", "c_per_group", "m", "stride", "groups"),
        find=names.layer, variant=("net", "layer"), zeros="ifmap_zeros_pct",
        values={
            "processing_latency_ms": Measured("latency_s", 1e-3), "power_mw": Measured("power_w", 1e-3),
            "dram_access_mb": Measured("dram_bytes", 1e6), "gbuf_access_mb": Measured("gb_bytes", 1e6),
        },
    ),
    FileKind(
        name="tpu-v6e-ops", columns=("op", "shape", "latency_ns"), chips={"": "tpu-v6e"},
        work=("op", "shape"), find=names.shape, values={"latency_ns": Measured("latency_s", 1e-9)},
    ),
    FileKind(
        name="tpu-v6e-sdpa", columns=("mode", "batch", "heads", "seq", "head_dim", "device_us"),
        chips={"": "tpu-v6e"},
        work=("mode", "batch", "heads", "seq", "head_dim"), find=names.fused_attention,
        values={"device_us": Measured("latency_s", 1e-6)},
    ),
    FileKind(
        name="tpu-gemm", columns=("tpu", "timing", "dtype", "m", "n", "k", "time_us"),
        chip="tpu", chips={"v6e": "tpu-v6e"}, kind="gemm", work=("m", "k", "n"), find=names.product,
        values={"time_us": Measured("latency_s", 1e-6)},
        only={"timing": ("trace (device)",), "dtype": ("bfloat16",)},
    ),
    FileKind(
        name="ethosu", columns=("model", "accelerator", "core_mhz", "inference_ms"),
        chip="accelerator", chips=ETHOS, kind="estimated networks", work=("model",),
        find=names.network("ethosu"),
        values={"inference_ms": Measured("latency_s", 1e-3, "bits=8 precision=8")},
    ),
    FileKind(
        name="nvdla", columns=("macs", "conv_buffer_kb", "sdram_gb_s", "resnet50_int8_fps"),
        chip="macs", chips=NVDLA, kind="estimated networks", work=("conv_buffer_kb",), find=names.resnet_50,
        values={"resnet50_int8_fps": Measured("per_s", 1.0, "bits=8 precision=8 between=dram image=224")},
    ),
    FileKind(
        name="chaidnn", columns=("device", "network", "bits", "compute_dsps", "fps"), chip="device",
        work=("network",),
    ),
    FileKind(
        name="qutibench", columns=("net", "hw", "datatype", "batch_or_threads", "lat_comp_ms"), chip="hw",
        work=("net", "datatype"),
    ),
    FileKind(
        name="dpu-features", columns=("arch", "feature", "quantity", "value"), chip="arch", work=("feature",),
        why="a difference of two configurations, no figure of one",
    ),
    FileKind(
        name="dpu-pg338", columns=("table", "model", "gops", "quantity"), work=("model", "quantity"),
        why="the board and its configuration aren't stated",
    ),
    FileKind(
        name="versal", columns=("board", "size", "dtype", "paper_gflops_vck190"), chip="board",
        work=("size", "dtype"),
    ),
    *(
        FileKind(name="parameters", columns=columns, work=columns[:2], why="a machine's parameter, no figure")
        for columns in (
            ("parameter", "value", "source"), ("item", "quantity", "value", "source"),
            ("device", "config", "mhz", "quantity", "value"), ("layer", "gb_ifmap_kb", "gb_psum_kb"),
        )
    ),
)  # fmt: skip


class NotKnown(msgspec.Struct, frozen=True, kw_only=True):
    """A row that isn't judged, and why; `missed` where it is of a network that is held to be known."""

    line: int
    what: str
    why: str
    missed: bool = False


def recognise(head: tuple[str, ...], where: str) -> FileKind:
    """The kind of file with these columns; SpecError with the nearest kind's columns for none."""
    found = [kind for kind in KINDS if set(kind.columns) <= set(head)]
    if found:
        return max(found, key=lambda kind: len(kind.columns))
    likest = max(KINDS, key=lambda kind: len(set(kind.columns) & set(head)))
    rule = "has the columns of no kind of file that is known"
    lacks = next(column for column in likest.columns if column not in head)
    nearest = near(lacks, head) or f"no {lacks} here"
    raise SpecError(
        "", rule, got=",".join(head), where=where,
        hint=f"{likest.name} has {', '.join(likest.columns)}; {nearest}",
    )  # fmt: skip


def read_file(path: Path, machine: str = "", chip: str = "") -> Iterator[ChipFigure | NotKnown]:
    """Every figure of a file, and every row that isn't known; a table of ours is known, too.

    With `machine` the rows are taken for that one's, whatever their chip is called: those of a `chip`, if one
    is named. SpecError for a file that can't be read.
    """
    source, head, lines = read_lines(path)
    if head == COLUMNS:
        for row in read(path):
            if not chip or row.machine == chip:
                yield msgspec.structs.replace(row, machine=machine or row.machine)
        return
    kind = recognise(head, str(path))
    if machine:
        column = kind.chip
        named = {cells[column] for _, cells in lines} if column else {""}
        every = {name: kind.chips.get(name, "").split()[1:] for name in named if chip in {"", name}}
        own = {name: " ".join([machine, *pairs]) for name, pairs in every.items()}
        kind = msgspec.structs.replace(kind, chips=own)
    for (number, cells), (_, after) in zip_longest(lines, lines[1:], fillvalue=(0, dict[str, str]())):
        zeros = _zeros(kind.zeros, cells, after)
        for one in _row(kind, cells, number, path, source):
            if zeros and isinstance(one, ChipFigure):
                yield msgspec.structs.replace(one, settings={**one.settings, **zeros})
            else:
                yield one


def _zeros(column: str, cells: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Shares of a layer's inputs and results that are zero, as a convolution takes them."""
    if not cells.get(column):
        return {}
    follows = after.get("net") == cells["net"] and after.get(column)
    reads = int(after["c_per_group"]) * int(after["groups"]) if follows else 0
    shares = [float(row[column]) / 100 for row in (cells, after if reads == int(cells["m"]) else cells)]
    return {name: f"{share:.6g}" for name, share in zip(("zeros", "zero_results"), shares, strict=True)}


def _row(
    kind: FileKind, cells: Mapping[str, str], number: int, path: Path, source: str
) -> Iterator[ChipFigure | NotKnown]:
    chip = cells[kind.chip] if kind.chip else ""
    named = tuple(cells[column] for column in kind.work)
    what = " ".join(word for word in (chip, *named) if word)
    machine = kind.chips.get(chip)
    if machine is None:
        yield NotKnown(line=number, what=what, why=kind.why)
        return
    wrong = [column for column, known in kind.only.items() if cells.get(column, "") not in known]
    if wrong:
        yield NotKnown(line=number, what=what, why=f"{wrong[0]} is {cells[wrong[0]]}")
        return
    found = kind.find(named)
    if found is None:
        missed = names.is_named(" ".join(named))
        yield NotKnown(line=number, what=what, why="no network or layer of this name is known", missed=missed)
        return
    if kind.widths and cells[kind.widths] not in kind.width:
        yield NotKnown(line=number, what=what, why=f"{kind.widths} {cells[kind.widths]}")
        return
    preset, *pairs = machine.split()
    given = (*pairs, *(kind.width[cells[kind.widths]].split() if kind.widths else ()))
    settings = {**found.settings, **dict(pair.split("=", 1) for pair in given)}
    if kind.image:
        settings |= image_settings(found.work, cells.get(kind.image, ""))
    told = (re.search(kind.variant_part, cells[one]) for one in kind.variant)
    variant = " ".join(part[0] for part in told if part)
    for column, one in kind.values.items():
        if cells.get(column):
            yield ChipFigure(
                machine=preset, kind=kind.kind or found.kind, name=found.name, work=found.work,
                settings={**settings, **dict(pair.split("=", 1) for pair in one.settings.split())},
                variant=variant, quantity=one.quantity, source=source,
                value=positive(cells[column], column, f"{path}:{number}") * one.factor,
            )  # fmt: skip


def image_settings(work: str, text: str) -> dict[str, str]:
    """The size of an image as a network takes it, from a text such as 224x224 or [1, 3, 640, 640]."""
    sizes = [int(one) for one in re.findall(r"\d+", text)]
    sizes = sizes[-3:-1] if len(sizes) > 2 and sizes[-1] in {1, 3} else sizes[-2:]
    if len(sizes) != 2 or not is_model_name(work):
        return {}
    model = load_model(work)
    taken = {parameter.name for parameter in model.parameters} if model else set()
    if "image" not in taken:
        return {}
    if work in network_names() and networks.entry(work).fixed:
        return {}
    rows, columns = sizes
    return {"image": str(rows)} if rows == columns else {"image": str(rows), "columns": str(columns)}
