"""By default a state stays in an array's registers where that costs less: who uses it lays it alike."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.clock import Clock
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Keep, Mapping, placed
from einsim.dataflow.spatial import differs_by_pe, spread
from einsim.dataflow.structure import alike
from einsim.dataflow.templates import build_mapping, choice
from einsim.dataflow.templates import outline as outlines
from einsim.dataflow.templates.layerwise import Branches
from einsim.dataflow.templates.worth import worth_of
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse

DELTA = """\
initial S = 0
R[h,t,f] = S[h,t,e,f] * K[h,t,e]
U[h,t,f] = BT[h,t] * (V[h,t,f] - R[h,t,f])
S[h,t+1,e,f] = S[h,t,e,f] + K[h,t,e] * U[h,t,f]
O[h,t,f] = S[h,t+1,e,f] * Q[h,t,e]
"""
#: What is added to the state is a product by itself, and has to be in registers, too.
PRODUCT = """\
initial S = 0
D[h,t,e,f] = K[h,t,j,e] * V[h,t,j,f]
S[h,t+1,e,f] = S[h,t,e,f] + D[h,t,e,f]
O[h,t,i,f] = Q[h,t,i,e] * S[h,t,e,f]
"""
#: An input differs from PE to PE, and can't come to the registers: no such nest.
DECAY = "initial S = 0\nS[h,t+1,e,f] = S[h,t,e,f] * A[h,e,f]\nO[h,t,f] = S[h,t+1,e,f] * Q[h,t,e]\n"

SIZES = {"h": 4, "t": 3, "e": 5, "f": 4, "i": 2, "j": 3}
SMALL = {"array.rows": 4, "array.cols": 3, "vector.lanes": 2, "array.registers.bytes_per_pe": 99}


def work_of(text: str, sizes: dict[str, int]) -> Cascade:
    return parse(
        text, name="recurrent", sizes={r: n for r, n in sizes.items() if f"{r}," in text or f"{r}]" in text}
    )


@pytest.mark.parametrize(("text", "tensors"), [(DELTA, {"S"}), (PRODUCT, {"D", "S"}), (DECAY, set())])
def test_every_point_with_a_state_in_registers_is_right(text: str, tensors: set[str]) -> None:
    """By the oracle: values, bytes, actions, both levels."""
    work, machine = work_of(text, SIZES), load_machine("fusemax-cloud", SMALL)
    structure, key = alike(machine)
    made = outlines.outline(work, structure, key, ())
    known, names = made.listed((0, len(made.order)))
    ours = dict(zip(known.names, names, strict=True))
    found = [one for one in known.nests if one.nest.registers]
    assert bool(found) == bool(tensors)
    for nest in found:
        assert {ours[name] for name in nest.nest.registers} == tensors
        tree = choice.renamed(nest.tree(2, ()), ours)
        leaves = {node.einsum: node for _, node in placed(tree) if isinstance(node, Compute)}
        for tensor in tensors:
            users = [e for e in work.einsums if tensor in (e.name, *(read.tensor for read in e.reads))]
            assert len({spread(work, leaves[e.name], tensor) for e in users}) == 1
            homes = [
                node.memory for _, node in placed(tree) if isinstance(node, Keep) and tensor in node.tensors
            ]
            assert homes == ["array2d"]
        for einsum in work.einsums:
            node = leaves[einsum.name]
            assert {*differs_by_pe(work, machine.unit(node.unit), einsum, node)} <= tensors
        mapping = Mapping(cascade=work.name, machine=machine.name, template="", tree=tree)
        judged = judge(DrawnCase(name="", kind="", work=work, chip=machine, mapping=mapping))
        assert judged.legal
        assert judged.right
        assert not judged.found


def test_the_delta_rule_is_walked_on_the_array_by_default() -> None:
    """An array of 256 x 256 takes a cycle for each of R, S and O of a head of 128 x 128, and 256 lanes half a
    cycle for its U: a step of 16 heads, as many as registers hold twice, passes three fills of pipelines and
    less. On the vector unit alone a head's S takes 64.
    """
    work, machine = work_of(DELTA, {"h": 64, "t": 256, "e": 128, "f": 128}), load_machine("fusemax-cloud")
    mapping = build_mapping(work, machine)
    kept = {
        name: node.memory
        for _, node in placed(mapping.tree)
        if isinstance(node, Keep)
        for name in node.tensors
    }
    assert kept["S"] == "array2d"
    run = analyse(lower(mapping, work, machine), machine)
    assert 64 * 256 * 3.5 <= run.cycles <= 64 * 256 * 4.1


@pytest.mark.parametrize("text", [DELTA, PRODUCT])
def test_more_room_in_registers_never_costs_more(text: str) -> None:
    """Exactly, by the figure that the default is chosen by; some sizes hold no state."""
    work, found = work_of(text, {"h": 16, "t": 32, "e": 64, "f": 64, "i": 16, "j": 16}), list[float]()
    for size in (1, 2, 4, 5, 8, 16, 64):
        machine = load_machine("fusemax-cloud", {"array.registers.bytes_per_pe": size})
        found.append(Branches(work, machine, ()).best()[0] / Clock(machine).ticks_per_cycle)
    assert all(one >= other * (1 - 1e-12) for one, other in itertools.pairwise(found))
    assert found[-1] < found[0]


@pytest.mark.parametrize("objective", ["latency", "energy"])
@pytest.mark.parametrize("text", [DELTA, PRODUCT])
def test_no_point_costs_or_takes_less_than_it_does_at_least(text: str, objective: str) -> None:
    work, machine = (
        work_of(text, {"h": 8, "t": 32, "e": 64, "f": 64, "i": 16, "j": 16}),
        load_machine("fusemax-cloud"),
    )
    made, worth = Branches(work, machine, (), objective), worth_of(machine, objective)
    known, stays = made.chooser._stays((0, len(made.outline.order)), frozenset())
    seen = 0
    for single in (False, True):
        floors = known.table(stays).floors(worth, np.full(len(known.nests), single))
        room = known.room({}, buffers=2 - single)
        for at, nest in enumerate(known.nests):
            held = nest.held(2 - single, {})
            assert all(least[at] <= held.get(memory, 0) for memory, least in room.items())
            if nest.ends is not None:
                assert floors[at] <= choice.cost_of(nest.ends, worth, stays, single=single)[0]
                seen += bool(nest.nest.registers)
    assert seen


def test_all_cores_walk_the_steps_of_a_state() -> None:
    """Each core of `tpu-v4i` has a memory of its own, so that a block lies along the cores by the rows of its
    loops, here by heads: one at a time leaves three of four idle, however large its products are.
    """
    sizes, machine = {"h": 8, "t": 32, "e": 128, "f": 128, "i": 128, "j": 128}, load_machine("tpu-v4i")
    work = work_of(
        PRODUCT.replace("D[", "G[h,t,j,e] = exp(K[h,t,j,e])\nD[", 1).replace("= K[", "= G["), sizes
    )
    made = outlines.outline(work, *alike(machine), ())
    known, names = made.listed((0, len(made.order)))
    head = dict(zip(names, known.names, strict=True))["h"]
    assert {1, 2, 4} <= {dict(one.nest.loops)[head] for one in known.nests}
