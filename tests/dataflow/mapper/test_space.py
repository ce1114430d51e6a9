"""The map space: counted, listed, restricted, printed."""

from __future__ import annotations

import random

import msgspec
import pytest
from small import cascade, machine, problem

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.nest import Inside, Pin
from einsim.dataflow.mapper.point import mapping
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapping import Keep, Loop, Pipeline, walk
from einsim.dataflow.mapping_text import mapping_text
from einsim.specs.errors import SpecError
from einsim.workloads.notation import parse

GEMM = parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": 4, "n": 3, "k": 2})
FFN = parse(
    "H[m,j] = X[m,k] * W[k,j]\nY[m,n] = H[m,j] * V[j,n]", name="ffn", sizes={"m": 4, "k": 2, "j": 2, "n": 2}
)
EDGE = load_machine("flat-edge")


@pytest.mark.parametrize("seed", range(12))
def test_the_count_is_the_number_of_points(seed: int) -> None:
    space = problem(seed, most=4000)
    assert space.count() == sum(1 for _ in space.points())


def test_points_are_distinct_and_come_out_as_mappings() -> None:
    space = problem(5, most=500)
    points = list(space.points())
    assert len({msgspec.json.encode(point) for point in points}) == len(points)
    assert len({mapping_text(mapping(space.cascade, space.machine, point)) for point in points}) > 1


def test_samples_are_legal_mappings_of_the_space() -> None:
    rng = random.Random(0)
    space = MapSpace(cascade=FFN, machine=EDGE)
    fused = 0
    for _ in range(30):
        point = space.sample(rng)
        assert point is not None
        tree = mapping(FFN, EDGE, point)
        check(tree, FFN, EDGE)
        fused += any(isinstance(node, Pipeline) for node, _ in walk(tree.tree))
    assert 0 < fused < 30


def test_no_fusion() -> None:
    space = MapSpace(cascade=FFN, machine=EDGE, most_fused=1)
    assert all(len(group) == 1 for group in space.fusions())


def test_a_given_fusion() -> None:
    space = MapSpace(cascade=FFN, machine=EDGE, groups=(("H", "Y"),))
    assert [tuple(e.name for e in group) for group in space.fusions()] == [("H", "Y")]


def test_a_given_order_and_unit() -> None:
    space = MapSpace(cascade=GEMM, machine=EDGE, order={"Z": ("k", "n", "m")}, unit={"Z": "array1d"})
    found = list(space.nests(GEMM.einsum("Z"), Inside()))
    assert found
    assert all(nest.loops == ("k", "n", "m") and nest.node.unit == "array1d" for nest in found)


def test_keep_holds_a_tensor_whole() -> None:
    space = MapSpace(cascade=GEMM, machine=EDGE, keep={"B": "gb"})
    rng = random.Random(3)
    for _ in range(20):
        point = space.sample(rng)
        assert point is not None
        for node, above in walk(mapping(GEMM, EDGE, point).tree):
            if isinstance(node, Keep) and "B" in node.tensors:
                assert not any(isinstance(outer, Loop) for outer in above)


def test_in_words() -> None:
    text = str(MapSpace(cascade=GEMM, machine=EDGE, keep={"B": "gb"}))
    for part in ("gemm on flat-edge", "keep B whole in gb", "Z: "):
        assert part in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"menu": "al"}, "space.menu: unknown menu (got 'al'); did you mean 'all'?"),
        ({"most_fused": 0}, "space.most_fused: must be >= 1 (got 0)"),
        ({"keep": {"b": "gb"}}, "space.keep: unknown name (got 'b'); did you mean 'B'?"),
        ({"keep": {"B": "gv"}}, "space.keep.B: unknown memory (got 'gv'); known: gb"),
        ({"unit": {"Z": "array"}}, "space.unit.Z: unknown unit (got 'array')"),
        ({"order": {"Z": ("m", "n")}}, "space.order.Z: must name each of k, m, n once (got 'm, n')"),
        ({"groups": (("Y",),)}, "space.groups: must be Z in this order, cut into groups"),
    ],
)
def test_what_does_not_exist_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        MapSpace(cascade=GEMM, machine=EDGE, **options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


def test_why_it_is_not_exact() -> None:
    text = "where 2*m <= p\nS[m,p] = Q[m,e] * K[e,p]"
    steep = parse(text, name="steep", sizes={"m": 4, "p": 4, "e": 2})
    assert "bounds" in MapSpace(cascade=steep, machine=EDGE).why_not_exact
    causal = parse(text.replace("2*", ""), name="causal", sizes={"m": 4, "p": 4, "e": 2})
    assert MapSpace(cascade=causal, machine=EDGE).why_not_exact == ""
    beside = parse("where m <= p\nS[m,p] = exp(X[m,p])", name="beside", sizes={"m": 4, "p": 4})
    assert "beside" in MapSpace(cascade=beside, machine=EDGE).why_not_exact
    assert MapSpace(cascade=GEMM, machine=EDGE).why_not_exact == ""


def test_a_convention_is_named_and_its_cycles_are_no_less_than_the_bound() -> None:
    # Folds that fill little of an array take fewer cycles by the edge than a full column of rows loads in.
    grid = msgspec.structs.replace(
        EDGE.matrix_units[0], kind="systolic", convention="edge-aware", dataflows=("weight-stationary",)
    )
    others = tuple(unit for unit in EDGE.units if unit.name != grid.name)
    edge = msgspec.structs.replace(EDGE, units=(grid, *others))
    space = MapSpace(cascade=GEMM, machine=edge)
    assert "convention" in space.why_not_exact
    for number in range(20):
        point = space.sample(random.Random(number))
        assert point is not None
        (nest,) = point.groups[0].nests
        ticks = space.row(nest)[0][space.scale.engines.index(grid.name)]
        found = analyse(lower(mapping(GEMM, edge, point), GEMM, edge), edge)
        assert 0 <= ticks <= found.breakdown_by_unit[grid.name]["busy"] * space.scale.ticks_per_cycle


def test_what_slows_a_machine_besides_its_ports_is_named() -> None:
    memories = [
        msgspec.structs.replace(memory, descriptor_cycles=20) if memory.parent else memory
        for memory in EDGE.memories
    ]
    slow = msgspec.structs.replace(EDGE, memories=tuple(memories))
    assert "descriptors" in MapSpace(cascade=GEMM, machine=slow).why_not_exact


def test_a_resident_is_a_result_that_somebody_reads() -> None:
    assert MapSpace(cascade=FFN, machine=EDGE).residents() == ((), ("H",))
    with pytest.raises(SpecError, match="must be a result that an Einsum reads"):
        MapSpace(cascade=FFN, machine=EDGE, resident=("X",))


def test_what_several_read_alike_may_be_loaded_once() -> None:
    text = "H[m,j] = X[m,k] * W[k,j]\nG[m,j] = X[m,k] * U[k,j]\nT[k] = max[m](X[m,k])"
    work = parse(text, name="siblings", sizes={"m": 4, "k": 2, "j": 2})
    space = MapSpace(cascade=work, machine=EDGE)
    assert space.residents() == ((), ("X",))
    group = work.einsums[:2]
    found = {inside.pins for inside in space.insides(group) if inside.shared == ("j",)}
    assert found == {(), (Pin("X", "gb", 0, "H"),)}  # above j, which does not move it
    found = {inside.pins for inside in space.insides(group) if inside.shared == ("m",)}
    assert found == {(), (Pin("X", "gb", 1, "H"),)}  # m moves it
    shifted = parse(
        text.replace("max[m](X[m,k])", "max[m](X[k,m])"), name="odd", sizes=dict.fromkeys("mkj", 2)
    )
    assert MapSpace(cascade=shifted, machine=EDGE).residents() == ((),)


def test_a_core_reads_what_its_own_memory_holds() -> None:
    chip = load_machine("tpu-v4i")
    space = MapSpace(cascade=GEMM, machine=chip)
    for nest in space.nests(GEMM.einsum("Z"), Inside()):
        for tensor, choices in zip(nest.tensors, nest.choices, strict=True):
            inner = {choice[-1].memory if choice else "dram" for choice in choices}
            assert inner == ({"gb", "dram"} if tensor == "B" else {"local"})


@pytest.mark.parametrize("seed", range(40))
def test_a_tensor_that_is_to_be_held_whole_is(seed: int) -> None:
    rng = random.Random(seed)
    work, chip = cascade(rng), machine(rng, rng.randint(1, 2))
    tensor = rng.choice(work.tensors).name
    memory = rng.choice([memory.name for memory in chip.memories if memory.parent])
    try:
        point = MapSpace(cascade=work, machine=chip, keep={tensor: memory}).sample(rng)
    except SpecError:  # and then no mapping of the space without the restriction has it there
        space = MapSpace(cascade=work, machine=chip)
        nests = (nest for einsum in work.einsums for nest in space.nests(einsum, Inside()))
        homes = {
            home.memory
            for nest in nests if tensor in nest.tensors
            for choice in nest.choices[nest.tensors.index(tensor)] for home in choice
        }  # fmt: skip
        assert memory not in homes
        return
    if point is not None:  # some don't fit
        above = [
            outer
            for node, outer in walk(mapping(work, chip, point).tree)
            if isinstance(node, Keep) and tensor in node.tensors and node.memory == memory
        ]
        assert above
        assert not any(isinstance(node, Loop) for nodes in above for node in nodes)
