"""The default mapping: every legal cascade has one, it computes right, and more hardware makes none slower."""

from __future__ import annotations

import contextlib
import itertools
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.clock import Clock
from einsim.dataflow.layout import lay_out, points_below
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.spatial import able
from einsim.dataflow.templates import build_mapping, choice, layerwise, listed
from einsim.dataflow.templates.attention import fused_attention
from einsim.dataflow.templates.layerwise import Branches
from einsim.dataflow.templates.listed import cost_of
from einsim.dataflow.templates.worth import worth_of
from einsim.sim.engine import simulate
from einsim.specs.arrays import Floats
from einsim.specs.errors import EinsimError
from einsim.specs.remembered import Remembered
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse

PRESETS = sorted(path.stem for path in (Path(__file__).parents[2] / "accel" / "presets").glob("*.yaml"))

#: Text, small sizes at which the oracle visits every point, and large ones.
CASCADES: dict[str, tuple[str, dict[str, int], dict[str, int]]] = {
    "nothing at all": (
        "where i > j + 3\nZ[i] = sum[j](X[i,j])\nY[i] = Z[i] + B[i]", {"i": 3, "j": 4},
        {"i": 4, "j": 4096},
    ),
    "scan": (
        ("initial H = 0\nDA[b,t,d,n] = DT[b,t,d] * A[d,n]\nDX[b,t,d] = DT[b,t,d] * X[b,t,d]\n"
        "H[b,t+1,d,n] = H[b,t,d,n] * DA[b,t,d,n] + DX[b,t,d] * B[b,t,n]\nY[b,t,d] = H[b,t+1,d,n] * C[b,t,n]"),
        {"b": 2, "t": 3, "d": 4, "n": 2},
        {"b": 4, "t": 512, "d": 1024, "n": 16},
    ),
    "delta rule": (
        ("initial S = 0\nR[h,t,f] = S[h,t,e,f] * K[h,t,e]\nU[h,t,f] = BT[h,t] * (V[h,t,f] + R[h,t,f])\n"
        "S[h,t+1,e,f] = S[h,t,e,f] + K[h,t,e] * U[h,t,f]\nO[h,t,f] = S[h,t+1,e,f] * Q[h,t,e]"),
        {"h": 2, "t": 3, "e": 4, "f": 3},
        {"h": 8, "t": 512, "e": 128, "f": 128},
    ),
    "linear attention in chunks": (
        ("n -> c, i\nwhere j <= i\ninitial S = 0\nP[h,c,i,j] = Q[h,c*I+i,e] * K[h,c*J+j,e]\n"
        "OI[h,c,i,f] = P[h,c,i,j] * V[h,c*J+j,f]\nDS[h,c,e,f] = K[h,c*J+j,e] * V[h,c*J+j,f]\n"
        "S[h,c+1,e,f] = S[h,c,e,f] * G[h] + DS[h,c,e,f]\nOX[h,c,i,f] = Q[h,c*I+i,e] * S[h,c,e,f]\n"
        "O[h,n,f] = OI[h,c,i,f] + OX[h,c,i,f]"),
        {"h": 2, "n": 6, "c": 3, "i": 2, "j": 2, "e": 3, "f": 2},
        {"h": 8, "n": 1024, "c": 16, "i": 64, "j": 64, "e": 64, "f": 64},
    ),
    "gates in chunks": (
        ("n -> c, i\nwhere j <= i\ninitial B = 0\ninitial S = 0\nB[h,c,i+1,e] = B[h,c,i,e] + LA[h,c*I+i,e]\n"
        "QB[h,c,i,e] = Q[h,c*I+i,e] * B[h,c,i+1,e]\nKB[h,c,j,e] = K[h,c*J+j,e] * B[h,c,j+1,e]\n"
        "P[h,c,i,j] = QB[h,c,i,e] * KB[h,c,j,e]\nOI[h,c,i,f] = P[h,c,i,j] * V[h,c*J+j,f]\n"
        "DS[h,c,e,f] = KB[h,c,j,e] * V[h,c*J+j,f]\nS[h,c+1,e,f] = S[h,c,e,f] * B[h,c,I,e] + DS[h,c,e,f]\n"
        "OX[h,c,i,f] = QB[h,c,i,e] * S[h,c,e,f]\nO[h,n,f] = OI[h,c,i,f] + OX[h,c,i,f]"),
        {"h": 2, "n": 6, "c": 3, "i": 2, "j": 2, "e": 3, "f": 2},
        {"h": 8, "n": 1024, "c": 16, "i": 64, "j": 64, "e": 64, "f": 64},
    ),
    "a running sum read whole": (
        "initial R = 0\nR[t+1,d] = R[t,d] + X[t,d]\nY[u,d] = R[u+1,d] * W[u,d]",
        {"t": 5, "u": 5, "d": 3},
        {"t": 512, "u": 512, "d": 256},
    ),
    "power steps": (
        "initial V = 1\nW[s,i] = A[i,j] * V[s,j]\nV[s+1,j] = WJ[j] + V[s,j]\nZ[i] = W[s,i] * C[s]",
        {"s": 3, "i": 4, "j": 3},
        {"s": 16, "i": 128, "j": 128},
    ),
    "three factors": ("Z[i,l] = A[i,j] * B[j,k] * C[k,l]", {"i": 2, "j": 3, "k": 2, "l": 3}, dict.fromkeys("ijkl", 64)),
    "all to one": ("Z = sum[i,j](X[i,j])", {"i": 3, "j": 4}, {"i": 2048, "j": 4096}),
    "batched vectors": ("Z[b] = A[b,k] * B[b,k]", {"b": 3, "k": 5}, {"b": 4096, "k": 8192}),
    "normed twice": (
        "M[i] = max[j](X[i,j])\nY[i,j] = X[i,j] + M[i]\nN[j] = max[i](Y[i,j])\nZ[i,j] = Y[i,j] + N[j]",
        {"i": 3, "j": 4},
        {"i": 1024, "j": 1024},
    ),
    "long rows": ("M = max[i](X[i])\nY[i] = X[i] + M", {"i": 7}, {"i": 2**22}),
    "product then rows": (
        "S[i,j] = A[i,k] * B[k,j]\nM[i] = max[j](S[i,j])\nY[i,j] = S[i,j] + M[i]",
        {"i": 3, "j": 4, "k": 2},
        {"i": 512, "j": 512, "k": 256},
    ),
}  # fmt: skip


def cascade(name: str, *, large: bool = False) -> Cascade:
    text, small, big = CASCADES[name]
    return parse(text, name="drawn", sizes=big if large else small)


def figure(work: Cascade, machine: Machine) -> float:
    """What the default is chosen by, in seconds: its bound with heads and tails, and a part of other work."""
    branches = Branches(work, machine, fused_attention(work, machine))
    return branches.best()[0] / Clock(machine).ticks_per_cycle / machine.clock_hz


@pytest.mark.parametrize("name", CASCADES)
@pytest.mark.parametrize("accel", ["tpu-v4i", "sa8295p"])
def test_every_cascade_has_a_default_that_computes_right(name: str, accel: str) -> None:
    """At sizes at which the oracle visits every point: values, bytes, actions, both levels."""
    work, machine = cascade(name), load_machine(accel)
    found = judge(DrawnCase(name="", kind="", work=work, chip=machine, mapping=build_mapping(work, machine)))
    assert found.legal
    assert found.right
    assert not found.found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASCADES)
@pytest.mark.parametrize("accel", PRESETS)
def test_every_cascade_has_a_default_at_large_on_every_machine(name: str, accel: str) -> None:
    """A legal mapping, or one reason: the Einsum and what the machine lacks."""
    work, machine = cascade(name, large=True), load_machine(accel)
    lacking = [one for one in work.einsums if not able(work, machine, one)]
    if lacking:
        with pytest.raises(EinsimError, match=f"no unit can compute Einsum {lacking[0].name}"):
            build_mapping(work, machine)
        return
    mapping = build_mapping(work, machine)
    check(mapping, work, machine)
    assert lower(mapping, work, machine).macs == work.macs


def test_a_refusal_of_a_state_names_where_it_is_left_and_where_it_is_read() -> None:
    """Gemmini's adders write a state in its accumulators, its mesh reads operands from the scratchpad. The
    names are the cascade's own, though lists are made once for all that are alike.
    """
    for state, out, step in (("S", "O", "t"), ("H", "Y", "s")):
        text = (
            f"where {step} <= e\ninitial {state} = 0\n{state}[{step}+1,e] = {state}[{step},e] + K[{step},e]\n"
        )
        text += f"{out}[{step},f] = {state}[{step}+1,e] * W[e,f]"
        work = parse(text, name="apart", sizes={step: 8, "e": 16, "f": 16})
        with pytest.raises(EinsimError) as raised:
            build_mapping(work, load_machine("gemmini"))
        assert str(raised.value) == (
            f"gemmini: no tile of Einsums {state}, {out} is a legal mapping: mapping.keep {state}.keep: not "
            f"modelled: it stands inside the loop over {step}, of which {state} reads {state} from an earlier "
            f"iteration; keep {state} above that loop; or mesh would have to find {state} in acc, where "
            "adders leaves it, not in spad"
        )


def test_a_refusal_of_a_part_says_nothing_of_states_that_others_make() -> None:
    """T1 is a state that T4 reads, made before both: where it is left had been asked for (drawn input 909:1319)."""
    text = "initial T1 = 0\ninitial T3 = 0\nT1[p+1] = X[p] * Y[p]\nT3[p+1] = T3[p] * Z[k] * T3[p]\n"
    text += "T4[m,k] = T3[6] * T1[6] * T3[p+1]"
    work = parse(text, name="outside", sizes={"m": 6, "p": 6, "k": 3})
    with pytest.raises(
        EinsimError, match=r"no tile of Einsums T3, T4 is a legal mapping: .*end the loop over p"
    ):
        build_mapping(work, load_machine("tpu-v4i"))


def test_what_fits_nowhere_is_named() -> None:
    machine = load_machine("fusemax-cloud", {"buffer": "16B"})
    with pytest.raises(
        EinsimError,
        match=r"no tile of Einsums R, U, S, O fits: `gb` needs a capacity of at least [\d,]+ B \(has 16\)",
    ):
        build_mapping(cascade("delta rule", large=True), machine)
    arrays = load_machine("eyeriss-like")
    arrays = msgspec.structs.replace(arrays, units=arrays.matrix_units)
    with pytest.raises(EinsimError, match=r"^eyeriss-like: no unit can compute Einsum Y"):
        build_mapping(parse("Y[i] = exp(X[i])", name="w", sizes={"i": 4}), arrays)


LIBRARY: list[tuple[str, dict[str, str]]] = [
    ("ffn", {"b": "1", "p": "256", "d": "512", "s": "1024"}),
    ("softmax", {"p": "256", "d": "512"}),
    ("linear-training", {"n": "256", "i": "512", "o": "256"}),
    ("attention-3pass", {"b": "1", "h": "4", "e": "32", "seq": "512"}),
]


def faster(machine: Machine) -> Machine:
    """Twice the bandwidth of every memory."""
    memories = tuple(
        msgspec.structs.replace(
            one,
            read_bytes_per_s=one.read_bytes_per_s and 2 * one.read_bytes_per_s,
            write_bytes_per_s=one.write_bytes_per_s and 2 * one.write_bytes_per_s,
        )
        for one in machine.memories
    )
    return msgspec.structs.replace(machine, memories=memories)


def larger(machine: Machine, factor: float) -> Machine:
    """More room in every memory but DRAM."""
    memories = tuple(
        msgspec.structs.replace(one, capacity_bytes=one.capacity_bytes and int(factor * one.capacity_bytes))
        if one.parent
        else one
        for one in machine.memories
    )
    return msgspec.structs.replace(machine, memories=memories)


@pytest.mark.slow
@pytest.mark.parametrize("accel", ["tpu-v4i", "sa8295p", "fusemax-cloud", "eyeriss-like", "u280-flightllm"])
@pytest.mark.parametrize(("name", "keys"), LIBRARY)
def test_more_hardware_is_never_slower(name: str, keys: dict[str, str], accel: str) -> None:
    work, machine = load_workload(name, keys), load_machine(accel)
    try:
        build_mapping(work, larger(machine, 0.5))
    except EinsimError:
        pytest.skip("has no room at half the size")
    small, same, large = (figure(work, larger(machine, factor)) for factor in (0.5, 1.0, 2.0))
    assert small >= same * 0.999
    assert same >= large * 0.999
    assert figure(work, faster(machine)) <= same


def simulated(mapping: Mapping, work: Cascade, machine: Machine) -> int:
    return simulate(lower(mapping, work, machine), machine).cycles


@pytest.mark.parametrize(("name", "keys"), LIBRARY[:2])
def test_the_default_is_no_worse_than_each_branch_by_itself(name: str, keys: dict[str, str]) -> None:
    work, machine = load_workload(name, keys), load_machine("tpu-v4i")
    default, apart = build_mapping(work, machine), build_mapping(work, machine, "unfused")
    assert simulated(default, work, machine) <= simulated(apart, work, machine) * 1.01


def quicker(machine: Machine) -> Machine:
    """All clocks half as fast again."""
    units = tuple(msgspec.structs.replace(u, clock_hz=u.clock_hz and 1.5 * u.clock_hz) for u in machine.units)
    return msgspec.structs.replace(machine, clock_hz=1.5 * machine.clock_hz, units=units)


MORE = [
    ("ffn", "tpu-v4i"),
    ("softmax", "fusemax-cloud"),
    ("linear-training", "sa8295p"),
    ("attention-3pass", "flat-cloud"),
]


@pytest.mark.parametrize(("name", "accel"), MORE)
def test_more_room_bandwidth_or_clock_never_costs_more(name: str, accel: str) -> None:
    """Exactly, by the figure that the default is chosen by: the list is the same, only more of it fits."""
    work, machine = load_workload(name, dict(LIBRARY)[name]), load_machine(accel)
    found = [figure(work, larger(machine, factor)) for factor in (0.25, 0.5, 1.0, 2.0, 8.0)]
    assert all(one >= other * (1 - 1e-12) for one, other in itertools.pairwise(found))
    assert found[2] >= figure(work, faster(machine)) * (1 - 1e-12)
    assert found[2] >= figure(work, quicker(machine)) * (1 - 1e-12)


def with_room(machine: Machine, memory: str, factor: float) -> Machine:
    """So many times the room in one memory."""
    memories = tuple(
        msgspec.structs.replace(one, capacity_bytes=one.capacity_bytes and int(factor * one.capacity_bytes))
        if one.name == memory
        else one
        for one in machine.memories
    )
    return msgspec.structs.replace(machine, memories=memories)


def in_rooms(work: Cascade, machine: Machine, memory: str) -> list[Machine]:
    """The machine with less and more room in one memory, ascending, where the cascade has a mapping."""
    found = []
    for factor in (0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0):
        other = with_room(machine, memory, factor)
        with contextlib.suppress(EinsimError):
            build_mapping(work, other)
            found.append(other)
    return found


@pytest.mark.parametrize(
    ("name", "accel", "memory"),
    [
        ("ffn", "tpu-v4i", "gb"),
        ("linear-training", "sa8295p", "gb"),
        ("ffn", "u280-flightllm", "activations"),
        ("softmax", "u280-flightllm", "activations"),
        ("softmax", "eyeriss-like", "gb"),
    ],
)
def test_more_room_is_never_slower_as_simulated(name: str, accel: str, memory: str) -> None:
    """Within 0.1 %: of points that cost the same the one that holds least is taken."""
    work, machine = load_workload(name, dict(LIBRARY)[name]), load_machine(accel)
    cycles = [simulated(build_mapping(work, one), work, one) for one in in_rooms(work, machine, memory)]
    assert all(later <= 1.001 * earlier for earlier, later in itertools.pairwise(cycles))


@pytest.mark.slow
@pytest.mark.parametrize("accel", PRESETS)
@pytest.mark.parametrize("name", dict(LIBRARY))
def test_more_room_in_any_memory_never_costs_more(name: str, accel: str) -> None:
    """Exactly, by the figure that the default is chosen by, on both sides of each capacity."""
    work, machine = load_workload(name, dict(LIBRARY)[name]), load_machine(accel)
    for memory in (one.name for one in machine.memories if one.parents and one.capacity_bytes):
        found = [figure(work, one) for one in in_rooms(work, machine, memory)]
        assert all(one >= other * (1 - 1e-12) for one, other in itertools.pairwise(found)), memory


FLOORS = [
    ("product then rows", {}, "tpu-v4i"),
    ("scan", {}, "u280-flightllm"),
    ("conv", {"b": 1, "c": 16, "k": 32, "y": 14, "x": 14}, "eyeriss-like"),
    ("attention-3pass", {"b": 1, "h": 2, "e": 64, "seq": 300, "causal": True}, "sa8295p"),
    ("attention-2pass", {"b": 1, "h": 2, "e": 64, "seq": 300}, "tpu-v4i"),
    ("attention-3pass", {"b": 1, "h": 2, "e": 32, "seq": 130, "documents": "50,80"}, "sa8295p"),
    ("attention-3pass", {"b": 1, "h": 2, "e": 64, "seq": 256, "causal": True}, "tpu-v4i"),
    ("linear-training", {"n": 96, "i": 200, "o": 160, "sparsity": "2:8"}, "vcu1525-sat"),
    ("attention-1pass", {"b": 1, "h": 2, "e": 64, "seq": 512}, "tpu-v4i"),
    ("attention-1pass", {"b": 1, "h": 2, "e": 64, "seq": 512}, "fusemax-cloud"),
]


@pytest.mark.parametrize("objective", ["latency", "energy"])
@pytest.mark.parametrize(("name", "sizes", "accel"), FLOORS)
def test_no_point_of_a_list_costs_or_takes_less_than_it_does_at_least(
    name: str, sizes: dict[str, int], accel: str, objective: str
) -> None:
    work = cascade(name, large=True) if name in CASCADES else load_workload(name, sizes)
    machine = load_machine(accel)
    made, worth = Branches(work, machine, (), objective), worth_of(machine, objective)
    runs = (run for runs in made.outline.runs.values() for run in {runs[0], runs[-1]})
    for run, (names, _) in itertools.product(runs, {made.sets[0], made.sets[-1]}):
        known, stays = made.chooser._stays(run, names)
        for (nests, smaller), buffers in itertools.product(
            ((known.smaller, True), (known.nests, False)), (1, 2)
        ):
            room = known.room({}, buffers=buffers, smaller=smaller) if nests else {}
            for at, nest in list(enumerate(nests))[::4]:
                held = nest.held(buffers, {})
                assert all(sizes[at] <= held.get(memory, 0) for memory, sizes in room.items())
        for single in (False, True):
            floors = known.table(stays).floors(worth, np.full(len(known.nests), single))
            for floor, nest in list(zip(floors.tolist(), known.nests, strict=True))[::4]:
                if nest.ends is not None:
                    least = max(floor, made.chooser._floor(run, names))
                    assert least <= cost_of(nest.ends, worth, stays, single=single)[0]


def test_the_branches_that_are_taken_cost_what_their_runs_do() -> None:
    """Sets of as many bytes share what is known of runs: none is taken by what it seemed to cost before."""
    made = Branches(load_workload("attention-2pass", {"seq": 300}), load_machine("flat-cloud"), ())
    cost, runs, names, size = made.best()
    chooser = made.chooser
    each = (chooser.cost(run, names, size) for run in runs)
    assert cost == pytest.approx(sum(each), rel=1e-12)


@pytest.mark.parametrize(("name", "sizes", "accel"), [FLOORS[0], FLOORS[2], *FLOORS[5:7]])
def test_the_order_in_which_branches_become_known_changes_nothing(
    name: str, sizes: dict[str, int], accel: str
) -> None:
    """One by one, as far as the best needs it, or all of them before."""
    work = cascade(name, large=True) if name in CASCADES else load_workload(name, sizes)
    machine = load_machine(accel)
    made = Branches(work, machine, fused_attention(work, machine))
    for (names, size), run in itertools.product(made.sets, made.runs):
        made.chooser.settle(run, names, size)
    assert made.best() == Branches(work, machine, fused_attention(work, machine)).best()


@pytest.mark.parametrize("buffer", ["2KiB", "256B", "16B"])
def test_a_memory_that_holds_no_tile_of_the_list_gets_smaller_ones(buffer: str) -> None:
    work = load_workload("attention-3pass", {"b": "1", "h": "1", "e": "64", "seq": "512"})
    machine = load_machine("flat-edge", {"buffer": buffer})
    mapping = build_mapping(work, machine)
    check(mapping, work, machine)
    assert lower(mapping, work, machine).buffers["gb"] <= (machine.memory("gb").capacity_bytes or 0)


@pytest.mark.parametrize("objective", ["latency", "energy"])
def test_a_smaller_tile_counts_no_less_than_the_list_costs_at_least(objective: str) -> None:
    """A thousandth of the room holds no tile of the list: the first that fits takes 6.5 % less energy than the
    least of the list.
    """
    machine, work = load_machine("sa8295p"), cascade("linear attention in chunks", large=True)
    machine = larger(machine, 0.001)
    made, small = Branches(work, machine, (), objective), 0
    for run in (one for runs in made.outline.runs.values() for one in runs):
        known, stays = made.chooser._stays(run, frozenset())
        one = made.chooser.points.best(known, stays, 0)
        if one is not None and one.at >= len(known.nests):
            assert one.costs[0] >= made.chooser.points.least(known, stays, 0)
            small += 1
    assert small


def test_a_state_that_is_larger_than_the_buffer_is_cut_along_what_carries_nothing() -> None:
    text = "initial S = 0\nS[t+1,e,f] = S[t,e,f] + K[t,e] * V[t,f]\nO[t,f] = S[t+1,e,f] * Q[t,e]"
    work = parse(text, name="w", sizes={"t": 512, "e": 256, "f": 256})
    machine = load_machine("eyeriss-like")  # 108 KiB for a state of 128 KiB
    check(build_mapping(work, machine), work, machine)


def test_what_dram_has_no_room_for_is_said_with_the_bytes() -> None:
    text, _, _ = CASCADES["normed twice"]
    work = parse(text, name="w", sizes={"i": 1 << 16, "j": 1 << 16})
    machine = load_machine("u280-flightllm")
    with pytest.raises(
        EinsimError, match=r"`dram` needs a capacity of at least [\d,]+ B \(has 8,589,934,592\)"
    ):
        build_mapping(work, machine)


#: One token's attention, 16 bits: its keys are shared out.
KEYS = (
    "QK[m] = Q[e] * K[e,m]\nGM = max[m](QK[m])\nSN[m] = exp(QK[m] - GM)\nSD = sum[m](SN[m])\n"
    "A[m] = SN[m] / SD\nAV[f] = A[m] * V[f,m]"
)


@pytest.mark.parametrize("accel", ["sa8295p", "u280-flightllm", "vhk158-flightllm", "tpu-v4i"])
@pytest.mark.parametrize("name", ["few results", "many results", "keys"])
def test_all_cores_have_work_where_there_is_one_token(name: str, accel: str) -> None:
    texts = {"few results": "Z[n] = A[k] * B[k,n]", "many results": "Z[n] = A[k] * B[k,n]", "keys": KEYS}
    sizes = {"n": 2 if name == "few results" else 1024, "k": 8192, "m": 4096, "e": 64, "f": 64}
    lines = "tensor A[k] bits 8\ntensor B[k,n] bits 8\ntensor Z[n] bits 8\n" if name != "keys" else ""
    work = parse(lines + texts[name], name=name, sizes=sizes)
    chip, made = load_machine(accel), build_mapping(work, load_machine(accel), "template")
    layout = lay_out(made, work)
    for leaf in layout.leaves:
        unit, tile = chip.unit(leaf.node.unit), points_below(layout, work, leaf.path)
        shared = math.prod(tile[rank] for rank in leaf.node.spatial.get("cores", ()))
        assert (
            shared >= unit.dims["cores"]
            or math.prod(map(work.size, work.einsum(leaf.node.einsum).ranks)) < 99
        )


def test_few_results_of_a_long_sum_take_as_many_cores_less_time() -> None:
    text = "tensor A[m,k] bits 8\ntensor B[k,n] bits 8\ntensor Z[m,n] bits 8\nZ[m,n] = A[m,k] * B[k,n]"
    work = parse(text, name="few", sizes={"m": 64, "n": 64, "k": 1 << 15})
    cycles = {}
    for cores in (1, 4):
        chip = load_machine("tpu-v4i", {"cores": cores})
        cycles[cores] = simulate(lower(build_mapping(work, chip, "template"), work, chip), chip).cycles
    assert cycles[1] / 4 < cycles[4] < cycles[1] / 3


@pytest.mark.parametrize(
    ("name", "sizes", "accel", "rows"),
    [
        pytest.param("attention-2pass", {"h": 2, "e": 64, "seq": 300}, "tpu-v4i", 48, marks=pytest.mark.slow),
        ("attention-1pass", {"h": 2, "e": 64, "seq": 512}, "fusemax-cloud", 200),
        ("attention-3pass", {"b": 1, "h": 2, "e": 64, "seq": 300, "causal": True}, "flat-edge", 24),
        ("gated-short-convolution", {"seq": 256}, "eyeriss-like", 24),
    ],
)
def test_what_is_never_laid_out_would_not_have_been_chosen(
    name: str, sizes: dict[str, int], accel: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, machine = load_workload(name, sizes), load_machine(accel, {"array.rows": rows})
    found = build_mapping(work, machine)
    monkeypatch.setattr(choice, "_POINTS", Remembered(8))
    monkeypatch.setattr(layerwise, "_FOUND", Remembered(16))

    def everywhere(*_: object, **__: object) -> dict[str, Floats]:
        return {}

    monkeypatch.setattr(listed.Known, "room", everywhere)
    assert build_mapping(work, machine).tree == found.tree
