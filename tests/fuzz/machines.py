"""Machines: presets and small ones written out, whole or changed."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Final

import yaml

import einsim.accel
from einsim.accel.machine import DATAFLOWS
from tests.fuzz.draw import SIZES, Draw, paths

PRESETS: Final = tuple(sorted((Path(einsim.accel.__file__).parent / "presets").glob("*.yaml")))
OPS: Final = (
    "mac", "mul", "add", "max", "min", "exp", "div", "sqrt", "rsqrt", "tanh", "sigmoid", "erf", "log", "abs",
    "select", "cmp",
)  # fmt: skip
RATES: Final = ("1GB/s", "7GB/s", "64GB/s", "1000GB/s", "3B/s")
COUNTS: Final = {"rows", "cols", "lanes", "cores", "chain", "units", "slrs"}
"""Keys of a family's machine that stand for how many of something there are."""


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def preset(draw: Draw) -> dict[str, Any]:
    """A preset's file as data, of any family, with other counts in some."""
    data = yaml.safe_load(_text(draw.choice(PRESETS)))
    if draw.chance(0.6):
        small(draw, data)
    return dict(data)


def small(draw: Draw, data: Any) -> None:
    """Other counts of rows, lanes, cores and so on; figures then have no source."""
    for path in paths(data)[1:]:
        parent: Any = data
        for key in path[:-1]:
            parent = parent[key]
        if path[-1] in COUNTS and isinstance(parent[path[-1]], int):
            parent[path[-1]] = draw.choice(SIZES)


def written(draw: Draw) -> dict[str, Any]:
    """A machine written out: one to five memories, one to three units; as a rule it is legal."""
    cores = draw.choice((1, 1, 1, 2, 3))
    memories: dict[str, Any] = {"dram": port(draw, access=draw.choice(("1B", "8B", "64B")))}
    if not draw.large and draw.chance(0.06):
        draw.timed = True
        memories["dram"] |= {"bandwidth": "25GB/s", "timing": draw.choice(("ddr4-3200", "hbm2"))}
        memories["dram"] = {k: v for k, v in memories["dram"].items() if not k.endswith("_bandwidth")}
    inner = draw.sample(("gb", "l1", "spad", "acc", "module"), draw.randint(1, 4))
    last = ["dram"]
    for name in inner:
        parent: Any = draw.choice(last) if len(last) < 2 or draw.chance(0.8) else draw.sample(last, 2)
        memories[name] = {
            "parent": parent,
            **draw.maybe(0.8, capacity=draw.choice(("64B", "1KiB", "20KiB", "1MiB", "64MiB"))),
            **port(draw, access=draw.choice(("1B", "2B", "16B"))),
            **draw.maybe(0.15, banks=draw.choice((1, 2, 3, 8))),
            **draw.maybe(0.1, bus="xbar", bus_bandwidth="32GB/s"),
            **draw.maybe(0.15, descriptor_cycles=draw.choice((0, 1, 50))),
            **draw.maybe(0.1, dma_engines=draw.choice((0, 1, 2))),
            **draw.maybe(0.1, value_bits=draw.choice((8, 16, 32))),
            **draw.maybe(0.2 if cores > 1 else 0.0, copies=cores),
            **draw.maybe(0.1, holds=draw.choice((["inputs"], ["outputs"], ["inputs", "outputs", "weights"]))),
        }
        last.append(name)
    units = {
        name: unit(draw, inner, cores) for name in draw.sample(("mm", "vec", "end", "u2"), draw.randint(1, 3))
    }
    return {
        "machine": draw.choice(("chip", "module", "a-b_c")),
        "clock": draw.choice(("1GHz", "940MHz", "333333333", "1.5Hz")),
        **draw.maybe(0.7, leakage=draw.choice(("0W", "1W", "0.3mW"))),
        "memories": memories, "units": units,
        **draw.maybe(0.15, noc={"bandwidth": draw.choice(RATES), **draw.maybe(0.5, multicast=draw.chance(0.5))}),
        **draw.maybe(0.2, multicast=draw.chance(0.5)),
    }  # fmt: skip


def port(draw: Draw, access: str) -> dict[str, Any]:
    """How a memory is reached."""
    rates = draw.choice((
        {}, {"bandwidth": draw.choice(RATES)},
        {"read_bandwidth": draw.choice(RATES), "write_bandwidth": draw.choice(RATES)},
        {"read_bandwidth": draw.choice(RATES)},
    ))  # fmt: skip
    energies = {"read_energy": draw.choice(("2pJ", "0pJ", "1.5nJ")), **draw.maybe(0.5, write_energy="3pJ")}
    codec = draw.choice(({"run_bits": 5, "word": "8B"}, {"run_bits": 1, "word": "2B"}, {"format": "pattern"}))
    parts = draw.maybe(0.8, **energies), draw.maybe(0.1, leakage="1mW"), draw.maybe(0.1, codec=codec)
    return {"access": access, **rates, **{key: one for part in parts for key, one in part.items()}}


def unit(draw: Draw, memories: list[str], cores: int) -> dict[str, Any]:
    """A unit of any kind and shape, `1 x N` and one dimension included."""
    kind = draw.choice(("systolic", "array", "vector", "vector", "dsp-chain"))
    dims = (
        ["lanes"] if kind == "vector" else draw.choice((["rows", "cols"],) * 5 + (["rows"], ["cols"], ["x"]))
    )
    ops = list(OPS) if draw.chance(0.6) else draw.some(OPS, 0.8) or ["mac"]
    roles: dict[str, str] = {role: draw.choice(memories) for role in ("inputs", "outputs")}
    if kind != "vector" and draw.chance(0.5):
        roles["weights"] = draw.choice(memories)
    bits = draw.choice(([], [], [], [8], [16], [4, 8]))
    return {
        "kind": kind,
        "dims": {**({"cores": cores} if cores > 1 else {}), **{dim: draw.choice(SIZES) for dim in dims}},
        "reads_from": draw.choice(memories) if draw.chance(0.7) else roles,
        "ops": {op: op_cost(draw, bits) for op in ops},
        **draw.maybe(0.5, registers={"bytes_per_pe": draw.choice(("1B", "8B", "1KiB")), "read_energy": "0.1pJ"}),
        **draw.maybe(0.15 if kind != "vector" else 0.0, dataflows=draw.some(DATAFLOWS)),
        **draw.maybe(0.15 if kind == "systolic" else 0.0, convention=draw.choice(("scale-sim", "edge-aware", "overlapped"))),
        **draw.maybe(0.2 if "rows" in dims else 0.0, reduction_latency_cycles={ops[0]: draw.choice((0, 5, "rows"))}),
        **draw.maybe(0.15 if dims != ["lanes"] else 0.0, fill="exposed"),
        **draw.maybe(0.1, fused_ops=[draw.sample(ops, min(2, len(ops)))]),
        **draw.maybe(0.2, exploits=draw.some(("n:m", "2:4", "block"))),
        **draw.maybe(0.1, accumulator_bits=draw.choice((8, 32, 48))),
        **draw.maybe(0.15, clock=draw.choice(("500MHz", "2GHz", "700MHz"))),
        "bits": bits,
    }  # fmt: skip


def op_cost(draw: Draw, bits: list[int]) -> dict[str, Any]:
    """What an op costs."""
    return {
        **draw.maybe(0.3, cycles=draw.choice((1, 2, 3))),
        **draw.maybe(0.9, energy=draw.choice(("1pJ", "0.2pJ", "0pJ"))),
        **draw.maybe(0.1, latency_cycles=draw.choice((0, 1, 4))),
        **(draw.maybe(0.2, by_bits={draw.choice((16, "16x8", 32)): {"cycles": 2}}) if bits else {}),
    }


def machine(draw: Draw) -> dict[str, Any]:
    """A machine of any family, or one written out."""
    return written(draw) if draw.chance(0.6) else preset(draw)
