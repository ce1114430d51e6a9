"""A bounded proof, by Yosys' SAT solver, that the element keeps its cycle contract (`pe_contract.sv`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from einsim.rtl_models import RTL_DIR
from einsim.validation.fpga.synthesis import run_yosys

CYCLES: Final = 6
"""Longer than the contract reaches back (two enabled cycles), with frozen cycles between."""
ELEMENT: Final = RTL_DIR / "systolic/pe_os.sv"
CONTRACT: Final = Path(__file__).resolve().parent / "pe_contract.sv"


def prove_element(element: Path = ELEMENT, cycles: int = CYCLES) -> int:
    """Counterexamples within `cycles` cycles after a reset, over all inputs: 0 (proved) or 1."""
    said = run_yosys(script(element, cycles))
    if "SAT proof finished - no model found: SUCCESS!" in said:
        return 0
    assert "model found: FAIL!" in said, "the solver gave no verdict"
    return 1


def script(element: Path, cycles: int) -> Sequence[str]:
    """The passes: read, flatten, and prove the assertions after one cycle of reset."""
    return (
        f"read_verilog -sv -formal {element} {CONTRACT}",
        "prep -flatten -top pe_contract",
        "async2sync",
        "opt_clean",
        f"sat -set-at 1 rst 1 -prove-asserts -prove-skip 1 -seq {cycles} -set-def-inputs -set-init-undef",
    )
