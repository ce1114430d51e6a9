"""How fast the mapper is: evaluations a second against NumPy, and searches whole, with CPU seconds.

Run `python benchmarks/mapper.py`. The baseline is the same model of one GEMM nest written with NumPy over
arrays of perfect tile sizes (the compiled one takes imperfect ones too); it must give the
same rows. CPU seconds are of one process, after compilation.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from accel.load import load_machine
from dataflow.mapper.best import Objective, best_mapping, default_space
from dataflow.mapper.model import cost
from dataflow.mapper.nest import Inside
from dataflow.mapper.space import MapSpace
from dataflow.mapper.tables import APART, COPIES, DIM, PARTIAL, WIDTH, Tables, tables
from workloads.cascade import Cascade
from workloads.library import build
from workloads.notation import parse

COUNT = 400_000
#: Wall-clock seconds for one search; a row that takes them all says "not proven".
BUDGET_S = 30.0

#: AccelForge 1.0.467 on its TPU v4i, as measured for this project on a quiet machine with two workers:
#: latency in s, energy in J, CPU seconds of the search.
ACCELFORGE: dict[str, tuple[float, float, float]] = {
    "matmul 4096^3, energy": (9.986e-4, 0.014227, 10.4),
    "matmul 4096^3, latency": (9.986e-4, 0.071535, 11.0),
    "attention core 1024, energy": (1.8725e-4, 0.0047456, 37.0),
    "attention core 16384, energy": (4.7935e-2, 1.01255, 37.0),
    "attention block 1024, energy": (1.1927e-3, 0.018754, 287.0),
}

BLOCK = """
Q[h,e,p] = X[p,d] * WQ[d,h,e]
K[h,e,m] = Y[m,d] * WK[d,h,e]
V[h,f,m] = Y[m,d] * WV[d,h,f]
QK[h,m,p] = Q[h,e,p] * K[h,e,m]
SM[h,m,p] = exp(QK[h,m,p])
AV[h,f,p] = SM[h,m,p] * V[h,f,m]
Z[p,d2] = AV[h,f,p] * WZ[h,f,d2]
"""
CORE = "\n".join(BLOCK.strip().splitlines()[3:6])


def in_bits(cascade: Cascade, bits: int) -> Cascade:
    """The cascade with all its tensors of one width."""
    tensors = tuple(msgspec.structs.replace(tensor, bits=bits) for tensor in cascade.tensors)
    return msgspec.structs.replace(cascade, tensors=tensors)


def gemm(size: int) -> Cascade:
    """A square GEMM of 8-bit values."""
    return in_bits(parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": size, "n": size, "k": size}), 8)


def baseline(t: Tables, tiles: npt.NDArray[Any], homes: list[list[tuple[int, int]]]) -> npt.NDArray[Any]:
    """The model of one nest with perfect tiles in NumPy, over all rows at once: [n, engines + 1 + memories].

    For dense tensors of whole bytes, one rank along each dimension of an array in which weights stay, and one
    along the cores. `homes` gives each tensor's (depth, memory), outermost first.
    """
    count, depth = tiles.shape
    core, cores, least, engine, point_ticks, point_j, _, buffers, engines = t.one
    core, engines = int(core), int(engines)
    reach = np.empty((depth + 1, len(t.sizes), count))
    reach[0] = t.sizes[:, None]
    for d in range(depth):
        reach[d + 1] = reach[d]
        reach[d + 1, t.loop_rank[d]] = tiles[:, d]
    trips = t.sizes[None, :, None] / reach
    last = reach[depth]
    rows = np.zeros((engines + 1 + len(t.mem), count))
    here = np.where(np.arange(len(t.sizes))[:, None] == core, np.ceil(last / cores), last)
    dim_of = [int(np.flatnonzero(t.place[:, DIM] == s)[0]) for s in range(len(t.dim))]
    folds = np.stack([np.ceil(here[r] / t.dim[s, WIDTH]) for s, r in enumerate(dim_of)])
    free = t.place[:, DIM] < 0
    steps = np.prod(here[free], axis=0)
    every = np.prod(trips[depth], axis=0)
    rows[int(engine)] = np.prod(folds, axis=0) * np.maximum(steps, least) * every * point_ticks
    rows[engines] = float(np.prod(t.sizes)) * point_j
    doubled = np.stack([np.where(np.any(trips[d] > 1, axis=0), buffers, 1.0) for d in range(depth + 1)])
    wanting = np.minimum(last[core], cores)

    def move(write: int, memory: int, size: npt.NDArray[Any]) -> None:
        port, ticks, joules = t.mem[memory, 3 * write : 3 * write + 3]
        if port >= 0:
            rows[int(port)] += size * ticks
        rows[engines] += size * joules

    for x, mine in enumerate(homes):
        output = x == len(homes) - 1
        source = 0
        still, moved = t.moved[x] == 0, t.moved[x] == 1
        whole = t.fmt[x, 0] / 8 * np.prod(t.sizes[moved])
        want = 1.0 if moved[core] else wanting
        for d, memory in mine:
            size = whole * np.prod(trips[d][still], axis=0)
            own = want if t.mem[memory, COPIES] > 1 else 1.0
            move(int(output), source, size * (own if t.mem[source, APART] else 1.0))
            move(1 - int(output), memory, size * (own if t.mem[memory, APART] else 1.0))
            points = [np.ceil(reach[d, r] / cores) if r == core and t.mem[memory, COPIES] > 1 else reach[d, r]
                      for r in np.flatnonzero(moved)]  # fmt: skip
            held = t.fmt[x, 0] / 8 * np.prod(points, axis=0) * t.mem[memory, COPIES]
            rows[engines + 1 + memory] += held * doubled[d]
            source = memory
        times = np.prod(trips[depth][still], axis=0)
        for s in range(len(t.dim)):
            if t.dim[s, PARTIAL] if output else t.lacks[x, s]:
                times = times * folds[s]
        if t.mem[source, APART]:
            times = times * want
        move(int(output), source, whole * times)
        if output:
            move(0, source, whole * (times - 1))
    return rows.T


def evaluations() -> tuple[float, float]:
    """Evaluations a second of the compiled model and of the baseline: a GEMM with three memory levels."""
    work, machine = gemm(4096), load_machine("tpu-v4i")
    space = MapSpace(cascade=work, machine=machine, menu="perfect", unit={"Z": "array2d"})
    nest = next(space.nests(work.einsums[0], Inside()))
    table = tables(work, machine, nest, space.scale)
    rng = np.random.default_rng(0)
    powers = np.sort(rng.integers(0, 13, (COUNT, 2, 3)), axis=1)[:, ::-1]
    tiles = (2**powers).reshape(COUNT, 6)
    chosen = np.zeros((COUNT, 3), np.int64)
    cost(table, tiles[:10], chosen[:10])
    start = time.process_time()
    rows, _ = cost(table, tiles, chosen)
    compiled = COUNT / (time.process_time() - start)
    homes = [[(home.depth, space.scale.memories.index(home.memory)) for home in c[0]] for c in nest.choices]
    start = time.process_time()
    plain = baseline(table, tiles, homes)
    numpy_rate = COUNT / (time.process_time() - start)
    assert np.allclose(rows, plain, rtol=1e-12), "the baseline and the compiled model differ"
    return compiled, numpy_rate


def searches(table: Table) -> None:
    """Whole searches: AccelForge's cases on its machine, and layers of two models."""
    machine = load_machine("tpu-v4i")
    block = {"h": 32, "e": 128, "f": 128, "d": 4096, "d2": 4096}

    def attention(text: str, size: int) -> Cascade:
        wanted = {k: v for k, v in block.items() if f"{k}," in text or f"{k}]" in text}
        return in_bits(parse(text, name="attention", sizes={**wanted, "m": size, "p": size}), 8)

    cases: list[tuple[str, Cascade, Objective, str]] = [
        ("matmul 4096^3, energy", gemm(4096), "energy", "tpu-v4i"),
        ("matmul 4096^3, latency", gemm(4096), "latency", "tpu-v4i"),
        ("attention core 1024, energy", attention(CORE, 1024), "energy", "tpu-v4i"),
        ("attention core 16384, energy", attention(CORE, 16384), "energy", "tpu-v4i"),
        ("attention block 1024, energy", attention(BLOCK, 1024), "energy", "tpu-v4i"),
        ("BERT-base layer, 512", build("encoder-layer", seq=512, b=1), "latency", "fusemax-cloud"),
        ("LLaMA2-7B prefill 2048", build("decoder-layer", seq=2048, b=1), "latency", "fusemax-cloud"),
        ("LLaMA2-7B decode 2048", build("decoder-layer", seq=2048, b=1, phase="decode"), "latency",
         "fusemax-cloud"),
    ]  # fmt: skip
    for name, work, objective, accel in cases:
        chip = machine if accel == "tpu-v4i" else load_machine(accel)
        space = default_space(work, chip)
        if accel == "tpu-v4i":  # as AccelForge does: whatever multiplies two tensors goes to the array
            macs = {e.name: "array2d" for e in work.einsums if e.ops == ("mac",)}
            space = MapSpace(
                cascade=work, machine=chip, menu=space.menu, most_fused=space.most_fused, unit=macs
            )
        start = time.process_time()
        answer = best_mapping(work, chip, objective, budget_s=BUDGET_S, space=space)
        seconds = time.process_time() - start
        theirs = ACCELFORGE.get(name)
        table.add_row(
            name, f"{answer.result.latency_s:.4g}", f"{answer.result.energy_j:.4g}", f"{seconds:.2f}",
            "proven" if answer.proven else "not proven", space.menu,
            "" if theirs is None else " ".join(f"{value:.4g}" for value in theirs),
        )  # fmt: skip


def main() -> None:
    """Prints two tables."""
    compiled, plain = evaluations()
    out = Console(width=150)
    out.print(f"evaluations/s/core: {compiled:,.0f}; NumPy {plain:,.0f}; ratio {compiled / plain:.1f}")
    table = Table("search", "latency s", "energy J", "CPU s", "optimum", "tiles", "AccelForge: s, J, CPU s")
    searches(table)
    out.print(table)


if __name__ == "__main__":
    main()
