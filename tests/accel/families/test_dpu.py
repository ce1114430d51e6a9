"""DPUs: what a core takes of a part is what PG338 prints, and a convolution's cycles are those of its padded shape."""

from __future__ import annotations

from math import ceil

import pytest

from einsim.accel.families.dpu import ARCHITECTURES
from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.leaf import array_cycles
from einsim.dataflow.lower import lower
from einsim.dataflow.spatial import place
from einsim.dataflow.templates import build_mapping
from einsim.models.judge import evaluate_model
from einsim.sim.engine import simulate
from einsim.specs.errors import SpecError
from einsim.workloads.notation import parse

# PG338 v1.2, table 9: one core on a ZCU102 without depthwise convolution. LUT, register, BRAM36, DSP.
TABLE = {
    ("b512", "high"): (20177, 31782, 69.5, 98), ("b512", "low"): (20759, 33572, 69.5, 66),
    ("b1024", "high"): (27377, 46241, 101.5, 194), ("b1024", "low"): (29155, 49823, 101.5, 130),
    ("b1152", "high"): (28698, 46906, 117.5, 194), ("b1152", "low"): (30043, 49588, 117.5, 146),
    ("b1600", "high"): (30877, 56267, 123, 282), ("b1600", "low"): (33130, 60739, 123, 202),
    ("b3136", "high"): (38555, 79867, 203.5, 506), ("b3136", "low"): (41714, 86132, 203.5, 394),
}  # fmt: skip
# PG338 v3.4, RAM usage: BRAM36 with depthwise convolution, low and high.
RAM = {
    "b512": (73.5, 89.5),
    "b1024": (105.5, 137.5),
    "b1152": (123, 145),
    "b1600": (127.5, 163.5),
    "b3136": (210, 262),
}
# PG338 v3.4, DepthwiseConv: further DSPs.
DEPTHWISE = {"b512": 12, "b1024": 24, "b1152": 18, "b1600": 30, "b3136": 42}
FRAME = {"weights": "8", "activations": "8"}


def taken(arch, **settings):
    words = {"cores": "1", "arch": arch, "features": "{depthwise: false}", **settings}
    return load_machine("zcu102-dpu", words).resources


@pytest.mark.parametrize(("arch", "usage"), TABLE)
def test_a_core_takes_what_the_product_guide_prints(arch, usage):
    luts, flops, blocks, dsps = TABLE[arch, usage]
    found = taken(arch, dsp_usage=usage)
    assert found["dsp"] == dsps
    assert found["bram36"] == ceil(blocks)  # whole blocks
    assert found["lut"] == pytest.approx(luts, rel=0.12)
    assert found["ff"] == pytest.approx(flops, rel=0.12)


@pytest.mark.parametrize("arch", RAM)
def test_features_take_what_the_product_guide_prints(arch):
    for usage, blocks in zip(("low", "high"), RAM[arch], strict=True):
        found = taken(arch, ram_usage=usage, features="{depthwise: true}")
        assert found["bram36"] == ceil(blocks)
    assert found["dsp"] - taken(arch)["dsp"] == DEPTHWISE[arch]


@pytest.mark.parametrize("arch", DEPTHWISE)
def test_a_preset_of_each_size_takes_the_dsps_that_are_printed(arch):
    assert load_machine(f"dpu-{arch}").resources["dsp"] == TABLE[arch, "high"][3] + DEPTHWISE[arch]


def test_a_name_says_the_operations_of_a_cycle():
    for name, (pixels, inputs, outputs) in ARCHITECTURES.items():
        assert int(name[1:]) == 2 * pixels * inputs * outputs


def test_boards_hold_the_cores_that_were_measured_on_them():
    """The ZCU104's two cores take all of its UltraRAM; of block RAM one core alone would need more than a K26 has."""
    assert load_machine("zcu104-dpu").resources["uram"] == 96
    with pytest.raises(SpecError, match="BRAM36, kv260 has 144"):
        load_machine("kv260-dpu", {"ram": "bram"})
    with pytest.raises(SpecError, match="DSP, zcu102 has 2,520"):
        load_machine("zcu102-dpu", {"cores": 4})
    with pytest.raises(SpecError, match="twice the clock"):
        load_machine("zcu102-dpu", {"clock": "446MHz"})


def test_cores_share_dram_and_a_core_has_no_more_than_its_ports():
    words = {
        "dram.bandwidth": "20GB/s",
        "dram.efficiency": "0.5",
        "ports.efficiency": "0.5",
        "clock": "250MHz",
    }
    rate = {n: load_machine("zcu102-dpu", {**words, "cores": n}).dram.read_bytes_per_s for n in (1, 2, 3)}
    assert rate[1] == 4e9  # two ports of 16 bytes at 250 MHz, half of it
    assert rate[2] == 4e9  # half of 10 would be 5
    assert rate[3] == 10**10 // 3


CONV = "tensor I bits 8\ntensor W bits 8\ntensor Z bits 8\nZ[k,y,x] = I[c,y+r,x+q] * W[k,c,r,q]"


DEPTHWISE_CONV = "tensor I bits 8\ntensor W bits 8\ntensor Z bits 8\nZ[g,y,x] = I[g,y+r,x+q] * W[g,r,q]"


def placed(text, settings, **sizes):
    """The unit that takes it, and its cycles for all of it."""
    work = parse(text, name="conv", sizes=sizes)
    machine, einsum = load_machine("kv260-dpu", settings), work.einsums[0]
    node = place(work, machine, einsum, sizes)
    return node.unit, array_cycles(work, machine.unit(node.unit), einsum, node, sizes)


@pytest.mark.parametrize("arch", ["b512", "b1152", "b4096"])
@pytest.mark.parametrize("sizes", [(56, 56, 64, 64), (13, 13, 48, 40), (7, 7, 100, 20)])
def test_a_convolution_takes_the_cycles_of_its_padded_shape(arch, sizes):
    """By hand: rows x taps x whole groups of pixels of a row, of input and of output channels."""
    rows, columns, into, out = sizes
    pixels, inputs, outputs = ARCHITECTURES[arch]
    expected = rows * 9 * ceil(columns / pixels) * ceil(into / inputs) * ceil(out / outputs)
    found = placed(CONV, {"arch": arch}, y=rows, x=columns, c=into, k=out, r=3, q=3)
    assert found == ("conv", expected)


def test_few_input_channels_have_the_taps_of_a_row_beside_them():
    """A first layer by hand: 7 taps x 3 channels are 2 steps of 16, not 7."""
    text = CONV.replace("y+r,x+q", "y*2+r,x*2+q")
    assert placed(text, {}, y=112, x=112, c=3, k=64, r=7, q=7) == ("conv", 112 * 7 * 14 * 2 * 4)


def test_a_depthwise_convolution_has_half_the_pixels_or_one_channel_at_a_time():
    sizes = {"g": 64, "y": 28, "x": 28, "r": 3, "q": 3}
    assert placed(DEPTHWISE_CONV, {}, **sizes) == ("alu", 64 * 28 * 28 * 9 // (4 * 16))
    alone = placed(DEPTHWISE_CONV, {"features": "{depthwise: false}"}, **sizes)
    assert alone == ("conv", 64 * 28 * 3 * ceil(28 / 8))  # the taps of a row beside one channel


@pytest.mark.parametrize("text", [CONV, DEPTHWISE_CONV])
def test_no_level_is_below_the_one_before_it(text):
    sizes = {
        rank: size
        for rank, size in zip("gkcyxrq", (24, 40, 24, 20, 20, 3, 3), strict=True)
        if rank in text.split("\n")[-1]
    }
    work, machine = parse(text, name="conv", sizes=sizes), load_machine("kv260-dpu")
    program = lower(build_mapping(work, machine), work, machine)
    _, least = placed(text, {}, **sizes)
    bound, run = analyse(program, machine), simulate(program, machine)
    assert least <= bound.cycles <= run.cycles
    assert bound.traffic == run.traffic


def test_several_cores_make_as_many_images_a_second():
    """The same core with its own DRAM: two of them take no longer together."""
    words = {**FRAME, "part": "layer1.0.conv2", "accel.arch": "b512", "accel.dram.bandwidth": "40GB/s"}
    one, two = (
        evaluate_model(
            "resnet-18", "zcu102-dpu", settings={**words, "accel.cores": str(n)}, level="analytical"
        )
        for n in (1, 2)
    )
    assert one.total.latency_s == two.total.latency_s
    assert two.phases[0].tokens_per_s == 2 * one.phases[0].tokens_per_s
