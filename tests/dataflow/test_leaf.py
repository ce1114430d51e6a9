"""Footprints and leaf costs against counting point by point; N:M sparsity between dense and M/N."""

from __future__ import annotations

import itertools
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.accel.machine import OpCost, Unit
from einsim.accel.registers import OperandLoad
from einsim.accel.widths import issued
from einsim.dataflow.analytical import analyse
from einsim.dataflow.footprint import elements, tile_bytes
from einsim.dataflow.leaf import Residence, array_cycles, issue_ops, latency_cycles, leaf_cost
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute
from einsim.dataflow.program import Action
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import RuleError
from einsim.workloads.notation import parse
from einsim.workloads.sparsity import NM
from tests.dataflow.cases import CASCADES, cascade, machine

LAWS = settings(max_examples=40, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32)


def random_leaf(seed):
    rng = random.Random(seed)
    work = cascade(rng.choice(list(CASCADES)), rng, 6)
    einsum = rng.choice(work.einsums)
    extents = {rank: rng.randint(1, work.size(rank)) for rank in einsum.ranks}
    chip = machine(rng)
    unit = rng.choice(chip.units)
    ranks = [rank for rank in einsum.ranks if rng.random() < 0.8]
    rng.shuffle(ranks)
    spatial = {dim: tuple(ranks[at :: len(unit.dims)]) for at, dim in enumerate(unit.dims)}
    node = Compute(einsum=einsum.name, unit=unit.name, spatial={d: r for d, r in spatial.items() if r})
    return work, chip, einsum, unit, node, extents


def touched(access, einsum, extents, state):
    """Distinct elements, the state's own dimension left out, by visiting every point."""
    found = set()
    for values in itertools.product(*(range(extents[rank]) for rank in einsum.ranks)):
        point = dict(zip(einsum.ranks, values, strict=True))
        found.add(
            tuple(
                index.offset + sum(t.coefficient * point[t.rank] for t in index.terms)
                for index in access.indices
                if not any(t.rank in state for t in index.terms)
            )
        )
    return len(found)


@LAWS
@given(SEEDS)
def test_elements_are_those_that_the_points_touch(seed):
    work, chip, einsum, _, _, extents = random_leaf(seed)
    for access in (einsum.output, *einsum.reads):
        producer = work.producer(access.tensor)
        state = producer.iterative if producer else ()
        count = elements(work, access, {rank: (0, extent) for rank, extent in extents.items()})
        assert count == touched(access, einsum, extents, state)
        assert tile_bytes(work, chip, access, extents) == 2 * count


@LAWS
@given(SEEDS)
def test_cycles_are_the_steps_of_the_folded_tile(seed):
    """Walk the tile as the unit does: each fold of each dimension, then time, one issue group after the other."""
    work, _, einsum, unit, node, extents = random_leaf(seed)
    placed = [rank for ranks in node.spatial.values() for rank in ranks]
    folds = set()
    for values in itertools.product(*(range(extents[rank]) for rank in einsum.ranks)):
        point = dict(zip(einsum.ranks, values, strict=True))
        lanes = []
        for dim, ranks in node.spatial.items():
            flat = 0
            for rank in ranks:
                flat = flat * extents[rank] + point[rank]
            lanes.append(flat // unit.dims[dim])
        folds.add((*lanes, *(point[rank] for rank in einsum.ranks if rank not in placed)))
    issue = 0
    ops = [name for op, bits in work.wide_ops(einsum.name) for name in issued(unit, op, bits)]
    while ops:
        width = 2 if tuple(name.split("@")[0] for name in ops[:2]) in unit.fused_ops else 1
        issue += max(unit.cost(op).cycles for op in ops[:width])
        ops = ops[width:]
    assert array_cycles(work, unit, einsum, node, extents) == len(folds) * max(1, issue)


@LAWS
@given(SEEDS)
def test_actions_and_accesses_are_counted(seed):
    work, chip, einsum, unit, node, extents = random_leaf(seed)
    names = (einsum.name, *(access.tensor for access in einsum.reads))
    memory = unit.reads_from
    cost = leaf_cost(work, chip, einsum, node, extents, {name: Residence(memory=memory) for name in names})
    points = 1
    for rank in einsum.ranks:
        points *= extents[rank]
    assert cost.points == points
    ops = [name for op, bits in work.wide_ops(einsum.name) for name in issued(unit, op, bits)]
    for op in set(ops):
        assert cost.actions[Action(unit.name, "op", op)] == points * ops.count(op)
    written = sum(access.write_bytes for access in cost.accesses)
    assert written == tile_bytes(work, chip, einsum.output, extents)
    for access in einsum.reads:
        read = sum(a.read_bytes for a in cost.accesses if a.tensor == access.tensor)
        assert read >= tile_bytes(work, chip, access, extents)
    assert cost.active_pe_cycles <= cost.cycles * unit.pes
    everything = leaf_cost(
        work, chip, einsum, node, extents, {name: Residence(memory=unit.name) for name in names}
    )
    assert everything.accesses == ()
    spilled = leaf_cost(
        work, chip, einsum, node, extents, {n: Residence(memory=memory, spill=0.5) for n in names}
    )
    total = sum(a.read_bytes + a.write_bytes for a in cost.accesses)
    assert sum(a.read_bytes + a.write_bytes for a in spilled.accesses) >= 1.5 * total


def _state(work, access):
    producer = work.producer(access.tensor)
    return producer.iterative if producer else ()


def test_a_fused_chain_is_one_issue():
    unit = machine(random.Random(1)).unit("vec")
    assert issue_ops(unit, ("add", "exp", "add")) == (("add", "exp"), ("add",))
    slow = msgspec.structs.replace(unit, ops={**unit.ops, "exp": OpCost(cycles=6)})
    assert issue_ops(slow, ("exp", "add")) == (("exp",), ("add",))


@pytest.mark.parametrize(
    "accel", ["vhk158-flightllm", "u280-flightllm", "vcu1525-sat", "fusemax-cloud", "sa8295p"]
)
@pytest.mark.parametrize("level", [analyse, simulate])
def test_n_m_pays_where_it_is_exploited_and_nowhere_else(accel, level):
    """Between dense and M/N on machines that exploit it; exactly dense, values and cycles, elsewhere."""
    chip = load_machine(accel)
    work = parse("Y[m,n] = X[m,k] * W[k,n]", name="gemm", sizes={"m": 256, "k": 512, "n": 512})
    mapping = build_mapping(work, chip, "unfused")
    thin = msgspec.structs.replace(
        work,
        tensors=tuple(
            msgspec.structs.replace(tensor, sparsity=NM(n=2, m=8, rank="k")) if tensor.name == "W" else tensor
            for tensor in work.tensors
        ),
    )
    dense, sparse = (level(lower(mapping, cascade, chip), chip) for cascade in (work, thin))
    if any({"n:m", "2:8"} & set(unit.exploits) for unit in chip.units):
        assert dense.cycles / 4 <= sparse.cycles <= dense.cycles
        weights = [found.traffic[chip.dram.name]["W"] for found in (dense, sparse)]
        # 2 of 8 values of 16 bits, and 3 bits of metadata a kept value
        assert weights[1] * 4 == weights[0] * 19 / 16
    else:
        assert sparse.cycles == dense.cycles
        assert sparse.traffic == dense.traffic


def test_an_exposed_fill_is_never_negative():
    """An array without columns fills along its rows only: it waited a cycle less, and one without either -2."""
    unit = Unit(
        name="row", kind="array", dims={"cores": 2, "rows": 4}, ops={"add": OpCost()}, reads_from="gb",
        fill="exposed",
    )  # fmt: skip
    work = parse("rank i = 8\nZ[i] = A[i] + B[i]")
    node = Compute(einsum="Z", unit="row", spatial={"cores": ("i",)})
    assert latency_cycles(work, unit, work.einsum("Z"), node, {"i": 8}) == 3
    with pytest.raises(RuleError, match="rows or cols"):
        msgspec.structs.replace(unit, dims={"cores": 2, "lanes": 4})


@pytest.mark.parametrize(
    ("rows_per_cycle", "hidden", "cycles"),
    # 2 x 2 folds of 4 x 4 stream 3 rows each; 4 rows of weights load in 4 cycles or, three at a time, in 2.
    [(1, True, 4 * 4), (1, False, 4 * (3 + 4)), (3, True, 4 * 3), (3, False, 4 * (3 + 2)), (4, False, 4 * (3 + 1))],
)  # fmt: skip
def test_weights_load_under_the_fold_before_or_before_their_own(
    rows_per_cycle: int, hidden: bool, cycles: int
) -> None:
    cascade = parse("Z[m,n] = A[m,k] * W[k,n]", name="product", sizes={"m": 3, "k": 8, "n": 8})
    unit = Unit(
        name="mm", kind="systolic", dims={"rows": 4, "cols": 4}, ops={"mac": OpCost()}, reads_from="gb",
        operand_load=OperandLoad(rows_per_cycle=rows_per_cycle, hidden=hidden),
    )  # fmt: skip
    node = Compute(
        einsum="Z", unit="mm", spatial={"rows": ("k",), "cols": ("n",)}, stationarity="weight-stationary"
    )
    assert array_cycles(cascade, unit, cascade.einsum("Z"), node, cascade.sizes) == cycles
