"""Small machines, cascades and random legal mappings that the laws of dataflow and sim are tried on."""

from __future__ import annotations

import random

import msgspec

from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.accel.registers import RegisterFile
from einsim.dataflow.legality import check
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, Pipeline, Sequence
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.notation import parse

CASCADES = {
    "gemm": "Z[m,n] = A[m,k] * B[k,n]",
    "ffn": "H[m,j] = X[m,k] * W[k,j]\nG[m,j] = exp(H[m,j])\nY[m,n] = G[m,j] * V[j,n]",
    "softmax": "GM[p] = max[m](X[m,p])\nSN[m,p] = exp(X[m,p] - GM[p])\nSD[p] = sum[m](SN[m,p])\n"
    "Y[m,p] = SN[m,p] / SD[p]",
    "chain": "B[i,j] = exp(A[i,j])\nC[i,j] = B[i,j] + A[i,j]\nD[i,j] = C[i,j] * B[i,j]",
    "conv": "O[k,x] = I[c,x+r] * W[k,c,r]\nP[k,x] = max(O[k,x], 0)",
    "attention": "QK[m,p] = Q[e,p] * K[e,m]\nGM[p] = max[m](QK[m,p])\nSN[m,p] = exp(QK[m,p] - GM[p])\n"
    "SD[p] = sum[m](SN[m,p])\nA[m,p] = SN[m,p] / SD[p]\nAV[f,p] = A[m,p] * V[f,m]",
    "causal": "where m <= p\nQK[m,p] = Q[e,p] * K[e,m]\nGM[p] = max[m](QK[m,p])\n"
    "SN[m,p] = exp(QK[m,p] - GM[p])\nAV[f,p] = SN[m,p] * V[f,m]",
    "window": "where m <= p\nwhere p - m < 3\nQK[m,p] = Q[e,p] * K[e,m]\nAV[f,p] = QK[m,p] * V[f,m]",
    "running": "initial RM = -inf\ninitial RD = 0\nLM[s,p] = max[t](X[s,t,p])\n"
    "RM[s+1,p] = max(RM[s,p], LM[s,p])\nLN[s,t,p] = exp(X[s,t,p] - RM[s+1,p])\n"
    "LD[s,p] = sum[t](LN[s,t,p])\nPM[s,p] = exp(RM[s,p] - RM[s+1,p])\nSD[s,p] = RD[s,p] * PM[s,p]\n"
    "RD[s+1,p] = LD[s,p] + SD[s,p]\nOUT[p] = RD[{S},p] * 2",
}


def cascade(name: str, rng: random.Random, largest: int = 7) -> Cascade:
    """A cascade by name with ranks of 2 to `largest` points."""
    text = CASCADES[name]
    found = {char for char in text if char.islower() and char.isalpha()}
    sizes = {
        rank: rng.randint(2, largest) for rank in sorted(found) if f"[{rank}" in text or f",{rank}" in text
    }
    sizes |= {rank: rng.randint(2, 3) for rank in ("r", "t") if rank in sizes}
    if name in ("causal", "window"):
        sizes["m"] = sizes["p"]
    work = parse(text.replace("{S}", str(sizes.get("s", 0))), name=name, sizes=sizes)
    drawn = random.Random(str(work))
    made = [einsum.name for einsum in work.einsums]
    return msgspec.structs.replace(work, declared=tuple(one for one in made if drawn.random() < 0.25))


def machine(rng: random.Random, *, ideal: bool = False, levels: int | None = None) -> Machine:
    """An array and a vector unit behind one or two memories; `ideal` leaves every port unlimited."""
    clock = 1_000_000_000

    def rate() -> int | None:
        return None if ideal else rng.choice((None, 1, 2, 3, 8, 64))

    def memory(name: str, parent: str | None) -> Memory:
        read, write = ((per or 0) * clock or None for per in (rate(), rate()))
        return Memory(
            name=name, parent=parent, capacity_bytes=None, read_bytes_per_s=read, write_bytes_per_s=write,
            shared_port=rng.random() < 0.5, access_bytes=rng.choice((1, 2, 8)), read_pj=rng.choice((1.0, 2.5)),
            write_pj=rng.choice((1.0, 3.5)), leakage_w=rng.choice((0.0, 0.25)),
        )  # fmt: skip

    memories = [memory("dram", None), memory("gb", "dram")]
    if (levels or rng.randint(1, 2)) == 2:
        memories.append(memory("l1", "gb"))
    slow = {op: OpCost(cycles=rng.choice((1, 1, 2)), energy_pj=1.5, latency_cycles=rng.choice((0, 0, 3)))
            for op in ("mac", "mul", "add", "max", "exp", "div")}  # fmt: skip
    registers = RegisterFile(bytes_per_pe=1 << 20, read_pj=0.5, write_pj=0.25)
    drawn = random.Random(repr(memories))
    bits = drawn.choice(((), (), (8,), (16,), (4, 8)))
    stated = drawn.choice(({}, {"16": OpCost(cycles=2, energy_pj=4.0)}, {"16x8": OpCost(cycles=3)}))
    forms = {"mac": stated, "exp": {"16": slow["exp"]}, "div": {"16": slow["div"]}} if bits else {}
    wide = {op: msgspec.structs.replace(cost, by_bits=forms.get(op, {})) for op, cost in slow.items()}
    array = Unit(
        name="mm", kind="array", dims={"rows": rng.randint(1, 4), "cols": rng.randint(1, 4)}, ops=wide, bits=bits,
        reads_from=memories[-1].name, registers=registers, fill=rng.choice(("hidden", "exposed")),
        reduction_latency_cycles=rng.choice(({"max": 0}, {"max": 5})) if drawn.random() < 0.7 else {},
    )  # fmt: skip
    vector = Unit(
        name="vec", kind="vector", dims={"lanes": rng.randint(1, 4)}, ops=slow, reads_from=memories[-1].name,
        registers=registers, clock_hz=rng.choice((None, clock / 2)), fused_ops=(("add", "exp"),),
    )  # fmt: skip
    return Machine(
        name="chip", family="generic", clock_hz=float(clock), memories=tuple(memories), units=(array, vector),
        leakage_w=rng.choice((0.0, 1.0)),
    )  # fmt: skip


def mapping(rng: random.Random, work: Cascade, chip: Machine, tries: int = 200) -> Mapping | None:
    """A random legal mapping; None where none of the trees tried is legal."""
    for _ in range(tries):
        tree = _Grower(rng, work, chip).grow(list(work.einsums), {}, frozenset())
        made = Mapping(cascade=work.name, machine=chip.name, template="random", tree=tree)
        try:
            check(made, work, chip)
        except EinsimError:
            continue
        return made
    return None


class _Grower:
    def __init__(self, rng: random.Random, work: Cascade, chip: Machine) -> None:
        self.rng = rng
        self.work = work
        self.chip = chip
        self.memory = chip.units[0].reads_from
        self.fusing = rng.random()
        self.stack = [memory.name for memory in chip.memories if memory.parent]

    def grow(self, einsums: list[Einsum], tiles: dict[str, int], kept: frozenset[str]) -> Node:
        """A tree over neighbouring Einsums: shared loops, keeps, then children or a leaf."""
        rng = self.rng
        shared = [rank for rank in einsums[0].ranks if all(rank in einsum.ranks for einsum in einsums)]
        chosen = [rank for rank in shared if rng.random() < (0.7 if len(einsums) == 1 else self.fusing)]
        chosen += [rank for rank in chosen if rng.random() < 0.15]
        rng.shuffle(chosen)
        names = list(dict.fromkeys(n for e in einsums for n in (*(a.tensor for a in e.reads), e.name)))
        state = {rank for einsum in self.work.einsums for rank in einsum.iterative}
        wraps: list[Loop | Keep] = []
        tiles = dict(tiles)
        hole = Compute(einsum="", unit="")
        for rank in [*chosen, None]:
            for name in names:
                last = rank is None and len(einsums) == 1
                reduced = rank is not None and any(e.name == name and rank in e.reduced for e in einsums)
                if name not in kept and (last or reduced or rng.random() < 0.2):
                    kept |= {name}
                    wraps += self._keeps(name, hole)
            if rank is not None:
                extent = tiles.get(rank, self.work.size(rank))
                tiles[rank] = 1 if rank in state else rng.randint(1, extent)
                wraps.append(Loop(rank=rank, tile=tiles[rank], body=hole))
        body = self._body(einsums, tiles, kept)
        for node in reversed(wraps):
            body = msgspec.structs.replace(node, body=body)
        return body

    def _keeps(self, name: str, hole: Node) -> list[Keep]:
        rng = self.rng
        stack = self.stack if rng.random() < 0.5 else self.stack[-1:]
        return [
            Keep(tensors=(name,), memory=memory, body=hole, buffers=rng.randint(1, 3),
                 spill=rng.choice((0.0, 0.0, 0.0, 0.25)))
            for memory in stack
        ]  # fmt: skip

    def _body(self, einsums: list[Einsum], tiles: dict[str, int], kept: frozenset[str]) -> Node:
        rng = self.rng
        if len(einsums) == 1:
            einsum = einsums[0]
            unit = rng.choice(self.chip.units)
            ranks = [rank for rank in einsum.ranks if rank not in einsum.iterative]
            rng.shuffle(ranks)
            spatial = {dim: (ranks.pop(),) for dim in unit.dims if ranks and rng.random() < 0.8}
            return Compute(einsum=einsum.name, unit=unit.name, spatial=spatial)
        cuts = sorted(rng.sample(range(1, len(einsums)), rng.randint(1, len(einsums) - 1)))
        parts = [einsums[a:b] for a, b in zip([0, *cuts], [*cuts, len(einsums)], strict=True)]
        group = rng.choice((Pipeline, Pipeline, Sequence))
        return group(children=tuple(self.grow(part, tiles, kept) for part in parts))


def program_case(
    seed: int, *, ideal: bool = False, largest: int = 6
) -> tuple[Cascade, Machine, Mapping] | None:
    """A cascade, a machine and a legal mapping from a seed; None where no legal tree was found."""
    rng = random.Random(seed)
    work = cascade(rng.choice(list(CASCADES)), rng, largest)
    chip = machine(rng, ideal=ideal)
    made = mapping(rng, work, chip)
    return None if made is None else (work, chip, made)
