"""How fast the mapper is: evaluations a second against NumPy, and searches against AccelForge and templates.

Run `python benchmarks/mapper.py`; with `--accelforge PYTHON`, the interpreter of an environment that has
AccelForge (see `accelforge_search.py`), both search side by side, else its figures are those measured for
this project on a quiet machine. Energy and latency are AccelForge's rules applied to the mapping's loop nest
(`accelforge_rules.py`), which must agree with the simulator. CPU seconds are of one process, after
compilation.

The NumPy baseline is the same model of one GEMM nest over arrays of perfect tile sizes (the compiled one
takes imperfect ones too); it must give the same rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import numpy.typing as npt
from accelforge_rules import judge  # type: ignore[import-not-found]
from rich.console import Console
from rich.table import Table

from einsim import (
    Cascade,
    Effort,
    EinsimError,
    MapSpace,
    Objective,
    analyse,
    best_mapping,
    build_mapping,
    load_machine,
    load_workload,
    lower,
    mapping_text,
    parse_cascade,
    simulate,
    template_names,
)
from einsim.dataflow.mapper.model import cost
from einsim.dataflow.mapper.nest import Inside
from einsim.dataflow.mapper.tables import ACCESS, APART, COPIES, DIM, REDUCED, WIDTH, Tables, tables

os.environ["EINSIM_CACHE_DIR"] = "off"  # what is timed is a search, not what one found before

COUNT = 400_000
DECODE = {"seq": 2048, "phase": "decode"}

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
    return in_bits(
        parse_cascade("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": size, "n": size, "k": size}), 8
    )


def baseline(t: Tables, tiles: npt.NDArray[Any], homes: list[list[tuple[int, int]]]) -> npt.NDArray[Any]:
    """The model of one nest with perfect tiles in NumPy, over all rows at once: [n, engines + 1 + memories].

    For dense tensors of whole bytes, one rank along each dimension of an array in which weights stay, and one
    along the cores. `homes` gives each tensor's (depth, memory), outermost first.
    """
    count, depth = tiles.shape
    core, cores, least, engine, point_ticks, point_j, _, buffers, engines, *_ = t.one
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
    ranks = range(len(t.sizes))
    laid = [r for r in ranks if t.place[r, DIM] >= 0 and r != core]
    folds = {r: np.ceil(here[r] / t.dim[t.place[r, DIM], WIDTH]) for r in laid}
    steps = np.prod([here[r] for r in ranks if r not in folds], axis=0)
    every = np.prod(trips[depth], axis=0)
    rows[int(engine)] = np.prod(list(folds.values()), axis=0) * np.maximum(steps, least) * every * point_ticks
    rows[engines] = float(np.prod(t.sizes)) * point_j
    doubled = np.stack([np.where(np.any(trips[d] > 1, axis=0), buffers, 1.0) for d in range(depth + 1)])
    wanting = np.minimum(last[core], cores)

    def move(write: int, memory: int, size: npt.NDArray[Any]) -> None:
        port, ticks, joules = t.mem[memory, 3 * write : 3 * write + 3]
        if port >= 0:
            rows[int(port)] += size * ticks
        rows[engines] += size * joules

    def whole(memory: int, size: npt.NDArray[Any]) -> npt.NDArray[Any]:
        access = float(t.mem[memory, ACCESS])
        return np.asarray(np.ceil(size / access) * access)

    for x, mine in enumerate(homes):
        output = x == len(homes) - 1
        source = 0
        moved = t.moved[x] == 1
        tile = t.fmt[x, 0] / 8 * np.prod(last[moved], axis=0)
        want = 1.0 if moved[core] else wanting
        for d, memory in mine:
            times = np.prod(trips[depth][moved], axis=0) * np.prod(trips[d][~moved], axis=0)
            own = want if t.mem[memory, COPIES] > 1 else 1.0
            for way, place in ((int(output), source), (1 - int(output), memory)):
                move(way, place, times * whole(place, tile * (own if t.mem[place, APART] else 1.0)))
            points = [np.ceil(reach[d, r] / cores) if r == core and t.mem[memory, COPIES] > 1 else reach[d, r]
                      for r in np.flatnonzero(moved).tolist()]  # fmt: skip
            held = t.fmt[x, 0] / 8 * np.prod(points, axis=0) * t.mem[memory, COPIES]
            rows[engines + 1 + memory] += held * doubled[d]
            source = memory
        passing = tile.copy()
        for r in np.flatnonzero(~moved).tolist():
            if r == core:
                passing *= want if t.mem[source, APART] and t.still[x] else 1.0 if t.still[x] else here[r]
            else:
                passing *= folds[r] if r in folds else 1.0 if t.still[x] else last[r]
        move(int(output), source, every * whole(source, passing))
        if output:
            firsts = np.prod(trips[depth][t.place[:, REDUCED] == 0], axis=0)
            move(0, source, (every - firsts) * whole(source, passing))
            move(0, source, firsts * whole(source, passing - tile))
    return rows.T


#: AccelForge counts partial sums as wide as results.
ITS_SUMS = {"array.accumulator_bits": 8}


def evaluations() -> tuple[float, float]:
    """Evaluations a second of the compiled model and of the baseline: a GEMM with three memory levels."""
    work, machine = gemm(4096), load_machine("tpu-v4i", ITS_SUMS)
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


def yaml_of(cascade: Cascade) -> str:
    """The cascade as AccelForge reads it: ranks in capitals, the first operand of a product its input."""
    lines = ["workload:", "  rank_sizes:"]
    lines += [f"    {rank.name.upper()}: {rank.size}" for rank in cascade.ranks]
    lines += ["  bits_per_value: {All: 8}", "  einsums:"]
    for einsum in cascade.einsums:
        accesses = [einsum.output, *einsum.reads]
        out, *reads = [f"{a.tensor}[{', '.join(a.ranks)}]" for a in accesses]
        lines.append(f'  - einsum: "{out} = {" * ".join(reads)}"')
        if len(reads) == 2:
            first, second = (access.tensor for access in einsum.reads)
            lines.append(f"    renames: {{input: {first}, weight: {second}}}")
    return "\n".join(lines) + "\n"


def theirs(python: str, cascade: Cascade, objective: str, fused: str) -> tuple[float, float, float]:
    """AccelForge's seconds, joules and CPU seconds, from its own environment."""
    script = Path(__file__).with_name("accelforge_search.py")
    command = [python, str(script), yaml_of(cascade), objective, fused]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    line = next((line for line in run.stdout.splitlines() if line.startswith("RESULT ")), "")
    if not line:
        raise SystemExit(f"AccelForge failed: {run.stderr[-500:]}")
    found = json.loads(line.removeprefix("RESULT "))
    return found["latency_s"], found["energy_j"], found["cpu_s"]


def attention(text: str, size: int) -> Cascade:
    """An attention core or block of 8-bit values: 32 heads of 128, a model of 4096."""
    block = {"h": 32, "e": 128, "f": 128, "d": 4096, "d2": 4096}
    wanted = {k: v for k, v in block.items() if f"{k}," in text or f"{k}]" in text}
    return in_bits(parse_cascade(text, name="attention", sizes={**wanted, "m": size, "p": size}), 8)


def against_accelforge(table: Table, python: str, sizes: list[int], shown: bool) -> list[str]:
    """AccelForge's cases, or others of `sizes`, on its machine; the mappings found, as text."""
    machine = load_machine("tpu-v4i", ITS_SUMS)
    cases: list[tuple[str, Cascade, Objective, str]] = [
        ("matmul 4096^3, energy", gemm(4096), "energy", ""),
        ("matmul 4096^3, latency", gemm(4096), "latency", ""),
        ("attention core 1024, energy", attention(CORE, 1024), "energy", ""),
        ("attention core 16384, energy", attention(CORE, 16384), "energy", "1"),
        ("attention block 1024, energy", attention(BLOCK, 1024), "energy", "1"),
    ]
    if sizes:
        cases = [(f"matmul {n}^3, energy", gemm(n), "energy", "") for n in sizes]
        cases += [(f"attention core {n}, energy", attention(CORE, n), "energy", "1") for n in sizes]
    texts = []
    for name, work, objective, fused in cases:
        start = time.process_time()
        answer = best_mapping(work, machine, objective)
        cpu = time.process_time() - start
        joules, seconds = judge(answer.mapping, work)
        run = simulate(lower(answer.mapping, work, machine), machine)
        assert run.traffic == answer.result.traffic, "simulated and analytical traffic differ"
        assert run.energy_j is not None, run.energy_not_stated
        assert math.isclose(run.energy_j, joules, rel_tol=1e-9), "the simulator and the rules differ"
        other = theirs(python, work, objective, fused) if python else ACCELFORGE.get(name, (0.0, 0.0, 0.0))
        sure = "proven" if answer.proven else f"gap {answer.gap:.1%}"
        ratio = f"{other[2] / cpu:.0f}" if other[2] else ""
        table.add_row(
            name, f"{joules:.5g}", f"{seconds:.5g}", f"{run.latency_s:.5g}", f"{cpu:.2f}", sure,
            f"{other[1]:.5g}", f"{other[0]:.5g}", f"{other[2]:.1f}", ratio,
        )  # fmt: skip
        if shown:
            texts.append(f"{name}\n{mapping_text(answer.mapping)}")
    return texts


def layers(table: Table) -> None:
    """Layers of two models: wall-clock seconds of the search, and the best of the library's templates."""
    cases: list[tuple[str, Cascade, str]] = [
        ("BERT-base layer, 512", load_workload("bert-base", {"seq": 512, "b": 1}), "fusemax-cloud"),
        ("LLaMA2-7B prefill 2048", load_workload("llama2-7b", {"seq": 2048}), "fusemax-cloud"),
        (
            "LLaMA2-7B decode 2048",
            load_workload("llama2-7b", {"seq": 2048, "phase": "decode"}),
            "fusemax-cloud",
        ),
    ]
    for name, work, accel in cases:
        chip = load_machine(accel)
        start, cpu = time.monotonic(), time.process_time()
        answer = best_mapping(work, chip, "latency", workers=os.cpu_count() or 1)
        wall, cpu = time.monotonic() - start, time.process_time() - cpu
        results = []
        for template in template_names():
            with suppress(EinsimError):
                results.append(analyse(lower(build_mapping(work, chip, template), work, chip), chip))
        library = min(result.latency_s for result in results)
        table.add_row(
            name, f"{answer.result.latency_s:.4g}", f"{library:.4g}", f"{wall:.1f}", f"{cpu:.1f}",
            "proven" if answer.proven else f"gap {answer.gap:.1%}",
        )  # fmt: skip


LAYERS: dict[str, Callable[[], Cascade]] = {
    "bert": lambda: load_workload("bert-base", {"seq": 512, "b": 1, "passes": "3"}),
    "decode": lambda: load_workload("llama2-7b", {"seq": 2048, "phase": "decode", "passes": "3"}),
    "prefill": lambda: load_workload("llama2-7b", {"seq": 2048, "passes": "3"}),
    "llama3-8b": lambda: load_workload("llama3-8b", {"seq": 2048, "passes": "3"}),
    "gpt3-175b": lambda: load_workload("gpt3-175b", {"seq": 2048, "passes": "3"}),
}
PRESETS = ("tpu-v4i", "fusemax-cloud", "u280-flightllm", "sa8295p", "eyeriss-like")
OBJECTIVES: tuple[Objective, ...] = ("latency", "energy")


def gaps(out: Console, names: list[str], presets: list[str], effort: Effort) -> None:
    """What the search says that anything in its space could be better by, and its CPU seconds."""
    best_mapping(attention(CORE, 16), load_machine("tpu-v4i"))  # compiles
    for name in names:
        work = LAYERS[name]()
        for preset in presets:
            for objective in OBJECTIVES:
                start = time.process_time()
                try:
                    answer = best_mapping(work, load_machine(preset), objective, effort=effort)
                except EinsimError as mistake:
                    out.print(f"{name:10} {preset:15} {objective:8} {mistake}", markup=False, highlight=False)
                    continue
                cpu = time.process_time() - start
                figure = answer.result.latency_s if objective == "latency" else answer.result.energy_stated_j
                sure = (
                    "proven"
                    if answer.proven
                    else "none"
                    if answer.gap is None
                    else f"{100 * answer.gap:.1f} %"
                )
                out.print(
                    f"{name:10} {preset:15} {objective:8} {figure:.6g} gap {sure:8} {cpu:5.1f} s "
                    f"{answer.nodes:8d} {answer.note}", markup=False, highlight=False,
                )  # fmt: skip


def main() -> None:
    """Prints three tables, or with `--gaps` one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accelforge", default="", metavar="PYTHON", help="run it with this interpreter")
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="other sizes of the cases")
    parser.add_argument("--mappings", action="store_true", help="show the mappings found")
    parser.add_argument("--gaps", nargs="*", choices=LAYERS, help="gaps of layers instead (none: all)")
    parser.add_argument("--on", nargs="*", default=PRESETS, help="their machines")
    parser.add_argument("--effort", choices=get_args(Effort), default="normal")
    asked = parser.parse_args()
    out = Console(width=150)
    if asked.gaps is not None:
        gaps(out, asked.gaps or list(LAYERS), asked.on, asked.effort)
        return
    compiled, plain = evaluations()
    out.print(
        f"evaluations/s/core: {compiled:,.0f} one by one, whatever tiles; {plain:,.0f} in NumPy, over "
        f"whole arrays of perfect tiles of one GEMM; ratio {compiled / plain:.1f}"
    )
    best_mapping(attention(CORE, 16), load_machine("tpu-v4i", ITS_SUMS), "energy")  # compiles
    table = Table(
        "on tpu-v4i", "J", "s", "simulated s", "CPU s", "optimum", "AccelForge: J", "s", "CPU s", "ratio"
    )
    texts = against_accelforge(table, asked.accelforge, asked.sizes, asked.mappings)
    out.print(table)
    for text in texts:
        out.print(text, markup=False)
    if not asked.sizes:
        table = Table("layer on fusemax-cloud", "latency s", "best template s", "wall s", "CPU s", "optimum")
        layers(table)
        out.print(table)


if __name__ == "__main__":
    main()
