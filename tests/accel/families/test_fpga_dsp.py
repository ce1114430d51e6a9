"""FPGA designs: DSPs exact, rates by formula, refusal with the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.fabric.arrays import nm_chain
from einsim.accel.load import load_machine
from einsim.accel.parts import part_named
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.specs.errors import SpecError
from einsim.workloads.notation import parse


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 64), st.integers(1, 3), st.integers(1, 4))
def test_dsps_are_counted_exactly(rows, slrs, packing):
    changes = {
        "matrix.mm.rows": str(rows),
        "matrix.mm.cols": "64",
        "matrix.mm.macs_per_dsp": str(packing),
        "slrs": str(slrs),
        "matrix.mv.shares_dsps_of": "null",
        "matrix.mv.rows": "1",
    }
    need = slrs * (-(-rows * 64 // packing) + 16 // 2 + 16 * 4 + 3)
    if need > part_named("u280").resources["dsp"]:
        with pytest.raises(SpecError, match=f"needs {need:,} DSP, u280 has 9,024"):
            load_machine("u280-flightllm", changes)
    else:
        assert load_machine("u280-flightllm", changes).resources["dsp"] == need


def test_flightllm_uses_what_was_reported():
    used = load_machine("u280-flightllm").resources
    assert used["dsp"] == 6345
    # Buffers are assumed, so the blocks only come near: FlightLLM, FPGA 2024, 1252 BRAM36 and 792 URAM.
    assert used["bram36"] == pytest.approx(1252, rel=0.10)
    assert used["uram"] == pytest.approx(792, rel=0.10)
    assert used["lut"] == pytest.approx(0.44 * part_named("u280").resources["lut"], rel=0.10)


def test_logic_that_is_not_written_is_counted_from_the_structure():
    """One SLR, 4 rows of 8 chains of 16, one mac a DSP; what else stands in the preset stays."""
    small = {
        "slrs": "1", "effective_slrs": "1", "matrix.mm.rows": "4", "matrix.mm.macs_per_dsp": "1",
        "matrix.mv.rows": "1",
    }  # fmt: skip
    without = load_machine("u280-flightllm", {**small, "logic.luts_per_dsp": "0", "logic.ffs_per_dsp": "0"})
    counted = load_machine(
        "u280-flightllm", {**small, "logic.luts_per_dsp": "null", "logic.ffs_per_dsp": "null"}
    )
    array = nm_chain(4, 8, 16).resources()
    assert {key: counted.resources[key] - without.resources[key] for key in ("dsp", "ff")} == {
        "dsp": 0, "ff": array["ff"],
    }  # fmt: skip
    per_chain = load_machine(
        "u280-flightllm", {**small, "logic.luts_per_dsp": "0", "logic.luts_per_chain": "0"}
    )
    assert counted.resources["lut"] - per_chain.resources["lut"] == array["lut"]


def test_structure_of_packed_macs_is_not_counted():
    with pytest.raises(SpecError, match="must be written for an array of other than one mac a DSP"):
        load_machine("u280-flightllm", {"logic.luts_per_dsp": "null"})


@pytest.mark.parametrize("preset", ["u280-flightllm", "vhk158-flightllm", "vcu1525-sat"])
def test_presets_fit_their_parts(preset):
    machine = load_machine(preset)
    part = {"u280": "u280", "vhk1": "vhk158", "vcu1": "vcu1525"}[preset[:4]]
    assert all(machine.resources[key] <= part_named(part).resources[key] for key in machine.resources)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matrix.mm.rows": "64"}, "the design does not fit: needs 12,489 DSP, u280 has 9,024"),
        (
            {"buffers.activations.capacity": "64MiB"},
            "the design does not fit: needs 6,144 URAM, u280 has 960",
        ),
        ({"slrs": "4"}, "--set slrs: must be <= 3, all that u280 has (got 4)"),
        ({"part": "u28"}, "--set part: unknown part (got 'u28'); did you mean 'u280'?"),
        ({"matrix.mm.chain": "3000"}, "--set matrix.mm.chain: must divide rows x cols = 4,096 (got 3000)"),
        ({"matrix.mm.dsps_per_mac": "2"}, "must be 1 where macs_per_dsp is above 1 (got 2)"),
        (
            {"matrix.mv.shares_dsps_of": "mn"},
            "must name an array with DSPs of its own (got 'mn'); known: mm",
        ),
        ({"matrix.mv.shares_dsps_of": "mv"}, "must name an array with DSPs of its own (got 'mv')"),
        ({"matrix.mv.rows": "512"}, "needs 4,096 DSPs, 'mm' has 2,048"),
        ({"dram.placement": "across"}, "--set dram.placement: must be one of dram.efficiency (got 'across')"),
        (
            {"dram.efficiency.within-channel": "1.5"},
            "--set dram.efficiency.within-channel: must be <= 1.0 (got 1.5)",
        ),
        (
            {"dram.efficiency.within-channel": "0"},
            "--set dram.efficiency.within-channel: must be > 0.0 (got 0)",
        ),
        ({"effective_slrs": "4"}, "--set effective_slrs: must be <= slrs = 3 (got 4)"),
        ({"dram.bandwidth": "null"}, "accel.dram: missing key 'bandwidth'"),
        (
            {"buffers.weights.ram": "lutram"},
            "--set buffers.weights.ram: unknown value (got 'lutram'); did you mean 'uram'?",
        ),
    ],
)
def test_refusals(change, message):
    with pytest.raises(SpecError) as caught:
        load_machine("u280-flightllm", change)
    assert message in str(caught.value)


def test_the_placement_sets_the_share_of_the_bandwidth():
    within = load_machine("u280-flightllm").dram.read_bytes_per_s
    across = load_machine("u280-flightllm", {"dram.placement": "across-channels"}).dram.read_bytes_per_s
    assert within == int(460e9 * 0.659)
    assert across == int(460e9 * 0.356)


def test_effective_slrs_slow_every_unit_alike():
    named = load_machine("vhk158-flightllm")
    full = load_machine("vhk158-flightllm", {"effective_slrs": "4"})
    assert all(unit.clock_hz == pytest.approx(225e6 * 3.2 / 4) for unit in named.units)
    assert all(unit.clock_hz is None for unit in full.units)
    assert named.dram == full.dram


def test_a_mode_of_an_array_takes_no_dsps():
    shared = load_machine("u280-flightllm").resources["dsp"]
    own = load_machine("u280-flightllm", {"matrix.mv.shares_dsps_of": "null"}).resources["dsp"]
    assert own - shared == 3 * 64 * 16 // 2


def test_sat_has_a_sorter_that_only_sorts():
    machine = load_machine("vcu1525-sat")
    assert set(machine.unit("sore").ops) == {"select", "cmp"}
    assert machine.unit("wuve").supports("rsqrt")
    assert machine.unit("stce").exploits == ("n:m",)


def test_a_network_to_the_slrs_is_the_machines():
    machine = load_machine("vhk158-flightllm", {"noc.bandwidth": "1GB/s"})
    assert machine.noc is not None
    assert machine.noc.bytes_per_s == 10**9


OWN = {"activations": "[inputs, outputs]", "weights": "[weights]", "partial_sums": "[outputs]"}


def held(change=None):
    """The U280 design, whose buffers say what they hold, with other values."""
    own = {f"buffers.{name}.holds": roles for name, roles in OWN.items()}
    return load_machine(
        "u280-flightllm", {**own, "buffers.partial_sums.parent": "activations", **(change or {})}
    )


def test_each_buffer_holds_what_it_is_for_and_instructions_take_no_tensors():
    chip = held()
    assert {memory.name: (memory.capacity_bytes, memory.parents) for memory in chip.memories[1:]} == {
        "activations": (3 << 23, ("dram",)),
        "weights": (3 << 20, ("dram",)),
        "partial_sums": (3 * 768 << 10, ("activations",)),
    }
    rates = {memory.name: memory.read_bytes_per_s for memory in chip.memories[1:]}
    assert rates == {  # three SLRs, 225 MHz
        "activations": 3 * 512 // 8 * 225_000_000,
        "weights": 3 * 2048 // 8 * 225_000_000,
        "partial_sums": 3 * 4096 // 8 * 225_000_000,
    }
    assert chip.unit("mm").memories == {
        "inputs": "activations",
        "weights": "weights",
        "outputs": "partial_sums",
    }
    assert chip.unit("vector").memories["outputs"] == "activations"


@pytest.mark.parametrize(
    ("buffer", "least"), [("activations", "9KiB"), ("weights", "9KiB"), ("partial_sums", "9KiB")]
)
def test_the_capacity_of_each_buffer_binds(buffer, least):
    """A product whose operands fill each: with less of any one, tiles are smaller and something is read again."""
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="w", sizes={"m": 512, "k": 512, "n": 512})
    cost = [
        analyse(lower(build_mapping(work, chip), work, chip), chip)
        for chip in (held(), held({f"buffers.{buffer}.capacity": least}))
    ]
    assert cost[1].traffic != cost[0].traffic
    assert cost[1].buffers[buffer] <= 3 * 9 << 10 < cost[0].buffers[buffer]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"buffers.weights.holds": "null"}, "buffers.weights.holds: must say what it holds, as others do"),
        (
            {"buffers.activations.holds": "[weights]", "buffers.partial_sums.parent": "dram"},
            "must hold inputs",
        ),
        ({"buffer_port.bandwidth": "1GB/s"}, "buffers that say what they hold give and take their width"),
        ({"buffers.instructions.parent": "weights"}, "is for a buffer with a holds of its own"),
        ({"buffers.partial_sums.parent": "activation"}, "no memory of this name"),
    ],
)
def test_buffers_that_hold_what_cannot_be_are_refused(change, message):
    with pytest.raises(SpecError) as caught:
        held(change)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("board", "peak_gb"),
    [
        ({}, 38.4),
        ({"dram.bandwidth": "19.2GB/s", "dram.channels": "1", "matrix.dot.rows": "1"}, 19.2),
        ({"part": "u250", "slrs": "4", "dram.bandwidth": "76.8GB/s", "dram.channels": "4", "matrix.dot.rows": "1"}, 76.8),
    ],
    ids=["zcu104", "zcu104 pl", "u250"],
)  # fmt: skip
def test_a_decoders_vector_times_matrix_takes_as_long_as_dram_brings_it(board, peak_gb):
    """By hand: 4096 x 4096 weights of 4 bits at 85 % of what the board's channels have, and the vectors' few bytes."""
    text = "tensor W[k,n] bits 4\nY[n] = X[k] * W[k,n]"
    work, machine = parse(text, name="gemv", sizes={"k": 4096, "n": 4096}), load_machine("llama-fpga", board)
    found = analyse(lower(build_mapping(work, machine), work, machine), machine)
    least = (4096 * 4096 / 2 + 2 * 2 * 4096) / (0.85 * peak_gb * 1e9)
    assert least * 0.999 <= found.latency_s <= least * 1.02
