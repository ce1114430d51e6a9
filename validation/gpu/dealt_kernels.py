"""Captured kernels by the engine that simulates every machine: their tilings as blocks that are dealt."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

from einsim.accel.gpu.cores import L2, SHARED, Pipe, as_machine
from einsim.accel.gpu.machine import Gpu, load_gpu
from einsim.accel.machine import Machine
from einsim.dataflow.dealt import Deal
from einsim.dataflow.mapping import Compute, Mapping, chain, keep
from einsim.dataflow.result import Result
from einsim.sim.dealing import deal_out
from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels import gemm_f16, gemm_f32, gemm_sparse
from einsim.sim.gpu.model import occupancy
from einsim.specs.errors import SpecError
from einsim.validation.gpu.fit import captured
from einsim.validation.gpu.fit_machine import paired
from einsim.validation.gpu.split import split
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse

Z, OPERANDS = "Z", "A B"
THREADS_ACROSS: Final = 16
"""Threads of a block along each side, of the product of 32 bits."""
COMPRESSED_BITS: Final = 9
"""Of each value of a 2:4 operand of 16 bits as it is stored: two of four, with two bits that say which."""


class DealtKernel(NamedTuple):
    """A captured kernel as the engine takes it."""

    machine: Machine
    cascade: Cascade
    deal: Deal


def gemm(case: KernelCase, gpu: Gpu) -> DealtKernel:
    """Z = A B by blocks of bm x bn that walk k in steps of bk through stages in shared memory.

    Blocks compute whole tiles, also where the matrix ends. What a warp (or, of 32 bits, a thread) multiplies
    together is the array's shape: it reads its operands from shared memory for each such tile.
    """
    (launch,) = case.launches
    tile, bits = launch.tile, case.bits
    bm, bn, bk = tile["m"], tile["n"], tile["k"]
    pipe: Pipe = "tensor"
    rows, cols, together = tile.get("warp_m", 0), tile.get("warp_n", 0), tile.get("group_m", 1)
    widths = {"A": bits, "B": bits, Z: bits}
    if case.family == gemm_sparse.FAMILY:
        pipe, widths["A"] = "sparse", COMPRESSED_BITS
    if case.family == gemm_f32.FAMILY:
        pipe, rows, cols = "lanes", bm // THREADS_ACROSS, bn // THREADS_ACROSS
    sizes = {
        "m": ceil_div(case.sizes["m"], bm) * bm,
        "n": ceil_div(case.sizes["n"], bn) * bn,
        "k": case.sizes["k"],
    }
    tensors = "".join(f"tensor {name} bits {width}\n" for name, width in widths.items())
    cascade = parse(f"{tensors}Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes=sizes)
    machine = as_machine(gpu, pipe, rows, cols)
    leaf = Compute(einsum=Z, unit=pipe, spatial={"rows": ("m",), "cols": ("n",)})
    tree = chain(
        keep(Z, SHARED, buffers=1) if pipe != "lanes" else None,
        keep(Z, pipe, buffers=1),
        ("k", bk),
        keep(OPERANDS, SHARED, buffers=launch.stages),
        leaf,
    )
    block = Mapping(cascade="gemm", machine=machine.name, template=case.variant, tree=tree)
    slots = min(occupancy(launch, gpu), ceil_div(launch.grid, gpu.sms))
    deal = Deal(block=block, tiles={"m": bm, "n": bn}, through=L2, slots=slots, together=together)
    return DealtKernel(machine, cascade, deal)


FAMILIES_DEALT: Final[dict[str, Callable[[KernelCase, Gpu], DealtKernel]]] = {
    gemm_f16.FAMILY: gemm, gemm_f32.FAMILY: gemm, gemm_sparse.FAMILY: gemm,
}  # fmt: skip


@cache
def engine_errors(preset: str, family: str) -> tuple[float, ...]:
    """Relative errors, without sign, of a family's held-out rows of a preset's device that were measured
    cold, by the shared engine: nothing is fitted.
    """
    gpu, rows = load_gpu(preset), captured(preset)
    mine = [row for row in split(rows)[1] if row.family == family and row.l2 == "cold"]
    pairs = [(case, row) for case, row in paired(mine) if not beyond(case)]
    return tuple(abs(by_engine(case, gpu).latency_s / row.median_s - 1.0) for case, row in pairs)


def beyond(case: KernelCase) -> bool:
    """Whether tiles reach beyond the matrix: those rows read one line of L2 again and again, which holds it
    up, and no memory of the engine has that.
    """
    return any(launch.hot_requests for launch in case.launches)


def by_engine(case: KernelCase, gpu: Gpu, *, level: str = "sim") -> Result:
    """A kernel whose family is in FAMILIES_DEALT, cold, by the shared engine; KeyError for another, SpecError
    where its tiles reach beyond the matrix.
    """
    if beyond(case):
        rule = "has tiles beyond the matrix, whose reads of one line of L2 the engine has no time for"
        raise SpecError("case", rule, got=case.key)
    kernel = FAMILIES_DEALT[case.family](case, gpu)
    return deal_out(kernel.deal, kernel.cascade, kernel.machine, level=level)
