"""The FPGA suite: what accel's resource model says of a design against what Yosys synthesises of it.

DSPs, BRAM36 and UltraRAM must be equal. LUTs and flip-flops of the model are straight lines in the number
of DSPs whose two coefficients come from the two sizes in FITTED; every other size is judged, within 15 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from accel.families.fpga_dsp import FpgaDsp, Logic, resources
from accel.parts import PARTS
from rtl_models import RTL_DIR
from rtl_models.design import find_design
from specs.errors import RuleError
from specs.loader import decode, load_yaml
from specs.near import near
from specs.units import Bytes
from validation.fpga.proof import prove_element
from validation.fpga.synthesis import depth_of, resources_of
from validation.row import Row, held

SUITE: Final = "fpga"
SOURCE: Final = "Yosys synth_xilinx (pyosys): xc7 for DSP, LUT and FF, xcup with -uram for memory blocks"
LOGIC_LIMIT: Final = 0.15
# The first two sizes of each design give the coefficients, the others are judged.
FITTED: Final[Mapping[str, tuple[tuple[int, int], ...]]] = {
    "nm_chain": ((1, 1), (2, 4), (1, 2), (2, 2), (3, 2)),
    "systolic_os": ((2, 2), (6, 6), (4, 4), (3, 5), (5, 7)),
}
CHAIN: Final = 4
# depth, width in bits, UltraRAM: whole blocks, several deep, several wide. Yosys mixes block shapes for odd
# depths, the model does not: the last two of these are shown without a limit.
MEMORIES: Final = (
    (512, 72, False), (1024, 72, False), (2048, 36, False), (4096, 18, False), (512, 512, False),
    (4096, 72, True), (8192, 72, True), (4096, 144, True), (3000, 40, False), (5000, 100, True),
)  # fmt: skip
WHOLE: Final = 8
CASES: Final = (*FITTED, "tile_memory", "pe_os")


def run(cases: Sequence[str] = (), progress: Callable[[str], None] = lambda _: None) -> Iterator[Row]:
    """Rows of the named designs, or of all. SynthesisError without pyosys; RuleError for an unknown name."""
    for case in cases:
        if case not in CASES:
            raise RuleError("no such design in this suite", got=case, hint=near(case, CASES))
    wanted = set(cases or CASES)
    for design in FITTED:
        if design in wanted:
            yield from logic_rows(design, progress)
    if "tile_memory" in wanted:
        yield from memory_rows(progress)
    if "pe_os" in wanted:
        progress("bounded proof of pe_os")
        yield row("pe_os:bounded proof", "counterexamples", 0, prove_element(), 0.0)


def rows(full: bool = False) -> list[Row]:
    """All rows; there is one grid."""
    assert not full, "there is no larger grid"
    return list(run())


def logic_rows(name: str, progress: Callable[[str], None]) -> Iterator[Row]:
    """DSPs exactly, LUTs and flip-flops within LOGIC_LIMIT on the sizes that gave no coefficient."""
    found = {}
    for rows_, cols in FITTED[name]:
        progress(f"{name} {rows_}x{cols}")
        found[rows_, cols] = resources_of(find_design(name).files(), name, parameters(name, rows_, cols))
    first, second = FITTED[name][:2]
    logic = fitted(found[first], found[second])
    for (rows_, cols), real in found.items():
        spec = machine(name, rows_, cols, logic)
        model = resources(spec, PARTS["u280"])
        case = f"{name}:{rows_}x{cols}"
        yield row(case, "dsp", real["dsp"], model["dsp"], 0.0)
        for quantity in ("lut", "ff"):
            judged = None if (rows_, cols) in {first, second} else LOGIC_LIMIT
            note = "" if judged else "gave a coefficient"
            yield row(case, quantity, real[quantity], model[quantity], judged, note)
    depth = depth_of(find_design(name).files(), name, parameters(name, *first))
    yield row(f"{name}:{first[0]}x{first[1]}", "gate depth", None, depth, None, "an indication of the clock")


def memory_rows(progress: Callable[[str], None]) -> Iterator[Row]:
    """Memory blocks of one buffer."""
    for number, (depth, width, ultra) in enumerate(MEMORIES):
        progress(f"tile_memory {depth} x {width}")
        values = {"DEPTH": depth, "WIDTH": width, "AW": (depth - 1).bit_length(), "ULTRA": int(ultra)}
        real = resources_of([RTL_DIR / "parts/tile_memory.sv"], "tile_memory", values, "xcup")
        spec = machine("nm_chain", 1, 1, template().logic)
        buffer = msgspec.structs.replace(
            template().buffers["tile"], capacity=Bytes.parse(depth * width // 8), width_bits=width,
            ram="uram" if ultra else "bram",
        )  # fmt: skip
        model = resources(msgspec.structs.replace(spec, buffers={"tile": buffer}), PARTS["u280"])
        quantity = "uram" if ultra else "bram36"
        whole = number < WHOLE
        note = "" if whole else "Yosys mixes block shapes here, the model does not"
        yield row(
            f"tile_memory:{depth}x{width}",
            quantity,
            real[quantity],
            model[quantity],
            0.0 if whole else None,
            note,
        )


def row(
    case: str, quantity: str, reference: float | None, ours: float, limit: float | None, note: str = ""
) -> Row:
    """A row of this suite."""
    return held(
        suite=SUITE, case=case, quantity=quantity, level="resource model", reference=reference, ours=ours,
        limit=limit, source=SOURCE, note=note,
    )  # fmt: skip


def parameters(name: str, rows_: int, cols: int) -> dict[str, int]:
    """RTL parameters of a size."""
    return (
        {"R": rows_, "C": cols} if name == "systolic_os" else {"ROWS": rows_, "COLS": cols, "LENGTH": CHAIN}
    )


def fitted(small: Mapping[str, int], large: Mapping[str, int]) -> Logic:
    """The straight lines through two synthesised sizes."""
    dsps = large["dsp"] - small["dsp"]
    luts, ffs = (round((large[key] - small[key]) / dsps) for key in ("lut", "ff"))
    return Logic(
        luts_per_dsp=luts, ffs_per_dsp=ffs, luts_per_chain=0, luts_per_channel=0, dsps_of_control=0,
        luts_of_control=max(0, small["lut"] - luts * small["dsp"]),
        ffs_of_control=max(0, small["ff"] - ffs * small["dsp"]),
    )  # fmt: skip


def machine(name: str, rows_: int, cols: int, logic: Logic) -> FpgaDsp:
    """The fpga-dsp spec of one array: `chain` slices in a chain, or a DSP an element."""
    chain = CHAIN if name == "nm_chain" else 1
    matrix = msgspec.structs.replace(template().matrix["mm"], rows=rows_, cols=cols * chain, chain=chain)
    return msgspec.structs.replace(template(), matrix={"mm": matrix}, logic=logic)


@cache
def template() -> FpgaDsp:
    """`fpga_machine.yaml`."""
    return decode(load_yaml(Path(__file__).parent / "fpga_machine.yaml"), FpgaDsp, "accel")
