"""The sizes on which the FPGA resource model is judged: drawn from a seed before any was synthesised.

The model's form and coefficients come from the modules in elements.csv; nothing here gave a coefficient.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from einsim.accel.fabric.arrays import fusemax_array, nm_chain, systolic_os, systolic_ws
from einsim.accel.fabric.elements import Take, index_bits
from einsim.accel.fabric.feeders import loaded_array, top_n_sorter
from einsim.accel.parts import part_named
from einsim.accel.resources import packed_blocks
from einsim.rtl_models import RTL_DIR
from einsim.rtl_models.design import find_design
from einsim.validation.fpga.synthesis import resources_of

SEED: Final = "einsim, issue 5, 2026-11-26"
DRAWS: Final = 10
MEMORY_DRAWS: Final = 60
# The form of nm_chain was revised once its first draw had been seen (worst LUT error 13.5 %): judged anew.
DRAW: Final = {"nm_chain": "second draw"}
LARGEST_MEMORY_BITS: Final = 3_000_000
PART: Final = part_named("u280")


class DesignPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A design with its RTL parameters."""

    design: str
    parameters: dict[str, int]

    @property
    def name(self) -> str:
        """`systolic_os:R=3,C=5,...`, as the stored counts name it."""
        return f"{self.design}:" + ",".join(f"{key}={value}" for key, value in self.parameters.items())

    def model(self) -> dict[str, int]:
        """What accel's resource model says."""
        return MODELS[self.design](self.parameters)

    def synthesised(self) -> dict[str, int]:
        """What Yosys makes of it."""
        if self.design == "tile_memory":
            counts = resources_of([RTL_DIR / "parts/tile_memory.sv"], self.design, self.parameters, "xcup")
            return {key: counts[key] for key in ("bram36", "uram")}
        counts = resources_of(find_design(self.design).files(), self.design, self.parameters)
        return {key: counts[key] for key in ("dsp", "lut", "ff")}


def grid() -> Iterator[DesignPoint]:
    """DRAWS sizes of each array, MEMORY_DRAWS memories; the same every time."""
    for design, draw in DRAWN.items():
        rng = random.Random(f"{SEED}, {design}{DRAW.get(design, '')}")  # noqa: S311 - a repeatable draw, no secret
        for _ in range(DRAWS):
            yield DesignPoint(design=design, parameters=draw(rng))
    rng = random.Random(f"{SEED}, tile_memory")  # noqa: S311
    found = 0
    while found < MEMORY_DRAWS:
        depth, width = int(2 ** rng.uniform(4, 16)), int(2 ** rng.uniform(0, 8.5))
        ultra = int(rng.random() < 0.4)
        if depth * width <= LARGEST_MEMORY_BITS:
            found += 1
            yield DesignPoint(design="tile_memory", parameters=memory(depth, width, ultra))


def memory(depth: int, width: int, ultra: int) -> dict[str, int]:
    """RTL parameters of a buffer."""
    return {"DEPTH": depth, "WIDTH": width, "AW": max(1, (depth - 1).bit_length()), "ULTRA": ultra}


def _array(rng: random.Random) -> dict[str, int]:
    group = rng.choice((1, 1, 4, 8))
    return {
        "R": rng.randint(1, 12), "C": rng.randint(1, 12), "W": rng.choice((4, 6, 8, 8, 12, 16)),
        "ACC": rng.choice((24, 32, 32, 40)), "G": group, "IXW": index_bits(group),
    }  # fmt: skip


def _chain(rng: random.Random) -> dict[str, int]:
    return {
        "ROWS": rng.randint(1, 3), "COLS": rng.randint(1, 4), "LENGTH": rng.randint(1, 16),
        "W": rng.choice((4, 8, 8, 12, 16)),
    }  # fmt: skip


def _sorter(rng: random.Random) -> dict[str, int]:
    n, m = rng.choice(((1, 4), (2, 4), (1, 8), (2, 8), (4, 8), (4, 16)))
    return {
        "LANES": rng.randint(1, 32), "N": n, "M": m, "W": rng.choice((4, 8, 8, 12, 16)), "IXW": index_bits(m),
    }  # fmt: skip


def _loader(rng: random.Random) -> dict[str, int]:
    return {
        "R": rng.randint(1, 8), "C": rng.randint(1, 8), "DEPTH": rng.randint(2, 128),
        "W": rng.choice((4, 8, 8, 12)),
    }  # fmt: skip


def _fusemax(rng: random.Random) -> dict[str, int]:
    depth = rng.randint(1, 4)
    return {"R": rng.randint(1, 5), "C": rng.randint(1, 5), "DEPTH": depth, "SLOT": index_bits(depth)}


DRAWN: Final[Mapping[str, Callable[[random.Random], dict[str, int]]]] = {
    "systolic_os": _array,
    "systolic_ws": _array,
    "nm_chain": _chain,
    "top_n_sorter": _sorter,
    "loaded_array": _loader,
    "fusemax_array": _fusemax,
}


def _of(take: Callable[..., Take], *names: str) -> Callable[[Mapping[str, int]], dict[str, int]]:
    return lambda parameters: take(*(parameters[name] for name in names)).resources()


def _blocks(parameters: Mapping[str, int]) -> dict[str, int]:
    used, other = ("uram", "bram36") if parameters["ULTRA"] else ("bram36", "uram")
    rams = PART.rams("uram" if parameters["ULTRA"] else "bram")
    return {used: packed_blocks(parameters["DEPTH"], parameters["WIDTH"], rams), other: 0}


MODELS: Final[Mapping[str, Callable[[Mapping[str, int]], dict[str, int]]]] = {
    "systolic_os": _of(systolic_os, "R", "C", "W", "ACC", "G"),
    "systolic_ws": _of(systolic_ws, "R", "C", "W", "ACC", "G"),
    "nm_chain": _of(nm_chain, "ROWS", "COLS", "LENGTH", "W"),
    "top_n_sorter": _of(top_n_sorter, "LANES", "N", "M", "W"),
    "loaded_array": _of(loaded_array, "R", "C", "DEPTH", "W"),
    "fusemax_array": _of(fusemax_array, "R", "C", "DEPTH"),
    "tile_memory": _blocks,
}
