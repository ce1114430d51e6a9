"""A GPU: its streaming multiprocessors, memories, latencies and power, as a model of kernels needs them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from einsim.specs.argument import Setting
from einsim.specs.errors import RuleError, SpecError
from einsim.specs.loader import decode, load_yaml, override
from einsim.specs.near import near

_PRESETS: Final = Path(__file__).parent / "presets"


class Multiprocessor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One SM: what it holds, and its rates per clock."""

    warps: int
    """Warps that it holds."""
    blocks: int
    """Blocks that it holds."""
    registers: int
    """32-bit registers."""
    shared_bytes: int
    """Shared memory in bytes."""
    block_shared_bytes: int
    """Shared memory in bytes that every block takes beside its own."""
    l1_bytes: int
    """What L1 keeps, in bytes, of data that a block reads again."""
    issue_lanes: float
    """Lane operations issued per clock."""
    fma: float
    """Fused multiply-adds of lanes per clock."""
    sfu: float
    """Special functions of lanes per clock."""
    tensor_flops: float
    """FLOP of `mma.sync` per clock."""
    sparse_tensor_flops: float
    """FLOP of `mma.sp` per clock, dense-equivalent."""
    wgmma_flops: float
    """FLOP of `wgmma` per clock."""
    sparse_wgmma_flops: float
    """FLOP of 2:4 `wgmma` per clock, dense-equivalent."""
    shared_bytes_per_clock: float
    """Bytes of shared memory per clock."""
    l2_bytes_per_clock: float
    """Bytes from L2 per clock at its port."""
    barrier_warps: float
    """Warps that pass a barrier per clock."""


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Latencies in clocks."""

    shared: float
    """Clocks of a load from shared memory."""
    l1: float
    """Clocks of a load from L1."""
    l2: float
    """Clocks of a load from L2."""
    dram: float
    """Clocks of a load from DRAM."""
    tile: float
    """Clocks that a tile by TMA takes beyond a load."""
    barrier: float
    """Clocks of a barrier."""
    dependent: float
    """Clocks of an operation that the next one waits for."""
    block_start: float
    """Clocks of a block's start."""


class Overhead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What launching takes, in seconds: code is fetched, blocks are dispatched, the last writes drain."""

    launch_s: float
    """Seconds of an empty kernel inside a graph."""
    block_s: float
    """Seconds of one block's dispatch."""
    start_s: float
    """Seconds that a kernel with work takes beyond an empty one and its latencies."""
    cold_touch_s: float
    """The same where its data are in DRAM, in seconds."""


class GpuEnergy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Power without work, the cap, and picojoules per operation or byte at the full clock."""

    static_w: float
    """Watts without work."""
    cap_w: float
    """Watts that it is capped at."""
    clock_exponent: float
    """How the energy of an operation in the core falls with the clock."""
    lane_pj: float
    """pJ of a lane operation."""
    sfu_pj: float
    """pJ of a special function."""
    tensor_flop_pj: float
    """pJ of a FLOP of `mma.sync`."""
    sparse_tensor_flop_pj: float
    """pJ of a dense-equivalent FLOP of `mma.sp`."""
    wgmma_flop_pj: float
    """pJ of a FLOP of `wgmma`, its operands from shared memory included."""
    sparse_wgmma_flop_pj: float
    """The same of a dense-equivalent FLOP of 2:4 `wgmma`."""
    shared_byte_pj: float
    """pJ of a byte of shared memory."""
    l2_byte_pj: float
    """pJ of a byte from L2."""
    l2_tile_byte_pj: float
    """pJ of a byte of such a tile from L2."""
    dram_byte_pj: float
    """pJ of a byte read from DRAM."""
    dram_write_byte_pj: float
    """pJ of a byte written to DRAM."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole GPU. Every figure's source is in `sources`, by its dotted path or that of its group."""

    name: str
    """Its name."""
    sms: int
    """Streaming multiprocessors."""
    clock_hz: float
    """Full clock in hertz."""
    min_clock_hz: float
    """Slowest clock in hertz that the power cap leads to."""
    l2_bytes: int
    """L2 in bytes."""
    l2_bytes_per_clock: float
    """Bytes from L2 per clock, of all multiprocessors."""
    l2_tile_bytes_per_clock: float
    """The same of tiles that blocks side by side read at a time by TMA."""
    l2_line_requests: float
    """Requests of a warp for one and the same line of L2 that are served per clock, of asynchronous copies.
    """
    l2_edge_rows: float
    """Rows of tiles by TMA that lie beyond their matrix that are served per clock, of all multiprocessors."""
    l2_write_cost: float
    """Time of a byte written at L2 in those of a byte read."""
    dram_bytes_per_s: float
    """Bytes per second read from DRAM."""
    dram_write_cost: float
    """Time of a byte written to DRAM in those of a byte read."""
    sm: Multiprocessor
    """One streaming multiprocessor."""
    latency: Latency
    """Latencies in clocks."""
    overhead: Overhead
    """What a launch costs."""
    energy: GpuEnergy
    """Power and energies."""
    sources: dict[str, str]
    """The source of each figure by its dotted path, or that of its group; each must have one."""

    def __post_init__(self) -> None:
        for name in (
            "sms",
            "clock_hz",
            "min_clock_hz",
            "l2_bytes",
            "l2_bytes_per_clock",
            "l2_tile_bytes_per_clock",
            "l2_line_requests",
            "l2_edge_rows",
            "l2_write_cost",
            "dram_bytes_per_s",
            "dram_write_cost",
        ):
            if getattr(self, name) <= 0:
                raise RuleError("must be > 0", got=getattr(self, name), at=(name,))
            if name not in self.sources:
                raise RuleError("has no source", at=(name,))
        for group in ("sm", "latency", "overhead", "energy"):
            part = getattr(self, group)
            for name in part.__struct_fields__:
                if getattr(part, name) <= 0 and name != "block_shared_bytes":
                    raise RuleError("must be > 0", got=getattr(part, name), at=(group, name))
            for name in part.__struct_fields__:
                if group not in self.sources and f"{group}.{name}" not in self.sources:
                    raise RuleError("has no source", at=(group, name))


@cache
def gpu_names() -> tuple[str, ...]:
    """Names of the GPUs that come with einsim, sorted."""
    return tuple(sorted(path.stem for path in _PRESETS.glob("*.yaml")))


def gpu_path(name_or_path: str | Path) -> Path:
    """The YAML file of a preset's name, or the file itself. SpecError for an unknown name."""
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"}:
        return path
    if str(name_or_path) not in gpu_names():
        known = near(str(name_or_path), gpu_names())
        raise SpecError("gpu", "unknown GPU (a preset name or a .yaml file)", got=name_or_path, hint=known)
    return _PRESETS / f"{name_or_path}.yaml"


def is_gpu(name_or_path: str) -> bool:
    """Whether it names a GPU: a preset of one, or a YAML file that describes multiprocessors."""
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        data = load_yaml(path).data
        return "sm" in data and "family" not in data
    return name_or_path in gpu_names()


def load_gpu(name_or_path: str | Path, overrides: Mapping[str, Setting] | None = None) -> Gpu:
    """The GPU of a preset's name or of a YAML file, with `--set` overrides applied before it is judged.

    SpecError for anything unknown, missing or out of range.
    """
    document = load_yaml(gpu_path(name_or_path))
    for key, text in (overrides or {}).items():
        document = override(document, key, text)
    try:
        return decode(document, Gpu, "gpu")
    except RuleError as error:
        raise document.error(error.at, error.rule, got=error.got, hint=error.hint, root="gpu") from None
