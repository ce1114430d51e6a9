"""Small problems, and a brute force over a whole map space that shares no search code with the mapper."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from einsim.accel.machine import Machine, OpCost, Role, Unit
from einsim.accel.memory import Memory
from einsim.accel.registers import RegisterFile
from einsim.dataflow.mapper.model import cost
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapper.tables import tables
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse
from einsim.workloads.sparsity import NM

TEXTS = (
    ("Z[m,n] = A[m,k] * B[k,n]", "mnk", 4),
    ("Z[b,m] = A[b,k,m] * B[k,b]", "bmk", 3),
    ("Y[m,n] = exp(X[m,n] - G[n])", "mn", 5),
    ("G[n] = max[m](X[m,n])", "mn", 5),
    ("H[m,j] = X[m,k] * W[k,j]\nY[m,j] = exp(H[m,j])", "mkj", 3),
    ("S[n] = max[m](X[m,n])\nY[m,n] = exp(X[m,n] - S[n])", "mn", 3),
    ("H[m,j] = X[m,k] * W[k,j]\nY[m,n] = H[m,j] * V[j,n]", "mkjn", 2),
    ("B[i,j] = exp(A[i,j])\nC[i,j] = B[i,j] + A[i,j]\nD[i,j] = C[i,j] * B[i,j]", "ij", 3),
    ("S[n] = max[m](X[m,n])\nE[m,n] = exp(X[m,n] - S[n])\nD[n] = sum[m](E[m,n])", "mn", 3),
    ("H[m,j] = X[m,k] * W[k,j]\nG[m,j] = X[m,k] * U[k,j]", "mkj", 2),
    ("S[h,m] = Q[h,c] * L[m,c]\nO[h,c] = S[h,m] * L[m,c]", "hmc", 2),
    ("A[m,n] = exp(X[m,n])\nC[n] = max[m](X[m,n])", "mn", 3),
    ("initial R = 0\nR[s+1,p] = X[s,p] + R[s,p]", "sp", 4),
    ("initial R = -inf\nR[s+1,p] = max(R[s,p], X[s,p])\nP[s,p] = exp(R[s,p] - R[s+1,p])", "sp", 3),
    ("initial D = 0\nD[s+1,p] = Y[s,p] + D[s,p]\nZ[p] = exp(D[S,p])", "sp", 3),
    ("initial D = 0\nY[s,p] = A[s,k] * B[k,p]\nD[s+1,p] = Y[s,p] + D[s,p]", "skp", 2),
    ("initial S = 0\nS[s+1,e,f] = S[s,e,f] + K[s,e] * U[s,f]\nO[s,f] = S[s+1,e,f] * Q[s,e]", "sef", 2),
    ("initial S = 0\nR[s,f] = S[s,e,f] * K[s,e]\nS[s+1,e,f] = S[s,e,f] + K[s,e] * R[s,f]", "sef", 2),
    ("n -> c, i\nA[c] = sum[i](X[n])\nB[n] = X[n] - A[c]", "ni", 4),
    ("n -> c, i\ninitial S = 0\nD[c] = sum[i](K[n])\nS[c+1] = S[c] + D[c]\nO[n] = Q[n] * S[c]", "ni", 3),
)
BOUNDED = (
    ("where m <= p\nZ[m,p] = A[m,k] * B[k,p]", "mpk", 4),
    ("where m <= p + 1\nZ[p,k] = A[m,p] * B[m,k]", "mpk", 4),
    ("where m <= p + 1\nwhere p <= m + 1\nZ[h,m,p] = A[h,m] * B[h,p]", "hmp", 4),
    ("where m <= p\nwhere p <= m + 2\nZ[p,k] = A[m,p] * B[m,k]", "mpk", 4),
    ("where m <= 2\nG[p] = max[m](X[m,p])", "mp", 5),
    ("where p <= m + 1\nE[p,m] = exp(X[m,p] - G[p])\nD[p] = sum[m](E[p,m])", "mp", 3),
    ("where m <= p\nH[m,p] = A[m,k] * B[k,p]\nY[p,j] = H[m,p] * V[m,j]", "mpkj", 2),
    ("where m <= p\nZ[m,p,y] = A[m,y+r] * B[p,r]", "mpyr", 3),
)
"""Texts with bounds that are a band."""
BIASED = (
    ("H[m,j] = X[m,k] * W[k,j]\nG[m,i] = X[m,k] * V[k,i]\nY[m,j] = H[m,j] + B[j]", "mjki", 2),
    ("H[m,j] = X[m,k] * W[k,j]\nY[m,j] = H[m,j] + B[j]\nZ[m] = max[j](Y[m,j])", "mjk", 3),
    ("H[m,j] = X[m,k] * W[k,j]\nY[m,j] = H[m,j] * B[j] + C[m]\nZ[m,i] = Y[m,j] * V[j,i]", "mjki", 2),
)
"""Texts with what belongs with a product."""
RUNS = (
    (
        "B[i,j] = exp(A[i,j])\nC[i] = sum[j](B[i,j])\nD[i,j] = B[i,j] / C[i]\nE[i,k] = D[i,j] * V[j,k]",
        "ijk",
        2,
    ),
    ("H[m,j] = X[m,k] * W[k,j]\nA[m,j] = exp(H[m,j])\nY[m,n] = A[m,j] * V[j,n]", "mkjn", 2),
    (
        "S[n] = max[m](X[m,n])\nE[m,n] = exp(X[m,n] - S[n])\nD[n] = sum[m](E[m,n])\nA[m,n] = E[m,n] / D[n]",
        "mn",
        2,
    ),
    ("A[m,n] = exp(X[m,n])\nC[m] = max[k](Y[m,k])\nD[m,n] = A[m,n] * C[m]\nG[m] = sum[n](D[m,n])", "mnk", 2),
)
"""Texts of which all Einsums may be one run, where groups of two are the largest others."""
SHIFTED = (
    ("Z[p,f] = X[2*p+r] * W[r,f]", "prf", 4),
    ("Z[p,c] = X[p+3*r,c] * W[r,c]", "prc", 4),
    ("Z[y,x] = I[y+r,x+q] * W[r,q]", "yxrq", 3),
    ("M[p] = max[r](X[p+r])\nE[p] = exp(M[p])", "pr", 4),
    ("E[p,r] = exp(X[p+r])\nD[p] = sum[r](E[p,r])", "pr", 3),
)
"""Texts with indices that are sums of two ranks."""


def machine(rng: random.Random, levels: int, *, systolic: bool = False) -> Machine:
    """An array and a vector unit behind `levels` on-chip memories of random sizes, rates and energies.

    A systolic one may have two cores, each with its own inner memory, which may hold no weights.
    """
    cores = rng.randint(1, 2) if systolic else 1
    copies = rng.choice((1, cores))
    holds = rng.choice(((), ("inputs", "outputs"))) if levels > 1 else ()

    def memory(name: str, parent: str | None) -> Memory:
        read, write = (rng.choice((None, 1, 2, 3, 8)) for _ in "rw")
        inner = name == "l1"
        return Memory(
            name=name, parent=parent, capacity_bytes=rng.choice((None, rng.randint(24, 90))) if parent else None,
            read_bytes_per_s=read and read * 10**9, write_bytes_per_s=write and write * 10**9,
            shared_port=rng.random() < 0.5, access_bytes=rng.choice((1, 2)), read_pj=rng.choice((1.0, 2.5)),
            write_pj=rng.choice((1.0, 3.5)), leakage_w=rng.choice((0.0, 0.25)),
            copies=copies if inner else 1, holds=holds if inner else (),
        )  # fmt: skip

    memories = [memory("dram", None), memory("gb", "dram"), memory("l1", "gb")][: levels + 1]
    ops = {
        op: OpCost(cycles=rng.choice((1, 1, 2)), energy_pj=1.5)
        for op in ("mac", "mul", "add", "max", "exp", "div")
    }
    registers = rng.choice((None, RegisterFile(bytes_per_pe=64, read_pj=0.5, write_pj=0.25)))
    dims = {"rows": rng.randint(1, 3), "cols": rng.randint(1, 3)}
    drawn = random.Random(repr((memories, ops)))
    bits = drawn.choice(((), (), (8,), (4, 16)))
    if bits:
        forms = {"exp": {"16": ops["exp"]}, "div": {"16": ops["div"]}}
        if drawn.random() < 0.5:
            forms["mac"] = {"12x8": OpCost(cycles=2, energy_pj=2.0)}
        ops = {op: msgspec.structs.replace(cost, by_bits=forms.get(op, {})) for op, cost in ops.items()}
    if systolic:
        dims = {"cores": cores, **dims}
    array = Unit(
        name="mm", kind="systolic" if systolic else "array", dims=dims, ops=ops, reads_from=memories[-1].name,
        registers=registers, dataflows=("weight-stationary", "output-stationary") if systolic else (),
        exploits=rng.choice(((), ("n:m",))), bits=bits, accumulator_bits=drawn.choice((None, 20, 32)),
    )  # fmt: skip
    lanes = {"lanes": rng.randint(1, 3)}
    vector = Unit(
        name="vec", kind="vector", dims={"cores": cores, **lanes} if cores > 1 else lanes, ops=ops,
        reads_from=memories[-1].name, registers=registers, clock_hz=rng.choice((None, 5e8)),
        bits=bits, accumulator_bits=drawn.choice((None, 32)),
    )  # fmt: skip
    turns = drawn.random() < 0.3
    both = (array, msgspec.structs.replace(vector, mode_of="mm"))
    units = both if turns else rng.choice(((array, vector), (array,), (vector,)))
    chip = Machine(
        name="chip", family="generic", clock_hz=1e9, memories=tuple(memories), units=units,
        multicast=rng.random() < 0.5,
    )  # fmt: skip
    return by_role(chip, drawn) if drawn.random() < 0.3 else chip


def by_role(chip: Machine, rng: random.Random) -> Machine:
    """The machine with a memory of its own for results, filled from one of two or from either, and sometimes
    weights from another than inputs; the vector unit may find its operands as before.
    """
    near = chip.memories[-1]
    outer = rng.choice((("gb",), ("dram",), ("gb", "dram")))
    sums = msgspec.structs.replace(
        near,
        name="acc",
        parent=outer,
        holds=(),
        access_bytes=rng.choice((1, 2)),
        value_bits=rng.choice((0, 32)),
    )
    apart: dict[Role, str] = {"inputs": near.name, "outputs": "acc"}
    weights: dict[Role, str] = (
        {"weights": rng.choice(("gb", "dram"))} if near.holds or rng.random() < 0.5 else {}
    )
    vector = [near.name, {**apart, "inputs": "acc"}, *([] if near.holds else [apart])]
    units = tuple(
        msgspec.structs.replace(
            unit, reads_from={**apart, **weights} if unit.name == "mm" else rng.choice(vector)
        )
        for unit in chip.units
    )
    return msgspec.structs.replace(chip, memories=(*chip.memories, sums), units=units)


def cascade(rng: random.Random, largest: int | None = None, texts: Any = ()) -> Cascade:
    """One to three Einsums with ranks of a few points; some tensors n:m or of odd widths."""
    text, ranks, most = rng.choice(texts or TEXTS + BOUNDED + SHIFTED)
    sizes = {rank: rng.randint(1, largest or most) for rank in ranks}
    if "->" in text:  # whole parts: else bounds cut the last one
        sizes["n"] *= sizes["i"]
    work = with_outputs(parse(text, name="small", sizes=sizes))
    if rng.random() < 0.5:
        return work
    tensors = [msgspec.structs.replace(tensor, bits=rng.choice((4, 8, 12, 16))) for tensor in work.tensors]
    sparse = rng.randrange(len(tensors))
    if rng.random() < 0.5 and tensors[sparse].ranks:
        pattern = NM(n=rng.randint(1, 2), m=rng.choice((2, 3, 4)), rank=rng.choice(tensors[sparse].ranks))
        tensors[sparse] = msgspec.structs.replace(tensors[sparse], sparsity=pattern)
    return msgspec.structs.replace(work, tensors=tuple(tensors))


def with_outputs(work: Cascade) -> Cascade:
    """The cascade with some of its tensors declared outputs, as its text draws them."""
    rng = random.Random(str(work))
    made = [einsum.name for einsum in work.einsums]
    return msgspec.structs.replace(work, declared=tuple(name for name in made if rng.random() < 0.3))


def problem(seed: int, most: float = 3e5, largest: int | None = None, texts: Any = ()) -> MapSpace:
    """A space of at most `most` mappings: the first of those that the seed draws."""
    rng = random.Random(seed)
    while True:
        work = cascade(rng, largest, texts)
        chip = machine(rng, rng.choice((1, 1, 2)), systolic=rng.random() < 0.3)
        space = MapSpace(cascade=work, machine=chip, buffers=rng.choice((1, 2)))
        if 1 < space.count() <= most:
            return space


def every_row(space: MapSpace) -> dict[tuple[str, ...], npt.NDArray[np.float64]]:
    """(ticks, joules, bytes held) of every legal mapping of every group."""
    scale = space.scale
    engines = len(scale.engines)
    capacity = np.array(scale.capacity)
    leak = scale.leakage_w * scale.tick_s
    found: dict[tuple[str, ...], list[npt.NDArray[np.float64]]] = {}
    for group in space.fusions():
        mine = found.setdefault(tuple(einsum.name for einsum in group), [])
        for inside in space.insides(group):
            for shared in itertools.product(*space.shared_menus(inside)):
                total = np.zeros((1, engines + 1 + len(capacity)))
                for einsum in group:
                    rows = [
                        one for nest in space.nests(einsum, inside) for one in [_rows(space, nest, shared)]
                    ]
                    none = np.zeros((0, total.shape[1]))
                    total = (total[:, None] + np.concatenate([none, *rows])[None]).reshape(-1, total.shape[1])
                total = total[np.all(total[:, engines + 1 :] <= capacity, axis=1)]
                ticks = total[:, :engines].max(axis=1)
                joules = total[:, engines] + leak * ticks
                mine.append(np.stack([ticks, joules, total[:, engines + 1 :].sum(axis=1)], axis=1))
    return {name: np.concatenate(rows) for name, rows in found.items() if rows}


def _rows(space: MapSpace, nest: Any, shared: tuple[int, ...]) -> npt.NDArray[np.float64]:
    table = tables(space.cascade, space.machine, nest, space.scale)
    tiles = list(space.tile_vectors(nest, shared))
    choices = list(itertools.product(*(range(len(choices)) for choices in nest.choices)))
    every = [(tile, choice) for tile in tiles for choice in choices]
    depth, tensors = len(nest.loops), len(nest.tensors)
    rows, legal = cost(
        table, np.array([tile for tile, _ in every], np.int64).reshape(len(every), depth),
        np.array([choice for _, choice in every], np.int64).reshape(len(every), tensors),
    )  # fmt: skip
    picked: npt.NDArray[np.float64] = rows[legal == 1]
    return picked


def cuts(names: tuple[str, ...], most: int) -> list[tuple[tuple[str, ...], ...]]:
    """Every way to cut names into runs of at most `most`."""
    if not names:
        return [()]
    return [
        (names[:count], *rest)
        for count in range(1, min(most, len(names)) + 1)
        for rest in cuts(names[count:], most)
    ]


def whole(space: MapSpace) -> npt.NDArray[np.float64]:
    """(ticks, joules, bytes) of every distinct mapping of the whole cascade, whatever stays on chip in it."""
    every = []
    names = tuple(einsum.name for einsum in space.einsums)
    for part_of in space.spaces():
        rows = {name: np.unique(found, axis=0) for name, found in every_row(part_of).items()}
        kept = sum(part_of.bytes_of(name) for name in part_of.resident or ())
        for cut in cuts(names, len(names)):  # groups with state may be larger than others
            if any(part not in rows for part in cut):
                continue
            total = np.zeros((1, 3))
            for part in cut:
                one, two = total[:, None], rows[part][None]
                joined = np.stack([one[..., 0] + two[..., 0], one[..., 1] + two[..., 1],
                                   np.maximum(one[..., 2], two[..., 2])], axis=-1)  # fmt: skip
                total = np.unique(joined.reshape(-1, 3), axis=0)
            every.append(total + np.array([0, 0, kept]))
    return np.concatenate(every) if every else np.zeros((0, 3))


def front(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The rows that no other row beats, sorted."""
    rows = np.unique(np.round(rows, 18), axis=0)
    kept = [row for row in rows if not np.any(np.all(rows <= row, axis=1) & np.any(rows < row, axis=1))]
    return np.array(kept)
