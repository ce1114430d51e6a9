"""Xilinx DPUs of Zynq UltraScale+ (DPUCZDX8G, PG338): sizes, options, and what cores take of a part.

A core multiplies pixels x input channels x output channels INT8 values a cycle. Its DSPs run at twice its
clock with two products each (WP486), so four products of the core's clock are one DSP.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from einsim.accel.composed import completed
from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.accel.parts import Part, part_named, part_names
from einsim.accel.resources import ceil_div, check_fit, on_part, total
from einsim.accel.written import Count, Name, WrittenDram, WrittenFamily
from einsim.specs.errors import RuleError, below


class Parallelism(NamedTuple):
    """Pixels along an image's row, input channels and output channels that a core takes in one cycle."""

    pixels: int
    inputs: int
    outputs: int


ARCHITECTURES: Final = {
    "b512": Parallelism(4, 8, 8), "b800": Parallelism(4, 10, 10), "b1024": Parallelism(8, 8, 8),
    "b1152": Parallelism(4, 12, 12), "b1600": Parallelism(8, 10, 10), "b2304": Parallelism(8, 12, 12),
    "b3136": Parallelism(8, 14, 14), "b4096": Parallelism(8, 16, 16),
}  # fmt: skip
"""PG338, Architecture of the DPUCZDX8G; the names say operations a cycle, two a product."""

Architecture = Literal["b512", "b800", "b1024", "b1152", "b1600", "b2304", "b3136", "b4096"]
Usage = Literal["low", "high"]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]

PRODUCTS_PER_DSP: Final = 4
"""Two INT8 products that share a factor (WP486), twice a cycle."""
BANK_DEPTH: Final = 2048
"""Words of a bank, each of a pixel's input channels [D]: PG338's blocks for low and high RAM usage differ by
one such bank a pixel, and a depthwise convolution takes one more, in every size."""
LUTS_PER_LANE: Final = 1046
"""LUTs for each pixel, input channel and output channel that a core has lanes for: fitted on PG338 v1.2,
table 9, of B512, B1152 and B1600 (their mean; they need 1,009 to 1,103)."""
FFS: Final = (11363, 433, 102)
"""Flip-flops of a core, for each pixel x input channel, and for each input x output channel, the two streams
of operands: fitted on the same three rows."""
ACCUMULATOR_BITS: Final = 28
"""Bits of an accumulator, a LUT and two flip-flops each where DSPs don't do it [D]: what PG338's tables of
low and high DSP usage differ by, over pixels x output channels."""
DEPTHWISE_LUTS: Final = (630, 34.5)
"""LUTs of depthwise convolution, and for each pixel x output channel: PG338 v3.4, fitted on three."""
LEAKY_LUTS: Final = 27
"""LUTs of leaky ReLU for each pixel x output channel, both engines: PG338 v4.1, fitted on three."""


ON_THE_WAY_OUT: Final = (
    ("add", "add", "max"), ("add", "max", "min"), ("add", "min", "max"), ("add", "add"), ("add", "max"),
    ("max", "min"), ("min", "max"),
)  # fmt: skip
"""What a result passes as one: bias, the sum with another image, ReLU or ReLU6."""


class DpuPorts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A core's AXI ports for data: together they pass count x width_bits a cycle at most."""

    count: Count
    """Ports that move images and weights."""
    width_bits: Count
    """Bits that one passes in a cycle."""
    efficiency: Share = 1.0
    """Share of this rate that is reached by one core alone."""


class DpuDram(WrittenDram, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The board's DDR, which all cores share: its peak `bandwidth` and the share of it that is reached."""

    efficiency: Share = 1.0
    """Share of the peak bandwidth that all cores together reach."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.row_hit_cap:
            rule = "needs several transfers at a time, which a core's ports don't have"
            raise RuleError(rule, got=self.row_hit_cap, at=("row_hit_cap",))


class DpuFeatures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a core. Average pooling and channel augmentation, whose cost isn't published, are there."""

    depthwise: bool = True
    """Depthwise convolution in the `alu`, at half the pixels; else a channel is a convolution of its own."""
    leaky_relu: bool = False
    """Leaky ReLU beside ReLU and ReLU6: further LUTs."""


class Dpu(WrittenFamily, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a designer of a DPU sets.

    Units `conv` and `alu`, memories `dram`, `image` and `weights` of one core. Each of several cores has an
    image of its own, and all move the same at the same time: DRAM's rate is one core's share of it.
    """

    family: Literal["dpu"]
    """The family that derives the machine."""
    part: Annotated[Name, msgspec.Meta(extra_json_schema={"enum": [*part_names()]})]
    """The FPGA that all cores must fit together."""
    arch: Architecture
    """A core's size."""
    cores: Annotated[int, msgspec.Meta(ge=1, le=4)] = 1
    """Cores, each working on an image of its own."""
    dsp_usage: Usage = "high"
    """`high`: accumulators are DSPs, too; `low`: they are LUTs."""
    ram_usage: Usage = "low"
    """Images' banks: two for each pixel, or three."""
    ram: Literal["bram", "uram"] = "bram"
    """What the banks of images and weights are built of."""
    features: DpuFeatures = msgspec.field(default_factory=DpuFeatures)
    """Options of a core."""
    ports: DpuPorts
    """How a core reaches DRAM."""
    dram: DpuDram
    """Memory `dram`: the board's DDR."""

    def _added(self, at: str, unit: Unit) -> list[str]:
        """Ops that are made of others: all units are the family's own."""
        return [f"{at}.ops.{op}" for op, cost in unit.ops.items() if cost.made_of]

    @property
    def parallelism(self) -> Parallelism:
        """Of one core."""
        return ARCHITECTURES[self.arch]

    @property
    def image_banks(self) -> int:
        """Banks of a core's image memory."""
        return self.parallelism.pixels * (2 if self.ram_usage == "low" else 3)

    @property
    def dram_share(self) -> float:
        """Share of DRAM's peak that a core has while all cores work."""
        peak = float(self.dram.bandwidth or 0)
        ports = self.ports.count * self.ports.width_bits / 8 * float(self.clock) * self.ports.efficiency
        return min(ports, peak * self.dram.efficiency / self.cores) / peak if peak else 1.0


def core_resources(spec: Dpu, part: Part) -> dict[str, float]:
    """What one core takes; block RAM in halves, as PG338 counts it."""
    pixels, inputs, outputs = spec.parallelism
    results, features = pixels * outputs, spec.features
    low = spec.dsp_usage == "low"
    dsps = pixels * inputs * outputs / PRODUCTS_PER_DSP + (0 if low else results) + 2
    luts = float(LUTS_PER_LANE * sum(spec.parallelism))
    flops = FFS[0] + FFS[1] * pixels * inputs + FFS[2] * inputs * outputs
    if low:
        luts += ACCUMULATOR_BITS * results
        flops += 2 * ACCUMULATOR_BITS * results
    bank = ceil_div(8 * inputs, 9) / 2  # halves of a block, each 2048 x 9
    queues = ceil_div(8 * (inputs + 2), 36) / 2  # 512 x 36
    blocks, urams = bank + queues, 0  # biases
    if spec.ram == "bram":
        blocks += (spec.image_banks + outputs) * bank
    else:
        depth, width = part.rams("uram")[0].shapes[-1] if part.uram else (BANK_DEPTH, 72)
        words = BANK_DEPTH * spec.image_banks // pixels
        each = ceil_div(8 * inputs, width)
        urams = each * (pixels * ceil_div(words, depth) + outputs * ceil_div(BANK_DEPTH, depth))
    if features.depthwise:
        dsps += 3 * results / 8
        blocks += bank
        luts += DEPTHWISE_LUTS[0] + DEPTHWISE_LUTS[1] * results
    if features.leaky_relu:
        luts += LEAKY_LUTS * results
    return {"dsp": dsps, "bram36": blocks, "uram": urams, "lut": luts, "ff": flops}


def dpu_resources(spec: Dpu, part: Part) -> dict[str, int]:
    """What all cores take of the part, whole blocks."""
    core = core_resources(spec, part)
    return total([{name: ceil(spec.cores * need) for name, need in core.items()}])


def derive(spec: Dpu, name: str) -> Machine:
    """One core beside its share of DRAM; RuleError where the cores don't fit their part."""
    part = part_named(spec.part)
    if spec.noc is not None:
        rule = "is no part of a DPU: `ports` say its bandwidth, and no multicast serves its cores"
        raise RuleError(rule, at=("noc",))
    if 2 * float(spec.clock) > part.fastest_hz:
        rule = f"must be <= {part.fastest_hz / 2e6:g} MHz: the DSPs of {part.name} run at twice the clock"
        raise RuleError(rule, got=f"{float(spec.clock) / 1e6:g} MHz", at=("clock",))
    needs = dpu_resources(spec, part)
    check_fit(needs, part)
    machine = spec.assembled(name, spec.family, _memories(spec), _units(spec))
    return msgspec.structs.replace(on_part(machine, part, needs), replicas=spec.cores)


def _memories(spec: Dpu) -> tuple[Memory, ...]:
    """DRAM at one core's share, and banks as wide as what the units take of them in a cycle."""
    _, inputs, outputs = spec.parallelism
    word = BANK_DEPTH * inputs
    with below("dram"):
        dram = spec.dram.reached(spec.dram_share)
    image = Memory(
        name="image", parent="dram", capacity_bytes=spec.image_banks * word, read_bytes_per_s=None,
        write_bytes_per_s=None, holds=("inputs", "outputs"),
    )  # fmt: skip
    weights = msgspec.structs.replace(
        image, name="weights", capacity_bytes=outputs * word, holds=("weights",)
    )
    return dram, image, weights


def _units(spec: Dpu) -> dict[str, Unit]:
    """The convolution engine, and what does all else: as many lanes as the engine hands results over."""
    pixels, inputs, outputs = spec.parallelism
    conv = Unit(
        name="conv", kind="array", dims={"pixels": pixels, "rows": inputs, "cols": outputs},
        ops={"mac": OpCost()}, bits=(8,), accumulator_bits=ACCUMULATOR_BITS,
        reads_from={"inputs": "image", "weights": "weights", "outputs": "image"},
        dataflows=("output-stationary",), packs=("taps",),
    )  # fmt: skip
    ops = {op: OpCost() for op in ("add", "max", "min", "mul", "abs", "cmp", "select")}
    if spec.features.depthwise:
        ops = completed({"mac": OpCost(cycles=2), **ops})
    alu = Unit(
        name="alu", kind="vector", dims={"lanes": pixels * outputs}, ops=ops, fused_ops=ON_THE_WAY_OUT,
        reads_from={"inputs": "image", "outputs": "image"},
    )  # fmt: skip
    return {"conv": conv, "alu": alu}
