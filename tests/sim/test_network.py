"""The network to the cores: private tiles take their turn on it, what all cores hear passes once, and one that never limits costs nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.accel.noc import Noc
from einsim.accel.registers import RegisterFile
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, chain, keep
from einsim.dataflow.templates import build_mapping
from einsim.sim.breakdown import breakdown
from einsim.sim.engine import simulate
from einsim.specs.errors import SpecError
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse

GHZ = 1_000_000_000
FAST = 10**15


def machine(cores, noc, *, multicast=True, dram=None):
    memories = (
        Memory(name="dram", parent=None, capacity_bytes=None, read_bytes_per_s=dram, write_bytes_per_s=None),
        Memory(
            name="local", parent="dram", capacity_bytes=None, read_bytes_per_s=None, write_bytes_per_s=None
        ),
    )
    unit = Unit(
        name="mm", kind="array", dims={"cores": cores, "rows": 4, "cols": 4}, ops={"mac": OpCost()},
        reads_from="local",
    )  # fmt: skip
    network = None if noc is None else Noc(bytes_per_s=noc, multicast=multicast)
    return Machine(
        name="chip", family="generic", clock_hz=float(GHZ), memories=memories, units=(unit,), noc=network
    )


def gemm(chip, *, shared, k=64, tiles=32):
    """Z[m,n] in tiles of 8 rows a core and 16 columns; cores share out m, so A and Z are private, B everyone's.

    With `shared` it goes along n and B's tiles come over the network, otherwise along m and A's do. A tile takes
    2048 cycles, and of 2 B a value: A 1024 B a core, B 2048 B, Z 256 B a core.
    """
    rows = 8 * chip.units[0].dims["cores"]
    sizes = {"m": rows if shared else rows * tiles, "n": 16 * tiles if shared else 16, "k": k}
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes=sizes)
    moved, still = ("B", "A") if shared else ("A", "B")
    tree = chain(
        keep(still, "local"),
        ("n", 16) if shared else ("m", rows),
        keep(moved, "local"),
        keep("Z", "local"),
        Compute(einsum="Z", unit="mm", spatial={"cores": ("m",), "rows": ("n",)}),
    )
    mapping = Mapping(cascade="gemm", machine="chip", template="by hand", tree=tree)
    return lower(mapping, work, chip)


def starved(result):
    return {
        row.unit: row.cycles for row in breakdown(result) if row.what == "noc" and row.cause == "bandwidth"
    }


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("cores", [2, 4])
def test_with_a_network_that_never_limits_cores_are_the_aggregated_unit(cores, shared):
    alone, networked = machine(cores, None), machine(cores, FAST)
    whole, parts = (
        simulate(gemm(alone, shared=shared), alone),
        simulate(gemm(networked, shared=shared), networked),
    )
    assert parts.latency_s * GHZ == pytest.approx(whole.latency_s * GHZ, abs=0.1)
    assert parts.traffic == whole.traffic
    assert parts.utilization == pytest.approx(whole.utilization, rel=1e-6)


def test_four_cores_that_need_data_of_their_own_contend_and_those_that_hear_the_same_do_not():
    """2 B a cycle: enough for what one core needs (1280 B in 2048 cycles) and for a B that four hear and their
    Z (3072 B), not for four parts of A (5120 B), which take 2560 cycles.
    """
    took, bus = {}, {}
    for cores in (1, 4):
        for shared in (False, True):
            chip = machine(cores, 2 * GHZ) if cores > 1 else machine(1, None)
            result = simulate(gemm(chip, shared=shared), chip)
            took[cores, shared] = result.cycles
            bus[cores, shared] = {unit: cycles / result.cycles for unit, cycles in starved(result).items()}
    assert took[4, True] == pytest.approx(took[1, True], rel=0.07)
    assert took[4, False] == pytest.approx(took[1, False] * 2560 / 2048, rel=0.04)
    assert max(bus[4, True].values(), default=0) < 0.05
    assert bus[4, False]["mm"] > 0.15


def test_without_multicast_what_all_cores_need_is_sent_to_each():
    once, each = machine(4, 2 * GHZ), machine(4, 2 * GHZ, multicast=False)
    heard, sent = simulate(gemm(once, shared=True), once), simulate(gemm(each, shared=True), each)
    assert sent.traffic == heard.traffic
    assert sent.bound_by["noc"] == pytest.approx(heard.bound_by["noc"] * 9216 / 3072, rel=0.03)
    assert sent.cycles == pytest.approx(heard.cycles * 4608 / 2048, rel=0.05)


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from(["tpu-v4i", "sa8295p"]), st.sampled_from([32, 256, 2000]), st.booleans(),
    st.integers(1, 3), st.sampled_from([32, 48]), st.sampled_from(["", "hbm2"]),
)  # fmt: skip
def test_on_the_presets_the_jump_is_exact_traffic_stays_and_the_bound_is_one(
    name, rate, multicast, b, seq, timing
):
    said = "multicast" if name == "tpu-v4i" else "noc.multicast"  # a network follows the machine's word
    settings_ = {"noc.bandwidth": f"{rate}GB/s", said: str(multicast).lower()}
    if timing:
        settings_ |= {"dram.timing": timing}
    chip = load_machine(name, settings_)
    values = {"passes": "3", "b": str(b), "h": "6", "e": "16", "f": "16", "m": str(seq), "p": str(seq)}
    work = load_workload("attention", values)
    program = lower(build_mapping(work, chip), work, chip)
    result, stepped = simulate(program, chip), simulate(program, chip, jump=False)
    assert msgspec.structs.replace(result, timeline=()) == msgspec.structs.replace(stepped, timeline=())
    plain = msgspec.structs.replace(chip, noc=None)
    assert result.traffic == simulate(lower(build_mapping(work, chip), work, plain), plain).traffic
    assert result.cycles >= analyse(program, chip).cycles
    for reasons in result.breakdown_by_unit.values():
        assert sum(reasons.values()) == result.cycles


def test_a_network_follows_the_machines_word_and_may_not_contradict_it():
    chip = load_machine("tpu-v4i", {"noc.bandwidth": "64GB/s"})
    assert chip.noc is not None
    assert not chip.multicast
    assert not chip.noc.multicast
    with pytest.raises(SpecError, match=r"noc.multicast: must be false: the cores of this machine share no"):
        load_machine("tpu-v4i", {"noc.bandwidth": "64GB/s", "noc.multicast": "true"})


def test_a_network_without_cores_is_refused():
    with pytest.raises(SpecError, match=r"noc.*: needs a unit with several cores"):
        load_machine("fusemax-cloud", {"noc.bandwidth": "64GB/s"})


BLOCKS = """
rank m = 128, n = 256, k = 128, m0 = 16, n0 = 16
m -> m1, m0
n -> n1, n0
Z[m,n] = A[m,k] * B[k,n]
"""


@pytest.mark.parametrize("cores", [4, 16])
def test_a_network_that_never_limits_costs_nothing_where_cores_fill_memories_of_their_own(cores):
    """A port is held for its own bytes: the memory outside serves the next core while one's own still fills. Each
    core's memory takes a sixteenth of what the one outside gives.
    """
    memories = (
        Memory(name="dram", parent=None, capacity_bytes=None, read_bytes_per_s=4 * GHZ * 1000, write_bytes_per_s=None),
        Memory(name="l2", parent="dram", capacity_bytes=None, read_bytes_per_s=8 * GHZ * 1000, write_bytes_per_s=None),
        Memory(
            name="own", parent="l2", capacity_bytes=None, read_bytes_per_s=cores * 250 * GHZ, write_bytes_per_s=None,
            copies=cores,
        ),
    )  # fmt: skip
    unit = Unit(
        name="mm", kind="array", dims={"cores": cores, "rows": 16, "cols": 16}, ops={"mac": OpCost()},
        reads_from="own", registers=RegisterFile(bytes_per_pe=64, read_pj=0.0, write_pj=0.0),
    )  # fmt: skip
    work = parse(BLOCKS, name="blocks")
    tree = chain(
        ("m1", 4),
        ("n1", 4),
        keep(("A", "B", "Z"), "l2", buffers=1),
        keep("Z", "mm", buffers=1),
        ("k", 8),
        keep(("A", "B"), "own", buffers=4),
        Compute(einsum="Z", unit="mm", spatial={"cores": ("m1", "n1"), "rows": ("m0",), "cols": ("n0",)}),
    )
    mapping = Mapping(cascade="blocks", machine="chip", template="test", tree=tree)

    def cycles(noc):
        chip = Machine(
            name="chip", family="generic", clock_hz=float(GHZ), memories=memories, units=(unit,), noc=noc,
            multicast=False,
        )  # fmt: skip
        return simulate(lower(mapping, work, chip), chip).cycles

    assert cycles(Noc(bytes_per_s=FAST, multicast=False)) <= 1.05 * cycles(None)
