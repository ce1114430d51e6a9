"""How fast the exact arrays step: simulated element-cycles a second, and the ratio to numpy in the same run.

Run `python benchmarks/arrays.py`. The baseline is the same work in numpy: one cycle of the whole array in
whole-array operations (shift, multiply, add), which is what one would write without a compiler. It is the
same work as the dense output-stationary row; for the other rows the ratio compares rates an element-cycle.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from einsim import evaluate
from einsim.sim.arrays.dsp_chain import ChainSpec, step_chain
from einsim.sim.arrays.fusemax import FuseMaxSpec
from einsim.sim.arrays.gemm import DATAFLOWS, ArraySpec, Gemm
from einsim.sim.arrays.simulated import simulated
from einsim.sim.arrays.sorter import prune
from einsim.sim.arrays.stalls import Ports, fed
from einsim.sim.arrays.step_fusemax import step_fusemax
from einsim.sim.arrays.stepped import step
from einsim.sim.arrays.systolic import cycles, traffic

SIDE = 32
SCALE_SIM_SECONDS = 374.0  # CPU, 1024^3 on 32 x 32, SCALE-Sim 3.0.0 on this kind of machine
GEMM = """
name: gemm
ranks: {m: 1024, n: 1024, k: 1024}
einsums: |
  Z[m,n] = A[m,k] * B[k,n]
"""
MACHINE = """
machine: systolic
clock: 1GHz
memories:
  dram: {bandwidth: 25.6GB/s}
  gb: {parent: dram, capacity: 1MiB, read_bandwidth: 128GB/s, write_bandwidth: 64GB/s}
units:
  array:
    kind: systolic
    dims: {rows: 32, cols: 32}
    reads_from: gb
    convention: scale-sim
    dataflows: [output-stationary]
    ops: {mac: {}}
"""
ROUNDS = 3


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of the best of three runs, after one that compiles."""
    work()
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def numpy_output_stationary(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One SIDE x SIDE output-stationary tile, cycle by cycle, in whole-array numpy."""
    depth = a.shape[1]
    right, down = np.zeros((SIDE, SIDE), np.int32), np.zeros((SIDE, SIDE), np.int32)
    acc = np.zeros((SIDE, SIDE), np.int32)
    lane = np.arange(SIDE)
    for cycle in range(2 * SIDE + depth - 2):
        k = cycle - lane
        inside = (k >= 0) & (k < depth)
        k = np.clip(k, 0, depth - 1)
        right[:, 1:] = right[:, :-1].copy()
        down[1:] = down[:-1].copy()
        right[:, 0] = np.where(inside, a[lane, k], 0)
        down[0] = np.where(inside, b[k, lane], 0)
        acc += right * down
    return acc


def machine(console: Console) -> None:
    """The same product on a whole machine, from its YAML to the result: DRAM, buffer, mapping, stalls."""
    with tempfile.TemporaryDirectory() as folder:
        work, accel = Path(folder, "gemm.yaml"), Path(folder, "machine.yaml")
        work.write_text(GEMM, encoding="utf-8")
        accel.write_text(MACHINE, encoding="utf-8")
        for word in ("bandwidth", "timing"):
            chosen = {} if word == "bandwidth" else {"memories.dram.timing": "ddr4-3200"}
            seconds = cpu_seconds(lambda: evaluate(str(work), str(accel), settings=chosen))  # noqa: B023
            ran = evaluate(str(work), str(accel), settings=chosen).result
            console.print(
                f"1024^3 on a machine with DRAM ({word}): {seconds * 1e3:.0f} ms from YAML to result, "
                f"{ran.cycles / seconds:.3g} cycles/s, "
                f"{sum(ran.stalls.values()):,} of {ran.cycles:,} cycles stalled"
            )


def main() -> None:
    """Prints one table."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-128, 128, (512, 512)), rng.integers(-128, 128, (512, 512))
    tile_a, tile_b = np.ascontiguousarray(a[:SIDE], np.int32), np.ascontiguousarray(b[:, :SIDE], np.int32)
    assert (numpy_output_stationary(tile_a, tile_b) == tile_a @ tile_b).all()
    numpy_rate = (2 * SIDE + 510) * SIDE**2 / cpu_seconds(lambda: numpy_output_stationary(tile_a, tile_b))
    table = Table("model", "element-cycles/s", "simulated cycles/s", "times numpy")
    table.add_row("numpy, output-stationary", f"{numpy_rate:.3g}", f"{numpy_rate / SIDE**2:.3g}", "1.0")

    def row(name: str, ran_cycles: int, elements: int, seconds: float) -> None:
        rate = ran_cycles * elements / seconds
        table.add_row(name, f"{rate:.3g}", f"{ran_cycles / seconds:.3g}", f"{rate / numpy_rate:.1f}")

    sparse = prune(b, (2, 4))
    for dataflow in DATAFLOWS:
        for nm, right in ((None, b), ((2, 4), sparse)):
            spec = ArraySpec(rows=SIDE, cols=SIDE, dataflow=dataflow)
            ran = cycles(spec, Gemm(m=512, n=512, k=512, nm=nm))
            seconds = cpu_seconds(lambda: step(spec, a, right, nm=nm))  # noqa: B023 - called at once
            row(f"{dataflow}, {'dense' if nm is None else '2:4'}", ran, SIDE**2, seconds)
    chain = ChainSpec(rows=4, cols=16, length=16)
    row(
        "DSP chains, 64 of 16",
        step_chain(chain, a, b).cycles,
        chain.dsps,
        cpu_seconds(lambda: step_chain(chain, a, b)),
    )
    fusemax = FuseMaxSpec(rows=64, cols=64, depth=2)
    q, k, v = (rng.integers(-8, 8, shape) for shape in ((64, 64), (1024, 64), (1024, 64)))
    ran = step_fusemax(fusemax, q, k, v, score_fraction_bits=8).cycles
    seconds = cpu_seconds(lambda: step_fusemax(fusemax, q, k, v, score_fraction_bits=8))
    row("FuseMax 64 x 64, depth 2", ran, 64 * 64, seconds)
    console = Console()
    console.print(table)

    big, ports = Gemm(m=1024, n=1024, k=1024), Ports(load_words_per_cycle=40, store_words_per_cycle=20)
    for dataflow in DATAFLOWS:
        spec = ArraySpec(rows=SIDE, cols=SIDE, dataflow=dataflow)
        seconds = cpu_seconds(lambda: (fed(spec, big, ports), traffic(spec, big)))  # noqa: B023 - called at once
        ran = fed(spec, big, ports).cycles
        console.print(
            f"1024^3 on 32 x 32, {dataflow}: traffic and stalls by recurrence in {seconds * 1e3:.3f} ms, "
            f"{ran / seconds:.3g} cycles/s"
        )
        seconds = cpu_seconds(lambda: simulated(spec, big, ports))  # noqa: B023 - called at once
        ran = simulated(spec, big, ports).cycles
        console.print(
            f"    by the simulator, one SRAM: {seconds * 1e3:.1f} ms, {ran / seconds:.3g} cycles/s, "
            f"{SCALE_SIM_SECONDS / seconds:,.0f} times SCALE-Sim 3.0's {SCALE_SIM_SECONDS:.0f} s"
        )
    machine(console)
    console.print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
