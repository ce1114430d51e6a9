"""Random small machines: one to four cores, memories shared or in each core, units of every kind."""

from __future__ import annotations

import random

import msgspec

from einsim.accel.codec import Codec
from einsim.accel.machine import Fill, Machine, OpCost, Role, Unit, UnitKind
from einsim.accel.memory import Memory
from einsim.accel.noc import Noc
from einsim.accel.registers import OperandLoad, RegisterFile

CLOCK = 1_000_000_000
OPS = ("mac", "mul", "add", "max", "min", "exp", "div", "select", "cmp")
KINDS: tuple[UnitKind, ...] = ("array", "systolic", "dsp-chain")
PATTERNS = ((), ("n:m",), ("n:m", "block"), ("block", "top-k"), ("unstructured", "n:m"))


def draw_machine(rng: random.Random, *, plain: bool = False) -> Machine:
    """A machine; a `plain` one has one core, no banks, no sparsity and no memory that holds only some."""
    cores = 1 if plain else rng.choice((1, 1, 2, 3, 4))
    memories = [_memory("dram", None, rng, plain=plain), _memory("gb", "dram", rng, plain=plain)]
    copies = cores if cores > 1 and rng.random() < 0.5 else 1
    if copies > 1 or rng.random() < 0.4:
        memories.append(_memory("l1", "gb", rng, plain=plain, copies=copies))
    units = (
        _unit(
            "mm",
            rng.choice(KINDS),
            {"rows": rng.randint(1, 4), "cols": rng.randint(1, 4)},
            rng,
            cores,
            memories,
            plain,
        ),
        _unit("vec", "vector", {"lanes": rng.randint(1, 4)}, rng, cores, memories, plain),
    )
    multicast = plain or rng.random() < 0.7
    network = _network(cores, memories, multicast=multicast)
    made = Machine(
        name="drawn", family="generic", clock_hz=float(CLOCK), memories=tuple(memories), units=units,
        multicast=multicast, leakage_w=rng.choice((0.0, 1.0)), noc=network,
    )  # fmt: skip
    apart = random.Random(repr(made))  # noqa: S311 - cases, not secrets
    if not plain and apart.random() < 0.3:
        made = _by_role(made, apart)
    return made if plain or apart.random() < 0.7 else _coding(made, apart)


def _coding(chip: Machine, rng: random.Random) -> Machine:
    """The machine with a codec on the way to DRAM, and sometimes to its buffer."""
    runs = Codec(format="run-length", run_bits=rng.choice((1, 2, 5)), word_bytes=rng.choice((2, 4, 8)))
    codec = rng.choice((runs, runs, Codec(format="pattern")))
    names = ("dram", "gb") if rng.random() < 0.3 else ("dram",)
    memories = (
        msgspec.structs.replace(one, codec=codec) if one.name in names else one for one in chip.memories
    )
    return msgspec.structs.replace(chip, memories=tuple(memories))


def _by_role(chip: Machine, rng: random.Random) -> Machine:
    """The machine with a memory for each role of its matrix unit, or of both units, filled from `gb`, from
    DRAM or from either; sometimes one in each core.
    """
    cores = chip.units[0].dims.get("cores", 1)
    memories = [memory for memory in chip.memories if memory.name in ("dram", "gb")]
    parents: list[str | tuple[str, ...]] = ["gb", "dram", ("gb", "dram")]
    if rng.random() < 0.3:
        memories.append(_memory("side", "dram", rng, plain=True))
        parents += ["side", ("gb", "side")]
    for name in ("spad", "wbuf", "acc"):
        copies = cores if rng.random() < 0.5 else 1
        made = _memory(name, "gb", rng, plain=True, copies=copies)
        wide = rng.choice((0, 0, 20, 32)) if name == "acc" else 0
        memories.append(msgspec.structs.replace(made, parent=rng.choice(parents), value_bits=wide))
    matrix: dict[Role, str] = {"inputs": "spad", "outputs": rng.choice(("acc", "acc", "spad"))}
    if rng.random() < 0.7:
        matrix["weights"] = rng.choice(("wbuf", "wbuf", "gb", "dram"))
    vector: str | dict[Role, str] = "gb"
    if rng.random() < 0.5:
        vector = {"inputs": rng.choice(("acc", "spad", "gb")), "outputs": rng.choice(("acc", "spad", "gb"))}
    reads = zip(chip.units, (matrix, vector), strict=True)
    units = tuple(msgspec.structs.replace(unit, reads_from=given) for unit, given in reads)
    return msgspec.structs.replace(chip, memories=tuple(memories), units=units)


def _network(cores: int, memories: list[Memory], *, multicast: bool) -> Noc | None:
    """A network to several cores, or none."""
    wide = random.Random(repr(memories))  # noqa: S311 - cases, not secrets
    rate = wide.choice((None, 1, 1, 3, 64)) if cores > 1 else None
    return Noc(bytes_per_s=rate * CLOCK, multicast=multicast and wide.random() < 0.5) if rate else None


def _memory(name: str, parent: str | None, rng: random.Random, *, plain: bool, copies: int = 1) -> Memory:
    rates = [rng.choice((None, 1, 2, 3, 8, 64)) for _ in range(2)]
    holds: tuple[str, ...] = ()
    if not plain and name == "l1" and rng.random() < 0.2:
        holds = rng.choice((("inputs", "outputs"), ("inputs", "outputs", "weights")))
    drawn = Memory(
        name=name, parent=parent, capacity_bytes=None, copies=copies, holds=holds,
        read_bytes_per_s=rates[0] and rates[0] * CLOCK, write_bytes_per_s=rates[1] and rates[1] * CLOCK,
        shared_port=rng.random() < 0.5, access_bytes=rng.choice((1, 2, 8)),
        read_pj=rng.choice((1.0, 2.5)), write_pj=rng.choice((1.0, 3.5)),
        banks=rng.choice((1, 1, 1, 2)) if not plain else 1,
    )  # fmt: skip
    if parent is None or plain:
        return drawn
    rate = random.Random(repr(drawn)).choice((None, None, None, 2, 16))  # noqa: S311 - cases, not secrets
    return msgspec.structs.replace(drawn, bus=f"to {name}", bus_bytes_per_s=rate * CLOCK) if rate else drawn


def _unit(
    name: str,
    kind: UnitKind,
    dims: dict[str, int],
    rng: random.Random,
    cores: int,
    memories: list[Memory],
    plain: bool,
) -> Unit:
    ops = {
        op: OpCost(
            cycles=rng.choice((1, 1, 2)),
            energy_pj=rng.choice((0.5, 1.5)),
            latency_cycles=rng.choice((0, 0, 3)),
        )
        for op in OPS
    }
    wide = random.Random(repr(ops))  # noqa: S311 - cases, not secrets
    bits = wide.choice(((), (), (), (8,), (16,))) if kind != "vector" else ()
    if bits:
        stated = wide.choice(({}, {"16": OpCost(cycles=2, energy_pj=4.0)}, {"32x8": OpCost(cycles=3)}))
        ops["mac"] = msgspec.structs.replace(ops["mac"], by_bits=stated)
    fill: Fill = rng.choice(("hidden", "exposed"))
    late = rng.choice(({"max": 0}, {"max": 5}))
    stated_latency = late if wide.random() < 0.7 else {}
    load = OperandLoad()
    if kind == "systolic":
        own = random.Random(f"weights of {ops}")  # noqa: S311 - cases, not secrets
        load = OperandLoad(rows_per_cycle=own.choice((1, 1, 1, 2, 3)), hidden=own.random() < 0.7)
    return Unit(
        operand_load=load,
        accumulator_bits=wide.choice((None, None, 12, 32)), bits=bits, name=name, kind=kind,
        dims={"cores": cores, **dims} if cores > 1 else dims, ops=ops,
        reads_from=memories[-1].name, clock_hz=rng.choice((None, None, CLOCK / 2)),
        registers=RegisterFile(bytes_per_pe=1 << 20, read_pj=0.5, write_pj=0.25),
        fused_ops=(("add", "exp"),) if kind == "vector" and rng.random() < 0.5 else (),
        exploits=() if plain or kind == "vector" else rng.choice(PATTERNS),
        dataflows=("output-stationary", "weight-stationary", "input-stationary") if kind != "vector" else (),
        reduction_latency_cycles=stated_latency, fill=fill if kind != "vector" else "hidden",
    )  # fmt: skip
