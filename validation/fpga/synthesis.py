"""Counts of DSPs, memory blocks, LUTs and flip-flops by Yosys, through the `pyosys` package.

Yosys ends its process on an error, so that it runs in one of its own. LUTs are LUT1 to LUT6 cells,
inverters, which Yosys leaves beside them, and the LUTs of distributed RAM and shift registers; flip-flops
FDRE, FDSE, FDCE and FDPE; a BRAM36 two BRAM18.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from einsim.specs.errors import EinsimError

FAMILIES: Final = {"xc7": "", "xcup": " -uram"}
"""7 series maps multiply, add and cascade into a DSP48E1; only UltraScale+ (xcup) has UltraRAM."""
# UG474 (7 series CLB): LUTs of a distributed RAM or shift register.
MEMORY_LUTS: Final = {
    r"RAM(32|64)M": 4, r"RAM(32|64)X1D": 2, r"RAM128X1D|RAM256X1S": 4, r"RAM(32|64)X1S": 1,
    r"SRLC?(16|32)E": 1,
}  # fmt: skip
TIMEOUT_S: Final = 600


class SynthesisError(EinsimError):
    """Yosys is not here, or does not take a design."""


def run_yosys(script: Sequence[str]) -> str:
    """Run passes one after the other; what Yosys printed. SynthesisError with its first error."""
    if find_spec("pyosys") is None:
        raise SynthesisError("synthesis needs pyosys; run: pip install 'einsim[fpga]'")
    program = (
        "import sys, json\nfrom pyosys import libyosys as ys\ndesign = ys.Design()\n"
        "for line in json.loads(sys.argv[1]): ys.run_pass(line, design)\n"
    )
    command = [sys.executable, "-c", program, msgspec.json.encode(list(script)).decode()]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SynthesisError(f"Yosys did not end within {TIMEOUT_S} s") from None
    if done.returncode != 0:
        faults = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
        raise SynthesisError(f"Yosys: {faults[0] if faults else f'ended with {done.returncode}'}")
    return done.stdout


def resources_of(
    files: Sequence[Path], top: str, parameters: Mapping[str, int], family: str = "xc7"
) -> dict[str, int]:
    """dsp, bram36, uram, lut and ff of `top` with these parameters, after technology mapping."""
    with tempfile.TemporaryDirectory(prefix="einsim-yosys-") as work:
        report = Path(work, "cells.json")
        synth = f"synth_xilinx -family {family} -top {top} -noiopad -noclkbuf{FAMILIES[family]}"
        run_yosys([*reading(files, top, parameters), synth, f"tee -q -o {report} stat -json"])
        cells = msgspec.json.decode(report.read_bytes())["design"]["num_cells_by_type"]
    return grouped(cells)


def grouped(cells: Mapping[str, int]) -> dict[str, int]:
    """Cells by type as the resources that a part is sold with."""

    def count(pattern: str) -> int:
        return sum(number for name, number in cells.items() if re.fullmatch(pattern, name))

    return {
        "dsp": count(r"DSP48E[12]"),
        "bram36": count(r"RAMB36E[12]") + -(-count(r"RAMB18E[12]") // 2),
        "uram": count(r"URAM288.*"),
        "lut": count(r"LUT[1-6]|INV") + sum(luts * count(cells) for cells, luts in MEMORY_LUTS.items()),
        "ff": count(r"FD[RSCP]E"),
    }


def depth_of(files: Sequence[Path], top: str, parameters: Mapping[str, int]) -> int:
    """Gates on the longest path between registers after generic synthesis: an indication of the clock."""
    said = run_yosys([*reading(files, top, parameters), f"synth -flatten -top {top}", "ltp -noff"])
    found = re.findall(r"Longest topological path in .* \(length=(\d+)\)", said)
    if not found:
        raise SynthesisError(f"Yosys reported no longest path of {top}")
    return int(found[-1])


def reading(files: Sequence[Path], top: str, parameters: Mapping[str, int]) -> list[str]:
    """The passes that read a design and set its parameters."""
    names = " ".join(str(file) for file in files)
    sets = " ".join(f"-set {name} {value}" for name, value in parameters.items())
    return [f"read_verilog -sv {names}", *([f"chparam {sets} {top}"] if sets else [])]
