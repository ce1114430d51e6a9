"""Refinement: FuseMax is found and not given, small optima are those of brute force, every answer runs."""

from __future__ import annotations

import itertools
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import machine

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.ends import Ends
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import best_mapping, default_space
from einsim.dataflow.mapper.bound import least
from einsim.dataflow.mapper.judged import Judged
from einsim.dataflow.mapper.objective import Objective
from einsim.dataflow.mapper.refine import JUDGED, Refinement, Trial, refine
from einsim.dataflow.mapping import Compute, Keep, Node, walk
from einsim.dataflow.schedule import paced_ticks
from einsim.dataflow.spatial import Layouts
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.workloads import library
from einsim.workloads.cascade import Cascade
from einsim.workloads.models.cascades import layer_cascade
from einsim.workloads.models.network import Layer, Mlp, SoftmaxAttention
from einsim.workloads.models.step import Step
from einsim.workloads.notation import parse

CLOUD = load_machine("fusemax-cloud")
DELTANET = """\
initial S = 0
R[h,t,f]     = S[h,t,e,f] * K[h,t,e]
U[h,t,f]     = BT[h,t] * (V[h,t,f] - R[h,t,f])
S[h,t+1,e,f] = S[h,t,e,f] + K[h,t,e] * U[h,t,f]
O[h,t,f]     = S[h,t+1,e,f] * Q[h,t,e]
"""


def refined(
    work: Cascade, chip: Machine, objective: str = "latency", layouts: Layouts = "full"
) -> list[Judged]:
    space = default_space(work, chip)
    return refine(
        work, chip, objective, (), JUDGED["normal"], space=space, within=float("inf"), layouts=layouts,
        until=float("inf"),
    )[0]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "seq"),
    [
        ("t5", "1K"),
        pytest.param("bert-base", "1K", marks=pytest.mark.slow),
        pytest.param("t5", "4K", marks=pytest.mark.slow),
        pytest.param("xlm", "4K", marks=pytest.mark.slow),
    ],
)
def test_fusemax_is_rediscovered_without_its_template(model: str, seq: str) -> None:
    """Both utilisations within 1 % of FuseMax's own mapping, from which nothing starts."""
    work = library.build("attention", model=model, seq=seq, passes=1)
    tree, result = refined(work, CLOUD)[0]
    check(tree, work, CLOUD)
    run = simulate(lower(tree, work, CLOUD), CLOUD)
    known = lower(build_mapping(work, CLOUD, "fusemax-interleaved"), work, CLOUD)
    fusemax, fusemax_run = analyse(known, CLOUD), simulate(known, CLOUD)
    for mine, theirs in ((result, fusemax), (run, fusemax_run)):
        for unit in ("array2d", "array1d"):
            assert mine.utilization[unit] == pytest.approx(theirs.utilization[unit], rel=0.01)
        assert mine.cycles <= theirs.cycles * 1.01
    assert run.traffic == result.traffic
    assert (result.energy_stated_j or 0) <= (fusemax.energy_stated_j or 0)


def test_a_step_is_split_where_its_chain_holds_the_array_back() -> None:
    """DeltaNet's chain from state to state leaves the array idle unless heads take turns."""
    work = parse(DELTANET, name="delta", sizes={"h": 8, "t": 64, "e": 64, "f": 64})
    free = [msgspec.structs.replace(m, read_bytes_per_s=None, write_bytes_per_s=None) for m in CLOUD.memories]
    chip = msgspec.structs.replace(CLOUD, memories=tuple(free))
    start = next(iter(Refinement(default_space(work, chip), "latency", (), most=99).first()))
    program = lower(start.mapping, work, chip)
    run = simulate(program, chip)
    assert run.latency_s >= Ends(program).bound()[0] / program.ticks_per_cycle / program.clock_hz
    found = lower(refined(work, chip, layouts="any")[0][0], work, chip)
    better = simulate(found, chip)
    assert better.latency_s <= run.latency_s
    assert better.latency_s * found.ticks_per_cycle * found.clock_hz == pytest.approx(
        max(Ends(found).bound()[0], paced_ticks(found)), rel=0.05
    )


def tiny(seed: int) -> tuple[Cascade, Machine]:
    rng = random.Random(seed)
    texts = (
        "initial R = 0\nR[s+1,p] = X[s,p] + R[s,p]",
        "initial R = -inf\nR[s+1,p] = max(R[s,p], X[s,p])\nZ[p] = exp(R[S,p])",
        "initial D = 0\nE[s,p] = exp(X[s,p])\nD[s+1,p] = E[s,p] + D[s,p]",
    )
    work = parse(rng.choice(texts), name="tiny", sizes={"s": rng.randint(2, 3), "p": rng.choice((2, 4))})
    return work, machine(rng, 1)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9), objective=st.sampled_from(("latency", "energy", "edp")))
def test_what_it_finds_is_legal_runs_and_repeats(seed: int, objective: str) -> None:
    work, chip = tiny(seed)
    first, second = refined(work, chip, objective), refined(work, chip, objective)
    assert [tree for tree, _ in first] == [tree for tree, _ in second]
    for tree, result in first:
        check(tree, work, chip)
        run = simulate(lower(tree, work, chip), chip)
        assert run.traffic == result.traffic
        assert run.cycles >= result.cycles
        assert registers_agree(work, chip, tree.tree)


def registers_agree(work: Cascade, chip: Machine, tree: Node) -> bool:
    """Whether what stays in a unit's registers is only used there, laid out by all alike."""
    leaves = {node.einsum: node for node, _ in walk(tree) if isinstance(node, Compute)}
    for keep in (node for node, _ in walk(tree) if isinstance(node, Keep)):
        for tensor in keep.tensors if keep.memory in {unit.name for unit in chip.units} else ():
            users = [e for e in work.einsums if tensor in (e.name, *(read.tensor for read in e.reads))]
            ranks = [
                rank for rank in work.einsum(tensor).output.ranks if rank not in work.einsum(tensor).iterative
            ]
            laid = {
                (
                    leaf.unit,
                    tuple(
                        (dim, rank) for dim, along in leaf.spatial.items() for rank in along if rank in ranks
                    ),
                )
                for leaf in (leaves[user.name] for user in users)
            }
            if len(laid) > 1:
                return False
    return True


def test_cores_with_memories_of_their_own_may_reduce_a_result_together() -> None:
    chip = load_machine("tpu-v4i")
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="few", sizes={"m": 16, "n": 16, "k": 65536})
    answer = best_mapping(work, chip, "latency", templates=False)
    (leaf,) = (node for node, _ in walk(answer.mapping.tree) if isinstance(node, Compute))
    assert leaf.spatial["cores"] == ("k",)
    searched = best_mapping(work, chip, "latency", space=default_space(work, chip)).result
    assert answer.result.cycles < searched.cycles / 2
    assert simulate(lower(answer.mapping, work, chip), chip).traffic == answer.result.traffic


@pytest.mark.parametrize("objective", ["latency", "energy"])
def test_what_is_proven_is_not_refined(objective: Objective, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where moves know no more layouts than the space, and tiles wait for little: of EDP's equals here the
    first that is found has tiles that wait, so it is refined.
    """
    monkeypatch.setattr(Refinement, "run", lambda *_: pytest.fail("refined"))
    chip = load_machine("tpu-v4i")
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="large", sizes={"m": 4096, "n": 4096, "k": 4096})
    answer = best_mapping(work, chip, objective)
    assert answer.proven
    default = build_mapping(work, chip)
    assert any(one.tree == default.tree for one, _ in answer.finalists)


def test_what_keeps_the_busiest_unit_longest_is_tried_on_another() -> None:
    """The exponent of an encoder's attention fills a row of the array, which has nothing to do meanwhile."""
    attend = SoftmaxAttention(heads=12, kv_heads=12, head_dim=64, causal=False)
    layer = Layer(mixer=attend, mlp=Mlp(inner=3072, activation="gelu"), norm="layernorm", placement="post")
    work = layer_cascade(layer, 768, Step(phase="encode", tokens=512))
    start = build_mapping(work, CLOUD)
    space = default_space(work, CLOUD)
    most = {"most": JUDGED["quick"], "within": float("inf"), "layouts": "full", "until": float("inf")}
    tree, _ = refine(work, CLOUD, "latency", [[start.tree]], space=space, **most)[0][0]  # type: ignore[arg-type]
    units = {node.einsum: node.unit for node in tree.computes()}
    assert units["SN"] == "array2d"
    cycles = [simulate(lower(one, work, CLOUD), CLOUD).cycles for one in (tree, start)]
    assert cycles[0] < 0.95 * cycles[1]


FFN = "H[p,s] = X[p,d] * W[d,s]\nA[p,s] = max(H[p,s], 0)\nY[p,o] = A[p,s] * V[s,o]"


@pytest.mark.parametrize("preset", ["eyeriss-like", "fusemax-cloud", "tpu-v4i", "gemmini"])
@pytest.mark.parametrize(
    "text", [FFN, f"where p <= s\n{FFN}", "A[p,s] = max(X[p,s], 0)\nB[p,s] = max(A[p,s], 1)"]
)
def test_no_refined_mapping_is_below_the_bound(preset: str, text: str) -> None:
    """Nor the bound below the one for operands that cost nothing; tensors in registers were among them."""
    sizes = {"p": 48, "s": 64, "d": 32, "o": 32}
    chip = load_machine(preset)
    work = parse(text, name="small", sizes={rank: n for rank, n in sizes.items() if rank in text})
    space = default_space(work, chip)
    way = Refinement(space, "latency", [[build_mapping(work, chip).tree]], most=240)
    found = way.first()
    for trial in found:  # grows, in every direction
        for subject in way.moves.subjects(trial.mapping.tree):
            for tree in itertools.islice(subject(trial.mapping.tree, trial.result), 12):
                fits = way.left > 0 and not way.moves.odd(tree)
                found += [new] if fits and (new := way.judge(tree)) is not None else []
    bottom, free = least(space, streamed=False), least(space, streamed=None)
    assert free.latency_s <= bottom.latency_s
    assert free.energy_j <= bottom.energy_j
    assert len(found) > 20
    units = {unit.name for unit in chip.units if unit.registers}
    kept = {keep.memory for one in found for keep, _ in walk(one.mapping.tree) if isinstance(keep, Keep)}
    assert units & kept or (preset, text) != ("eyeriss-like", FFN)
    for one in found:
        assert one.result.latency_s >= bottom.latency_s * (1 - 1e-9)
        energy_j = one.result.energy_stated_j
        assert energy_j is None or energy_j >= bottom.energy_j * (1 - 1e-9)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 30), objective=st.sampled_from(("latency", "energy")))
def test_the_optimum_of_tiny_problems_is_that_of_all_their_trees(seed: int, objective: str) -> None:
    """Every tree that any moves lead to, better or not, is looked at."""
    work, chip = tiny(seed)
    every = Refinement(default_space(work, chip), objective, (), most=10**6)
    found: list[Trial] = every.first()
    for trial in found:  # grows
        for subject in every.moves.subjects(trial.mapping.tree):
            odd = every.moves.odd(trial.mapping.tree)
            for tree in subject(trial.mapping.tree, trial.result):
                new = every.judge(tree) if every.moves.odd(tree) <= odd else None
                found += [new] if new is not None and len(found) < 150 else []
    bottom = least(default_space(work, chip), streamed=False)
    for one in found:
        assert one.result.latency_s >= bottom.latency_s * (1 - 1e-9)
        energy_j = one.result.energy_stated_j
        assert energy_j is None or energy_j >= bottom.energy_j * (1 - 1e-9)
    best = min((one.key for one in found), default=None)
    mine = Refinement(default_space(work, chip), objective, (), most=JUDGED["normal"])
    mine.run()
    assert (min(one.key for one in mine.trail)[0] if mine.trail else None) == pytest.approx(best and best[0])
