"""Sizes at the limits: answers in seconds, exact by integers, and long cascades in time by their length."""

from __future__ import annotations

import cProfile
import pstats
from pathlib import Path

import pytest

from einsim import evaluate
from einsim.accel.load import load_machine
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, keep
from einsim.dataflow.mapping import chain as nest
from einsim.dataflow.templates.layerwise import Branches
from einsim.evaluation import Level
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse


def chain(length: int) -> Cascade:
    """Products and additions in turn, each of the one before."""
    lines, before, rank = [], "X", "d"
    for at in range(length):
        other = "h" if rank == "d" else "d"
        if at % 2:
            lines.append(f"A{at}[b,{rank}] = {before}[b,{rank}] + B{at}[{rank}]")
        else:
            lines.append(f"A{at}[b,{other}] = {before}[b,{rank}] * W{at}[{rank},{other}]")
            rank = other
        before = f"A{at}"
    return parse("\n".join(lines), name="chain", sizes={"b": 16, "d": 64, "h": 128})


def calls(length: int) -> int:
    """Python calls that a run of a chain takes."""
    work, machine, profile = chain(length), load_machine("tpu-v4i"), cProfile.Profile()
    profile.runcall(evaluate, work, machine, level="sim")
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_run_takes_calls_in_proportion_to_the_cascades_length() -> None:
    calls(20)  # what is imported and remembered once
    assert calls(320) < 2.3 * calls(160)


def test_the_branches_of_alike_parts_are_judged_once() -> None:
    """What is looked at and settled of a longer chain is no more than of a shorter one, but for its ends."""
    news = []
    for length in (100, 200):
        branches = Branches(chain(length), load_machine("tpu-v4i"), ())
        branches.best()
        news.append(len(branches.chooser.news))
    assert news[1] <= 1.5 * news[0]


def test_runs_of_recurrent_einsums_grow_with_their_number() -> None:
    """All that walk the steps of a state were tried from each state on, to each side: 100 states took 53 s."""
    counts = []
    for states in (60, 120):
        lines, before = [], "X"
        for at in range(states):
            lines += [f"initial S{at} = 0", f"S{at}[t+1,c] = S{at}[t,c] * D{at}[c] + {before}[t,c]"]
            lines.append(f"A{at}[t,c] = exp(S{at}[t+1,c])")
            before = f"A{at}"
        work = parse("\n".join(lines), name="states", sizes={"t": 8, "c": 16})
        counts.append(len(Branches(work, load_machine("tpu-v4i"), ()).runs))
    assert 2 * states < counts[1] < 2.3 * counts[0]


@pytest.mark.parametrize("level", ["analytical", "sim"])
@pytest.mark.parametrize(("m", "n", "k"), [(2**21, 2**21, 2**21), (2**21 + 1, 2**21 - 1, 2**21 + 3)])
def test_a_product_of_2_to_the_63_points_is_exact(m: int, n: int, k: int, level: Level) -> None:
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="w", sizes={"m": m, "n": n, "k": k})
    found = evaluate(work, load_machine("tpu-v4i"), level=level).result
    assert found.macs == found.by_einsum["Z"].points == m * n * k
    assert isinstance(found.cycles, int)


@pytest.mark.parametrize("level", ["analytical", "sim"])
def test_traffic_past_2_to_the_64_bytes_is_exact(level: Level) -> None:
    work = parse("Z[m] = max[n](A[m,n])", name="w", sizes={"m": 2**33, "n": 2**30})
    found = evaluate(work, load_machine("tpu-v4i"), level=level).result
    assert found.dram_bytes == 2 * 2**63 + 2 * 2**33


@pytest.mark.parametrize("level", ["analytical", "sim"])
def test_2_to_the_30_tokens_move_once(level: Level) -> None:
    work = parse("S[p] = exp(X[p])", name="w", sizes={"p": 2**30})
    assert evaluate(work, load_machine("tpu-v4i"), level=level).result.dram_bytes == 2 * 2 * 2**30


@pytest.mark.parametrize("level", ["analytical", "sim"])
def test_forty_ranks_move_once(level: Level) -> None:
    ranks = {f"r{at}": 2 for at in range(40)}
    names = ",".join(ranks)
    work = parse(f"Z[{names}] = exp(A[{names}])", name="w", sizes=ranks)
    found = evaluate(work, load_machine("tpu-v4i"), level=level).result
    assert found.dram_bytes == 2 * 2 * 2**40


def test_loops_over_ranks_that_go_together_are_one_inside_others_too() -> None:
    """A contraction over 40 ranks: its 2^20 tiles were run one by one, in 54 s."""
    ranks = {f"r{at}": 2 for at in range(40)}
    every, half = ",".join(ranks), ",".join(list(ranks)[:20])
    work, machine = parse(f"Z[r0] = A[{every}] * B[{half}]", name="w", sizes=ranks), load_machine("tpu-v4i")
    leaf = Compute(einsum="Z", unit="array1d", spatial={"cores": ("r21",), "lanes": ("r20",)})
    inner = nest(*((f"r{at}", 1) for at in range(1, 20)), keep("A B", "gb"), keep("A B", "local"), leaf)
    tree = nest(("r0", 1), keep("Z", "gb"), keep("Z", "local"), inner)
    mapping = Mapping(cascade="w", machine=machine.name, template="file", tree=tree)
    program = lower(mapping, work, machine)
    assert [loop.count for loop in program.loops] == [2, 2**19]
    result = evaluate(work, machine, mapping=mapping).result
    assert result.macs == 2**40
    assert result.traffic["dram"] == {"A": 2 * 2**40, "B": 2 * 2**20, "Z": 2 * 2}


@pytest.mark.parametrize("level", ["analytical", "sim"])
def test_a_contraction_over_forty_ranks_answers_in_seconds(level: Level) -> None:
    ranks = {f"r{at}": 2 for at in range(40)}
    every, half = ",".join(ranks), ",".join(list(ranks)[:20])
    work = parse(f"Z[r0] = A[{every}] * B[{half}]", name="w", sizes=ranks)
    result = evaluate(work, load_machine("tpu-v4i"), level=level).result
    assert result.macs == 2**40
    assert result.dram_bytes == 2 * (2**40 + 2**20 + 2)


@pytest.mark.parametrize("level", ["analytical", "sim"])
def test_twelve_memories_pass_all_of_a_product(tmp_path: Path, level: Level) -> None:
    memories, parent = "  dram: {bandwidth: 100GB/s, access: 64B}\n", "dram"
    for at in range(11):
        rate = f"capacity: {2 ** (20 - at)}, bandwidth: {200 * (at + 1)}GB/s, access: 16B"
        memories, parent = memories + f"  m{at}: {{parent: {parent}, {rate}}}\n", f"m{at}"
    reads = f"{{inputs: {parent}, weights: {parent}, outputs: {parent}}}"
    unit = (
        f"  grid: {{kind: systolic, dims: {{rows: 16, cols: 16}}, reads_from: {reads}, ops: {{mac: {{}}}}}}\n"
    )
    file = tmp_path / "deep.yaml"
    file.write_text(f"machine: deep\nclock: 1GHz\nmemories:\n{memories}units:\n{unit}")
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="w", sizes={"m": 64, "n": 64, "k": 64})
    found = evaluate(work, load_machine(file), level=level).result
    assert len(found.traffic) == 12
    assert all(sum(moved.values()) >= 3 * 2 * 64 * 64 for moved in found.traffic.values())


@pytest.mark.parametrize("level", ["analytical", "sim"])
def test_64k_cores_answer_in_seconds(level: Level) -> None:
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="w", sizes={"m": 4096, "n": 4096, "k": 512})
    found = evaluate(work, load_machine("tpu-v4i", {"cores": 65536}), level=level).result
    assert found.macs == found.by_einsum["Z"].points == 4096 * 4096 * 512
