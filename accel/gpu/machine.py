"""A GPU: its streaming multiprocessors, memories, latencies and power, as a model of kernels needs them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from einsim.specs.errors import RuleError, SpecError
from einsim.specs.loader import decode, load_yaml, override
from einsim.specs.near import near

_PRESETS: Final = Path(__file__).parent / "presets"


class Multiprocessor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One SM: what it holds, and its rates per clock.

    l1_bytes: what L1 keeps of data that a block reads again. barrier_warps: warps that pass a barrier.

    issue_lanes: lane operations issued. fma, sfu: lane operations. tensor_flops, sparse_tensor_flops: of
    `mma.sync` and `mma.sp`, the latter dense-equivalent. shared_bytes_per_clock, l2_bytes_per_clock: at the
    SM's ports. block_shared_bytes: shared memory that every block takes beside its own.
    """

    warps: int
    blocks: int
    registers: int
    shared_bytes: int
    block_shared_bytes: int
    l1_bytes: int
    issue_lanes: float
    fma: float
    sfu: float
    tensor_flops: float
    sparse_tensor_flops: float
    shared_bytes_per_clock: float
    l2_bytes_per_clock: float
    barrier_warps: float


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Clocks: of a load from shared memory, L1, L2 and DRAM, of a barrier, of a dependent operation, and of a
    block's start.
    """

    shared: float
    l1: float
    l2: float
    dram: float
    barrier: float
    dependent: float
    block_start: float


class Overhead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds: an empty kernel inside a graph; a block's dispatch; what a kernel with work takes beyond an
    empty one and its latencies (its code is fetched, its last writes drain); and when its data are in DRAM.
    """

    launch_s: float
    block_s: float
    start_s: float
    cold_touch_s: float


class Energy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Power without work, the cap, and picojoules per operation or byte at the full clock.

    clock_exponent: how the energy of an operation in the core falls with the clock. dram_byte_pj is of reads.
    """

    static_w: float
    cap_w: float
    clock_exponent: float
    lane_pj: float
    sfu_pj: float
    tensor_flop_pj: float
    sparse_tensor_flop_pj: float
    shared_byte_pj: float
    l2_byte_pj: float
    dram_byte_pj: float
    dram_write_byte_pj: float


class Gpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole GPU. Every figure's source is in `sources`, by its dotted path or that of its group.

    l2_write_cost: time of a byte written at L2 in those of a byte read. dram_bytes_per_s: of reads.
    dram_write_cost: time of a byte written in those of a byte read, in a mix.
    """

    name: str
    sms: int
    clock_hz: float
    min_clock_hz: float
    l2_bytes: int
    l2_bytes_per_clock: float
    l2_write_cost: float
    dram_bytes_per_s: float
    dram_write_cost: float
    sm: Multiprocessor
    latency: Latency
    overhead: Overhead
    energy: Energy
    sources: dict[str, str]

    def __post_init__(self) -> None:
        for name in (
            "sms",
            "clock_hz",
            "min_clock_hz",
            "l2_bytes",
            "l2_bytes_per_clock",
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


def load_gpu(name_or_path: str | Path, overrides: Mapping[str, str] | None = None) -> Gpu:
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
