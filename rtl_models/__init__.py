"""Synthesizable designs whose cycles and bits the simulator must match, and what builds and runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

if __name__ != "einsim.rtl_models":
    raise ImportError("this package is 'einsim.rtl_models' since einsim 0.2: import it by that name")

RTL_DIR: Final = Path(__file__).resolve().parent
"""Where the SystemVerilog lies, one folder a design."""
